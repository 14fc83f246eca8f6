/// Registers, each key by itself, held against linearizability.
///
/// No value is written twice, so that each read names the write it saw. A write and the reads of its value form a
/// cluster; with f the earliest end and s the latest beginning of its operations the cluster's *zone* is the time
/// between f and s: *forward* if f < s, when the value was certainly in force throughout, else *backward*. The history
/// of a key is linearizable exactly if no read ends before its write begins, no two forward zones overlap, and no
/// backward zone lies within a forward one. Neither search nor guess is needed, however long the history.
///
/// A write of unknown fate that nobody read may never have happened and is left out; one that was read happened, with
/// an end as late as one likes. Reads of unknown fate say nothing.
///
/// - SeeAlso: Gibbons and Korach, "Testing shared memories", SIAM Journal on Computing 26(4), 1997.
enum RegisterJudge {
    /// The value of each register before the first write.
    static let initialValue = 0

    private struct Zone {
        let value: Int
        var earliestEnd: Int64
        var latestBeginning: Int64
        var isForward: Bool { earliestEnd < latestBeginning }
    }

    /// What cannot be explained, at most one finding for each pair of values.
    static func faults(in history: History) -> [Anomaly] {
        var byKey: [Int: [Operation]] = [:]
        for operation in history.operations where operation.kind == .write || operation.kind == .read {
            byKey[operation.key ?? 0, default: []].append(operation)
        }
        return byKey.sorted { $0.key < $1.key }.flatMap { faults(of: $0.key, $0.value) }
    }

    private static func faults(of key: Int, _ operations: [Operation]) -> [Anomaly] {
        var writes: [Int: Operation] = [:]
        for write in operations where write.kind == .write { writes[write.number] = write }
        let reads = operations.filter { $0.kind == .read && $0.outcome == .ok }
        var anomalies: [Anomaly] = []
        var zones: [Int: Zone] = [
            initialValue: Zone(value: initialValue, earliestEnd: .min, latestBeginning: .min)
        ]
        for write in operations where write.kind == .write && write.outcome == .ok {
            zones[write.number] = Zone(
                value: write.number,
                earliestEnd: write.completed,
                latestBeginning: write.invoked
            )
        }
        for read in reads {
            let value = read.value ?? initialValue
            if let complaint = complaint(read, of: value, writes[value]) {
                anomalies.append(Anomaly(.notLinearizable, read.number, "register \(key): \(complaint)"))
                continue
            }
            let begun = writes[value]?.invoked ?? .min
            var zone = zones[value] ?? Zone(value: value, earliestEnd: .max, latestBeginning: begun)
            zone.earliestEnd = min(zone.earliestEnd, read.completed)
            zone.latestBeginning = max(zone.latestBeginning, read.invoked)
            zones[value] = zone
        }
        return anomalies + overlaps(of: key, zones.values.sorted { $0.value < $1.value })
    }

    private static func complaint(_ read: Operation, of value: Int, _ write: Operation?) -> String? {
        if value == initialValue { return nil }
        guard let write else { return "read \(value), which nobody wrote" }
        if write.outcome == .failed { return "read \(value), whose write the server had refused" }
        if read.completed < write.invoked { return "read \(value) before it was written" }
        return nil
    }

    private static func overlaps(of key: Int, _ clusters: [Zone]) -> [Anomaly] {
        let forward = clusters.filter(\.isForward).sorted {
            ($0.earliestEnd, $0.latestBeginning) < ($1.earliestEnd, $1.latestBeginning)
        }
        var anomalies: [Anomaly] = []
        // The zone that reaches farthest of those before, so that every overlap is seen once.
        var farthest: Zone?
        for zone in forward {
            if let other = farthest, zone.earliestEnd < other.latestBeginning {
                anomalies.append(
                    Anomaly(
                        .notLinearizable,
                        zone.value,
                        "register \(key): \(zone.value) and \(other.value) were both in force at once"
                    )
                )
            }
            if (farthest?.latestBeginning ?? .min) < zone.latestBeginning { farthest = zone }
        }
        for zone in clusters where !zone.isForward {
            guard let around = enclosing(zone, forward) else { continue }
            anomalies.append(
                Anomaly(
                    .notLinearizable,
                    zone.value,
                    "register \(key): \(zone.value) came and went while \(around.value) was in force"
                )
            )
        }
        return anomalies
    }

    /// The forward zone that holds the whole of a backward one.
    private static func enclosing(_ zone: Zone, _ forward: [Zone]) -> Zone? {
        // Sorted by their beginnings: the last that begins before is the only one that can, if none overlap.
        var low = 0
        var high = forward.count
        while low < high {
            let middle = (low + high) / 2
            if forward[middle].earliestEnd < zone.latestBeginning { low = middle + 1 } else { high = middle }
        }
        guard low > 0, zone.earliestEnd < forward[low - 1].latestBeginning else { return nil }
        return forward[low - 1]
    }
}
