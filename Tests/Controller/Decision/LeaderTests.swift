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
        }
        #expect(desk.stored?.phase == .preparing)
    }
}
