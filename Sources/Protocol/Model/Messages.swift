/// What an agent sends to the controller, or to another agent.
public enum AgentMessage: Hashable, Sendable {
    case report(InstanceReport)
    /// An order was not taken, and why.
    case refused(OrderRefusal)
    /// The copy of the record that it keeps, as a controller gave it: JSON, in UTF-8 (R1).
    case keeps(copy: [UInt8])
    /// To another agent only: no leader answers (R10).
    case asksLease(LeaseRequest)
}

/// What the controller sends to an agent.
public enum ControllerMessage: Hashable, Sendable {
    case answer(ReportAnswer)
    case order(Order)
    /// A copy of the record, to be kept beside the data; no agent looks into it (R1).
    case keepCopy([UInt8])
    /// An order this version does not know; to be refused with a reason.
    case unknown(kind: String)
}

/// Answer to one report; carries the lease if the instance is the recorded primary (R2).
public struct ReportAnswer: Hashable, Sendable {
    /// Of the report that it answers.
    public var sequence: UInt64
    /// Stamp of the record that the answer was decided from.
    public var stamp: Stamp
    /// Lease granted for `stamp.term`, counted from the sending of that report; nil if none.
    public var lease: Duration?

    /// Creates a report answer from its parts.
    public init(sequence: UInt64, stamp: Stamp, lease: Duration?) {
        self.sequence = sequence
        self.stamp = stamp
        self.lease = lease
    }
}

/// A reason for not taking an order.
public struct OrderRefusal: Hashable, Sendable {
    /// The order's stamp, if it had one.
    public var stamp: Stamp
    /// Name of the order.
    public var order: String
    /// What to change, for a person.
    public var reason: String

    /// Stands for an order where an agent cannot take any: why it does not come to its instance.
    public static let attachment = "attach"

    /// Creates an order refusal from its parts.
    public init(stamp: Stamp, order: String, reason: String) {
        self.stamp = stamp
        self.order = order
        self.reason = reason
    }
}

/// What the controller asks of an instance.
///
/// Every order may come late, twice or never.
public struct Order: Hashable, Sendable {
    /// Under which it was decided.
    public var stamp: Stamp
    /// What is asked.
    public var kind: Kind

    /// Creates an order from its parts.
    public init(stamp: Stamp, kind: Kind) {
        self.stamp = stamp
        self.kind = kind
    }

    /// The closed list of orders.
    public enum Kind: Hashable, Sendable {
        /// Make the first data directory and be its primary (R24).
        case initialize(Initialization)
        /// Promise the term, let nothing reach this server any more, say how far it got (R6).
        ///
        /// `recover`: a stopped server replays under `standby.signal` to learn its position.
        case prepare(recover: Bool)
        /// Become primary on exactly this timeline (R13).
        case promote(Promotion)
        /// Stream from that primary, rewound or rebuilt first if need be (R14).
        case follow(FollowPlan)
        /// Receive from that other standby what it holds more, the promise in force; then `prepare` comes again (R8).
        ///
        /// The history ends with the timeline that the other one is on.
        case catchUp(FollowPlan)
        /// Be the primary under these rules: names, slots (R12, R23).
        case govern(Governance)
        /// Checkpoint while clients write on; then, in a second order, stop for good in this term (R16).
        case handOver(HandOver)
    }

    /// Name of the order for logs and refusals.
    public var name: String {
        switch kind {
        case .initialize: "initialize"
        case .prepare: "prepare"
        case .promote: "promote"
        case .follow: "follow"
        case .catchUp: "catchUp"
        case .govern: "govern"
        case .handOver: "handOver"
        }
    }
}

/// A primary's part in a switchover.
public struct HandOver: Hashable, Sendable {
    /// Shut down, cleanly if that ends within `deadline`; else only checkpoint, and say so.
    public var stops: Bool
    /// After which a fast shutdown becomes an immediate one.
    public var deadline: Duration

    /// Creates a hand-over from its parts.
    public init(stops: Bool, deadline: Duration) {
        self.stops = stops
        self.deadline = deadline
    }
}

/// Birth of a cluster's data.
public struct Initialization: Hashable, Sendable {
    /// The rule of birth.
    public var rules: [Rule]
    /// All instances to be.
    public var members: [InstanceSpec]

    /// Creates an initialization from its parts.
    public init(rules: [Rule], members: [InstanceSpec]) {
        self.rules = rules
        self.members = members
    }
}

/// Terms on which a candidate becomes primary.
public struct Promotion: Hashable, Sendable {
    /// Timeline that the record assigned.
    public var timeline: Timeline
    /// Rules to open under; the last one gives the names.
    public var rules: [Rule]
    /// Other members, each of which gets a slot.
    public var peers: [MemberID]
    /// Primacies so far, to tell the ancestors among the timelines already used.
    public var history: [Primacy]
    /// Where the agents of the instances answer (R10).
    public var agents: [AgentAddress]

    /// Creates a promotion from its parts.
    public init(
        timeline: Timeline,
        rules: [Rule],
        peers: [MemberID],
        history: [Primacy],
        agents: [AgentAddress] = []
    ) {
        self.timeline = timeline
        self.rules = rules
        self.peers = peers
        self.history = history
        self.agents = agents
    }
}

/// How an instance becomes a standby of a primary.
public struct FollowPlan: Hashable, Sendable {
    /// Whom to follow.
    public var primary: InstanceName
    /// The primary's own address.
    public var server: Endpoint
    /// Data of any other is never touched.
    public var systemIdentifier: SystemIdentifier
    /// Primacies up to this term: what the instance's own history is judged by.
    public var history: [Primacy]
    /// Other members, each of which gets a slot here, too.
    public var peers: [MemberID]
    /// Incarnation to be replaced by a new copy whatever it holds; an agent of another incarnation ignores it,
    /// so that a late duplicate cannot discard the new copy.
    public var discard: Incarnation?

    /// Creates a follow plan from its parts.
    public init(
        primary: InstanceName,
        server: Endpoint,
        systemIdentifier: SystemIdentifier,
        history: [Primacy],
        peers: [MemberID],
        discard: Incarnation? = nil
    ) {
        self.primary = primary
        self.server = server
        self.systemIdentifier = systemIdentifier
        self.history = history
        self.peers = peers
        self.discard = discard
    }
}

/// What a primary in office runs under.
public struct Governance: Hashable, Sendable {
    /// One rule, or old and new (R12).
    public var rules: [Rule]
    /// Other members, each of which gets a slot.
    public var peers: [MemberID]
    /// Where the agents of the instances answer (R10).
    public var agents: [AgentAddress]

    /// Creates a governance from its parts.
    public init(rules: [Rule], peers: [MemberID], agents: [AgentAddress] = []) {
        self.rules = rules
        self.peers = peers
        self.agents = agents
    }
}
