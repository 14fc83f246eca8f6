import ClusterDecision
import ClusterModel
import Testing

@Suite("A suspect primary")
struct SuspicionTests {
    private func standbys(_ desk: inout Desk, from source: String? = "a") throws {
        for name in ["b", "c"] { try desk.report(name, receivingFrom: source, after: .milliseconds(250)) }
    }

    @Test("one whose agent is silent while standbys receive is called suspect, and nobody fails over (R9)")
    func suspect() throws {
        var desk = try Desk.steady(.required)
        try desk.reportPrimary("a", streamingTo: ["b", "c"])
        try standbys(&desk)
        desk.tell(.disconnected(try desk.member("a").name))
        try standbys(&desk)
        #expect(desk.machine.view(at: desk.now)?.suspect == nil)
        for _ in 0..<8 { try standbys(&desk) }
        let suspect = try #require(desk.machine.view(at: desk.now)?.suspect)
        #expect(suspect.rule == "R9" && suspect.text.contains("'a' is suspect") && suspect.evidence.count == 2)
        #expect(desk.stored?.phase == .steady && desk.stored?.term == Term(rawValue: 1))
        #expect(desk.told.filter { $0.text == suspect.text }.count == 1)
        try desk.reportPrimary("a", streamingTo: ["b", "c"])
        #expect(desk.machine.view(at: desk.now)?.suspect == nil)
        #expect(desk.told.contains { $0.text.contains("not suspect any more") })
    }

    @Test("when the standbys lose it, too, the suspicion ends in a new term (R9)")
    func lost() throws {
        var desk = try Desk.steady(.required)
        try desk.reportPrimary("a", streamingTo: ["b", "c"])
        desk.tell(.disconnected(try desk.member("a").name))
        for _ in 0..<8 { try standbys(&desk) }
        #expect(desk.machine.view(at: desk.now)?.suspect != nil)
        try standbys(&desk, from: nil)
        desk.tell(.tick, after: .milliseconds(50))
        #expect(desk.stored?.phase == .preparing)
        #expect(desk.machine.view(at: desk.now)?.suspect == nil)
    }
}

@Suite("An agent that cannot look at its instance")
struct DetachedTests {
    @Test("why is told once and shown until it reports again (D106)")
    func shown() throws {
        var desk = try Desk.steady(.required)
        try desk.reportPrimary("a", streamingTo: ["b", "c"])
        try desk.report("b", receivingFrom: "a")
        let name = try desk.member("b").name
        let refusal = OrderRefusal(stamp: .none, order: OrderRefusal.attachment, reason: "its version is 2")
        for _ in 0..<3 { desk.tell(.refused(name, refusal)) }
        func fault() -> String? { desk.machine.view(at: desk.now)?.instances.first { $0.name == name }?.fault }
        #expect(fault() == "its version is 2")
        #expect(desk.told.filter { $0.text.contains("its version is 2") }.count == 1)
        try desk.report("b", receivingFrom: "a")
        #expect(fault() == "")
    }
}

@Suite("What clients of a primary feel, said at once")
struct HardshipTests {
    private func words(_ desk: Desk) -> String { desk.machine.view(at: desk.now)?.waiting?.text ?? "" }

    @Test("a primary that has not admitted clients says whom it waits for (R23)")
    func shut() throws {
        var desk = try Desk.steady(.required)
        try desk.reportPrimary("a", streamingTo: []) { $0.opened = false }
        #expect(words(desk) == "'a' is primary and admits clients when 1 of b, c have its WAL; 0 receive it")
        try desk.reportPrimary("a", streamingTo: ["b"]) { $0.opened = false }
        #expect(words(desk) == "'a' is primary and admits clients in a moment")
        try desk.reportPrimary("a", streamingTo: ["b"])
        #expect(words(desk).isEmpty)
    }

    @Test("commits that wait are said before anybody is given up (R12)")
    func shortage() throws {
        for (mode, isSaid) in [(Durability.required, true), (.preferred, true), (.async, false)] {
            var desk = try Desk.steady(mode)
            try desk.reportPrimary("a", streamingTo: [])
            #expect(words(desk) == (isSaid ? "commits wait: 1 of b, c must stream, 0 do" : ""))
        }
    }

    @Test("a primary that takes no new connections is suspect at once, and replaced later (R22)")
    func mute() throws {
        var desk = try Desk.steady(.required)
        for _ in 0..<5 {
            for name in ["b", "c"] { try desk.report(name, receivingFrom: "a", after: .milliseconds(200)) }
            try desk.reportPrimary("a", streamingTo: ["b", "c"]) { $0.isReady = 2 }
        }
        let suspect = try #require(desk.machine.view(at: desk.now)?.suspect)
        #expect(suspect.rule == "R22" && suspect.text.contains("takes no new connections, for 1 s; after 10 s"))
        #expect(desk.stored?.phase == .steady)
    }
}

