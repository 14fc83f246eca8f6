import ClusterDecision
import ClusterModel
import Testing

@Suite("A primary that lives but does not serve")
struct HangTests {
    /// A primary that reports twice a second for so long, with receiving standbys.
    private func play(
        _ desk: inout Desk,
        for duration: Duration,
        standbys: [String] = ["b", "c"],
        _ change: (inout InstanceReport, Duration) -> Void
    ) throws {
        let begin = desk.now
        while desk.now - begin < duration, desk.stored?.phase == .steady {
            desk.now = desk.now + .milliseconds(450)
            for name in standbys { try desk.report(name, receivingFrom: "a") }
            let passed = desk.now - begin
            try desk.reportPrimary("a") { change(&$0, passed) }
        }
    }

    @Test("one whose heartbeats are not flushed for hangTimeout is replaced, though its standbys hear from it (R22)")
    func hungDisk() throws {
        var desk = try Desk.steady(.required)
        let begin = desk.now
        try play(&desk, for: .seconds(20)) { report, passed in report.status?.heartbeatAge = passed }
        #expect(desk.stored?.phase == .preparing)
        let took = desk.now - begin
        #expect(took >= .seconds(10) && took < .seconds(11))
        #expect(desk.log.contains("prepare a") && desk.log.contains("prepare b"))
    }

    @Test("one whose postmaster takes no connections for hangTimeout is replaced (R9)")
    func frozenPostmaster() throws {
        var desk = try Desk.steady(.required)
        try play(&desk, for: .seconds(20)) { report, _ in report.isReady = 2 }
        #expect(desk.stored?.phase == .preparing)
    }

    @Test("an answer in between begins the count anew")
    func answersNowAndThen() throws {
        var desk = try Desk.steady(.required)
        try play(&desk, for: .seconds(30)) { report, passed in
            report.isReady = passed.components.seconds % 9 == 0 ? 0 : 2
            report.status?.heartbeatAge = .milliseconds(700)
        }
        #expect(desk.stored?.phase == .steady)
    }

    @Test("neither an unknown heartbeat nor a server that rejects is a reason (R22)")
    func unknownIsNoReason() throws {
        var desk = try Desk.steady(.required)
        try play(&desk, for: .seconds(30)) { report, _ in
            report.isReady = 1
            report.status?.heartbeatAge = nil
        }
        #expect(desk.stored?.phase == .steady)
    }

    @Test("one that was told to stop and cannot be ended is replaced, though it never releases its term (R9)")
    func endlessStop() throws {
        var desk = try Desk.steady(.required)
        let begin = desk.now
        try play(&desk, for: .seconds(20)) { report, _ in
            report.server = .stopping
            report.opened = false
        }
        #expect(desk.stored?.phase == .preparing)
        #expect(desk.now - begin >= .seconds(10))
    }

    @Test("what lay unread while the controller was stopped replaces nobody (R9)")
    func unreadForLong() throws {
        var desk = try Desk.steady(.required)
        try play(&desk, for: .seconds(2)) { _, _ in }
        // Written long ago, read only now; what came after it says that all is well again.
        desk.now = desk.now + .seconds(12)
        for name in ["b", "c"] { try desk.report(name, receivingFrom: "a") }
        try desk.reportPrimary("a") { $0.status?.heartbeatAge = .seconds(11) }
        for name in ["b", "c"] { try desk.report(name, receivingFrom: "a") }
        try desk.reportPrimary("a") { $0.status?.heartbeatAge = .seconds(11) }
        try play(&desk, for: .seconds(5)) { report, _ in report.status?.heartbeatAge = .milliseconds(600) }
        #expect(desk.stored?.phase == .steady)
        // Who goes on saying so is believed.
        desk.now = desk.now + .seconds(12)
        try play(&desk, for: .seconds(5)) { report, passed in report.status?.heartbeatAge = .seconds(11) + passed }
        #expect(desk.stored?.phase == .preparing)
    }

    @Test("where nobody could take its place it stays, and that is said (R19)")
    func nobodyElse() throws {
        var desk = try Desk.steady(.required)
        try play(&desk, for: .seconds(20), standbys: []) { report, passed in report.status?.heartbeatAge = passed }
        #expect(desk.stored?.phase == .steady)
        #expect(desk.waits.contains("R19"))
    }
}

@Suite("Witnesses of a primary out of sight")
struct WitnessTests {
    @Test("when the primary's agent is out of sight its standbys are asked to look now (R9)")
    func askedAtOnce() throws {
        var desk = try Desk.steady(.required)
        let primary = try desk.member("a").name
        for name in ["b", "c"] {
            try desk.report(name, receivingFrom: "a") { report in
                report.following = Following(term: Term(rawValue: 1), primary: primary)
            }
        }
        try desk.reportPrimary("a")
        desk.log = []
        desk.tell(.disconnected(primary), after: .seconds(1))
        #expect(desk.log == ["follow b", "follow c"])
        #expect(desk.stored?.phase == .steady)
    }
}
