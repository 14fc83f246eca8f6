import ClusterModel
import Testing

@testable import ClusterDecision

@Suite("Pause and promotion by hand")
struct ByHandTests {
    @Test("paused: a dead primary is not replaced, until somebody resumes or promotes by hand (R18)")
    func pause() throws {
        for byHand in [true, false] {
            var desk = try Desk.steady(.required)
            try desk.reportPrimary("a")
            desk.ask(.pause(reason: "the network is being moved"))
            #expect(desk.stored?.pauseReason == "the network is being moved")
            try desk.report("b")
            try desk.report("c")
            try desk.reportRelease("a")
            #expect(desk.stored?.term == Term(rawValue: 1))
            #expect(desk.machine.waiting?.rule == "R18")
            #expect(desk.machine.waiting?.text.contains("the network is being moved") == true)
            if byHand {
                try desk.askPromotion(of: "c")
                #expect(
                    desk.replies.last
                        == "done: Promotion of 'c' has begun: nothing acknowledged is lost. If another turns out to hold "
                        + "more, that one is promoted."
                )
            } else {
                desk.ask(.resume)
                desk.tell(.tick)
            }
            #expect(desk.stored?.term == Term(rawValue: 2) && desk.stored?.phase == .preparing)
            try desk.reportPrepared("b", term: 2)
            try desk.reportPrepared("c", term: 2)
            #expect(desk.stored?.primary?.text == (byHand ? "c" : "b"))
            #expect(desk.stored?.pauseReason == (byHand ? "the network is being moved" : nil))
        }
    }

    @Test("paused: a term that is open takes no candidate by itself (R18)")
    func pauseInTheMiddle() throws {
        var desk = try Desk.steady(.required)
        try desk.reportRelease("a")
        desk.ask(.pause(reason: ""))
        try desk.reportPrepared("b", term: 2)
        try desk.reportPrepared("c", term: 2)
        #expect(desk.stored?.phase == .preparing && desk.machine.waiting?.rule == "R18")
        desk.ask(.resume)
        #expect(desk.stored?.phase == .promoting)
    }

    @Test("leases are renewed while automation is paused (R18)")
    func leasesGoOn() throws {
        var desk = try Desk.steady(.required)
        desk.ask(.pause(reason: ""))
        try desk.reportPrimary("a")
        #expect(desk.leases == ["a"])
    }

    @Test("a healthy primary is not replaced by hand: that is what a switchover is for (R9)")
    func healthyPrimary() throws {
        var desk = try Desk.steady(.required)
        try desk.report("b", receivingFrom: "a")
        try desk.reportPrimary("a")
        try desk.askPromotion(of: "b", accepts: true)
        #expect(desk.replies.last?.contains("use `switchover`") == true)
        // Its agent is gone, but it still serves: no evidence, no second writer.
        desk.tell(.disconnected(try desk.member("a").name))
        try desk.report("b", receivingFrom: "a")
        try desk.askPromotion(of: "b", accepts: true)
        #expect(desk.replies.last?.contains("still receives from it") == true)
        #expect(desk.stored?.term == Term(rawValue: 1))
    }

    @Test("what may be lost is said first, and only whoever accepts it promotes (R19)")
    func acceptedLoss() throws {
        var desk = try Desk.steady(.required)
        try desk.reportPrimary("a", at: 5000)
        try desk.report("b", receivingFrom: "a", at: 4000)
        desk.tell(.disconnected(try desk.member("a").name))
        try desk.report("b", at: 4000)
        #expect(desk.machine.waiting?.rule == "R19")
        try desk.askPromotion(of: "b")
        let refusal = try #require(desk.replies.last)
        for part in [
            "refused: ", "2 of b, c", "reported WAL up to 0/1388, 1000 bytes more", "--accept-data-loss",
            "; 'b' admits clients only when 1 of a, c streams from it (R23): `durability preferred` lifts that;",
        ] {
            #expect(refusal.contains(part), "\(refusal)")
        }
        #expect(desk.stored?.term == Term(rawValue: 1))
        // Nobody sees the old primary: on its own word, or its voters', it may go on for ever (R10).
        try desk.askPromotion(of: "b", accepts: true)
        #expect(desk.replies.last?.contains("--old-primary-is-off") == true)
        #expect(desk.stored?.term == Term(rawValue: 1))
        try desk.askPromotion(of: "b", accepts: true, isOff: true)
        #expect(desk.replies.last?.hasPrefix("done: Promotion of 'b' has begun: may be lost: ") == true)
        #expect(desk.stored?.phase == .preparing)
        // One writer: not before the lease of whom nobody reaches is over (R3).
        try desk.reportPrepared("b", term: 2, at: 4000)
        #expect(desk.stored?.phase == .preparing && desk.machine.waiting?.rule == "R3")
        for _ in 0..<40 where desk.stored?.phase == .preparing {
            desk.now = desk.now + .milliseconds(100)
            try desk.reportPrepared("b", term: 2, at: 4000)
        }
        #expect(desk.stored?.phase == .promoting && desk.stored?.primary?.text == "b")
        #expect(desk.stored?.history.last?.why.contains("accepts the loss of data") == true)
        #expect(desk.now >= MonotonicInstant(nanoseconds: 1_000_000_000) + .milliseconds(3250))
    }

    @Test("that clients will wait for standbys is said in `required` only, where k is not lowered (R23)")
    func opening() throws {
        for mode in [Durability.required, .preferred] {
            var desk = try Desk.steady(mode)
            try desk.reportPrimary("a", at: 5000)
            try desk.report("b", receivingFrom: "a", at: 4000)
            desk.tell(.disconnected(try desk.member("a").name))
            try desk.report("b", at: 4000)
            try desk.askPromotion(of: "b", accepts: true, isOff: true)
            let reply = try #require(desk.replies.last)
            #expect(reply.hasPrefix("done: ") && reply.contains("admits clients only when") == (mode == .required))
        }
    }

    @Test("whoever holds more is named, and a loss that was not accepted is not made by it (R7)")
    func moreElsewhere() throws {
        var desk = try Desk.steady(.required, failoverDisabled: true)
        try desk.report("b", at: 900)
        try desk.report("c", at: 1000)
        try desk.reportRelease("a")
        try desk.askPromotion(of: "b")
        #expect(desk.replies.last?.contains("'c' holds 100 bytes of WAL more") == true)
        #expect(desk.stored?.term == Term(rawValue: 1))
        try desk.askPromotion(of: "c")
        #expect(desk.stored?.phase == .preparing)
    }

    @Test("the old primary itself can be promoted by hand, and is asked for its position (R6, R18)")
    func oldPrimaryItself() throws {
        var desk = try Desk.steady(.required, failoverDisabled: true)
        try desk.report("b")
        try desk.report("c")
        try desk.reportRelease("a")
        try desk.askPromotion(of: "a")
        #expect(desk.log.contains("recover a"))
        try desk.reportPrepared("b", term: 2)
        try desk.reportPrepared("c", term: 2)
        #expect(desk.stored?.phase == .preparing)
        try desk.reportPrepared("a", term: 2, at: 1200)
        #expect(desk.stored?.primary?.text == "a")
    }

    /// A primary whose disk hangs for so long by its own agent, standbys receiving from it.
    private func hanging(_ standbys: [String], for age: Duration) throws -> Desk {
        var desk = try Desk.steady(.required)
        try desk.reportPrimary("a", streamingTo: standbys)
        for name in standbys { try desk.report(name, receivingFrom: "a") }
        try desk.reportPrimary("a", streamingTo: standbys) { $0.status?.heartbeatAge = age }
        #expect(desk.stored?.phase == .steady)
        return desk
    }

    @Test("a primary that hangs is replaced by hand before hangTimeout, and its agent's word is the evidence (R9)")
    func hangingPrimary() throws {
        var desk = try hanging(["b", "c"], for: .seconds(5))
        try desk.askPromotion(of: "b")
        let reply = try #require(desk.replies.last)
        #expect(reply.hasPrefix("done: Promotion of 'b' has begun: 'a' writes no WAL to its disk any more"), "\(reply)")
        #expect(reply.contains("for 5010 ms by its own agent; nothing acknowledged is lost"), "\(reply)")
        #expect(desk.stored?.phase == .preparing)
        // It reports, and is told to stop: it is not given way to.
        try desk.reportPrimary("a", streamingTo: []) { $0.status?.heartbeatAge = .seconds(6) }
        #expect(desk.stored?.phase == .preparing && desk.log.contains("prepare a"))
        try desk.reportPrepared("b", term: 2)
        try desk.reportPrepared("c", term: 2)
        #expect(desk.stored?.phase == .promoting && desk.stored?.primary?.text == "b")
        #expect(desk.stored?.history.last?.why == "an operator promotes 'b' by hand")
    }

    @Test("what hangs may never answer: without enough others its place is taken only by whoever accepts the loss")
    func hangingPrimaryWithTooFewOthers() throws {
        var desk = try hanging(["b"], for: .seconds(5))
        try desk.askPromotion(of: "b")
        #expect(desk.replies.last?.contains("2 of b, c, or 'a' itself; reachable are b;") == true)
        try desk.askPromotion(of: "b", accepts: true)
        #expect(desk.replies.last?.contains("--old-primary-is-off") == true)
        try desk.askPromotion(of: "b", accepts: true, isOff: true)
        #expect(desk.stored?.phase == .preparing && desk.stored?.request?.acceptsDataLoss == true)
    }

    @Test("sessions that do not answer are evidence for a person, though standbys hear from the primary (R9)")
    func unresponsivePrimary() throws {
        var desk = try hanging(["b", "c"], for: .zero)
        try desk.reportPrimary("a", streamingTo: ["b", "c"]) { report in
            report.server = .unresponsive
            report.statusAge = .milliseconds(900)
        }
        try desk.askPromotion(of: "b")
        let hasty = "'a' leaves its own agent without an answer, but only for 910 ms"
        #expect(desk.replies.last?.contains(hasty) == true)
        try desk.reportPrimary("a", streamingTo: ["b", "c"]) { report in
            report.server = .unresponsive
            report.statusAge = .seconds(3)
        }
        #expect(desk.stored?.term == Term(rawValue: 1))
        try desk.askPromotion(of: "b")
        #expect(desk.stored?.phase == .preparing)
    }

    @Test("each refusal says what is true of that instance and of that primary")
    func trueReasons() throws {
        var desk = try Desk.steady(.required)
        try desk.report("b", receivingFrom: "a")
        try desk.reportPrimary("a", streamingTo: ["b"])
        for name in ["a", "c", "b", "d"] { try desk.askPromotion(of: name) }
        // Its agent says that the server starts, which is neither well nor gone.
        try desk.reportPrimary("a") { $0.server = .starting }
        try desk.askPromotion(of: "b")
        desk.tell(.disconnected(try desk.member("a").name))
        desk.tell(.disconnected(try desk.member("b").name))
        try desk.askPromotion(of: "c")
        // Another directory under the old primary's name holds nothing of what that acknowledged.
        let copy = Incarnation(number: 7)
        try desk.report("b")
        try desk.report("a") { report in
            report.state.incarnation = copy
            report.state.role = .cloning
        }
        try desk.askPromotion(of: "a")
        #expect(
            desk.replies == [
                "refused: 'a' is primary already",
                "refused: 'a' is primary and answers, and 'c' could not take over: it does not report",
                "refused: 'a' is primary and answers: use `switchover`, which loses nothing",
                "usage: there is no instance 'd': there are a, b, c",
                "refused: it is not shown that 'a' is gone: its agent reports that its server is starting; wait until it "
                    + "is up or has ended",
                "refused: it is not shown that 'a' is gone: no running standby reports that could confirm it; start one, "
                    + "and ask again",
                "refused: 'a' cannot be promoted: it is being copied",
            ]
        )
    }

    @Test("whoever answers under a voter's name with another copy is told apart from the voter (R7)")
    func namesakes() throws {
        var desk = try Desk.steady(.required)
        try desk.reportRelease("a")
        try desk.reportPrepared("b", term: 2)
        let copy = Incarnation(number: 7)
        try desk.report("c") { report in
            report.state.incarnation = copy
            let position = WALPosition(timeline: .first, lsn: LSN(rawValue: 1000))
            report.prepared = PreparedAnswer(term: Term(rawValue: 2), position: position)
        }
        let text = try #require(desk.machine.waiting?.text)
        #expect(text.hasSuffix("so far b, c (a new copy, which does not count for the one that is missed)"), "\(text)")
    }

    @Test("a command is answered once the record holds it, and with the truth if it does not")
    func answersAreTrue() throws {
        var machine = try Desk.steady(.required).machine
        let now = MonotonicInstant(nanoseconds: 2_000_000_000)
        func replies(_ actions: [ClusterAction]) -> [UInt64: CommandAnswer.Ending] {
            var found: [UInt64: CommandAnswer.Ending] = [:]
            for case .reply(let answer, let id) in actions { found[id] = answer.ending }
            return found
        }
        #expect(replies(machine.handle(.command(.pause(reason: "x"), id: 1), at: now)).isEmpty)
        // Held until it is known what became of the first.
        #expect(replies(machine.handle(.command(.resume, id: 2), at: now)).isEmpty)
        #expect(replies(machine.handle(.recordUnknown(reason: "timed out"), at: now)) == [1: .failed, 2: .failed])
        for id in UInt64(3)...40 { _ = machine.handle(.command(.abandon, id: id), at: now) }
    }

    @Test("why each instance could not take over is in the view")
    func obstacles() throws {
        var desk = try Desk.steady(.required)
        try desk.report("b", receivingFrom: "a")
        try desk.reportPrimary("a", streamingTo: ["b"])
        let view = try #require(desk.machine.view(at: desk.now))
        #expect(view.instances.map(\.obstacle) == ["", "", "does not report"])
    }
}
