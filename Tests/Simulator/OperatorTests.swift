import ClusterModel
import Simulation
import Testing

@Suite("Simulated operators")
struct OperatorTests {
    @Test("whatever is asked for at whatever moment, no promise is broken", arguments: Durability.allCases)
    func askedAtAnyTime(mode: Durability) {
        var coverage = Coverage()
        for seed in UInt64(2001)...2080 {
            let options = SimulationOptions(seed: seed, durability: mode)
            let result = simulate(options)
            coverage.add(result.coverage)
            #expect(result.violation == nil, "play it again: \(options.command)")
        }
        // Somebody was there, and was heeded.
        for kind in ["switchover", "abandoned", "pause", "byHand"] {
            #expect(coverage.explanations[kind, default: 0] > 0, "nothing was explained as \(kind)")
        }
        #expect(coverage.orders["handOver taken", default: 0] > 0)
    }
}
