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
        case .tie: "has the same WAL, but comes later by priority, zone or order"
        }
    }
}

/// Ranks those that answered: most WAL first, then priority, then zone, then order (R7, R8).
struct CandidateRanking {
    let winner: Seen?
    /// One line for each that was not taken.
    let reasons: [String]
    /// Without a winner: who could be it, and whose WAL it lacks.
    let lag: (candidate: Seen, source: Seen)?

    /// Ranks; `ownAnswer` says that the recorded primary's own prepared answer is among them.
    init(
        answered: [Seen],
        record: ClusterRecord,
        spec: ClusterSpec,
        ownAnswer: Bool,
        primaryPosition: WALPosition?,
        avoided: [InstanceName] = [],
        ignoresIneligible: Bool = false
    ) {
        var lines: [String] = []
        var eligible: [Seen] = []
        var failedBefore: [Seen] = []
        var barred: [Seen] = []
        // Whoever accepts a loss was told of it (R19).
        // The word replaces R7 where it cannot be met, and nothing else (D33).
        let isMet = ownAnswer || record.rules.allSatisfy { $0.isMet(by: answered.compactMap(\.member)) }
        let accepted = record.request.flatMap { $0.acceptsDataLoss && !isMet ? $0.candidate : nil }
        let isLimited = !ownAnswer && accepted == nil && record.rules.contains { $0.mode == .async }
        let limit = isLimited ? primaryPosition : nil
        for one in answered {
            if isLimited && primaryPosition == nil {
                lines.append("'\(one.spec.name)' \(Ineligibility.lagUnknown)")
            } else if let reason = Self.bar(one, record) {
                lines.append("'\(one.spec.name)' \(reason)")
                if reason != .otherSystem, Self.distance(one, record, spec, limit) == nil { barred.append(one) }
            } else if let reason = Self.distance(one, record, spec, limit) {
                lines.append("'\(one.spec.name)' \(reason)")
            } else if one.failedTerm != .none && one.failedTerm.next == record.term {
                failedBefore.append(one)
            } else {
                eligible.append(one)
            }
        }
        let counted = ignoresIneligible ? eligible : answered
        let highest = counted.compactMap { $0.report?.prepared?.position }.max()
        // Whoever failed last time is tried again only if nobody else has as much WAL.
        let wanted = record.request?.candidate
        // A former primary that hands over is needed only if nobody else has all its WAL.
        let others = eligible.filter { wanted == nil || wanted == $0.spec.name || $0.spec.name != record.primary }
        func pick(_ candidates: [Seen]) -> Seen? {
            let holders = candidates.filter { $0.report?.prepared?.position == highest }
            return Self.first(of: holders, record, spec, wanted)
        }
        var best = pick(others) ?? pick(eligible) ?? pick(failedBefore)
        if let accepted, let one = eligible.first(where: { $0.spec.name == accepted }) { best = one }
        winner = best
        for one in eligible + failedBefore where one.spec.name != best?.spec.name {
            let reason = Self.reason(one, best, highest)
            let isAsked = wanted != nil && best?.spec.name == wanted
            lines.append("'\(one.spec.name)' \(reason == .tie && isAsked ? .notAskedFor : reason)")
        }
        reasons = lines
        let sources = barred.filter { $0.report?.prepared?.position == highest && $0.report?.server == .standby }
        let isLate = best == nil && (!isLimited || primaryPosition != nil)
        // A limit that a candidate is beyond now does not matter once it has caught up.
        let late = isLate ? answered.filter { Self.bar($0, record) == nil && !avoided.contains($0.spec.name) } : []
        lag = sources.first.flatMap { source in
            let able = late.filter { Self.lacksOnly(whatIsOn: source, $0, record) }
            let most = able.compactMap { $0.report?.prepared?.position }.max()
            let nearest = able.filter { $0.report?.prepared?.position == most }
            let isThere = able.contains { $0.spec.name == wanted }
            return Self.first(of: isThere ? able : nearest, record, spec, wanted).map { ($0, source) }
        }
    }

    /// The one that was asked for; else by priority, by zone, and by the order of the specification.
    ///
    /// Another zone than that of the primary that was: what failed may be the zone.
    private static func first(
        of candidates: [Seen],
        _ record: ClusterRecord,
        _ spec: ClusterSpec,
        _ wanted: InstanceName?
    ) -> Seen? {
        if let one = candidates.first(where: { $0.spec.name == wanted }) { return one }
        let zone = record.primary.flatMap(spec.instance)?.zone
        func rank(_ one: Seen, _ place: Int) -> (Int, Int, Int, Int) {
            let isElsewhere = zone != nil && one.spec.zone != nil && one.spec.zone != zone
            return (one.spec.noFailover ? 0 : 1, one.spec.failoverPriority, isElsewhere ? 1 : 0, -place)
        }
        return candidates.enumerated().max { rank($0.element, $0.offset) < rank($1.element, $1.offset) }?.element
    }

    /// Whether that one's WAL is a beginning of the source's.
    private static func lacksOnly(whatIsOn source: Seen, _ one: Seen, _ record: ClusterRecord) -> Bool {
        guard let position = one.report?.prepared?.position, one.report?.server == .standby,
            let end = source.report?.prepared?.position, position < end
        else { return false }
        return ancestry(of: position, in: record.history(through: end.timeline)) == .prefix
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

    /// What keeps it from being promoted, however much it holds.
    private static func bar(_ one: Seen, _ record: ClusterRecord) -> Ineligibility? {
        guard let report = one.report, report.prepared != nil else { return .tie }
        if let reason = unfitness(report, record) { return reason }
        // "Never on its own" leaves it to people; and whoever was primary takes nobody's place.
        guard one.spec.noFailover, record.request?.candidate != one.spec.name else { return nil }
        return one.member == record.primaryMember ? nil : .noFailover
    }

    /// In `async`: whether it lacks more than may be lost.
    private static func distance(
        _ one: Seen,
        _ record: ClusterRecord,
        _ spec: ClusterSpec,
        _ limit: WALPosition?
    ) -> Ineligibility? {
        guard let position = one.report?.prepared?.position, let limit, position.timeline <= limit.timeline else {
            return nil
        }
        let behind = limit.lsn.bytes(since: record.sharedEnd(of: position, and: limit))
        return behind > spec.maximumLagOnFailover ? .tooFarBehind(behind) : nil
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
