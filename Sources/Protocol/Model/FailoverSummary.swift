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

    public init() {}
}

/// One change of primary, told to people.
public struct FailoverSummary: Hashable, Sendable, Codable {
    public var term: Term
    public var from: InstanceName?
    public var to: InstanceName
    public var timeline: Timeline
    public var why: String
    /// What the decision rested on, and why each other instance was not the candidate.
    public var evidence: [String]
    public var phases: PhaseTimes

    public init(
        term: Term, from: InstanceName?, to: InstanceName, timeline: Timeline, why: String, evidence: [String],
        phases: PhaseTimes
    ) {
        self.term = term
        self.from = from
        self.to = to
        self.timeline = timeline
        self.why = why
        self.evidence = evidence
        self.phases = phases
    }
}
