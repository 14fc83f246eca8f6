import ClusterModel

/// What each event changes; what to do next is decided in `advance`.
extension InstanceMachine {
    mutating func attached(
        _ found: InstanceState?,
        _ directory: DataDirectory,
        _ matches: Bool,
        _ copied: String?,
        _ server: LauncherView,
        _ now: MonotonicInstant
    ) {
        self.directory = directory
        abandonWork()
        goal = .wait
        retryAt = nil
        discarding = false
        lineage = nil
        forgetRewind()
        awaitsConfirmation = false
        let promised = state.promised
        state = found ?? InstanceState()
        // What was promised in this process's life stands even if the file says less.
        if state.promised.term < promised.term { persist { $0.promised = promised } }
        let isOwn = judgeDirectory(matches, copied, isDown: server == .down)
        if directory == .empty, state.role != .none, state.role != .cloning, state.role != .initializing {
            explain(.fault, rule: "R5", "the data directory is gone: this is a new member")
            persist {
                $0.role = .none
                $0.incarnation = nil
                $0.tainted = false
                $0.copyOf = nil
            }
        }
        bindAgain(now)
        // A complete copy has its incarnation; without one this is the old data, given up but perhaps not stopped yet.
        // Of a rewind nobody can say how far it came.
        rejoining = state.role == .cloning && state.incarnation != nil && isOwn
        switch server {
        case .down:
            phase = .down
            forgetServer()
            if downSince == nil { downSince = now }
            releaseIfDown()
        case .running(let remaining), .stopping(let remaining):
            phase = .up
            if case .stopping = server {
                // Nobody else waits for its end any more, nor stops it harder if it does not come (D117).
                phase = .stopping(.fast)
                endedFast = true
                stopDeadline = nil
            }
            downSince = nil
            // Whether its receiver ran is unknown: wait for replay to be sure.
            needsReplay = true
            armed = remaining != nil
            if let remaining, state.isPrimaryInOffice {
                lease = Lease(term: state.primaryOfTerm, end: now + remaining)
                // Whether the agent before this one got to it is unknown, and rewinds wait for it.
                checkpointDue = now
            }
        }
    }

    /// Whether these data are those that the state file speaks of; if not, the member's word and vote are not theirs (R5).
    ///
    /// What was promised stays: to refuse more than one must does no harm.
    private mutating func judgeDirectory(_ matches: Bool, _ copied: String?, isDown: Bool) -> Bool {
        guard case .present = directory else { return matches }
        if !matches {
            if state.role != .cloning, state.role != .initializing, !state.tainted {
                persist {
                    $0.tainted = true
                    $0.incarnation = nil
                }
                let text = "the data directory is not the one its state file knows: it is a new member"
                explain(.fault, rule: "R5", text)
            }
            return false
        }
        // A running server was judged by the agent that started it, and its data did not move since.
        if let copied, isDown || state.copyOf != nil, weakness != .copiesTaken {
            if state.incarnation != nil { setAside() }
            explain(.fault, rule: "R5", Self.copiedFault, evidence: [copied])
            return false
        }
        if let vouched = state.copyOf {
            persist {
                $0.incarnation = vouched
                $0.tainted = false
                $0.copyOf = nil
            }
            explain(.rejoin, rule: "R5", "the data are vouched for: this is incarnation \(vouched) again")
        }
        return true
    }

    /// Takes the incarnation from data that were copied or restored: what they forgot nobody knows.
    private mutating func setAside() {
        persist {
            // What would not have counted as it was is nothing to go back to.
            if !$0.tainted, $0.role == .standby || $0.role == .primary { $0.copyOf = $0.incarnation }
            $0.incarnation = nil
            if $0.role != .cloning { $0.tainted = true }
        }
    }

    static let copiedFault =
        "the data were copied or restored, and are made anew from a primary; if they are this member's newest, remove "
        + "all but the first line of pgdata/understudy.incarnation and start the agent again"

    mutating func launcherLost() {
        phase = .unknown
        abandonWork()
        forgetServer()
    }

    func isCurrentGrant(_ answer: ReportAnswer) -> Bool {
        guard answer.stamp.term == state.promised.term, answer.stamp.term > state.releasedTerm else { return false }
        if state.isPrimaryInOffice { return answer.stamp.term == state.primaryOfTerm }
        switch goal {
        case .lead, .initialize: return true
        // Of the candidate: the grant may come before the order that it is for.
        case .prepare: return prepared?.term == answer.stamp.term
        case .wait, .govern, .handOver, .follow, .catchUp: return false
        }
    }

    mutating func answered(_ answer: ReportAnswer, _ sentAt: MonotonicInstant, _ now: MonotonicInstant) {
        let isGrant = answer.lease != nil && isCurrentGrant(answer)
        heardLeader(answer, sentAt, granted: isGrant)
        guard let duration = answer.lease, isGrant else { return }
        // The grant is the controller's word on duration; never take more than was configured here.
        let end = sentAt + min(duration, configuration.timings.leaseDuration)
        if let lease, lease.term == answer.stamp.term, lease.end >= end { return }
        guard end - configuration.timings.fenceBudget > now else { return }
        lease = Lease(term: answer.stamp.term, end: end)
        // A server being fenced stays fenced; one that shuts down for a hand-over is given the time to do so cleanly.
        if state.isPrimaryInOffice, phase == .up || isStarting || phase == .stopping(.fast) { arm() }
    }

    var isStarting: Bool { if case .starting = phase { true } else { false } }