@Suite("What people are shown of the instances")
struct ShownTests {
    private func shown(_ name: String, _ desk: Desk) throws -> ClusterView.Instance {
        let view = try #require(desk.machine.view(at: desk.now))
        return try #require(view.instances.first { $0.name.text == name })
    }

    @Test("a standby streams by a report that is not older than two intervals")
    func streaming() throws {
        var desk = try Desk.steady(.required)
        try desk.report("b", receivingFrom: "a")
        desk.now = desk.now + .milliseconds(1000)
        #expect(try shown("b", desk).streaming)
        desk.now = desk.now + .milliseconds(1)
        #expect(try shown("b", desk).streaming == false)
        #expect(try shown("b", desk).reportAgeMilliseconds == 1001)
    }

    @Test("open is only the recorded primary, with at most a whole lease")
    func opened() throws {
        var desk = try Desk.steady(.required)
        try desk.reportPrimary("a")
        #expect(try shown("a", desk).opened)
        #expect(try shown("a", desk).leaseRemainingMilliseconds == 3000)
        // What another says of itself makes it no primary.
        try desk.report("b") { report in
            report.state.role = .primary
            report.state.primaryOfTerm = Term(rawValue: 1)
            report.server = .primary
            report.opened = true
        }
        #expect(try shown("b", desk).opened == false)
    }
}

@Suite("Lag in time (R22)")
struct LagTests {
    private func lag(_ desk: Desk, of name: String) throws -> Int64? {
        let instances = try #require(desk.machine.view(at: desk.now)).instances
        return instances.first { $0.name.text == name }?.lagMilliseconds
    }

    private func standby(_ desk: inout Desk, replayed: UInt64) throws {
        try desk.report("b", receivingFrom: "a", at: 9000) { $0.status?.replayLSN = LSN(rawValue: replayed) }
    }

    @Test("it is the age of the first WAL that was not replayed, by the controller's own clock")
    func age() throws {
        var desk = try Desk.steady(.required, ["a", "b"])
        try standby(&desk, replayed: 1000)
        #expect(try lag(desk, of: "b") == nil)
        for step in 1...10 {
            desk.now = desk.now + .milliseconds(490)
            try desk.reportPrimary("a", at: UInt64(1000 * step), streamingTo: ["b"])
        }
        // Four marks, 500 ms apart, lie beyond it; the report came 10 ms after the last.
        try standby(&desk, replayed: 6000)
        #expect(try lag(desk, of: "b") == 1510)
        try standby(&desk, replayed: 10_000)
        #expect(try lag(desk, of: "b") == 0)
        #expect(try lag(desk, of: "a") == nil)
    }

    @Test("on an idle cluster without heartbeats it does not grow, however long nothing is written")
    func idle() throws {
        var desk = try Desk.steady(.required, ["a", "b"])
        for _ in 1...100 {
            desk.now = desk.now + .seconds(30)
            try desk.reportPrimary("a", at: 5000, streamingTo: ["b"])
        }
        try standby(&desk, replayed: 5000)
        #expect(try lag(desk, of: "b") == 0)
    }

    @Test("it grows while a standby that had not replayed everything says nothing")
    func silence() throws {
        var desk = try Desk.steady(.required, ["a", "b"])
        try desk.reportPrimary("a", at: 2000, streamingTo: ["b"])
        try standby(&desk, replayed: 1000)
        let before = try #require(try lag(desk, of: "b"))
        desk.tell(.tick, after: .seconds(60))
        #expect(try #require(try lag(desk, of: "b")) >= before + 60_000)
    }

    @Test("however long a standby stays behind, what is kept of the past has a limit, and the lag stays right")
    func limit() throws {
        var desk = try Desk.steady(.required, ["a", "b"])
        try desk.reportPrimary("a", at: 1000, streamingTo: ["b"])
        let begin = desk.now
        for step in 1...5000 {
            desk.now = desk.now + .milliseconds(490)
            try desk.reportPrimary("a", at: UInt64(1000 + step), streamingTo: ["b"])
        }
        try standby(&desk, replayed: 900)
        let passed = (desk.now - begin).components.seconds * 1000
        let told = try #require(try lag(desk, of: "b"))
        #expect(told >= passed - 1000 && told <= passed + 1000)
    }
}
