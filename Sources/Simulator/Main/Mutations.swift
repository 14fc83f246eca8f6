import ClusterModel
import Simulation

/// Plays each missing point of the protocol until an invariant notices, and prints a table.
struct MutationTable {
    /// Seeds that each point gets at most.
    let seeds: UInt64
    let jobs: Int

    /// How one point fared.
    private struct Row: Sendable {
        var place: Int
        /// Where it was noticed; nil if it was not.
        var result: SimulationResult?
        var tried: UInt64
    }

    /// Points that nothing noticed.
    func run() async -> [BrokenRule] {
        let all = BrokenRule.allCases
        let rows = await withTaskGroup(of: Row.self) { group in
            var next = 0
            func begin() {
                guard next < all.count else { return }
                let place = next
                group.addTask { search(all[place], place) }
                next += 1
            }
            for _ in 0..<jobs { begin() }
            var rows: [Row] = []
            while let row = await group.next() {
                rows.append(row)
                begin()
            }
            return rows.sorted { $0.place < $1.place }
        }
        print(columns("point", "mode", "found", "breaks", "seeds tried", "what is left out"))
        for row in rows { print(line(all[row.place], row)) }
        let missed = rows.filter { $0.result == nil }.map { all[$0.place] }
        let names = missed.map { "\"\($0.rawValue)\"" }.joined(separator: ",")
        print(
            "MUTATIONS {\"mutations\":\(all.count),\"caught\":\(all.count - missed.count),\"missed\":[\(names)],"
                + "\"seeds_each\":\(seeds),\"most_seeds_needed\":\(rows.map(\.tried).max() ?? 0)}"
        )
        return missed
    }

    private func search(_ rule: BrokenRule, _ place: Int) -> Row {
        for seed in 1...seeds {
            var options = SimulationOptions(seed: seed, durability: rule.durability, brokenRule: rule)
            let result = simulate(options)
            guard result.violation != nil else { continue }
            // What the very same faults break with nothing left out says nothing about the point.
            options.isFair = true
            if simulate(options).violation == nil { return Row(place: place, result: result, tried: seed) }
        }
        return Row(place: place, tried: seeds)
    }

    private func line(_ rule: BrokenRule, _ row: Row) -> String {
        let mode = rule.durability.rawValue
        guard let result = row.result, let violation = result.violation else {
            return columns(rule.rawValue, mode, "NOT FOUND", "-", "\(row.tried)", rule.meaning)
        }
        return columns(
            rule.rawValue,
            mode,
            "seed \(result.seed)",
            violation.invariant,
            "\(row.tried)",
            rule.meaning
        )
    }

    private func columns(_ parts: String...) -> String {
        zip(parts, [16, 10, 10, 7, 12, 0]).map { pad($0, $1) }.joined(separator: " ")
    }

    private func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.utf8.count))
    }
}
