public import ClusterModel

/// What an agent is told once, at its start.
public struct InstanceConfiguration: Hashable, Sendable {
    /// Its name in the cluster.
    public var name: InstanceName
    /// The same as its controller's.
    public var timings: Timings

    /// Creates an instance configuration from its parts.
    public init(name: InstanceName, timings: Timings) {
        self.name = name
        self.timings = timings
    }
}

/// What the latest accepted order wants of this instance.
enum Goal: Hashable, Sendable {
    /// Nothing was ordered since the agent came: a standby runs on as configured.
    case wait
    case initialize(Initialization)
    case prepare(recover: Bool)
    case lead(Promotion)
    case govern(Governance, version: RecordVersion)
    case handOver(HandOver, version: RecordVersion)
    case follow(FollowPlan)
    case catchUp(FollowPlan)

    /// Whether this comes after the preparation of its own term.
    var isBeyondPrepare: Bool {
        switch self {
        case .lead, .govern, .handOver, .follow: true
        case .wait, .initialize, .prepare, .catchUp: false
        }
    }
}

/// Where the server's processes are.
enum ServerPhase: Hashable, Sendable {
    /// No launcher: every process is gone with it, but no word of it yet.
    case unknown
    /// No process left, gate shut.
    case down
    case starting(ActionID)
    case up
    case stopping(StopMode)
}

/// Long work under way; one at a time, so that every step sees the end of the one before.
struct Work: Hashable, Sendable {
    enum Kind: Hashable, Sendable {
        case cut, follow(FollowPlan), promote(Promotion), applyRules(version: RecordVersion, rules: [Rule]), open
        case initialize, clone, makeReadyToRewind(Upstream), rewind, inspect, readLineage
    }
    var id: ActionID
    var kind: Kind
}

/// WAL here that a recorded history does not contain.
struct Divergence: Hashable, Sendable {
    var history: [Primacy]
    var reason: String
}

/// A right to be primary that ends by itself (R2).
struct Lease: Hashable, Sendable {
    var term: Term
    var end: MonotonicInstant
}

/// Decides for one instance: may its server run, as what, until when; follow, rewind or rebuild.
///
/// A value: the same events at the same moments give the same decisions, here and in the simulator.
public struct InstanceMachine: Hashable, Sendable {
    /// What it was made with.
    public let configuration: InstanceConfiguration
    /// As last decided; on disk once the `persist` of that decision is done.
    public internal(set) var state: InstanceState
    var directory: DataDirectory = .empty
    var phase: ServerPhase = .unknown
    var goal: Goal = .wait
    /// Term of the order that set the goal.
    var goalTerm: Term = .none
    var work: Work?
    var lease: Lease?
    /// Whether the launcher holds a lease timer for the running server.
    var armed = false
    /// Until when the launcher was told to let a primary run that goes on without a lease (R2, R10).
    var heldUntil: MonotonicInstant?
    /// Runs on without a lease and without k voters: off the route, its commits wait (R10).
    var lapsed = false
    /// Rules were told that this primary has not confirmed yet, in this or an earlier life of its agent (R12).
    var awaitsConfirmation = false
    /// Heartbeats that may yet extend the lease, oldest first (R10).
    var beats: [Heartbeat] = []
    /// When the report was sent that a leader granted a lease on last.
    var grantedAt: MonotonicInstant?
    /// When the report was sent that a leader last answered without granting; nil once it granted again.
    var deniedAt: MonotonicInstant?
    /// Highest term that a leader named in an answer, or another agent.
    var seenTerm: Term = .none
    /// Rounds of questions to the voters' agents that may yet extend the lease, oldest first (R10).
    var rounds: [GrantRound] = []
    var lastRound: UInt64 = 0
    /// When the voters' agents were asked last.
    var askedAt: MonotonicInstant?
    /// Who extended the lease last, without a leader.
    var extendedBy: [InstanceName] = []
    /// What another agent last said when it did not grant.
    var denial = ""
    /// Until when it prepares for no term above that of its last grant to another instance (R10).
    var boundUntil: MonotonicInstant?

