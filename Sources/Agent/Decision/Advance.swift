import ClusterModel

/// The next step towards the goal, decided from what is, not from what happened: a lost, late or repeated event
/// changes nothing but the moment.
extension InstanceMachine {
    mutating func advance(_ now: MonotonicInstant) {
        guard phase != .unknown else { return }
        fence(now)
        hardenStop(now)
        if let checkpointDue, now >= checkpointDue, phase == .up { takeCheckpoint() }
        if let retryAt {
            guard now >= retryAt else { return }
            self.retryAt = nil
        }
        // Nothing that is under way may hold up the stop of a primary whose term is over.
        if case .prepare = goal, state.isPrimaryInOffice, phase == .up { return prepare(recover: false) }
        guard work == nil else { return }
        switch phase {
        case .unknown, .stopping: return
        case .starting:
            // A start may take as long as recovery does; only being given up ends it early.
            if case .follow(let plan) = goal, plan.discard != nil, plan.discard == state.incarnation { follow(plan) }
            return
        case .down, .up: break
        }
        switch goal {
        case .wait: rest()
        case .initialize: initialize(now)
        case .prepare(let recover): prepare(recover: recover)
        case .lead(let promotion): lead(promotion, now)
        case .govern(let governance, let version): govern(governance, version, now)
        case .handOver(let plan, let version): handOver(plan, version, now)
        case .follow(let plan): follow(plan)
        case .catchUp(let plan): catchUp(plan)
        }
    }

    /// Stops a primary before its lease ends (R3); the launcher's own timer does the same without us (R21).
    private mutating func fence(_ now: MonotonicInstant) {
        guard state.isPrimaryInOffice, armed || serverIsPrimary, phase != .down else { return }
        if holdOut(now) { return }
        guard let lease else {
            explain(.fence, rule: "R3", "a primary without a lease is stopped")
            return stop(.immediate)
        }
        if now >= lease.end {
            stop(.kill)
        } else if now >= lease.end - configuration.timings.fenceBudget, !isStoppingHard {
            explain(
                .fence,
                rule: "R3",
                "the lease of term \(lease.term) was not renewed: the server is stopped",
                evidence: ["ends in \((lease.end - now).wholeMilliseconds) ms"] + grantsMissing
            )
            stop(.immediate)
        }
    }

    /// A server that does not stop in time is stopped harder: SIGQUIT does nothing to a stopped process.
    mutating func hardenStop(_ now: MonotonicInstant) {
        guard case .stopping(let mode) = phase, mode != .kill else { return }
        guard let stopDeadline else {
            stopDeadline = now + (mode == .fast ? .seconds(10) : .seconds(1))
            return
        }
        guard now >= stopDeadline else { return }
        explain(.fence, "the server has not ended after a \(mode.rawValue) shutdown: it is stopped harder")
        stop(mode == .fast ? .immediate : .kill)
    }

    private var isStoppingHard: Bool { phase == .stopping(.immediate) || phase == .stopping(.kill) }

    private var serverIsPrimary: Bool { status.map { !$0.inRecovery } ?? false }

    /// Nothing was ordered: a standby is started again, a primary in office goes on under its lease.
    private mutating func rest() {
        guard phase == .down, state.role == .standby, !state.tainted, isKnownStandby() else { return }
        // Whom it followed may have gone another way since: it waits to be told.
        start(.standby(.nobody), peers: [])
    }

    mutating func start(_ launch: ServerLaunch, peers: [MemberID]) {
        lastID += 1
        let id = ActionID(rawValue: lastID)
        phase = .starting(id)
        // It is judged once more, when all of its WAL is replayed.
        divergence = nil
        readyToRewind = nil
        endedFast = false
        downSince = nil
        add(.start(id, launch, peers: peers))
    }

    // MARK: Birth (R24)

    private mutating func initialize(_ now: MonotonicInstant) {
        if case .present = directory, state.isPrimaryInOffice {
            // Clients wait until the record names it, and `govern` the rules (R24, I8).
            return startFirstPrimary(now)
        }
        guard phase == .down else { return }
        if state.role == .none || state.role == .initializing {
            persist { $0.role = .initializing }
            let id = begin(.initialize)
            add(.initialize(id))
        }
    }

    /// In office and down without a release, which only a first primary that never came up can be.
    private mutating func startFirstPrimary(_ now: MonotonicInstant) {
        guard phase == .down, leaseIsLive(now, for: state.primaryOfTerm) else { return }
        arm()
        start(.firstPrimary, peers: [])
    }

    // MARK: Revocation (R6)

    mutating func prepare(recover: Bool) {
        guard prepared?.term != state.promised.term else { return }
        switch state.role {
        case .none, .initializing, .cloning, .rewinding: return
        case .standby where state.tainted: return
        case .primary where state.isPrimaryInOffice:
            if phase == .up {
                explain(.fence, rule: "R6", "term \(state.promised.term) is being prepared: this primary stops")
                stop(.immediate)
            }
            return
        case .primary:
            guard phase == .down, !state.tainted else { return }
            if answerAfterShutdown() { return }
            guard recover else { return }
            // From here on it is a standby that has all it ever acknowledged.
            persist { $0.role = .standby }
            start(.standby(.nobody), peers: [])
        case .standby:
            guard phase == .down else { return cut() }
            // What ran as primary without an order could bear the number of a timeline that was assigned since (D82).
            guard isKnownStandby() else { return }
            start(.standby(.nobody), peers: [])
        }
    }

