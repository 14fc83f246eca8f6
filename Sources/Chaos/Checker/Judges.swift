/// A set that only grows, and the ledger of transfers, which is one too.
enum SetJudge {
    /// Acknowledged and not found.
    static func losses(of kind: LogEntry.Kind, in history: History, found: [Int]) -> [Operation] {
        let there = Set(found)
        return history.operations.filter { $0.kind == kind && $0.outcome == .ok && !there.contains($0.number) }
    }

    /// Found and never attempted, or refused by the server.
    static func strangers(of kind: LogEntry.Kind, in history: History, found: [Int]) -> [Anomaly] {
        var outcomes: [Int: LogEntry.Event] = [:]
        for operation in history.operations where operation.kind == kind {
            outcomes[operation.number] = operation.outcome
        }
        return found.sorted().compactMap { number in
            switch outcomes[number] {
            case nil: Anomaly(.unattempted, number, "\(kind.rawValue) is there, and nobody tried it")
            case .failed: Anomaly(.unattempted, number, "\(kind.rawValue) is there, though the server had refused it")
            default: nil
            }
        }
    }
}

/// Accounts whose sum nobody can change.
enum SumJudge {
    /// Sums read that are not what the accounts were given.
    static func wrongSums(in history: History, expected: Int) -> [Anomaly] {
        history.acknowledged(.total).filter { $0.value != expected }.map { total in
            Anomaly(.wrongSum, total.number, "read \(total.value ?? 0), not \(expected)")
        }
    }
}

/// One writer at a time (P1).
enum WriterJudge {
    /// Acknowledged operations that were sent after a later timeline had acknowledged one.
    ///
    /// The order is the client's own: what the older primary acknowledged before, or had begun before, is no fault,
    /// since the answer may have been under way.
    static func doubleWriters(in history: History) -> [Anomaly] {
        let commits = history.operations.filter { $0.outcome == .ok && $0.isCommit }
        var firsts: [UInt32: Int64] = [:]
        for commit in commits {
            guard let timeline = commit.timeline else { continue }
            firsts[timeline] = min(firsts[timeline] ?? .max, commit.completed)
        }
        let later = firsts.sorted { $0.key < $1.key }
        return commits.compactMap { commit in
            guard let timeline = commit.timeline else { return nil }
            let above = later.filter { $0.key > timeline }.min { $0.value < $1.value }
            guard let above, commit.invoked > above.value else { return nil }
            let milliseconds = (commit.invoked - above.value) / 1_000_000
            return Anomaly(
                .doubleWriter,
                commit.number,
                "timeline \(timeline) acknowledged what was sent \(milliseconds) ms after timeline \(above.key) had "
                    + "acknowledged"
            )
        }
    }
}

/// What `async` may lose: at each change of primary so many bytes of WAL.
enum LossLimit {
    /// How far a report may be behind: what was written since it counts on top of the limit.
    private static let reportAge: Int64 = 1_000_000_000

    /// Losses within the limit, by number.
    static func excused(_ losses: [Operation], in history: History, limit: UInt64) -> Set<Int> {
        var excused: Set<Int> = []
        let numbers = losses.compactMap(\.timeline).sorted()
        for (index, timeline) in numbers.enumerated() where index == 0 || numbers[index - 1] != timeline {
            let written = history.operations.filter { $0.outcome == .ok && $0.timeline == timeline }
            guard let last = written.max(by: { ($0.position ?? 0) < ($1.position ?? 0) }), let end = last.position
            else { continue }
            let recent = written.filter { $0.completed > last.completed - reportAge }.compactMap(\.position).min()
            let unreported = end - min(end, recent ?? end)
            for lost in losses where lost.timeline == timeline {
                let missing = end - min(end, lost.position ?? 0)
                if missing <= limit + unreported { excused.insert(lost.number) }
            }
        }
        return excused
    }
}
