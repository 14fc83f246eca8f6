import ClusterModel

/// What the history file of a data directory says against the recorded history; nil if nothing (R14).
///
/// Every timeline that it went through must be recorded with the same parent and the same fork. One that no primary has
/// confirmed tells what its candidate answered: the beginning of a record more, or what a lying disk lost since.
func contradiction(of lineage: Lineage, to history: [Primacy]) -> String? {
    let oldest = history.first?.timeline ?? .none
    let start = lineage.forks.first?.parent ?? lineage.timeline
    if let entry = history.last(where: { $0.timeline == start }), entry.parent != .none {
        return "its history file says nothing of how timeline \(start) left timeline \(entry.parent)"
    }
    for (child, fork) in lineage.steps {
        guard let entry = history.last(where: { $0.timeline == child }) else {
            // The record forgets its oldest entries.
            if child < oldest { continue }
            return "its history file names timeline \(child), which the record does not have"
        }
        if child == oldest && entry.parent == .none { return "its history file lets the first timeline have a parent" }
        let isSame = entry.parent == fork.parent && entry.forkLSN == fork.lsn
        if isSame || !entry.isConfirmed && fork.lsn <= entry.forkLSN { continue }
        return "its history file says that timeline \(child) left timeline \(fork.parent) at \(fork.lsn), the record "
            + "that it left timeline \(entry.parent) at \(entry.forkLSN)"
    }
    return nil
}

/// Becoming a standby of the recorded primary: follow, rewind or rebuild (R14).
extension InstanceMachine {
    mutating func follow(_ plan: FollowPlan) {
        let upstream = Upstream(
            primary: plan.primary,
            server: plan.server,
            systemIdentifier: plan.systemIdentifier,
            lineage: Lineage(of: plan.history)
        )
        if plan.discard != nil && plan.discard == state.incarnation { discarding = true }
        if discarding { return rebuild(upstream, "it was told to") }
        switch state.role {
        case .cloning where rejoining:
            // A copy holds all it needs to become consistent; whom it follows is judged then.
            if phase == .down { start(.standby(.nobody), peers: plan.peers) }
        case .rewinding where rejoining:
            // Just rewound onto this very history, and it needs the rest of it to become consistent.
            if phase == .down { start(.standby(.upstream(upstream)), peers: plan.peers) }
        case .none: rebuild(upstream, "there is no data")
        case .initializing, .cloning: rebuild(upstream, "an earlier copy was not finished")
        case _ where state.tainted: rebuild(upstream, taint)
        case .rewinding: resumeRewind(plan, upstream)
        case .primary where state.isPrimaryInOffice:
            explain(
                .fence,
                rule: "R14",
                "'\(plan.primary)' is primary of term \(state.promised.term): this server stops"
            )
            stop(.immediate)
        case .primary: rejoinFormerPrimary(plan, upstream)
        case .standby: rejoinStandby(plan, upstream)
        }
    }

    /// Why the data here count for nothing.
    private var taint: String {
        if state.copyOf != nil { return "its data were copied or restored" }
        return state.incarnation == nil ? "its data are not this member's" : "its data took a timeline without an order"
    }

    /// Goes on after an interrupted rewind.
    ///
    /// `pg_rewind` leaves "in archive recovery" in the control file as its last step. Recovering such a directory
    /// alone, as before another rewind, would end its WAL with a checkpoint that the source never wrote, at a place
    /// that both have passed: `pg_rewind` would not see it. And whether it was rewound, or is a standby that was
    /// killed before, cannot be told from it.
    private mutating func resumeRewind(_ plan: FollowPlan, _ upstream: Upstream) {
        guard phase == .down else { return stop(.fast) }
        guard let stopped else {
            let id = begin(.inspect)
            return add(.inspect(id))
        }
        if stopped.cleanShutdown || stopped.wasPrimary {
            return rewind(upstream, "an earlier rewind was not finished")
        }
        rebuild(upstream, "an earlier rewind was interrupted, and its server did not shut down cleanly")
    }

    private mutating func rejoinFormerPrimary(_ plan: FollowPlan, _ upstream: Upstream) {
        guard phase == .down else { return stop(.immediate) }
        guard let stopped else {
            let id = begin(.inspect)
            return add(.inspect(id))
        }
        // Its promotion failed in recovery: it never wrote, and is judged like any standby. No rewind left this, or
        // the role would say so (D105).
        guard stopped.wasPrimary else {
            let term = state.primaryOfTerm
            explain(.rejoin, rule: "R14", "it was to be primary of term \(term), and never left recovery: a standby")
            persist { $0.role = .standby }
            return start(.standby(.nobody), peers: plan.peers)
        }
        if stopped.cleanShutdown {
            switch judge(WALPosition(timeline: stopped.timeline, lsn: stopped.end), plan) {
            case nil: return
            case .prefix:
                persist { $0.role = .standby }
                if rejoinAfterShutdown(plan, upstream) { return }
                return start(.standby(.nobody), peers: plan.peers)
            case .unknown(let reason): return rebuild(upstream, reason)
            case .diverged(let reason): return rewind(upstream, reason)
            }
        }
        switch judge(WALPosition(timeline: stopped.timeline, lsn: .zero), plan) {
        case nil: break
        case .unknown(let reason): rebuild(upstream, reason)
        case .prefix, .diverged: rewind(upstream, "the former primary did not shut down cleanly")
        }
    }

