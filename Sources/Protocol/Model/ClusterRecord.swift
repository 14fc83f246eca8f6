/// Where the cluster stands between two primaries.
public enum Phase: String, Sendable, Hashable, Codable, CaseIterable {
    /// No primary has ever been chosen.
    case forming
    /// The first primary is recorded and may be initialized (R24).
    case initializing
    /// The recorded primary is in office, or is to be.
    case steady
    /// A new term is open: members are asked for their promise and position (R6).
    case preparing
    /// A candidate is recorded; it is the recorded primary from this write on (R7).
    case promoting
}

/// One primacy in the cluster's history: which timeline it was given, and where that left its parent.
public struct Primacy: Hashable, Sendable, Codable {
    /// Unique in the history.
    public var term: Term
    /// Nil in a history written by hand.
    public var primary: MemberID?
    /// Assigned by the write that recorded the candidate; never given twice.
    public var timeline: Timeline
    /// Timeline of the last record that the candidate held; none at birth.
    public var parent: Timeline
    /// End of the parent timeline in this primacy's history.
    public var forkLSN: LSN
    /// Why this change of primary was made (I8).
    public var why: String
    /// The new primary itself told `forkLSN`.
    ///
    /// Until then it is the end of what the candidate held, and PostgreSQL may have dropped the beginning of a record
    /// there.
    public var isConfirmed: Bool

    /// Characters of ``why`` that are kept.
    public static let reasonLimit = 500

    /// Creates a primacy from its parts.
    public init(
        term: Term,
        primary: MemberID?,
        timeline: Timeline,
        parent: Timeline,
        forkLSN: LSN,
        why: String,
        isConfirmed: Bool = false
    ) {
        self.term = term
        self.primary = primary
        self.timeline = timeline
        self.parent = parent
        self.forkLSN = forkLSN
        self.why = why
        self.isConfirmed = isConfirmed
    }

    /// Reads one that an earlier version may have written, which kept less.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        term = try values.decode(Term.self, forKey: .term)
        primary = try values.decodeIfPresent(MemberID.self, forKey: .primary)
        timeline = try values.decode(Timeline.self, forKey: .timeline)
        parent = try values.decode(Timeline.self, forKey: .parent)
        forkLSN = try values.decode(LSN.self, forKey: .forkLSN)
        why = try values.decode(String.self, forKey: .why)
        isConfirmed = try values.decodeIfPresent(Bool.self, forKey: .isConfirmed) ?? false
    }
}

/// The one durable truth about a cluster, changed only by compare-and-swap on `version`.
public struct ClusterRecord: Hashable, Sendable, Codable {
    /// Whose record it is.
    public var cluster: ClusterName
    /// One higher with each write; what the compare-and-swap compares.
    public var version: RecordVersion
    /// Of the primacy that is, or is being prepared.
    public var term: Term
    /// Where the cluster stands.
    public var phase: Phase
    /// Primary of the last term that got one; the candidate from the write that records it.
    public var primary: InstanceName?
    /// Nil only while the first primary has no data directory yet.
    public var primaryIncarnation: Incarnation?
    /// Number of the cluster's data; nil until the first primary has been initialized.
    public var systemIdentifier: SystemIdentifier?
    /// Current incarnations of the members whose data is the cluster's, sorted.
    public var members: [MemberID]
    /// One rule, or the old and the newer ones while a change is under way (R12).
    public var rules: [Rule]
    /// Highest timeline ever assigned or reported.
    public var highestTimeline: Timeline
    /// Oldest first; at most ``historyLimit`` entries.
    public var history: [Primacy]
    /// A change of primary that somebody asked for; nil if none is under way.
    public var request: ChangeRequest?
    /// Why no change of primary begins by itself; nil if nothing keeps it from that (R18).
    public var pauseReason: String?

    /// How many primacies are kept in the record.
    public static let historyLimit = 200

    /// How many rules can be in force at once: a change under way may itself be overtaken (R12).
    public static let ruleLimit = 6

