import ChaosChecker
import ChaosHosts

/// Histories of one register small enough to try every order.
enum SmallHistory {
    /// Up to seven writes and reads at random times, some of unknown fate.
    static func make(seed: UInt64) -> [Operation] {
        var chance = SeededChance(seed: seed)
        let writes = chance.number(1...3)
        var operations = (1...writes).map { number in
            let begin = chance.number(0...12)
            return Operation(
                .write,
                number: number,
                outcome: chance.chance(250) ? .unknown : .ok,
                invoked: Int64(begin),
                completed: Int64(begin + chance.number(1...6)),
                key: 1
            )
        }
        for index in 0..<chance.number(1...4) {
            let begin = chance.number(0...14)
            operations.append(
                Operation(
                    .read,
                    number: 100 + index,
                    outcome: .ok,
                    invoked: Int64(begin),
                    completed: Int64(begin + chance.number(1...5)),
                    key: 1,
                    value: chance.number(0...writes)
                )
            )
        }
        return operations
    }

    /// Whether some order explains everything: searched by brute force, writes of unknown fate taken or left.
    static func hasOrder(_ operations: [Operation]) -> Bool {
        let required = operations.filter { $0.outcome == .ok }
        let optional = operations.filter { $0.outcome == .unknown }
        return (0..<(1 << optional.count)).contains { mask in
            let taken = optional.enumerated().filter { mask >> $0.offset & 1 == 1 }.map(\.element)
            return search(required + taken, value: 0)
        }
    }

    private static func search(_ left: [Operation], value: Int) -> Bool {
        if left.isEmpty { return true }
        // Only what began before everything else ended can be next.
        guard let end = left.map(\.completed).min() else { return true }
        for (index, operation) in left.enumerated() where operation.invoked <= end {
            if operation.kind == .read && operation.value != value { continue }
            var rest = left
            rest.remove(at: index)
            if search(rest, value: operation.kind == .write ? operation.number : value) { return true }
        }
        return false
    }
}
