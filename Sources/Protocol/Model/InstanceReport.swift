/// Role that an agent keeps in its state file: what its data directory is, whatever runs at the moment.
public enum DurableRole: String, Sendable, Hashable, Codable {
    /// No data directory yet.
    case none
    /// A first primary is being initialized: the directory counts for nothing until it is complete.
    case initializing
    /// A copy is being made: the directory counts for nobody.
    case cloning
    /// `pg_rewind` was begun and has not ended in a consistent standby: counts for nobody (R6).
    case rewinding
    case standby
    /// Primary of `primaryOfTerm`, in office unless `releasedTerm` says otherwise.
    case primary
}

/// What an agent keeps durably beside the data directory, written before the step it permits.
public struct InstanceState: Hashable, Sendable, Codable {
    /// Nil while there is no complete data directory.
    public var incarnation: Incarnation?
    /// Highest term and record version accepted in any order (R1).
    public var promised: Stamp
    /// What the directory is.
    public var role: DurableRole
    /// Last term in which this directory was allowed to be primary.
    public var primaryOfTerm: Term
    /// Last term given up for good (R4).
    public var releasedTerm: Term
    /// The directory took a timeline without an order, or is not this member's: it is rebuilt, never rewound or
    /// promoted (R5, R14).
    public var tainted: Bool
    /// The incarnation that the directory was a copy of when it was found to be one, or to have been restored (R5).
    public var copyOf: Incarnation?
    /// The record's rules as last told in `primaryOfTerm`: what extends its lease without a leader (R10).
    public var rules: [Rule]
    /// Highest term for which it extended another instance's lease: what its next agent is still bound by (R10).
    public var grantedTerm: Term
    /// Where the agents of the voters answer, as a leader last told its primary (R10).
    public var agents: [AgentAddress]
    /// The server was in recovery since this directory was last allowed to be primary: whatever takes it out of there
    /// is no order (R14).
    public var hasRecovered: Bool

    /// Creates an instance state from its parts.
    public init() {
        incarnation = nil
        promised = .none
        role = .none
        primaryOfTerm = .none
        releasedTerm = .none
        tainted = false
        copyOf = nil
        rules = []
        grantedTerm = .none
        agents = []
        hasRecovered = false
    }

    /// Whether the directory is that of a primary in office.
    public var isPrimaryInOffice: Bool { role == .primary && releasedTerm < primaryOfTerm }
}

/// What is in the data directory.
public enum DataDirectory: Sendable, Hashable, Codable {
    case empty
    /// Of this system identifier.
    case present(SystemIdentifier)
    /// There is something that is no data directory; never touched.
    case foreign(reason: String)
}

/// The server as its agent sees it.
public enum ServerState: String, Sendable, Hashable, Codable {
    /// No process of the server is left and the gate is shut.
    case down
    case starting
    /// In recovery, answering.
    case standby
    /// Triggered to become primary, not yet done.
    case promoting
    /// Out of recovery.
    case primary
    case stopping
    /// Should be up, does not answer.
    case unresponsive
}

/// A standby's WAL receiver.
///
/// - SeeAlso: PostgreSQL manual, 28.2.5 pg_stat_wal_receiver.
public struct ReceiverStatus: Hashable, Sendable, Codable {
    /// `streaming`, `waiting`, …; alone it proves nothing (R9).
    public var status: String
    /// `received_tli`: it connected to that, and may hold nothing of it yet.
    public var timeline: Timeline
    /// Server it receives from.
    public var sender: Endpoint
    /// Time since the last message of the sender; nil if there was none.
    public var sinceLastMessage: Duration?

    /// Creates a receiver status from its parts.
    public init(status: String, timeline: Timeline, sender: Endpoint, sinceLastMessage: Duration?) {
        self.status = status
        self.timeline = timeline
        self.sender = sender
        self.sinceLastMessage = sinceLastMessage
    }
}

/// One walsender of a primary (or of a cascading standby).
///
/// - SeeAlso: PostgreSQL manual, 28.2.4 pg_stat_replication.
public struct SenderStatus: Hashable, Sendable, Codable {
    /// A member's, by ``MemberID/applicationName``.
    public var applicationName: String
    /// Whether it streams through the slot of its own name; else it is no voter (R12).
    public var usesOwnSlot: Bool
    /// What PostgreSQL calls it: `streaming`, `catchup`, `backup` and others.
    public var state: String
    /// How far the standby says it has flushed.
    public var flushLSN: LSN