    mutating func cut() {
        following = nil
        let id = begin(.cut)
        let action = InstanceAction.cutReceiver(id, waitForReplay: needsReplay)
        // A cut only takes away: it may begin while the promise is being written. Its answer is a report, and no
        // report leaves before what was decided earlier is on disk.
        let last = actions.lastIndex { if case .explain = $0 { false } else { true } }
        if let last, case .persist = actions[last] { actions.insert(action, at: last) } else { add(action) }
    }

    // MARK: Promotion (R13)

    private mutating func lead(_ promotion: Promotion, _ now: MonotonicInstant) {
        guard phase == .up else {
            guard phase == .down, state.role == .standby, !state.tainted, isKnownStandby() else { return }
            return start(.standby(.nobody), peers: promotion.peers)
        }
        if self.promotion?.term == state.promised.term { return openWhenReplicated() }
        // After a restart of the agent the cut must be proven anew.
        if state.role == .standby && prepared?.term != state.promised.term { return cut() }
        guard leaseIsLive(now, for: state.promised.term) else { return }
        // Without its own timeline it is not known which others need a file.
        guard prepared != nil || status != nil else { return }
        rules = promotion.rules
        persist {
            $0.role = .primary
            $0.hasRecovered = false
            $0.primaryOfTerm = $0.promised.term
            $0.rules = promotion.rules
            $0.agents = promotion.agents
        }
        arm()
        explain(
            .promote,
            rule: "R13",
            "promoting to timeline \(promotion.timeline) in term \(state.promised.term)",
            evidence: prepared.map { ["\($0.position)"] } ?? []
        )
        let rule = promotion.rules.last ?? .birth(.required)
        let id = begin(.promote(promotion))
        add(
            .promote(
                id,
                PromotionWork(
                    term: state.promised.term,
                    timeline: promotion.timeline,
                    foreignTimelines: foreignTimelines(promotion),
                    synchronousNames: rule.required > 0 ? rule.synchronousStandbyNames : standbySynchronousNames,
                    emptiesNames: rule.required == 0,
                    peers: promotion.peers
                )
            )
        )
    }

    /// Used timelines above the candidate's own that are not its ancestors: without a file for each, PostgreSQL
    /// would take a number that somebody else took.
    private func foreignTimelines(_ promotion: Promotion) -> [Timeline] {
        guard let own = prepared?.position.timeline ?? status?.position.timeline else { return [] }
        guard own.rawValue + 1 < promotion.timeline.rawValue else { return [] }
        return (own.rawValue + 1..<promotion.timeline.rawValue).map(Timeline.init(rawValue:))
    }

    // MARK: In office (R12, R23)

    private mutating func govern(_ governance: Governance, _ version: RecordVersion, _ now: MonotonicInstant) {
        guard state.isPrimaryInOffice else { return }
        guard phase == .up else { return startFirstPrimary(now) }
        let newest = governance.rules.last ?? .birth(.required)
        if confirmation?.version != version {
            // Only a change under way needs the names' full proof; afterwards they are in force already.
            guard let status, mayConfirm(governance.rules, now) else { return }
            if governance.rules.count > 1 || status.synchronousNames != newest.synchronousStandbyNames {
                let id = begin(.applyRules(version: version, rules: governance.rules))
                // Any of the older rules may be the one that the server runs under.
                let older = governance.rules.dropLast()
                let leavesZero = older.contains { $0.required == 0 } || status.synchronousNames.isEmpty
                return add(
                    .applyRules(
                        id,
                        RulesWork(
                            synchronousNames: newest.synchronousStandbyNames,
                            leavesZero: leavesZero && newest.required > 0,
                            raisesCount: older.contains { $0.required < newest.required },
                            voters: governance.rules.flatMap(\.voters),
                            peers: governance.peers
                        )
                    )
                )
            }
            confirmation = RuleConfirmation(version: version, barrier: status.insertLSN)
            awaitsConfirmation = false
            add(.report)
        }
        rules = governance.rules
        openWhenReplicated()
    }

    /// Admits clients once, for each rule, k voters have flushed past the end of the recovery (R23).
    private mutating func openWhenReplicated() {
        guard let status, !status.inRecovery, state.isPrimaryInOffice, !rules.isEmpty else { return }
        if opened { return }
        if openingLSN == nil { openingLSN = status.insertLSN }
        guard let openingLSN else { return }
        let past = status.senders
            .filter { $0.usesOwnSlot && $0.state == "streaming" && $0.flushLSN >= openingLSN }
            .map(\.applicationName)
        let ready = rules.allSatisfy { rule in
            // At birth `required` has no voter yet, and waits for one; `preferred` says what it is, and opens.
            guard rule.required > 0 else { return rule.mode != .required || weakness == .openingAtBirth }
            return rule.voters.filter { past.contains($0.applicationName) }.count >= rule.required
        }
        guard ready else { return }
        let id = begin(.open)
        add(.openClients(id))
    }
}
