import ClusterModel
import InstanceDecision

/// A commit that waits for its standbys.
struct PendingCommit {
    /// Index of its record.
    var index: Int
}

/// `synchronous_standby_names`, read.
struct SynchronousNames: Hashable {
    var required = 0
    var applications: [String] = []

    init(_ text: String) {
        let parts = text.split { " (),".contains($0) }
        guard parts.count >= 2, parts[0] == "ANY", let count = Int(parts[1]) else { return }
        required = count
        applications = parts.dropFirst(2).map(String.init)
    }
}

/// The processes of one PostgreSQL server.
final class ServerProcesses {
    enum Mode { case starting, standby, primary }

    /// Unique in the world.
    let number: Int
    var folder: DataFolder
    var mode = Mode.starting
    var isFrozen = false
    /// Sessions and senders go on; nobody new is let in, and nothing is shut down.
    var postmasterIsFrozen = false
    /// Killed while its disk hangs: it does nothing any more, and is not gone before the disk is back.
    var isDoomed = false
    /// The postmaster is gone; its backends are not, yet.
    var postmasterIsDead = false
    var isPromoting = false
    /// What its backends wait for.
    var names: SynchronousNames
    var gateIsOpen = false
    /// Clients were let in since it is primary.
    var hasSessions = false
    var pending: [PendingCommit] = []
    /// Term of its primacy; zero for one that nobody ordered.
    var term: UInt64 = 0
    /// Term that its agent triggered a promotion for.
    var orderedTerm: UInt64 = 0
    /// When its replay has come to the end of what is on disk, and how much is missing until then.
    var replayedAt: UInt64 = 0
    var replayLag = 0
    /// Its receiver has run since the start.
    var hasReceived = false
    /// Records it came out of recovery with: what it shows from its opening on.
    var recoveredCount = 0
    var hasOpened = false
    /// The receiver of this server, if it is a standby.
    var receiver: ReplicationLink?
    var senders: [ReplicationLink] = []
    /// Its answer to `prepare` was given: nothing may reach it until it is told whom to follow.
    var hasAnswered = false
    /// A fast shutdown was begun: no session is left, and none is admitted.
    var isShuttingDown = false
    var isGone = false

    init(number: Int, folder: DataFolder) {
        self.number = number
        self.folder = folder
        names = SynchronousNames(folder.names)
    }

    var isPrimary: Bool { mode == .primary }
    /// Promoted, or being promoted, by hand.
    var isUnordered: Bool { (isPromoting || isPrimary) && orderedTerm == 0 && term == 0 }
    /// Nothing but SIGKILL ends it.
    var isStill: Bool { isFrozen || postmasterIsFrozen }
    var takesConnections: Bool { answersQueries && !postmasterIsFrozen }
    var answersQueries: Bool { mode != .starting && !isFrozen && !postmasterIsDead && !isGone && !isShuttingDown }
}

/// One replication connection; either end can be gone without the other knowing.
final class ReplicationLink {
    let source: Int
    let target: Int
    let sender: ServerProcesses
    let receiver: ServerProcesses
    let application: String
    var senderIsAlive = true
    /// The histories were found to fit; until then the sender believes what the receiver claims.
    var isProven = true
    var receiverIsAlive = true
    /// Records known by the sender to be flushed by the receiver.
    var acknowledged: Int
    var heardAt: UInt64
    var repliedAt: UInt64
    var pumpIsScheduled = false

    init(
        from source: Int,
        _ sender: ServerProcesses,
        to target: Int,
        _ receiver: ServerProcesses,
        application: String,
        now: UInt64
    ) {
        self.source = source
        self.target = target
        self.sender = sender
        self.receiver = receiver
        self.application = application
        acknowledged = 0
        heardAt = now
        repliedAt = now
    }
}

/// A machine's clock: same rate for agent and launcher, never compared with another's.
struct HostClock {
    var offset: UInt64
    /// Nanoseconds that it counts in a thousand.
    var rate: UInt64

    func local(_ moment: UInt64) -> MonotonicInstant {
        MonotonicInstant(nanoseconds: offset + moment / 1000 * rate)
    }

    /// The world's moment at which this clock shows that, or just after.
    func moment(_ local: MonotonicInstant) -> UInt64 {
        guard local.nanoseconds > offset else { return 0 }
        return ((local.nanoseconds - offset) / rate + 1) * 1000
    }
}

/// What waits in an agent's one queue.
enum AgentInput {
    case event(InstanceEvent)
    /// With what the launcher said; state file and data are read when it comes to it.
    case attached(LauncherView)
    /// Word of a server's end, with the number of starts asked for until then: once overtaken by a start it
    /// would be taken for the end of the new server.
    case serverDown(starts: Int)
    case report
}

/// One life of an agent: the production core and what its shell keeps.
final class AgentProcess {
    /// The launcher that it is attached to.
    var launcherNumber = -1
    /// Unique in the world.
    let number: Int
    var machine: InstanceMachine
    var inbox: [AgentInput] = []
    var actions: [InstanceAction] = []
    var isBusy = false
    var isFrozen = false
    /// What became due while it was frozen.
    var deferred: [EventQueue.Step] = []
    var sent: [UInt64: MonotonicInstant] = [:]
    var cancelled: [ActionID] = []
    /// Dies before that many more actions are done.
    var actionsToLive: Int?
    /// What each action awaited is, for the coverage.
    var rows: [ActionID: AgentRow] = [:]
    var failsNextPersist = false
    var wakeAt: UInt64?
    var nextPoll: UInt64 = 0
    var polls = 0
    var asksReadiness = false
    /// When a heartbeat of this agent was last flushed; from the first on.
    var beatenAt: UInt64?

    init(number: Int, machine: InstanceMachine) {
        self.number = number
        self.machine = machine
    }
}

/// One machine: disk, launcher, server, agent.
final class Host {
    let index: Int
    let spec: InstanceSpec
    let clock: HostClock
    var disk = Disk()
    /// The right one, while another is mounted in its place.
    var hiddenDisk: Disk?
    /// Highest term whose promise reached the disk.
    var promised: Term = .none
    var isOn = true
    var isPaused = false
    /// What became due on it while it was paused.
    var deferred: [EventQueue.Step] = []
    var launcherIsAlive = true
    /// Number of the launcher's life.
    var launcherNumber = 0
    var leaseEnd: MonotonicInstant?
    /// Until when it may be seen to hang.
    var hungUntil: UInt64 = 0
    var server: ServerProcesses?
    /// How often a start was asked for.
    var starts = 0
    /// Orders taken, the newest last; kept for those that come once more.
    var taken: [Order] = []
    /// Processes that outlive the word that they are gone; only where rule R4 is broken.
    var lingering: [ServerProcesses] = []
    var agent: AgentProcess?
    /// The controller that its agent talks to, or did last.
    var leader: ControllerProcess?

    init(index: Int, spec: InstanceSpec, clock: HostClock) {
        self.index = index
        self.spec = spec
        self.clock = clock
    }

    var name: InstanceName { spec.name }
    var isRunning: Bool { isOn && !isPaused }
}
