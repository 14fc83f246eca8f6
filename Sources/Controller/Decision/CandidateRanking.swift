import ClusterModel

/// Why a member is not promoted.
enum Ineligibility: Hashable, Sendable, CustomStringConvertible {
    case noFailover
    case capacity([String])
    case otherSystem
    /// In `async`: bytes behind what the primary last reported, beyond the limit.
    case tooFarBehind(UInt64)
    /// In `async`: this controller has never heard how far the old primary was.
    case lagUnknown
    case promotionFailed(Term)
    /// What keeps it from counting at all, such as no report or no data.
    case notThere(String)
    /// Does not stream from the primary.
    case notStreaming(InstanceName)
    /// Bytes that a switchover would have to wait for.
    case lagging(UInt64)
    /// Bytes, or a whole timeline, behind the winner.
    case lessWAL(String)
    case tie
    /// As good as the one that somebody asked for.
    case notAskedFor

    var description: String {
        switch self {
        case .noFailover: "is marked noFailover"
        case .capacity(let lines): "would stop on promotion: " + lines.joined(separator: ", ")
        case .otherSystem: "holds data of another system identifier"
        case .tooFarBehind(let bytes): "is \(bytes) bytes behind the old primary, beyond maximumLagOnFailover"
        case .lagUnknown: "may be any amount behind: this controller never heard from the old primary"
        case .promotionFailed(let term): "its promotion failed in term \(term)"
        case .notThere(let text): text
        case .notStreaming(let primary): "does not stream from '\(primary)'"
        case .lagging(let bytes): "is \(bytes) bytes of WAL behind; a switchover begins when it has caught up"
        case .lessWAL(let text): text
        case .notAskedFor: "has the same WAL, but another was asked for"
        case .tie: "has the same WAL, but comes later by priority or order"
        }
    }
}

/// Ranks those that answered: most WAL first, then priority, then order (R7, R8).
struct CandidateRanking {
    let winner: Seen?
    /// One line for each that was not taken.
    let reasons: [String]

    /// Ranks; `ownAnswer` says that the recorded primary's own prepared answer is among them.
    init(answered: [Seen], record: ClusterRecord, spec: ClusterSpec, ownAnswer: Bool, primaryPosition: WALPosition?) {
        var lines: [String] = []
        var eligible: [Seen] = []
        var failedBefore: [Seen] = []
        // Whoever accepts a loss was told of it (R19).
        // The word replaces R7 where it cannot be met, and nothing else (D33).
        let isMet = ownAnswer || record.rules.allSatisfy { $0.isMet(by: answered.compactMap(\.member)) }
        let accepted = record.request.flatMap { $0.acceptsDataLoss && !isMet ? $0.candidate : nil }
        let isLimited = !ownAnswer && accepted == nil && record.rules.contains { $0.mode == .async }
        for one in answered {
            if isLimited && primaryPosition == nil {
                lines.append("'\(one.spec.name)' \(Ineligibility.lagUnknown)")
            } else if let reason = Self.ineligibility(one, record, spec, isLimited ? primaryPosition : nil) {
                lines.append("'\(one.spec.name)' \(reason)")
            } else if one.failedTerm != .none && one.failedTerm.next == record.term {
                failedBefore.append(one)
            } else {
                eligible.append(one)
            }
        }
        let highest = answered.compactMap { $0.report?.prepared?.position }.max()
        // Whoever failed last time is tried again only if nobody else has as much WAL.
        let wanted = record.request?.candidate
        // A former primary that hands over is needed only if nobody else has all its WAL.
        let others = eligible.filter { wanted == nil || wanted == $0.spec.name || $0.spec.name != record.primary }
        var best = Self.best(others, at: highest, wanted) ?? Self.best(eligible, at: highest, wanted)
        if best == nil { best = Self.best(failedBefore, at: highest, wanted) }
        if let accepted, let one = eligible.first(where: { $0.spec.name == accepted }) { best = one }
        winner = best
        for one in eligible + failedBefore where one.spec.name != best?.spec.name {
            let reason = Self.reason(one, best, highest)
            let isAsked = wanted != nil && best?.spec.name == wanted
            lines.append("'\(one.spec.name)' \(reason == .tie && isAsked ? .notAskedFor : reason)")
        }
        reasons = lines
    }

    private static func best(_ candidates: [Seen], at highest: WALPosition?, _ wanted: InstanceName?) -> Seen? {
        let holders = candidates.filter { $0.report?.prepared?.position == highest }
        if let one = holders.first(where: { $0.spec.name == wanted }) { return one }
        return holders.enumerated()
            .max { left, right in
                (left.element.spec.failoverPriority, -left.offset) < (
                    right.element.spec.failoverPriority, -right.offset
                )
            }?.element
    }

    private static func reason(_ one: Seen, _ best: Seen?, _ highest: WALPosition?) -> Ineligibility {
        guard let own = one.report?.prepared?.position, let highest else { return .tie }
        guard own == highest else {
            return .lessWAL(
                own.timeline == highest.timeline
                    ? "is \(highest.lsn.bytes(since: own.lsn)) bytes of WAL behind"
                    : "ends on timeline \(own.timeline), behind timeline \(highest.timeline)"
            )
        }
        return best == nil || one.failedTerm == .none ? .tie : .promotionFailed(one.failedTerm)
    }

    private static func ineligibility(
        _ one: Seen,
        _ record: ClusterRecord,
        _ spec: ClusterSpec,
        _ limit: WALPosition?
    ) -> Ineligibility? {
        guard let report = one.report, let position = report.prepared?.position else { return .tie }
        if let reason = unfitness(report, record) { return reason }
        // "Never on its own" leaves it to people.
        if one.spec.noFailover && record.request?.candidate != one.spec.name { return .noFailover }
        if let limit, position.timeline <= limit.timeline {
            // On an earlier timeline it shares no more than what lies before the fork.
            let forks = record.history.filter { $0.parent == position.timeline && $0.timeline <= limit.timeline }
            let shared = forks.map(\.forkLSN).reduce(position.lsn, min)
            let behind = limit.lsn.bytes(since: shared)
            if behind > spec.maximumLagOnFailover { return .tooFarBehind(behind) }
        }
        return nil
    }

    /// What no word of an operator changes: other data, or settings with which it would stop on promotion.
    static func unfitness(_ report: InstanceReport, _ record: ClusterRecord) -> Ineligibility? {
        if case .present(let number) = report.directory, number != record.systemIdentifier { return .otherSystem }
        if let status = report.status, let demanded = status.demandedCapacity {
            let shortfalls = status.capacity.shortfalls(against: demanded)
            if !shortfalls.isEmpty { return .capacity(shortfalls) }
        }
        return nil
    }
}
