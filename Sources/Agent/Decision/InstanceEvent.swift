public import ClusterModel

/// What the launcher says about the server when the agent comes to it.
public enum LauncherView: Hashable, Sendable {
    case down
    /// Running; with the remaining lease if one is armed.
    case running(lease: Duration?)
    /// Told to shut down by whoever, and not ended yet.
    case stopping(lease: Duration?)
}

/// Control file of a server that is down.
///
/// - SeeAlso: PostgreSQL manual, pg_controldata.
public struct StoppedFacts: Hashable, Sendable {
    /// Number that initdb gave the data.
    public var systemIdentifier: SystemIdentifier
    /// Timeline of the latest checkpoint, or the later one that recovery must reach.
    public var timeline: Timeline
    /// Shut down by itself, as primary or in recovery: nothing is left to replay.
    public var cleanShutdown: Bool
    /// Last ran outside recovery ("in production", "shut down").
    public var wasPrimary: Bool
    /// End of the last WAL record, if the shutdown was clean (never its start).
    public var end: LSN

    /// Creates a stopped facts from its parts.
    public init(
        systemIdentifier: SystemIdentifier,
        timeline: Timeline,
        cleanShutdown: Bool,
        wasPrimary: Bool,
        end: LSN
    ) {
        self.systemIdentifier = systemIdentifier
        self.timeline = timeline
        self.cleanShutdown = cleanShutdown
        self.wasPrimary = wasPrimary
        self.end = end
    }
}

/// How an action with an answer ended.
public enum Outcome: Hashable, Sendable {
    case started
    case cut(WALPosition)
    case following
    case promoted(timeline: Timeline, switchLSN: LSN, fork: Lineage.Fork)
    /// Names in force; the insert position read afterwards.
    case rulesApplied(barrier: LSN)
    case opened
    case checkpointed
    case initialized(Incarnation, SystemIdentifier)
    case cloned(Incarnation, SystemIdentifier)
    /// The upstream can be rewound to, and nothing here was changed yet.
    case readyToRewind
    /// A consistent standby of the upstream's history, not yet started.
    case rewound
    /// Did not work because the upstream was gone, which says nothing of what is here.
    case sourceLost(String)
    case inspected(StoppedFacts)
    /// Without a fork if the file is not there, or says nothing.
    case lineage(Lineage)
    /// A server runs, though the work is for one that is down: nothing was done.
    case foundServer
    /// Did not work; what and why, in a sentence.
    case failed(String)
}

/// What happens to an instance.
public enum InstanceEvent: Hashable, Sendable {
    /// The agent starts, or comes back to its launcher after losing it.
    ///
    /// - state: nil if there is no state file; from one that cannot be read nothing is concluded (D106).
    /// - matches: the data directory carries the incarnation that the state file names, or named when the directory was
    ///   found to be a copy.
    /// - copied: why it is a copy of that member's data, or was restored, all the same; nil if nothing shows it.
    case attached(
        state: InstanceState?,
        directory: DataDirectory,
        matches: Bool,
        copied: String? = nil,
        server: LauncherView
    )
    /// The launcher is gone, and with it every process of the server; orders wait until the next `attached`.
    case launcherLost
    case order(Order)
    /// The controller answered the report that was sent at that moment of the own clock (R2).
    case answered(ReportAnswer, sentAt: MonotonicInstant)
    case observed(ServerStatus)
    /// A poll missed its deadline.
    case unobserved
    /// A heartbeat was written that ends there; the moment, on the own clock, is from *before* its writing (R22).
    case beaten(LSN, begunAt: MonotonicInstant)
    /// Exit code of `pg_isready`: 0 accepting, 1 rejecting, 2 no answer, 3 no attempt.
    case readiness(Int)
    /// The checkpoint that others rewind from did not come to its end, and why.
    case checkpointFailed(String)
    /// The postmaster is gone; stragglers are being ended.
    case postmasterExited
    /// No process of the server is left (R4).
    case serverDown
    case completed(ActionID, Outcome)
    /// The agent of that instance, as its certificate says, asks for a lease (R10); the answer names the question.
    case asked(LeaseRequest, from: InstanceName, question: UInt64)
    /// The agent of that instance, as its certificate says, answers to `askVoters` of this agent's life.
    case peerAnswered(LeaseAnswer, from: InstanceName)
    /// Time passed.
    case tick
}