    /// Creates a sender status from its parts.
    public init(applicationName: String, usesOwnSlot: Bool, state: String, flushLSN: LSN) {
        self.applicationName = applicationName
        self.usesOwnSlot = usesOwnSlot
        self.state = state
        self.flushLSN = flushLSN
    }
}

/// Settings that a standby must not have lower than its WAL demands (R8).
public struct CapacitySettings: Hashable, Sendable, Codable {
    /// `max_connections`.
    public var maxConnections: Int
    /// `max_worker_processes`.
    public var maxWorkerProcesses: Int
    /// `max_wal_senders`.
    public var maxWALSenders: Int
    /// `max_prepared_transactions`.
    public var maxPreparedTransactions: Int
    /// `max_locks_per_transaction`.
    public var maxLocksPerTransaction: Int

    /// Creates a capacity settings from its parts.
    public init(
        maxConnections: Int,
        maxWorkerProcesses: Int,
        maxWALSenders: Int,
        maxPreparedTransactions: Int,
        maxLocksPerTransaction: Int
    ) {
        self.maxConnections = maxConnections
        self.maxWorkerProcesses = maxWorkerProcesses
        self.maxWALSenders = maxWALSenders
        self.maxPreparedTransactions = maxPreparedTransactions
        self.maxLocksPerTransaction = maxLocksPerTransaction
    }

    /// Names of the settings in which this server is below `demanded`; promoting such a server stops it.
    public func shortfalls(against demanded: CapacitySettings) -> [String] {
        let pairs: [(String, Int, Int)] = [
            ("max_connections", maxConnections, demanded.maxConnections),
            ("max_worker_processes", maxWorkerProcesses, demanded.maxWorkerProcesses),
            ("max_wal_senders", maxWALSenders, demanded.maxWALSenders),
            ("max_prepared_transactions", maxPreparedTransactions, demanded.maxPreparedTransactions),
            ("max_locks_per_transaction", maxLocksPerTransaction, demanded.maxLocksPerTransaction),
        ]
        return pairs.filter { $0.1 < $0.2 }.map { "\($0.0) is \($0.1), its WAL demands \($0.2)" }
    }
}

/// What one poll of a running server showed.
public struct ServerStatus: Hashable, Sendable, Codable {
    /// `pg_is_in_recovery()`: false on a primary.
    public var inRecovery: Bool
    /// End of the WAL that is safe on disk here: flushed on a primary; the larger of received and replayed on a
    /// standby, with the timeline of the last record it holds.
    public var position: WALPosition
    /// On a primary: where the next record will begin.
    public var insertLSN: LSN
    /// On a standby: how far it has replayed.
    public var replayLSN: LSN
    /// Of the running server.
    public var systemIdentifier: SystemIdentifier
    /// On a standby; nil if none runs.
    public var receiver: ReceiverStatus?
    /// Those of members; tools that copy are left out.
    public var senders: [SenderStatus]
    /// As the server runs now.
    public var capacity: CapacitySettings
    /// What the WAL demands, from the control file; nil if not read.
    public var demandedCapacity: CapacitySettings?
    /// By somebody, or for too low a setting.
    public var replayPaused: Bool
    /// `server_version_num`, such as 150018.
    public var serverVersion: Int
    /// Whether clients are admitted, as the running server itself shows (R23).
    public var clientsAdmitted: Bool
    /// `synchronous_standby_names` as the running server shows it.
    public var synchronousNames: String
    /// On a primary: age of the last heartbeat known to be flushed (R22).
    public var heartbeatAge: Duration?

    /// Creates a server status from its parts.
    public init(inRecovery: Bool, position: WALPosition, systemIdentifier: SystemIdentifier, capacity: CapacitySettings)
    {
        self.inRecovery = inRecovery
        self.position = position
        insertLSN = .zero
        replayLSN = .zero
        self.systemIdentifier = systemIdentifier
        receiver = nil
        senders = []
        self.capacity = capacity
        demandedCapacity = nil
        replayPaused = false
        serverVersion = 0
        clientsAdmitted = false
        synchronousNames = ""
        heartbeatAge = nil
    }
}

/// An instance's answer to `prepare`: its promise holds, nothing reaches it any more, and this is its WAL (R6).
public struct PreparedAnswer: Hashable, Sendable, Codable {
    /// The promise it was given under.
    public var term: Term
    /// End of what it holds; nothing is added any more.
    public var position: WALPosition

    /// Creates a prepared answer from its parts.
    public init(term: Term, position: WALPosition) {
        self.term = term
        self.position = position
    }
}

