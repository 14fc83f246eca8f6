/// Times in which nobody's commit was acknowledged.
public enum Gaps {
    /// The longest time between two acknowledgements that touches the given time, in nanoseconds.
    ///
    /// Before the first and after the last acknowledgement the bounds themselves count.
    ///
    /// - Parameters:
    ///   - acknowledgements: Moments of acknowledged commits, in order.
    ///   - start: The beginning of the given time.
    ///   - end: Its end.
    /// - Returns: Nanoseconds.
    public static func longest(_ acknowledgements: [Int64], from start: Int64, to end: Int64) -> Int64 {
        var longest: Int64 = 0
        var before = acknowledgements.last { $0 <= start } ?? start
        for moment in acknowledgements where moment > start {
            longest = max(longest, moment - before)
            before = moment
            if moment >= end { return longest }
        }
        return max(longest, end - before)
    }

    /// The value below which so many percent of all values lie, by nearest rank; 0 of none.
    public static func percentile(_ percent: Int, of values: [Int64]) -> Int64 {
        guard !values.isEmpty else { return 0 }
        let sorted = values.sorted()
        let rank = (sorted.count * percent + 99) / 100
        return sorted[min(max(rank, 1), sorted.count) - 1]
    }
}

/// What the last line says.
public struct Summary: Hashable, Sendable {
    /// Rounds that were played.
    public var rounds = 0
    /// How often each fault was injected.
    public var faults: [String: Int] = [:]
    /// Operations that were begun.
    public var operations = 0
    /// Acknowledged operations that are missing.
    public var lostAcknowledged = 0
    /// Acknowledgements of two primaries at once.
    public var doubleWriters = 0
    /// Rounds after which the cluster did not become whole in time.
    public var stuck = 0
    /// The longest time without an acknowledged commit of each round, in milliseconds.
    public var gaps: [Int64] = []

    /// Creates an empty summary.
    public init() {}

    /// Whether nothing that has a place in the line went wrong.
    public var isClean: Bool { lostAcknowledged == 0 && doubleWriters == 0 && stuck == 0 }

    /// `CHAOS {…}`, its keys in the order that people expect.
    public var line: String {
        let kinds = faults.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",")
        let times =
            "\"p50\":\(Gaps.percentile(50, of: gaps)),\"p99\":\(Gaps.percentile(99, of: gaps)),"
            + "\"max\":\(gaps.max() ?? 0)"
        return "CHAOS {\"rounds\":\(rounds),\"faults\":{\(kinds)},\"operations\":\(operations),"
            + "\"lost_acknowledged\":\(lostAcknowledged),\"double_writers\":\(doubleWriters),\"stuck\":\(stuck),"
            + "\"gap_ms\":{\(times)}}"
    }
}
