import Simulation

/// Plays each missing point of the protocol until an invariant notices, and prints a table.
struct MutationTable {
    /// Seeds that each point gets.
    let seeds: UInt64
    let jobs: Int

    /// Points that nothing noticed.
    func run() async -> [BrokenRule] {
        let all = BrokenRule.allCases
        let found = await withTaskGroup(of: [(Int, SimulationResult?)].self) { group in
            for job in 0..<jobs {
                group.addTask { stride(from: job, to: all.count, by: jobs).map { ($0, first(all[$0])) } }
            }
            var found: [SimulationResult?] = Array(repeating: nil, count: all.count)
            for await part in group { for (place, result) in part { found[place] = result } }
            return found
        }
        for (rule, result) in zip(all, found) { print(line(rule, result)) }
        let missed = zip(all, found).filter { $1 == nil }.map(\.0)
        print(
            "MUTATIONS {\"tried\":\(all.count),\"found\":\(found.count { $0 != nil }),\"seeds\":\(seeds),"
                + "\"not_found\":[\(missed.map { "\"\($0.rawValue)\"" }.joined(separator: ","))]}"
        )
        return missed
    }

    private func first(_ rule: BrokenRule) -> SimulationResult? {
        for seed in 1...seeds {
            var options = SimulationOptions(seed: seed, durability: rule.durability, brokenRule: rule)
            let result = simulate(options)
            guard result.violation != nil else { continue }
            // What the very same faults break with nothing left out says nothing about the point.
            options.isFair = true
            if simulate(options).violation == nil { return result }
        }
        return nil
    }

    private func line(_ rule: BrokenRule, _ result: SimulationResult?) -> String {
        let name = pad(rule.rawValue, 16)
        guard let result, let violation = result.violation else {
            return "\(name) NOT FOUND in \(seeds) seeds: \(rule.meaning)"
        }
        return "\(name) seed \(pad("\(result.seed)", 5)) \(violation.invariant)  \(rule.meaning)"
    }

    private func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.utf8.count))
    }
}