/// A primary's word that the names of a record version are in force (R12, step 3).
public struct RuleConfirmation: Hashable, Sendable, Codable {
    /// Of the order that named the rules.
    public var version: RecordVersion
    /// Insert position read after the names were in force: the barrier.
    public var barrier: LSN

    /// Creates a rule confirmation from its parts.
    public init(version: RecordVersion, barrier: LSN) {
        self.version = version
        self.barrier = barrier
    }
}

/// How a primacy began.
public struct PromotionResult: Hashable, Sendable, Codable {
    /// In which it became primary.
    public var term: Term
    /// Taken by PostgreSQL; equal to the assigned one.
    public var timeline: Timeline
    /// End of the timeline-switch record.
    public var switchLSN: LSN
    /// Where the parent timeline ended.
    public var forkLSN: LSN
    /// The parent timeline, by its own history file; none if that does not say.
    public var parent: Timeline

    /// Creates a promotion result from its parts.
    public init(term: Term, timeline: Timeline, switchLSN: LSN, forkLSN: LSN, parent: Timeline = .none) {
        self.term = term
        self.timeline = timeline
        self.switchLSN = switchLSN
        self.forkLSN = forkLSN
        self.parent = parent
    }
}

/// Everything an agent says: the whole state, each report interval and at once on change.
public struct InstanceReport: Hashable, Sendable, Codable {
    /// Grows with each report; the answer names it, and the lease counts from its sending (R2).
    public var sequence: UInt64
    /// On disk when this is sent.
    public var state: InstanceState
    /// What stands where the data directory should be.
    public var directory: DataDirectory
    /// As its processes and polls show.
    public var server: ServerState
    /// Latest successful poll; nil if the server is down or was never reached.
    public var status: ServerStatus?
    /// Age of `status`.
    public var statusAge: Duration
    /// What a server that is down holds, from its control file: timeline of its latest checkpoint.
    public var stoppedTimeline: Timeline?
    /// Nil unless promised, cut and read in the present term.
    public var prepared: PreparedAnswer?
    /// Nil if no rules were confirmed since the server started.
    public var confirmation: RuleConfirmation?
    /// Nil unless it was promoted since the server started.
    public var promotion: PromotionResult?
    /// Term and primary that a standby was last told to follow and does.
    public var following: Following?
    /// Record version of the hand-over that a primary was last told of and is ready to stop for (R16).
    public var readyToHandOver: RecordVersion?
    /// Rules that a primary runs under; empty on a standby.
    public var rules: [Rule]
    /// Whether clients are admitted, proven by a new connection (R23).
    public var opened: Bool
    /// What long work is under way, such as "cloning: 120 of 300 MB"; empty if none.
    public var activity: String
    /// How long the server has been gone; nil if it runs.
    public var downFor: Duration?
    /// Exit code of the last `pg_isready`; nil if it was not run yet.
    public var isReady: Int?
    /// Bytes free on the volumes of data and WAL.
    public var freeBytes: UInt64?
    /// What keeps this instance from doing what it was told; empty if nothing.
    public var fault: String
    /// On a primary: whose commits are confirmed before the rule's voters have them, and how to mend that (R12).
    public var weakened: [String]

    /// How many of these are told.
    public static let weakenedLimit = 20
    /// Characters of a text in a report that are taken from another machine.
    public static let textLimit = 1024
    /// Folders with WAL that the recorded history does not contain, set aside before it was destroyed (R14).
    public var keptWAL: [String]
    /// For how long it still refuses to prepare, because it granted a lease (R10); nil if it does not.
    public var boundFor: Duration?
    /// Of a primary that no leader has answered for a while; nil for all others.
    public var leaderless: LeaderlessSpan?

    /// Creates an instance report from its parts.
    public init(sequence: UInt64, state: InstanceState, directory: DataDirectory, server: ServerState) {
        self.sequence = sequence
        self.state = state
        self.directory = directory
        self.server = server
        status = nil
        statusAge = .zero
        stoppedTimeline = nil
        prepared = nil
        confirmation = nil
        promotion = nil
        following = nil
        readyToHandOver = nil
        rules = []
        opened = false
        activity = ""
        downFor = nil
        isReady = nil
        freeBytes = nil
        fault = ""
        weakened = []
        keptWAL = []
        boundFor = nil
        leaderless = nil
    }
}

/// Whom a standby follows, in which term.
public struct Following: Hashable, Sendable, Codable {
    /// In which it was told.
    public var term: Term
    /// Whom it was told to follow.
    public var primary: InstanceName

    /// Creates a following from its parts.
    public init(term: Term, primary: InstanceName) {
        self.term = term
        self.primary = primary
    }
}
