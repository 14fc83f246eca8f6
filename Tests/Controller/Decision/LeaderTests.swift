import ClusterModel
import Testing

@testable import ClusterDecision

@Suite("A controller that missed something")
struct LeaderTests {
    @Test("reads the record anew when a member knows a later one, and goes on from it (R11)")
    func readsAgain() throws {
        var desk = try Desk.steady(.required)
        var newer = try #require(desk.stored)
        newer.version = RecordVersion(rawValue: 12)
        try desk.report("b", receivingFrom: "a") {
            $0.state.promised = Stamp(term: Term(rawValue: 1), version: newer.version)
        }
        #expect(desk.log.suffix(1) == ["load"])
        #expect(desk.machine.waiting?.rule == "R1")
        // Not once for each report, but again after a while.
        desk.tell(.tick)
        #expect(desk.log.filter { $0 == "load" }.count == 1)
        desk.tell(.tick, after: .milliseconds(600))
        #expect(desk.log.filter { $0 == "load" }.count == 2)
        desk.tell(.recordLoaded(newer))
        try desk.reportPrimary("a")
        #expect(desk.machine.record == newer)
        #expect(desk.machine.waiting == nil)
    }

    @Test("does not take an older reading for the outcome of its own write")
    func readsDuringWrite() throws {
        var desk = try Desk.steady(.required)
        let older = try #require(desk.stored)
        let asked = desk.machine.handle(.command(.pause(reason: "test"), id: 1), at: desk.now)
        #expect(asked.contains { if case .store = $0 { true } else { false } })
        _ = desk.machine.handle(.recordLoaded(older), at: desk.now)
        _ = desk.machine.handle(.recordStored, at: desk.now)
        #expect(desk.machine.record?.pauseReason == "test")
    }

    @Test("that slept itself does not take what it has not heard yet for a loss (R9)")
    func slept() throws {
        var desk = try Desk.steady(.required)
        try desk.reportPrimary("a")
        try desk.report("b", receivingFrom: "a")
        try desk.report("c", receivingFrom: "a")
        let before = desk.log
        // It is stopped, and its timer fires before the reports that lie in its sockets are read.
        desk.tell(.tick, after: .milliseconds(1400))
        #expect(desk.stored?.phase == .steady && !desk.log.dropFirst(before.count).contains("store preparing"))
        try desk.reportPrimary("a")
        try desk.report("b", receivingFrom: "a")
        #expect(desk.stored?.phase == .steady)
        // Awake, it judges as ever.
        for _ in 0..<8 {
            try desk.report("b", after: .milliseconds(250))
            try desk.report("c", after: .milliseconds(1))
            desk.tell(.tick, after: .milliseconds(50))
        }
        #expect(desk.stored?.phase == .preparing)
    }

    @Test("that stood still for a tenth of a second looks a second time before it calls the primary gone (R9)")
    func stoodStill() throws {
        // Simulator, seeds 1573 preferred and 91308 async: that a standby receives lay unread in its socket.
        var desk = try Desk.steady(.required)
        try desk.reportPrimary("a")
        desk.tell(.disconnected(try desk.member("a").name))
        try desk.report("b", receivingFrom: "a")
        try desk.report("c")
        // It is stopped, loses b's older word by age, and its timer fires first.
        try desk.report("b", receivingFrom: "a") { $0.status?.receiver?.sinceLastMessage = .milliseconds(1200) }
        desk.tell(.tick, after: .milliseconds(350))
        #expect(desk.stored?.phase == .steady)
        try desk.report("b", receivingFrom: "a", after: .milliseconds(1))
        desk.tell(.tick, after: .milliseconds(50))
        #expect(desk.stored?.phase == .steady)
        // Nobody has anything else to say: the second look, soon after the first, decides.
        try desk.report("b", after: .milliseconds(300))
        #expect(desk.stored?.phase == .steady)
        #expect(desk.machine.wakeAt(after: desk.now) - desk.now == .milliseconds(50))
        desk.tell(.tick, after: .milliseconds(50))
        #expect(desk.stored?.phase == .preparing)
    }
}
