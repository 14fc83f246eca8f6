import Simulation

/// What all seeds together came to.
struct Tally {
    private var coverage = Coverage()
    private var events = 0
    private var nanoseconds: UInt64 = 0
    private var failovers = 0
    private(set) var violations = 0

    mutating func add(_ result: SimulationResult) {
        coverage.add(result.coverage)
        events += result.events
        nanoseconds += result.virtualNanoseconds
        failovers += result.failovers
        if result.violation != nil { violations += 1 }
    }

    /// Prints what was covered, and as the last line one machine-readable summary.
    func show(seeds: UInt64) {
        print("promotions: \(failovers), acknowledged commits: \(coverage.acknowledged)")
        print("orders: \(list(coverage.orders))")
        print("explanations: \(list(coverage.explanations))")
        let faults = coverage.faults.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }
        print(
            "SIMULATION {\"seeds\":\(seeds),\"violations\":\(violations),\"events\":\(events),"
                + "\"faults\":{\(faults.joined(separator: ","))},\"virtual_seconds\":\(nanoseconds / 1_000_000_000)}"
        )
    }

    private func list(_ counts: [String: Int]) -> String {
        counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    }
}
