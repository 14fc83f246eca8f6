import ClusterModel

/// A primary whose processes live, but that does not serve any more (R9, R22).
///
/// Its standbys hear from it all the same: senders go on while a disk hangs or the postmaster is frozen.
extension ClusterMachine {
    /// Notes since when a primary in office leaves `pg_isready` without an answer.
    mutating func noteReadiness(_ name: InstanceName, _ report: InstanceReport, _ now: MonotonicInstant) {
        let isMute = report.server == .primary && report.opened && report.isReady == 2
        let isStopping = report.server == .stopping && report.state.isPrimaryInOffice
        update(name) {
            $0.muteSince = isMute ? $0.muteSince ?? now : nil
            $0.stoppingSince = isStopping ? $0.stoppingSince ?? now : nil
        }
    }

    /// What its own agent says against a primary that reports; nil if it serves, or if nobody could take its place.
    mutating func hang(
        of one: Seen,
        _ report: InstanceReport,
        _ record: ClusterRecord,
        _ now: MonotonicInstant
    ) -> Loss? {
        guard let since = silence(of: one, report, now) else { return nil }
        // What it reads right after a long pause of its own may have lain unread for as long as that lasted.
        let calm = rousedAt.map { $0 + spec.timings.reportInterval * 4 } ?? now
        guard calm <= now else {
            wakeBy(calm)
            return nil
        }
        let limit = spec.timings.hangTimeout
        guard since.duration >= limit else {
            wakeBy(now + (limit - since.duration))
            return nil
        }
        let others = seen.filter { $0.spec.name != one.spec.name && isFresh($0, now) && isUsable($0) }
            .compactMap(\.member)
        guard !others.isEmpty, record.rules.allSatisfy({ $0.isMet(by: others) }) else {
            wait(
                .waiting,
                rule: "R19",
                "'\(one.spec.name)' \(since.what); too few others answer to replace it safely",
                evidence: record.rules.map { "needed: \(neededText($0))" }
            )
            return nil
        }
        return Loss(
            why: "'\(one.spec.name)' \(since.what)",
            evidence: ["for \(since.duration.wholeMilliseconds) ms by its own agent; the limit is hangTimeout"],
            age: since.duration
        )
    }

    /// What is suspicious about a primary that reports, and for how long; nil if nothing is.
    func silence(
        of one: Seen,
        _ report: InstanceReport,
        _ now: MonotonicInstant
    ) -> (what: String, duration: Duration)? {
        // What cannot be ended, a process on a disk that hangs, cannot release its term either.
        if let since = one.stoppingSince { return ("was told to stop and does not end", now - since) }
        guard report.server == .primary, report.opened, let at = one.reportAt else { return nil }
        if let age = report.status?.heartbeatAge {
            let whole = age + report.statusAge + (now - at)
            // Beats come every interval and take a quarter of a second: below this nothing is worth a thought.
            if whole > spec.timings.reportInterval * 2 + .seconds(3) {
                return ("writes no WAL to its disk any more: its heartbeats are not flushed", whole)
            }
        }
        return one.muteSince.map { ("lives but takes no new connections", now - $0) }
    }
}
