import ClusterModel
import Simulation
import Testing

@Suite("Simulated life without a leader")
struct AbsenceTests {
    @Test("for an hour without a controller one standby is enough for a primary to acknowledge commits (R10)")
    func oneStandbyIsEnough() {
        for seed in UInt64(1)...4 {
            let options = SimulationOptions(seed: seed, durability: .required)
            let result = simulateAbsence(options, for: .seconds(3600), standbysLeft: 1)
            #expect(result.violation == nil, "seed \(seed)")
            #expect(result.failovers == 0)
            #expect(result.coverage.acknowledged > 5000)
        }
    }

    @Test("without a controller and without any standby nothing is stopped, and all goes on afterwards (R10)")
    func nobodyIsStopped() {
        for seed in UInt64(1)...12 {
            let options = SimulationOptions(seed: seed, durability: .required)
            let result = simulateAbsence(options, for: .seconds(120), standbysLeft: 0)
            #expect(result.violation == nil, "seed \(seed)")
            #expect(result.failovers == 0)
        }
    }

    @Test("in async half of the voters' agents are enough for a primary to go on for an hour (R10)")
    func halfOfTheAgentsIsEnough() {
        var asked = 0
        for seed in UInt64(1)...6 {
            let options = SimulationOptions(seed: seed, durability: .async)
            let result = simulateAbsence(options, for: .seconds(3600), standbysLeft: 2)
            #expect(result.violation == nil, "seed \(seed)")
            #expect(result.failovers == 0)
            asked += result.coverage.rows["agent: grantPeer"] ?? 0
        }
        #expect(asked > 5000)
    }

    @Test("in async a primary with fewer of them is fenced, and a primary is there again afterwards (R3, R10)")
    func asynchronousEnds() {
        for seed in UInt64(1)...12 {
            let result = simulateAbsence(
                SimulationOptions(seed: seed, durability: .async),
                for: .seconds(60),
                standbysLeft: 0
            )
            #expect(result.violation == nil, "seed \(seed)")
        }
    }
}
