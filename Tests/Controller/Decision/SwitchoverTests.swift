import ClusterModel
import Testing

@testable import ClusterDecision

@Suite("Switchover")
struct SwitchoverTests {
    /// A cluster whose standbys stream and whose primary is open.
    private func desk(_ durability: Durability = .required, synchronousStandbys: Int = 1) throws -> Desk {
        var desk = try Desk.steady(durability, synchronousStandbys: synchronousStandbys)
        try everybodyIsWell(&desk)
        desk.log = []
        return desk
    }

    private func everybodyIsWell(_ desk: inout Desk) throws {
        let standbys = desk.machine.spec.instances.map(\.name.text).filter { $0 != "a" }
        for name in standbys { try streams(name, &desk) }
        let version = desk.stored?.version
        try desk.reportPrimary("a", streamingTo: standbys)
        // Nothing above changes the record.
        #expect(desk.stored?.version == version)
    }

    private func streams(_ name: String, _ desk: inout Desk) throws {
        let primary = try desk.member("a").name
        try desk.report(name, receivingFrom: "a") { report in
            report.status?.replayLSN = LSN(rawValue: 1000)
            report.following = Following(term: Term(rawValue: 1), primary: primary)
        }
    }

    /// As far as the order to stop.
    private func stopping(_ durability: Durability = .required) throws -> Desk {
        var desk = try desk(durability)
        desk.askSwitchover(to: "c")
        let version = desk.stored?.version
        try desk.reportPrimary("a", streamingTo: ["b", "c"]) { $0.readyToHandOver = version }
        #expect(desk.stored?.request?.step == .stop)
        return desk
    }

    @Test("a switchover is checkpoint, stop, revocation, promotion of whom was asked for, in that order (R16)")
    func transcript() throws {
        var desk = try desk()
        desk.askSwitchover(to: "c")
        #expect(desk.replies == ["done: Switchover from 'a' to 'c' has begun."])
        #expect(desk.log == ["store steady", "handOver a"])
        let version = desk.stored?.version
        desk.log = []
        try desk.reportPrimary("a", streamingTo: ["b", "c"]) { $0.readyToHandOver = version }
        #expect(desk.log == ["store steady", "handOver a"])
        #expect(desk.stored?.term == Term(rawValue: 1))
        desk.log = []
        try desk.reportRelease("a")
        #expect(desk.log == ["store preparing", "prepare a", "prepare b", "prepare c", "recover c"])
        try desk.reportShutDown("a", released: 1, prepared: 2, at: 1100)
        try desk.reportPrepared("b", term: 2, at: 1100)
        #expect(desk.stored?.phase == .preparing)
        desk.log = []
        try desk.reportPrepared("c", term: 2, at: 1100)
        #expect(desk.log == ["store promoting", "promote c", "follow b"])
        #expect(desk.stored?.primary?.text == "c")
        #expect(desk.stored?.history.last?.why == "switchover from 'a' to 'c', asked for by an operator")
        try desk.reportPrimary("c", term: 2) { report in
            report.promotion = PromotionResult(
                term: Term(rawValue: 2),
                timeline: Timeline(rawValue: 2),
                switchLSN: LSN(rawValue: 1200),
                forkLSN: LSN(rawValue: 1100)
            )
        }
        #expect(desk.stored?.request == nil && desk.stored?.phase == .steady)
        #expect(desk.machine.lastFailover?.isPlanned == true)
    }

    @Test("in async a switchover waits for the end of the old primary's WAL, so that nothing is lost (R16)")
    func asyncLosesNothing() throws {
        var desk = try stopping(.async)
        try desk.reportRelease("a")
        try desk.reportPrepared("b", term: 2, at: 1050)
        try desk.reportPrepared("c", term: 2, at: 1050)
        #expect(desk.stored?.phase == .preparing)
        #expect(desk.machine.waiting?.text.contains("the end of the WAL of 'a'") == true)
        // Nobody else has its last records: it is primary again.
        try desk.reportShutDown("a", released: 1, prepared: 2, at: 1100)
        #expect(desk.stored?.phase == .promoting && desk.stored?.primary?.text == "a")
    }

