public import ClusterModel

/// Names one action whose outcome comes back as an event; a late or foreign outcome is told by it.
public struct ActionID: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Grows with each action of one machine's life.
    public let rawValue: UInt64

    /// Creates an actionid from its number.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// By number.
    public static func < (left: ActionID, right: ActionID) -> Bool { left.rawValue < right.rawValue }
    /// For people: logs, history and command line.
    public var description: String { "#\(rawValue)" }
}

/// Where a standby gets its WAL from.
public struct Upstream: Hashable, Sendable {
    /// Whose server it is.
    public var primary: InstanceName
    /// Its own address, never a Service name.
    public var server: Endpoint
    /// What its data must be; checked before anything is copied.
    public var systemIdentifier: SystemIdentifier
    /// Timelines of the recorded history, up to the one that the primary is, or will be, on.
    public var lineage: Lineage

    /// The one that the primary is, or will be, on.
    public var timeline: Timeline { lineage.timeline }

    /// Creates an upstream from its parts.
    public init(primary: InstanceName, server: Endpoint, systemIdentifier: SystemIdentifier, lineage: Lineage) {
        self.primary = primary
        self.server = server
        self.systemIdentifier = systemIdentifier
        self.lineage = lineage
    }
}

/// What a standby's settings say about its upstream when the server is started.
public enum StandbySource: Hashable, Sendable {
    /// Cut: nothing reaches it (R6).
    case nobody
    case upstream(Upstream)
}

/// As what the server is started.
public enum ServerLaunch: Hashable, Sendable {
    /// Without `standby.signal`, names empty, clients shut out: only at birth (R24).
    case firstPrimary
    /// With `standby.signal` in place first (R5), names that match nobody, clients admitted as on any standby.
    case standby(StandbySource)
}

/// How a server is stopped.
public enum StopMode: String, Hashable, Sendable {
    case fast
    case immediate
    /// SIGKILL to every descendant.
    case kill
}

/// What a promotion does, in this order (R13): comment-only history files, names and closed client gate in
/// force, client sessions and senders ended, trigger, wait until out of recovery.
public struct PromotionWork: Hashable, Sendable {
    /// Checked again once the server is out of recovery.
    public var term: Term
    /// The one that the record assigned; any other is stopped.
    public var timeline: Timeline
    /// Timelines above the server's own that are used, but not its ancestors: each gets a history file that
    /// holds only a comment.
    public var foreignTimelines: [Timeline]
    /// Value of `synchronous_standby_names` before the trigger.
    public var synchronousNames: String
    /// Empty the names once the term has been checked: the new rule waits for nobody.
    public var emptiesNames: Bool
    /// Other members, each of which gets a slot.
    public var peers: [MemberID]

    /// Creates a promotion work from its parts.
    public init(
        term: Term,
        timeline: Timeline,
        foreignTimelines: [Timeline],
        synchronousNames: String,
        emptiesNames: Bool,
        peers: [MemberID]
    ) {
        self.term = term
        self.timeline = timeline
        self.foreignTimelines = foreignTimelines
        self.synchronousNames = synchronousNames
        self.emptiesNames = emptiesNames
        self.peers = peers
    }
}

/// What a primary is to put in force (R12).
public struct RulesWork: Hashable, Sendable {
    /// Value of `synchronous_standby_names`; empty where a commit waits for nobody.
    public var synchronousNames: String
    /// Commits waited for nobody until now: in force only after a checkpoint begun with the new names visible.
    public var leavesZero: Bool
    /// An older rule waits for fewer: senders that judge by it would release too early.
    public var raisesCount: Bool
    /// Voters of every recorded rule, whose senders may still judge by the names of an older one.
    public var voters: [MemberID]
    /// Other members, each of which gets a slot.
    public var peers: [MemberID]

    /// Creates a rules work from its parts.
    public init(
        synchronousNames: String,
        leavesZero: Bool,
        raisesCount: Bool = true,
        voters: [MemberID] = [],
        peers: [MemberID]
    ) {
        self.synchronousNames = synchronousNames
        self.leavesZero = leavesZero
        self.raisesCount = raisesCount
        self.voters = voters
        self.peers = peers
    }
}

/// What the machine wants done.
///
/// The order within one decision is a contract: each is done, and `persist` is on
/// disk, before the next begins; where one fails the rest are dropped.
public enum InstanceAction: Hashable, Sendable {
    /// Write the state file durably. If that fails the shell starts over from disk.
    case persist(InstanceState)
    /// Hand the launcher the lease: it stops the server at the end, agent or no agent (R21).
    case armLease(until: MonotonicInstant)
    /// Write settings and signal files, start; `started` once a poll is answered.
    case start(ActionID, ServerLaunch, peers: [MemberID])
    /// Stop; the end is told by the event `serverDown`, also if nothing ran any more.
    case stop(StopMode)
    /// Empty the upstream, end the WAL receiver, see twice that there is none, read the position (R6).
    ///
    /// `waitForReplay`: the receiver did not run since the start, so replay must reach the end first.
    case cutReceiver(ActionID, waitForReplay: Bool)
    /// Point a running standby at an upstream.
    case follow(ActionID, Upstream, peers: [MemberID])
    case promote(ActionID, PromotionWork)
    case applyRules(ActionID, RulesWork)
    /// Admit clients, proven by a new connection (R23).
    case openClients(ActionID)
    /// CHECKPOINT in the background, so that others can rewind from here (R14).
    case checkpoint
    /// CHECKPOINT to its end, so that a shutdown after it is short (R16).
    case checkpointFirst(ActionID)
    /// Make a data directory with a new incarnation (initdb into a sibling, swapped in).
    case initialize(ActionID)
    /// Base backup into a sibling, new incarnation, swapped in when complete.
    ///
    /// `keepsWAL`: what the present directory has beyond the recorded history is set aside before.
    case clone(ActionID, Upstream, keepsWAL: Bool)
    /// Check the upstream, wait for its checkpoint, set the divergent WAL aside: all that a rewind needs before it
    /// changes anything.
    case makeReadyToRewind(ActionID, Upstream)
    /// Recover, `pg_rewind`, verify.
    case rewind(ActionID, Upstream)
    /// Read the control file of a server that is down.
    case inspect(ActionID)
    /// Read the history file of that timeline in the data directory.
    case readLineage(ActionID, Timeline)
    /// End that work: no further step of it is done, its tool is stopped, its outcome is ignored.
    case cancelWork(ActionID)
    /// Give up all that is under way and look at disk and launcher anew: `attached` comes next, orders wait until then.
    case attach
    case report
    case refuse(OrderRefusal)
    /// Ask those agents; what they say comes back as `peerAnswered`, or never (R10).
    case askVoters(LeaseRequest, [AgentAddress])
    /// Answer that question, to that life of the agent alone which asked it: another may use the same sequence.
    case answerPeer(LeaseAnswer, question: UInt64)
    case explain(Explanation)
}
