import ChaosChecker
import ChaosHosts
import Testing

@Suite("Chaos: gaps, plan and last line")
struct SummaryTests {
    @Test("a gap counts from the last acknowledgement before the fault to the first after it")
    func gap() {
        let moments: [Int64] = [10, 20, 30, 530, 540, 900]
        #expect(Gaps.longest(moments, from: 35, to: 545) == 500)
        #expect(Gaps.longest(moments, from: 531, to: 535) == 10)
    }

    @Test("an outage that has not ended counts up to now")
    func openGap() {
        #expect(Gaps.longest([10, 20], from: 15, to: 1000) == 980)
        #expect(Gaps.longest([], from: 15, to: 1000) == 985)
    }

    @Test("percentiles are values that were measured")
    func percentiles() {
        #expect(Gaps.percentile(50, of: [5, 1, 9]) == 5)
        #expect(Gaps.percentile(99, of: Array(1...200)) == 198)
        #expect(Gaps.percentile(50, of: []) == 0)
    }

    @Test("the last line has its keys in order")
    func line() {
        var summary = Summary()
        summary.rounds = 2
        summary.faults = ["isolated": 1, "agent_killed": 2]
        summary.operations = 300
        summary.gaps = [100, 900]
        #expect(
            summary.line
                == "CHAOS {\"rounds\":2,\"faults\":{\"agent_killed\":2,\"isolated\":1},\"operations\":300,"
                + "\"lost_acknowledged\":0,\"double_writers\":0,\"stuck\":0,"
                + "\"gap_ms\":{\"p50\":100,\"p99\":900,\"max\":900}}"
        )
        #expect(summary.isClean)
        summary.stuck = 1
        #expect(!summary.isClean)
    }

    @Test("the same seed plans the same faults, another seed others")
    func plan() {
        func faults(_ seed: UInt64) -> [[Fault]] {
            var plan = FaultPlan(seed: seed)
            return (0..<20).map { _ in plan.round() }
        }
        #expect(faults(7) == faults(7))
        #expect(faults(7) != faults(8))
        #expect(faults(7).allSatisfy { (1...2).contains($0.count) })
    }

    @Test("few rounds hold every kind of fault")
    func variety() {
        var plan = FaultPlan(seed: 3)
        let kinds = (0..<20).flatMap { _ in plan.round() }.map(\.kind)
        #expect(Set(kinds) == Set(FaultKind.allCases))
    }
}