    mutating func arm() {
        guard let lease else { return }
        add(.armLease(until: lease.end))
        armed = true
    }

    mutating func observed(_ status: ServerStatus, _ now: MonotonicInstant) {
        // A poll that ended after the server did says nothing about what runs now.
        guard phase == .up || isStarting else { return }
        self.status = status
        statusAt = now
        missedPolls = 0
        if status.receiver?.status == "streaming" { needsReplay = false }
        guard phase == .up else { return }
        if prepared != nil, status.receiver?.status == "streaming" {
            explain(.fault, rule: "R6", "something reaches this server after the cut: its answer is void")
            prepared = nil
            cutPosition = nil
        }
        rejoined(status)
        if status.inRecovery, state.role == .standby, state.primaryOfTerm != .none, !state.hasRecovered {
            persist { $0.hasRecovered = true }
        }
        if !status.inRecovery && !state.isPrimaryInOffice { foundRoguePrimary(status) }
        extendWithoutLeader(now)
        if status.inRecovery || !status.clientsAdmitted { return }
        // An agent that came back to an opened primary keeps it open: R23 was met before it opened.
        if state.isPrimaryInOffice && work == nil { opened = true }
    }

    /// Counts again once it is a consistent standby; after a rewind, once it receives the recorded history (R6).
    private mutating func rejoined(_ status: ServerStatus) {
        guard rejoining, status.inRecovery else { return }
        switch state.role {
        case .cloning: break
        case .rewinding:
            guard case .follow(let plan) = goal, let receiver = status.receiver else { return }
            guard receiver.status == "streaming", receiver.timeline == plan.history.last?.timeline else { return }
        case .none, .initializing, .standby, .primary: return
        }
        rejoining = false
        persist {
            $0.role = .standby
            $0.hasRecovered = true
        }
        explain(.rejoin, rule: "R14", "a consistent standby again")
    }

    private mutating func foundRoguePrimary(_ status: ServerStatus) {
        explain(
            .fence,
            rule: "R5",
            "the server is out of recovery without an order: it is stopped and will be rebuilt",
            evidence: ["\(status.position)", "role \(state.role.rawValue), primary of term \(state.primaryOfTerm)"]
        )
        persist { $0.tainted = true }
        fault = "the server took a timeline without an order"
        stop(.immediate)
    }

    mutating func serverDown(_ now: MonotonicInstant) {
        guard phase != .unknown else { return }
        let expected: Bool = if case .stopping = phase { true } else { false }
        if !expected {
            explain(
                .evidence,
                rule: "R4",
                "the server died: no process of it is left",
                evidence: ["role \(state.role.rawValue)", "goal \(goalName)"]
            )
        }
        let wasStarting = isStarting
        phase = .down
        stopDeadline = nil
        forgetServer()
        if downSince == nil { downSince = now }
        if let work, work.kind.needsServer { abandonWork() }
        releaseIfDown()
        if !expected && state.role != .primary {
            retryLater(wasStarting ? "the server died while it was starting: see its log" : "the server died", now)
        }
    }

    /// Gives the term up for good once no process is left (R4).
    mutating func releaseIfDown() {
        guard phase == .down, state.isPrimaryInOffice else { return }
        // A first primary that never came up may try again: nobody else holds data.
        persist { $0.releasedTerm = $0.primaryOfTerm }
        lease = nil
        explain(
            .release,
            rule: "R4",
            "term \(state.primaryOfTerm) is released: no process is left and the gate is shut"
        )
    }

    /// What was known of the running server is void once it is down.
    mutating func forgetServer() {
        status = nil
        statusAt = nil
        missedPolls = 0
        prepared = nil
        confirmation = nil
        promotion = nil
        following = nil
        opened = false
        openingLSN = nil
        needsReplay = true
        armed = false
        forgetLapse()
        beats = []
        rounds = []
        deniedAt = nil
        stopped = nil
        cutPosition = nil
        rules = []
        checkpointDue = nil
        isReady = nil
        checkpointing = nil
        readyToHandOver = nil
    }

    mutating func stop(_ mode: StopMode) {
        switch phase {
        case .up, .starting: break
        case .stopping(let current):
            let harder = mode == .kill ? current != .kill : (mode == .immediate && current == .fast)
            if !harder { return }
        case .unknown, .down: return
        }
        phase = .stopping(mode)
        if mode == .fast { endedFast = true }
        stopDeadline = nil
        add(.stop(mode))
        // After the stop, which must not wait for it.
        if let work, work.kind.needsServer { abandonWork() }
    }

    var goalName: String {
        switch goal {
        case .wait: "wait"
        case .initialize: "initialize"
        case .prepare: "prepare"
        case .lead: "promote"
        case .govern: "govern"
        case .handOver: "hand over"
        case .follow(let plan): "follow \(plan.primary)"
        case .catchUp(let plan): "catch up from \(plan.primary)"
        }
    }
}

extension Work.Kind {
    /// Whether its success says that what failed before is over: reading a file again mends nothing.
    var mends: Bool {
        switch self {
        case .inspect, .readLineage, .makeReadyToRewind: false
        case .cut, .follow, .promote, .applyRules, .open, .initialize, .clone, .rewind: true
        }
    }

    /// Void once the server is down; the others run only while it is.
    var needsServer: Bool {
        switch self {
        case .cut, .follow, .promote, .applyRules, .open: true
        case .initialize, .clone, .makeReadyToRewind, .rewind, .inspect, .readLineage: false
        }
    }
}
