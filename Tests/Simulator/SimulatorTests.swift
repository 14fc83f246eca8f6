import ClusterModel
import Simulation
import Testing

@Suite("Simulated clusters")
struct SimulatorTests {
    @Test("no promise is broken in 500 seeds", arguments: [0, 1, 2, 3])
    func noPromiseIsBroken(quarter: UInt64) {
        var coverage = Coverage()
        for seed in quarter * 125 + 1...quarter * 125 + 125 {
            let mode: Durability = seed.isMultiple(of: 2) ? .required : .async
            let options = SimulationOptions(seed: seed, durability: mode)
            let result = simulate(options)
            coverage.add(result.coverage)
            #expect(result.violation == nil, "play it again: \(options.command)")
        }
        // A world in which nothing happens proves nothing.
        #expect(coverage.faults.values.reduce(0, +) > 500)
        #expect(coverage.acknowledged > 1000)
        for order in ["initialize", "prepare", "promote", "follow", "govern"] {
            #expect(coverage.orders["\(order) taken", default: 0] > 0, "\(order) was never taken")
        }
    }

    @Test("an agent whose view of the launcher is out of date comes back to the cluster (D103)")
    func outdatedView() {
        let options = SimulationOptions(seed: 99431, durability: .async)
        let result = simulate(options)
        #expect(result.violation == nil, "play it again: \(options.command)")
    }

    @Test("the same seed plays the same")
    func sameSeedPlaysTheSame() {
        let options = SimulationOptions(seed: 7, durability: .required, trace: true)
        let one = simulate(options)
        #expect(one == simulate(options))
        #expect(!one.trace.isEmpty)
    }

    @Test("without any fault there is no failover (I7)", arguments: Durability.allCases)
    func noFaultNoFailover(mode: Durability) {
        for seed in stride(from: UInt64(16), through: 160, by: 16) {
            let result = simulate(SimulationOptions(seed: seed, durability: mode))
            #expect(result.failovers == 0)
            #expect(result.violation == nil)
        }
    }

    @Test("a rule broken on purpose is caught", arguments: BrokenRow.all)
    func brokenRuleIsCaught(row: BrokenRow) {
        let caught = row.seeds.first { seed in
            simulate(SimulationOptions(seed: seed, durability: row.mode, brokenRule: row.rule)).violation != nil
        }
        #expect(caught != nil, "\(row.rule.rawValue) was not noticed in \(row.seeds)")
    }

    @Test("the command that plays a seed again names all that matters")
    func commandNamesAll() {
        let options = SimulationOptions(seed: 9, durability: .async, brokenRule: .release)
        #expect(options.command == "understudy-simulate --seed 9 --durability async --trace --disable-rule R4")
    }
}

/// A rule, and the seeds within which its breach must show.
struct BrokenRow: Sendable, CustomTestStringConvertible {
    let rule: BrokenRule
    let mode: Durability
    let seeds: ClosedRange<UInt64>

    var testDescription: String { "\(rule.rawValue), \(mode.rawValue)" }

    static let all: [BrokenRow] = [
        BrokenRow(rule: .staleOrders, mode: .required, seeds: 1...300),
        BrokenRow(rule: .leaseTimer, mode: .async, seeds: 1...30),
        BrokenRow(rule: .release, mode: .async, seeds: 1...30),
        BrokenRow(rule: .release, mode: .required, seeds: 1...60),
        BrokenRow(rule: .gate, mode: .required, seeds: 1...20),
        BrokenRow(rule: .revocation, mode: .required, seeds: 1...30),
        BrokenRow(rule: .voterSwap, mode: .required, seeds: 1...300),
        BrokenRow(rule: .names, mode: .required, seeds: 1...60),
        BrokenRow(rule: .opening, mode: .required, seeds: 1...20),
    ]
}