    var status: ServerStatus?
    var statusAt: MonotonicInstant?
    /// Polls missed in a row.
    var missedPolls = 0
    var isReady: Int?
    /// One that a promotion took by itself: nobody may be given it any more (R13).
    var strayTimeline: Timeline?
    var downSince: MonotonicInstant?
    var stopped: StoppedFacts?

    var prepared: PreparedAnswer?
    var confirmation: RuleConfirmation?
    var promotion: PromotionResult?
    var following: Following?
    var rules: [Rule] = []
    var opened = false
    /// R23's threshold: clients are admitted once enough voters have flushed past it.
    var openingLSN: LSN?
    /// The server was started by us and its receiver has not run since: replay must reach the end (R6).
    var needsReplay = true
    /// A clone or rewind is complete, but the server has not yet shown that it is a consistent standby.
    var rejoining = false
    /// A new copy is being made; the old directory stays until that is complete.
    var discarding = false
    /// End of the WAL here, read after a cut with all of it replayed.
    var cutPosition: WALPosition?
    /// Why this standby must be rewound, and by which history; what it was told to stop for.
    var divergence: Divergence?
    /// To whom everything is ready for a rewind that has changed nothing yet.
    var readyToRewind: Upstream?
    /// Rewinds to this term's primary that failed by what is here.
    var rewindFailures = 0
    /// What the history file here says of the timeline that the WAL here is on; nil if not read.
    var lineage: Lineage?
    /// When the new primary checkpoints at the latest, so that others can rewind from it.
    var checkpointDue: MonotonicInstant?
    /// The checkpoint before a hand-over, while it runs; other work goes on beside it.
    var checkpointing: ActionID?
    /// Version of the hand-over that was ordered, once its checkpoint is done (R16).
    var readyToHandOver: RecordVersion?
    /// The last server was told to shut down fast: its control file may say where its WAL ends.
    var endedFast = false
    var fault = ""
    var retryAt: MonotonicInstant?
    /// When a stop that has not ended is made harder.
    var stopDeadline: MonotonicInstant?
    var failures = 0

    /// When anything was last handled, and when a long pause since then ended: this agent itself stood still.
    var handledAt: MonotonicInstant?
    var wokeAt: MonotonicInstant?

    var lastID: UInt64 = 0
    var lastSequence: UInt64 = 0
    /// Set by the simulator alone, to prove that a rule is needed.
    package var weakness: Weakness?
    /// Actions of the decision being made; empty between decisions.
    var actions: [InstanceAction] = []

    /// Creates one that has seen nothing yet.
    public init(configuration: InstanceConfiguration) {
        self.configuration = configuration
        state = InstanceState()
    }

    /// Takes an event and says what to do, in order.
    public mutating func handle(_ event: InstanceEvent, at now: MonotonicInstant) -> [InstanceAction] {
        actions = []
        let before = outline
        if let handledAt, now - handledAt > configuration.timings.reportInterval * 2 { wokeAt = now }
        handledAt = now
        switch event {
        case .attached(let found, let directory, let matches, let copied, let server):
            attached(found, directory, matches, copied, server, now)
        case .launcherLost: launcherLost()
        case .order(let order): take(order, now)
        case .answered(let answer, let sentAt): answered(answer, sentAt, now)
        case .observed(let status): observed(status, now)
        case .unobserved: if phase == .up { missedPolls += 1 }
        case .beaten(let end, let begunAt): beaten(end, begunAt)
        case .readiness(let code): isReady = code
        case .checkpointFailed(let reason): checkpointFailed(reason, now)
        case .postmasterExited: if downSince == nil { downSince = now }
        case .serverDown: serverDown(now)
        case .completed(let id, let outcome): completed(id, outcome, now)
        case .asked(let request, let name, let question): asked(request, name, question, now)
        case .peerAnswered(let answer, let name): peerAnswered(answer, name, now)
        case .tick: break
        }
        advance(now)
        hardenStop(now)
        askVoters(now)
        checkInvariants(now)
        if outline != before { add(.report) }
        defer { actions = [] }
        return actions
    }

