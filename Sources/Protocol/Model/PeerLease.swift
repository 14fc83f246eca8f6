/// Where the agent of an instance answers the agents of others (R10).
public struct AgentAddress: Hashable, Sendable, Codable {
    /// Whose agent it is; its certificate must say the same.
    public var name: InstanceName
    /// Where it listens.
    public var endpoint: Endpoint

    /// Creates an address from its parts.
    public init(name: InstanceName, endpoint: Endpoint) {
        self.name = name
        self.endpoint = endpoint
    }

    /// How many are taken from a peer or a file: as many as a cluster has instances.
    public static let limit = 32
}

/// What the agent of a primary in `async`, to which no leader answers, asks of the agents of its voters (R10).
public struct LeaseRequest: Hashable, Sendable {
    /// Of the round of questions; the answer bears the same number.
    public var sequence: UInt64
    /// In which it is primary.
    public var term: Term
    /// The primary in its incarnation.
    public var primary: MemberID

    /// Creates a request from its parts.
    public init(sequence: UInt64, term: Term, primary: MemberID) {
        self.sequence = sequence
        self.term = term
        self.primary = primary
    }
}

/// A voter's answer to a ``LeaseRequest``.
///
/// A voter that grants prepares for no higher term until the lease is over whenever it was asked for (R10).
public struct LeaseAnswer: Hashable, Sendable {
    /// Of the request that it answers.
    public var sequence: UInt64
    /// Who answers, in its incarnation; nil if it holds no data.
    public var voter: MemberID?
    /// Highest term that it promised or heard of.
    public var highestTerm: Term
    /// How long the asker may rely on it, from the moment of asking; nil if it does not grant.
    public var lease: Duration?
    /// Why it does not grant; empty if it does.
    public var reason: String

    /// Creates an answer from its parts.
    public init(sequence: UInt64, voter: MemberID?, highestTerm: Term, lease: Duration?, reason: String = "") {
        self.sequence = sequence
        self.voter = voter
        self.highestTerm = highestTerm
        self.lease = lease
        self.reason = reason
    }
}

/// How long a primary ran without any word of a leader, and on whose (R10).
public struct LeaderlessSpan: Hashable, Sendable, Codable {
    /// Since the last grant of a leader.
    public var length: Duration
    /// Voters that extended its lease last; empty if nobody has to.
    public var extendedBy: [InstanceName]

    /// Creates a span from its parts.
    public init(length: Duration, extendedBy: [InstanceName]) {
        self.length = length
        self.extendedBy = extendedBy
    }
}
