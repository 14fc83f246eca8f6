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
                #expect(desk.replies.last == "done: Promotion of 'c' has begun: nothing acknowledged is lost.")
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
        for part in ["refused: ", "2 of b, c", "reported WAL up to 0/1388, 1000 bytes more", "--accept-data-loss"] {
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