    private mutating func rejoinStandby(_ plan: FollowPlan, _ upstream: Upstream) {
        if weakness == .unjudgedFollower, phase == .down {
            return start(.standby(.upstream(upstream)), peers: plan.peers)
        }
        guard phase == .up else {
            guard isKnownStandby() else { return }
            if rejoinAfterShutdown(plan, upstream) { return }
            return rewindStandby(plan, upstream)
        }
        guard let status else { return }
        // A receiver tells the primary its own end as flushed, whatever its history: PostgreSQL would count it.
        // So nothing is followed before the whole of what is on disk here has been judged.
        let wanted = Following(term: state.promised.term, primary: plan.primary)
        // Somebody may have pointed it elsewhere by hand since.
        let strays = status.receiver.map { $0.status == "streaming" && $0.sender != plan.server } ?? false
        if following == wanted && (!strays || weakness == .strayUnseen) { return }
        let isThere =
            weakness == .unjudgedFollower
            || status.receiver?.status == "streaming" && status.receiver?.sender == plan.server
        if cutPosition == nil && !isThere { return cut() }
        let end = max(status.position, cutPosition ?? status.position)
        switch weakness == .unjudgedFollower ? Ancestry.prefix : judge(end, plan) {
        case nil: break
        case .prefix:
            cutPosition = nil
            let id = begin(.follow(plan))
            add(.follow(id, upstream, peers: plan.peers))
        case .diverged(let reason):
            explain(.rejoin, rule: "R14", "this standby must be rewound: \(reason)")
            divergence = Divergence(history: plan.history, reason: reason)
            if weakness == .earlyRewinding { persist { $0.role = .rewinding } }
            stop(.fast)
        case .unknown(let reason): rebuild(upstream, reason)
        }
    }

    /// Judges a position here by the recorded history and by the whole chain of the history file here; nil while that
    /// must be read first.
    mutating func judge(_ position: WALPosition, _ plan: FollowPlan) -> Ancestry? {
        let found = ancestry(of: position, in: plan.history)
        if case .unknown = found { return found }
        guard position.timeline > .first else { return found }
        guard let lineage, lineage.timeline == position.timeline else {
            let id = begin(.readLineage)
            add(.readLineage(id, position.timeline))
            return nil
        }
        guard let reason = contradiction(of: lineage, to: plan.history) else { return found }
        explain(.fault, rule: "R14", "the data directory is not of the recorded history: \(reason)")
        persist { $0.tainted = true }
        return .unknown(reason)
    }

    /// Looks at the control file before a standby is started: afterwards it no longer tells who ran it as primary.
    mutating func isKnownStandby() -> Bool {
        guard let stopped else {
            let id = begin(.inspect)
            add(.inspect(id))
            return false
        }
        guard stopped.wasPrimary, state.primaryOfTerm == .none || state.hasRecovered else { return true }
        explain(.fault, rule: "R14", "the standby ran as primary without an order: it will be rebuilt")
        persist { $0.tainted = true }
        return false
    }

    /// Rewinds a standby that was stopped because it must be; starts every other, cut.
    private mutating func rewindStandby(_ plan: FollowPlan, _ upstream: Upstream) {
        guard let divergence, divergence.history == plan.history else {
            return start(.standby(.nobody), peers: plan.peers)
        }
        if stopped?.cleanShutdown == true { return rewind(upstream, divergence.reason) }
        // It was killed while it stopped; a rewind takes one that shut down (D7). It replays, and is judged once more.
        rewindFailures += 1
        if rewindFailures >= Self.rewindAttempts {
            return rebuild(upstream, "it must be rewound, and its server does not shut down cleanly")
        }
        start(.standby(.nobody), peers: plan.peers)
    }

    /// Makes everything ready, and only then begins what changes the data directory.
    ///
    /// Until then a member has lost nothing, and answers `prepare` like any other (D105).
    private mutating func rewind(_ upstream: Upstream, _ reason: String) {
        if phase == .up { return stop(.fast) }
        if weakness == .earlyRewinding { persist { $0.role = .rewinding } }
        guard readyToRewind == upstream else {
            explain(.rejoin, rule: "R14", "to be rewound to '\(upstream.primary)': \(reason)")
            let id = begin(.makeReadyToRewind(upstream))
            return add(.makeReadyToRewind(id, upstream))
        }
        explain(.rejoin, rule: "R14", "rewinding to '\(upstream.primary)': \(reason)")
        persist { $0.role = .rewinding }
        // What the control file said before says nothing about a rewind that does not end; nor does readiness.
        stopped = nil
        readyToRewind = nil
        let id = begin(.rewind)
        add(.rewind(id, upstream))
    }

    /// How often a rewind may fail by what is here.
    static let rewindAttempts = 2

    mutating func forgetRewind() {
        divergence = nil
        readyToRewind = nil
        rewindFailures = 0
    }

    mutating func rebuild(_ upstream: Upstream, _ reason: String) {
        // One that merely does not receive has nothing that the primary lacks.
        let keepsWAL = state.role != .standby || state.tainted || !discarding
        rejoining = false
        discarding = true
        // What holds nothing of use is given up before its server stops. A standby that merely does not receive
        // keeps its word and its vote until the copy is complete: it may be the last to hold something.
        if state.role != .standby || state.tainted || weakness == .earlyDiscard {
            persist {
                $0.role = .cloning
                $0.incarnation = nil
                $0.copyOf = nil
            }
        }
        if phase != .down { return stop(.fast) }
        explain(.rejoin, rule: "R14", "making a new copy of '\(upstream.primary)': \(reason)")
        let id = begin(.clone)
        add(.clone(id, upstream, keepsWAL: keepsWAL))
    }
}
