public import ClusterModel

/// What the shell asks the machine about its own loops; no decision rests on these.
extension InstanceMachine {
    /// Something is awaited of the running server: it is worth looking often.
    public var wantsCloseLook: Bool {
        guard phase == .up else { return false }
        // A procedure looks for itself, and looking takes strength from what it waits for.
        if let work, work.kind.needsServer { return false }
        if rejoining { return true }
        if state.isPrimaryInOffice { return !opened || rules.count > 1 }
        if following != nil, status?.receiver?.status != "streaming" { return true }
        return false
    }

    /// The server runs, and nothing is being done to it.
    public var isIdle: Bool { phase == .up && work == nil }

    /// `pg_isready` last said something other than that connections are accepted.
    public var isSuspect: Bool { phase == .up && (isReady ?? 0) != 0 }

    /// Each look may be the one that lets clients in.
    public var isAboutToOpen: Bool { state.isPrimaryInOffice && !opened && wantsCloseLook }

    /// Processes exist and have answered: a poll makes sense.
    public var isServerUp: Bool { phase == .up }

    /// No process should exist: none was asked for since the last one ended.
    public var expectsNoServer: Bool { phase == .down }

    /// Out of recovery and in office: heartbeats make sense (R22).
    public var isPrimaryUp: Bool { phase == .up && state.isPrimaryInOffice && status?.inRecovery == false }

    /// No leader grants a lease: what the voters have flushed is worth a look more often (R10).
    public func reliesOnVoters(at now: MonotonicInstant) -> Bool { isPrimaryUp && isLeaderless(now) }

    /// There was a data directory when it was last looked at, and no new one is being made.
    public var hasData: Bool {
        guard case .present = directory, work == nil else { return false }
        return state.role == .standby || state.role == .primary || state.role == .rewinding
    }

    /// A cut is made to answer `prepare`, not to judge what is on disk.
    package var answersPrepare: Bool {
        switch goal {
        case .prepare, .lead: true
        case .wait, .initialize, .govern, .handOver, .follow, .catchUp: false
        }
    }

    /// What the last poll saw.
    package var lastSeen: ServerStatus? { status }

    /// Every order is refused: the launcher is gone.
    package var isWithoutLauncher: Bool { phase == .unknown }

    /// Whether the outcome of that action would be ignored.
    public func awaitsNothing(of id: ActionID) -> Bool {
        if case .starting(let awaited) = phase, awaited == id { return false }
        return work?.id != id && checkpointing != id
    }
}

extension InstanceAction {
    /// The action's id, if its outcome is awaited.
    public var id: ActionID? {
        switch self {
        case .start(let id, _, _), .cutReceiver(let id, _), .follow(let id, _, _), .promote(let id, _),
            .applyRules(let id, _), .openClients(let id), .checkpointFirst(let id), .initialize(let id),
            .clone(let id, _, _), .makeReadyToRewind(let id, _), .rewind(let id, _), .inspect(let id),
            .readLineage(let id, _):
            id
        case .persist, .armLease, .stop, .checkpoint, .cancelWork, .attach, .report, .refuse, .askVoters,
            .answerPeer, .explain:
            nil
        }
    }
}
