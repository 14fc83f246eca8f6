import ClusterModel
import Simulation
import Testing

@Suite("Points left out of the protocol")
struct MutationTests {
    /// Points that a few seeds show; `understudy-simulate --mutations` looks for all of them, with thousands.
    private static let quick: [BrokenRule] = [
        .volatilePromise, .unrecordedStep, .leaseTimer, .shortHorizon, .release, .gate, .revocation, .voterSwap,
        .oneAnswerLess, .unboundGrant, .oneGrantLess, .forgottenGrant, .names, .selfRestart, .opening, .openingAtBirth,
        .evidenceOfOne, .termOnly, .foreignTaken, .connectedTimeline, .noOwnAnswer, .changeDropped, .answerByName,
        .positionWithoutTimeline, .unknownLag, .judgesOnWaking, .noFailsafe, .blindWrite, .zeroWithoutCheckpoint,
        .unjudgedFollower, .strayUnseen, .pauseIgnored, .unprovenSender, .copiesTaken,
    ]

    @Test("what is left out is noticed, and the same faults alone break nothing", arguments: quick)
    func isNoticed(rule: BrokenRule) {
        let noticed = (UInt64(1)...120).contains { seed in
            var options = SimulationOptions(seed: seed, durability: rule.durability, brokenRule: rule)
            guard simulate(options).violation != nil else { return false }
            options.isFair = true
            return simulate(options).violation == nil
        }
        #expect(noticed, "\(rule.rawValue): \(rule.meaning)")
    }

    @Test("a run that is steered to a missing point breaks nothing where it is not missing", arguments: quick)
    func steeredRunsAreFair(rule: BrokenRule) {
        for seed in UInt64(1)...8 {
            var options = SimulationOptions(seed: seed, durability: rule.durability, brokenRule: rule)
            options.isFair = true
            #expect(simulate(options).violation == nil, "seed \(seed)")
        }
    }

    @Test("every point says what is left out")
    func everyPointIsNamed() {
        for rule in BrokenRule.allCases { #expect(rule.meaning.count > 10) }
        #expect(Set(BrokenRule.allCases.map(\.rawValue)).count == BrokenRule.allCases.count)
    }
}

@Suite("What a run covers")
struct CoverageTests {
    @Test("rows and faults that were met are not missing")
    func missing() {
        var coverage = Coverage()
        #expect(coverage.rowsMissing == Coverage.expectedRows)
        #expect(coverage.faultsMissing == Coverage.expectedFaults)
        for seed in UInt64(1)...12 {
            coverage.add(simulate(SimulationOptions(seed: seed, durability: .required)).coverage)
        }
        #expect(coverage.rowsMissing.count < Coverage.expectedRows.count / 2)
        #expect(coverage.faultsMissing.count < Coverage.expectedFaults.count)
    }

    @Test("no row stands twice")
    func unique() { #expect(Set(Coverage.expectedRows).count == Coverage.expectedRows.count) }
}
