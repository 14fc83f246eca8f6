import ClusterModel
import Testing

@testable import ClusterDecision

@Suite("Leases that agents granted each other")
struct GrantedLeaseTests {
    /// `a` of a steady cluster is lost; `b` and `c` see that.
    private func lost(_ names: [String] = ["a", "b", "c"]) throws -> Desk {
        var desk = try Desk.steady(.async, names)
        try desk.reportPrimary("a")
        for name in names.dropFirst() { try desk.report(name, receivingFrom: "a") }
        desk.tell(.disconnected(try desk.member("a").name))
        return desk
    }

    @Test("who is bound by a grant is asked to prepare when that is over, and the wait says so (R10)")
    func waitsForBound() throws {
        var desk = try lost()
        try desk.report("c")
        try desk.report("b") { $0.boundFor = .seconds(2) }
        #expect(desk.stored?.phase == .preparing)
        desk.log = []
        try desk.report("c") { $0.boundFor = .seconds(1) }
        try desk.report("b") { $0.boundFor = .seconds(2) }
        #expect(desk.machine.waiting?.text.contains("granted a lease while no leader answered") == true)
        #expect(!desk.log.contains("prepare b"))
        for _ in 0..<10 {
            try desk.report("b", after: .milliseconds(100)) { $0.boundFor = .seconds(1) }
            #expect(!desk.log.contains("prepare b"))
        }
        try desk.report("b", after: .milliseconds(100))
        #expect(desk.log.contains("prepare b"))
    }

    @Test("nobody is believed to be bound for longer than a lease can last (R10)")
    func absurdlyBound() throws {
        var desk = try lost()
        try desk.report("c")
        try desk.report("b") { $0.boundFor = .seconds(3600) }
        #expect(desk.stored?.phase == .preparing && desk.log.contains("prepare b"))
    }

    @Test("how a primary went on without a leader is told once (R10)")
    func toldOnce() throws {
        var desk = try Desk.steady(.async)
        let name = try desk.member("b").name
        for _ in 0..<3 {
            try desk.reportPrimary("a") { report in
                report.leaderless = LeaderlessSpan(length: .seconds(65), extendedBy: [name])
            }
        }
        let lines = desk.told.filter { $0.kind == .lease }.map(\.text)
        #expect(lines == ["'a' went on for 65 s without a leader, in term 1: b extended its lease"])
    }

    @Test("a primary is told where the agents answer, and again when that changes (R10)")
    func addressesAreTold() throws {
        var desk = try Desk.steady(.async)
        var spec = desk.machine.spec
        for place in spec.instances.indices {
            spec.instances[place].agent = Endpoint(host: "x", port: 7 + UInt16(place))
        }
        let record = desk.stored
        desk.machine = ClusterMachine(spec: spec)
        desk.tell(.recordLoaded(record))
        try desk.reportPrimary("a")
        #expect(desk.log.contains("govern a"))
        desk.log = []
        let agents = spec.agents
        for _ in 0..<5 { try desk.reportPrimary("a", streamingTo: ["b", "c"]) { $0.state.agents = agents } }
        #expect(agents.count == 3 && !desk.log.contains("govern a"))
    }

    @Test("in async, too, whoever accepts a loss vouches that an unseen primary is off: its voters may extend it (R10)")
    func vouches() throws {
        var desk = try lost()
        desk.tell(.disconnected(try desk.member("c").name))
        try desk.report("b")
        try desk.askPromotion(of: "b", accepts: true)
        #expect(desk.replies.last?.contains("--old-primary-is-off") == true)
        #expect(desk.stored?.term == Term(rawValue: 1))
        try desk.askPromotion(of: "b", accepts: true, isOff: true)
        #expect(desk.stored?.phase == .preparing)
    }
}
