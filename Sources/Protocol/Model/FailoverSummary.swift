/// How long each phase of a change of primary took, in whole milliseconds.
public struct PhaseTimes: Hashable, Sendable, Codable {
    /// From the failure (the server's death where its agent saw it, else its last report) to complete evidence.
    public var detect: Int64 = 0
    /// To the new term being in the record.
    public var decide: Int64 = 0
    /// To a candidate being in the record.
    public var prepare: Int64 = 0
    /// To the candidate being out of recovery.
    public var promote: Int64 = 0
    /// To clients being admitted.
    public var route: Int64 = 0

    /// Creates a phase times from its parts.
    public init() {}
}

/// One change of primary, told to people.
public struct FailoverSummary: Hashable, Sendable, Codable {
    /// The new primary's.
    public var term: Term
    /// Primary before; nil if unknown.
    public var from: InstanceName?
    /// Primary since.
    public var to: InstanceName
    /// That the new primary is on.
    public var timeline: Timeline
    /// One sentence.
    public var why: String
    /// What the decision rested on, and why each other instance was not the candidate.
    public var evidence: [String]
    /// How long each step took.
    public var phases: PhaseTimes
    /// Somebody asked for it; nil in a history of an earlier version.
    public var isPlanned: Bool?

    /// Creates a failover summary from its parts.
    public init(
        term: Term,
        from: InstanceName?,
        to: InstanceName,
        timeline: Timeline,
        why: String,
        evidence: [String],
        phases: PhaseTimes,
        isPlanned: Bool? = nil
    ) {
        self.term = term
        self.from = from
        self.to = to
        self.timeline = timeline
        self.why = why
        self.evidence = evidence
        self.phases = phases
        self.isPlanned = isPlanned
    }
}
