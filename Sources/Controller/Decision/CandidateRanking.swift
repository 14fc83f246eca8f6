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
    /// Bytes, or a whole timeline, behind the winner.
    case lessWAL(String)
    case tie

    var description: String {
        switch self {
        case .noFailover: "is marked noFailover"
        case .capacity(let lines): "would stop on promotion: " + lines.joined(separator: ", ")
        case .otherSystem: "holds data of another system identifier"
        case .tooFarBehind(let bytes): "is \(bytes) bytes behind the old primary, beyond maximumLagOnFailover"
        case .lagUnknown: "may be any amount behind: this controller never heard from the old primary"
        case .promotionFailed(let term): "its promotion failed in term \(term)"
        case .lessWAL(let text): text
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
        let isLimited = !ownAnswer && record.rules.contains { $0.mode == .async }
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
        var best = Self.best(eligible, at: highest)
        if best == nil { best = Self.best(failedBefore, at: highest) }
        winner = best
        for one in eligible + failedBefore where one.spec.name != best?.spec.name {
            lines.append("'\(one.spec.name)' \(Self.reason(one, best, highest))")
        }
        reasons = lines
    }

    private static func best(_ candidates: [Seen], at highest: WALPosition?) -> Seen? {
        candidates.filter { $0.report?.prepared?.position == highest }
            .enumerated()
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
        if case .present(let number) = report.directory, number != record.systemIdentifier { return .otherSystem }
        if one.spec.noFailover { return .noFailover }
        if let status = report.status, let demanded = status.demandedCapacity {
            let shortfalls = status.capacity.shortfalls(against: demanded)
            if !shortfalls.isEmpty { return .capacity(shortfalls) }
        }
        if let limit, position.timeline <= limit.timeline {
            // On an earlier timeline it shares no more than what lies before the fork.
            let forks = record.history.filter { $0.parent == position.timeline && $0.timeline <= limit.timeline }
            let shared = forks.map(\.forkLSN).reduce(position.lsn, min)
            let behind = limit.lsn.bytes(since: shared)
            if behind > spec.maximumLagOnFailover { return .tooFarBehind(behind) }
        }
        return nil
    }
}