    @Test("an instance that cannot take over is refused with the reason, and nothing is changed (R8)")
    func refusals() throws {
        var desk = try desk()
        let before = desk.stored
        desk.askSwitchover(to: "d")
        desk.askSwitchover(to: "a")
        try desk.report("c")
        desk.askSwitchover(to: "c")
        try desk.report("b", receivingFrom: "a") { $0.status?.replayPaused = true }
        try desk.reportPrimary("a", at: 40_000_000, streamingTo: ["b"])
        desk.askSwitchover()
        #expect(
            desk.replies.map { String($0.prefix(60)) } == [
                "usage: there is no instance 'd': there are a, b, c", "refused: 'a' is primary already",
                "refused: 'c' cannot take over: it does not stream from 'a'",
                "refused: nobody can take over: 'b' is 40000000 bytes of WAL ",
            ]
        )
        #expect(desk.stored == before)
        // For the history, once each; what was merely mistyped is not.
        #expect(desk.told.filter { $0.kind == .refused }.count == 3)
    }

    @Test("a dry run says what would happen and why, and changes nothing")
    func dryRun() throws {
        var desk = try desk()
        let before = desk.stored
        desk.askSwitchover(isDryRun: true)
        let story = try #require(desk.replies.first)
        for part in ["done: Would hand over from 'a' to 'b'", "'c' could take over, too", "term 2", "1 of a, c"] {
            #expect(story.contains(part), "\(story)")
        }
        desk.askSwitchover(to: "a", isDryRun: true)
        #expect(desk.replies.last == "refused: would be refused: 'a' is primary already")
        #expect(desk.stored == before && desk.log.isEmpty)
        #expect(!desk.told.contains { $0.kind == .refused || $0.kind == .switchover })
    }

    @Test("a candidate that dies before the primary was told to stop: given up in the same term (R16)")
    func candidateDiesEarly() throws {
        var desk = try desk()
        desk.askSwitchover(to: "c")
        desk.tell(.disconnected(try desk.member("c").name))
        for _ in 0..<30 where desk.stored?.request != nil {
            try desk.reportPrimary("a", streamingTo: ["b"])
            desk.now = desk.now + .milliseconds(100)
        }
        #expect(desk.stored?.request == nil && desk.stored?.term == Term(rawValue: 1))
        #expect(desk.told.contains { $0.kind == .abandoned && $0.evidence == ["'c' does not report"] })
    }

    @Test("a switchover is given up during its checkpoint when commits wait for a voter that is gone (R12, R16)")
    func voterLostDuringCheckpoint() throws {
        var desk = try desk(.preferred, synchronousStandbys: 2)
        desk.askSwitchover(to: "c")
        #expect(desk.stored?.request?.step == .checkpoint)
        func go(streamingTo standbys: [String]) throws {
            for name in standbys { try streams(name, &desk) }
            try desk.reportPrimary("a", streamingTo: standbys)
            desk.now = desk.now + .milliseconds(400)
        }
        // One that comes back in time changes nothing.
        for _ in 0..<4 { try go(streamingTo: ["c"]) }
        try go(streamingTo: ["b", "c"])
        #expect(desk.stored?.request != nil)
        for _ in 0..<7 where desk.stored?.request != nil { try go(streamingTo: ["c"]) }
        #expect(desk.stored?.request == nil && desk.stored?.term == Term(rawValue: 1))
        let reason = "commits wait: 2 of b, c must stream, 1 do"
        #expect(desk.told.contains { $0.kind == .abandoned && $0.evidence == [reason] })
        // The rule goes on without the lost one, and until then no switchover begins.
        desk.askSwitchover(to: "c")
        #expect(desk.replies.last?.contains(reason) == true && desk.stored?.request == nil)
        for _ in 0..<12 where desk.stored?.rules.count == 1 { try go(streamingTo: ["c"]) }
        let narrow = Rule(voters: [try desk.member("c")], required: 1, mode: .preferred)
        #expect(desk.stored?.newestRule == narrow)
    }

    @Test("a candidate that dies before the primary has stopped: it goes on in a new term, on its own timeline (R16)")
    func candidateDiesLate() throws {
        var desk = try stopping()
        desk.tell(.disconnected(try desk.member("c").name))
        for _ in 0..<30 where desk.stored?.request != nil {
            try desk.reportPrimary("a", streamingTo: ["b"])
            desk.now = desk.now + .milliseconds(100)
        }
        let record = try #require(desk.stored)
        #expect(record.term == Term(rawValue: 2) && record.phase == .steady && record.primary?.text == "a")
        #expect(record.history.map(\.timeline) == [.first, .first] && record.isContinued)
        #expect(record.highestTimeline == .first && record.faults.isEmpty)
        #expect(desk.log.suffix(3) == ["store steady", "govern a", "follow b"])
        // The order to stop got there all the same: an ordinary failover in the next term.
        try desk.report("b", receivingFrom: "a")
        try desk.reportRelease("a", term: 1)
        #expect(desk.stored?.term == Term(rawValue: 3) && desk.stored?.phase == .preparing)
    }

    @Test("a primary that dies before it was told to stop is a failure like any other (R16)")
    func primaryDiesEarly() throws {
        var desk = try desk()
        desk.askSwitchover(to: "c")
        try desk.reportRelease("a")
        #expect(desk.stored?.request == nil && desk.stored?.phase == .preparing)
        #expect(desk.told.contains { $0.kind == .abandoned })
    }

    @Test("another controller goes on where the record says that the switchover is (R11, R16)")
    func anotherController() throws {
        var first = try stopping()
        var desk = try Desk(.required, ["a", "b", "c"])
        desk.stored = first.stored
        desk.tell(.recordLoaded(first.stored))
        for name in ["b", "c"] { try streams(name, &desk) }
        desk.log = []
        try desk.reportPrimary("a", streamingTo: ["b", "c"])
        #expect(desk.log == ["handOver a"])
        try desk.reportRelease("a")
        try desk.reportShutDown("a", released: 1, prepared: 2, at: 1100)
        try desk.reportPrepared("b", term: 2, at: 1100)
        try desk.reportPrepared("c", term: 2, at: 1100)
        #expect(desk.stored?.primary?.text == "c")
        #expect(desk.stored?.history.last?.why.contains("asked for by an operator") == true)
        first.tell(.tick)
    }

    @Test("a failover begun in error is given up as long as no candidate is recorded (R16)")
    func failoverInError() throws {
        var desk = try desk()
        desk.tell(.disconnected(try desk.member("a").name))
        try desk.report("b")
        try desk.report("c")
        #expect(desk.stored?.phase == .preparing)
        desk.log = []
        // Its agent comes back: it was never told of the new term.
        desk.tell(.connected(try desk.member("a").name))
        #expect(!desk.log.contains("prepare a"))
        try desk.reportPrimary("a", streamingTo: [])
        #expect(desk.stored?.phase == .steady && desk.stored?.term == Term(rawValue: 2))
        #expect(desk.log.suffix(4) == ["store steady", "govern a", "follow b", "follow c"])
        #expect(desk.told.contains { $0.kind == .abandoned && $0.rule == "R16" })
    }

    @Test("with a candidate recorded the only way is forward (R16)")
    func onlyForward() throws {
        var desk = try stopping()
        try desk.reportRelease("a")
        try desk.reportPrepared("b", term: 2)
        try desk.reportPrepared("c", term: 2)
        #expect(desk.stored?.phase == .promoting)
        desk.ask(.abandon)
        #expect(desk.replies.last?.contains("the only way is forward") == true)
        try desk.reportPrimary("a", streamingTo: [])
        #expect(desk.stored?.primary?.text == "c" && desk.stored?.term == Term(rawValue: 2))
    }

    @Test("an operator abandons a switchover; there is nothing to abandon twice")
    func abandonByHand() throws {
        var desk = try desk()
        desk.askSwitchover(to: "b")
        desk.ask(.abandon)
        #expect(desk.replies.last == "done: Abandoned: 'a' goes on as primary.")
        #expect(desk.stored?.request == nil)
        desk.ask(.abandon)
        #expect(desk.replies.last == "failed: no change of primary is under way: there is nothing to abandon")
    }

    @Test("an agent's refusal that repeats is told once")
    func refusalsAreToldOnce() throws {
        var desk = try desk()
        let refusal = OrderRefusal(stamp: .none, order: "govern", reason: "no")
        for _ in 0..<5 { desk.tell(.refused(try desk.member("a").name, refusal)) }
        #expect(desk.told.filter { $0.kind == .refused }.count == 1)
    }
}