    /// The record of a cluster that is to be born.
    public init(forming cluster: ClusterName, mode: Durability) {
        self.cluster = cluster
        version = RecordVersion(rawValue: 1)
        term = .none
        phase = .forming
        primary = nil
        primaryIncarnation = nil
        systemIdentifier = nil
        members = []
        rules = [.birth(mode)]
        highestTimeline = .none
        history = []
        request = nil
        pauseReason = nil
    }

    /// Whether the recorded primary goes on from an earlier term, in which a change of primary was given up (R16).
    public var isContinued: Bool {
        guard phase == .steady, let last = history.last else { return false }
        return history.dropLast().last?.timeline == last.timeline
    }

    /// Drops what is more than ``historyLimit``: first what came to nothing, then the oldest.
    ///
    /// The timelines that the data went through stay: an answer on a timeline that nobody knows counts for nothing.
    public mutating func forgetOldPrimacies() {
        while history.count > Self.historyLimit {
            var ancestors: Set<Timeline> = []
            var next = history.last?.timeline
            while let timeline = next, ancestors.insert(timeline).inserted {
                next = history.last { $0.timeline == timeline }?.parent
            }
            let place = history.firstIndex { !$0.isConfirmed && !ancestors.contains($0.timeline) }
            history.remove(at: place ?? 0)
        }
    }

    /// The recorded primary in its incarnation, once it has one.
    public var primaryMember: MemberID? {
        guard let primary, let primaryIncarnation else { return nil }
        return MemberID(name: primary, incarnation: primaryIncarnation)
    }

    /// What orders decided from this record carry.
    public var stamp: Stamp { Stamp(term: term, version: version) }

    /// Primacies up to the one that was given that timeline; empty if none was.
    public func history(through timeline: Timeline) -> [Primacy] {
        guard let place = history.lastIndex(where: { $0.timeline == timeline }) else { return [] }
        return Array(history[...place])
    }

    /// How far the WAL that ends at one position is that which ends at the other, by the recorded history.
    public func sharedEnd(of one: WALPosition, and other: WALPosition) -> LSN {
        if one.timeline == other.timeline { return min(one.lsn, other.lsn) }
        let own = Lineage(of: history(through: one.timeline))
        let others = Lineage(of: history(through: other.timeline))
        // A timeline that one of them never was on ends at zero there.
        let ends = (own.forks.map(\.parent) + [one.timeline]).map { timeline in
            min(own.end(on: timeline) ?? one.lsn, others.end(on: timeline) ?? other.lsn)
        }
        return ends.max() ?? .zero
    }

    /// The rule in the making, or the only one.
    public var newestRule: Rule {
        guard let rule = rules.last else { return .birth(.required) }
        return rule
    }

    /// What makes this record impossible, for a file edited by hand; empty if nothing does.
    public var faults: [String] {
        var found: [String] = []
        if version == .none { found.append("version is 0") }
        let isCountable = max(version.rawValue, term.rawValue) < 1 << 62 && highestTimeline.rawValue < 1 << 31
        if !isCountable { found.append("version, term or timeline is too high to go on from") }
        if !(1...Self.ruleLimit).contains(rules.count) {
            found.append("rules must hold one to \(Self.ruleLimit) rules")
        }
        for rule in rules where rule.required < 0 || rule.required > rule.voters.count {
            found.append("a rule demands \(rule.required) of \(rule.voters.count) voters")
        }
        if phase != .forming && (primary == nil || term == .none) { found.append("phase without a primary or a term") }
        if phase != .forming && phase != .initializing && primaryMember == nil {
            found.append("the primary has no incarnation")
        }
        if phase != .forming && phase != .initializing && systemIdentifier == nil {
            found.append("the system identifier is missing")
        }
        if let request, request.candidate == primary, request.step != .takeOver, phase == .steady {
            found.append("a switchover from the primary to itself")
        }
        return found
    }
}
