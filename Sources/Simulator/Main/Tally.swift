import Simulation

/// What all seeds together came to.
struct Tally: Sendable {
    private(set) var coverage = Coverage()
    private var worlds = 0
    private var events = 0
    private var nanoseconds: UInt64 = 0
    private var failovers = 0
    private(set) var violations = 0

    mutating func add(_ result: SimulationResult) {
        coverage.add(result.coverage)
        worlds += 1
        events += result.events
        nanoseconds += result.virtualNanoseconds
        failovers += result.failovers
        if result.violation != nil { violations += 1 }
    }

    mutating func add(_ other: Tally) {
        coverage.add(other.coverage)
        worlds += other.worlds
        events += other.events
        nanoseconds += other.nanoseconds
        failovers += other.failovers
        violations += other.violations
    }

    /// Prints what was covered, and as the last line one machine-readable summary.
    func show(seeds: UInt64, taking elapsed: Duration, jobs: Int) {
        print("promotions: \(failovers), acknowledged commits: \(coverage.acknowledged)")
        print("orders: \(list(coverage.orders))")
        print("explanations: \(list(coverage.explanations))")
        let rarest = Coverage.expectedRows.sorted { coverage.rows[$0, default: 0] < coverage.rows[$1, default: 0] }
        print(
            "rarest rows: " + rarest.prefix(8).map { "\($0) \(coverage.rows[$0, default: 0])" }.joined(separator: "; ")
        )
        let faults = coverage.faults.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }
        let minutes = max(0.000_001, elapsed / .seconds(60))
        print(
            "SIMULATION {\"seeds\":\(seeds),\"violations\":\(violations),\"events\":\(events),"
                + "\"worlds\":\(worlds),\"worlds_per_minute_per_job\":\(Int(Double(worlds) / minutes / Double(jobs))),"
                + "\"fault_kinds_missing\":\(names(coverage.faultsMissing)),"
                + "\"rows\":\(Coverage.expectedRows.count),\"rows_missing\":\(names(coverage.rowsMissing)),"
                + "\"faults\":{\(faults.joined(separator: ","))},\"virtual_seconds\":\(nanoseconds / 1_000_000_000)}"
        )
    }

    private func names(_ texts: [String]) -> String {
        "[" + texts.map { "\"\($0)\"" }.joined(separator: ",") + "]"
    }

    private func list(_ counts: [String: Int]) -> String {
        counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    }
}
