import ClusterModel
import Simulation
import Testing

@Suite("Simulated clusters in durability preferred")
struct PreferredSimulatorTests {
    @Test("no promise is broken in 300 seeds, members gone for long included", arguments: [0, 1, 2])
    func noPromiseIsBroken(third: UInt64) {
        var coverage = Coverage()
        for seed in third * 100 + 1...third * 100 + 100 {
            let options = SimulationOptions(seed: seed, durability: .preferred)
            let result = simulate(options)
            coverage.add(result.coverage)
            #expect(result.violation == nil, "play it again: \(options.command)")
        }
        // A world in which nobody was ever alone proves nothing about k = 0.
        #expect(coverage.faults["membersLost", default: 0] > 20)
        #expect(coverage.acknowledgedAlone > 100)
        #expect(coverage.acknowledged > coverage.acknowledgedAlone * 2)
    }

    @Test("a change that forgets the old rule is caught (R12)")
    func forgottenRuleIsCaught() {
        let caught = (UInt64(1)...600).first { seed in
            let options = SimulationOptions(seed: seed, durability: .preferred, brokenRule: .oldRule)
            return simulate(options).violation != nil
        }
        #expect(caught != nil)
    }
}