    /// The moment by which the machine wants a tick; nil if no time matters.
    public func wakeAt(after now: MonotonicInstant) -> MonotonicInstant? {
        var moments: [MonotonicInstant] = []
        if let lease, state.isPrimaryInOffice, phase != .down {
            moments += [holdAt(lease.end), lease.end - configuration.timings.fenceBudget, lease.end]
            if let heldUntil { moments.append(holdAt(heldUntil)) }
        }
        if let askDue { moments.append(askDue) }
        if let retryAt { moments.append(retryAt) }
        if let stopDeadline { moments.append(stopDeadline) }
        if let checkpointDue { moments.append(checkpointDue) }
        return moments.filter { $0 > now }.min()
    }

    /// Drops what no safety rests on, so that like states of the exhaustive simulator are equal.
    package mutating func forgetStory() {
        if work == nil, !isStarting { lastID = 0 }
        lastSequence = 0
        (handledAt, wokeAt) = (nil, nil)
        isReady = nil
        if phase == .up { downSince = nil }
    }

    /// This instance in its present incarnation.
    var member: MemberID? {
        state.incarnation.map { MemberID(name: configuration.name, incarnation: $0) }
    }

    mutating func add(_ action: InstanceAction) { actions.append(action) }

    mutating func explain(_ kind: Explanation.Kind, rule: String = "", _ text: String, evidence: [String] = []) {
        add(.explain(Explanation(kind, rule: rule, text, evidence: evidence)))
    }

    mutating func persist(_ change: (inout InstanceState) -> Void) {
        let before = state
        change(&state)
        invariant(state.promised.term >= before.promised.term, "a promise never falls (I2)")
        guard state != before else { return }
        // One write does for what is decided in one breath.
        let done = actions.lastIndex { if case .explain = $0 { false } else { true } }
        if let done, case .persist = actions[done] { actions.remove(at: done) }
        add(.persist(state))
    }

    mutating func begin(_ kind: Work.Kind) -> ActionID {
        lastID += 1
        let id = ActionID(rawValue: lastID)
        work = Work(id: id, kind: kind)
        return id
    }

    /// Ends what is under way: no step of it is done any more.
    mutating func abandonWork() {
        guard let work else { return }
        add(.cancelWork(work.id))
        self.work = nil
    }

    mutating func retryLater(_ reason: String, _ now: MonotonicInstant) {
        failures += 1
        fault = reason
        let seconds = min(30, 1 << min(failures - 1, 5))
        retryAt = now + .milliseconds(failures == 1 ? 250 : seconds * 1000)
        explain(.fault, "\(reason); next try in \(failures == 1 ? "250 ms" : "\(seconds) s")")
    }

    private func checkInvariants(_ now: MonotonicInstant) {
        for action in actions {
            if case .start(_, .firstPrimary, _) = action {
                invariant(
                    state.isPrimaryInOffice && leaseIsLive(now, for: state.primaryOfTerm),
                    "a gate opens as primary only under a lease (I4)"
                )
            }
            if case .promote = action {
                invariant(
                    state.isPrimaryInOffice && leaseIsLive(now, for: state.primaryOfTerm),
                    "a promotion only under a lease (I4)"
                )
                invariant(state.promised.term == state.primaryOfTerm, "a promotion only in the promised term (R1)")
            }
        }
    }

    /// Whether there is time left of a lease for exactly that term: one of an earlier term permits nothing.
    func leaseIsLive(_ now: MonotonicInstant, for term: Term) -> Bool {
        guard let lease, lease.term == term else { return false }
        return now < lease.end - configuration.timings.fenceBudget
    }

    /// What a change of must be told at once.
    private var outline: Outline {
        Outline(
            state: state,
            server: serverState,
            prepared: prepared,
            confirmation: confirmation,
            promotion: promotion,
            following: following,
            readyToHandOver: readyToHandOver,
            opened: isRouted,
            fault: fault,
            receiving: status?.receiver?.status == "streaming"
        )
    }

    private struct Outline: Equatable {
        var state: InstanceState
        var server: ServerState
        var prepared: PreparedAnswer?
        var confirmation: RuleConfirmation?
        var promotion: PromotionResult?
        var following: Following?
        var readyToHandOver: RecordVersion?
        var opened: Bool
        var fault: String
        var receiving: Bool
    }
}
