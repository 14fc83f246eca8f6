import ClusterModel

/// What the end of each action changes.
extension InstanceMachine {
    mutating func completed(_ id: ActionID, _ outcome: Outcome, _ now: MonotonicInstant) {
        if case .starting(let expected) = phase, expected == id { return startEnded(outcome, now) }
        if checkpointing == id { return checkpointEnded(outcome, now) }
        guard let work, work.id == id else {
            return explain(.refused, "the outcome of action \(id) is ignored: it is not awaited any more")
        }
        self.work = nil
        switch outcome {
        case .failed(let reason): return failed(work.kind, reason, now)
        case .sourceLost(let reason): return retryLater("could not rewind: \(reason)", now)
        case .foundServer: return foundServer()
        default: break
        }
        if work.kind.mends {
            failures = 0
            fault = ""
        }
        switch (work.kind, outcome) {
        case (.cut, .cut(let position)): cutEnded(position)
        case (.follow(let plan), .following): followEnded(plan)
        case (.promote(let promotion), .promoted(let timeline, let switchLSN, let fork)):
            promoted(promotion, timeline, switchLSN, fork, now)
        case (.applyRules(let version, let rules), .rulesApplied(let barrier)):
            self.rules = rules
            confirmation = RuleConfirmation(version: version, barrier: barrier)
            awaitsConfirmation = false
            explain(.rules, rule: "R12", "the names of record version \(version) are in force from \(barrier) on")
        case (.open, .opened):
            opened = true
            // A new connection came through; what pg_isready said before is out of date.
            isReady = nil
            explain(.opened, rule: "R23", "clients are admitted in term \(state.primaryOfTerm)")
            if checkpointDue != nil { takeCheckpoint() }
        case (.initialize, .initialized(let incarnation, let number)): initialized(incarnation, number)
        case (.clone, .cloned(let incarnation, let number)):
            directory = .present(number)
            rejoining = true
            discarding = false
            lineage = nil
            forgetRewind()
            persist {
                $0.role = .cloning
                $0.incarnation = incarnation
                $0.tainted = false
                $0.copyOf = nil
                $0.primaryOfTerm = .none
                $0.releasedTerm = .none
                $0.hasRecovered = false
            }
            explain(.rejoin, rule: "R14", "the copy is complete; this is incarnation \(incarnation)")
        case (.makeReadyToRewind(let upstream), .readyToRewind): readyToRewind = upstream
        case (.rewind, .rewound):
            rejoining = true
            lineage = nil
            forgetRewind()
            explain(.rejoin, rule: "R14", "rewound to the recorded history")
        case (.inspect, .inspected(let facts)): stopped = facts
        case (.readLineage, .lineage(let found)): lineage = found
        default: failed(work.kind, "the action ended with an outcome that is not its own", now)
        }
    }

    private mutating func startEnded(_ outcome: Outcome, _ now: MonotonicInstant) {
        switch outcome {
        case .started:
            phase = .up
            failures = 0
            fault = ""
            stopped = nil
            if state.isPrimaryInOffice { openingLSN = nil }
        case .failed(let reason):
            phase = .stopping(.immediate)
            add(.stop(.immediate))
            retryLater("could not start the server: \(reason)", now)
        case .cut, .following, .promoted, .rulesApplied, .opened, .checkpointed, .initialized, .cloned, .readyToRewind,
            .rewound, .sourceLost, .inspected, .lineage, .foundServer:
            phase = .stopping(.immediate)
            add(.stop(.immediate))
            retryLater("the start ended with an outcome that is not its own", now)
        }
    }

    /// A server runs that is not known here: what was seen of the launcher is out of date, and every step that needs a
    /// server that is down would fail for ever (D103).
    private mutating func foundServer() {
        explain(.fault, rule: "R5", "a server runs that was taken for down: looking at the instance anew")
        launcherLost()
        add(.attach)
    }

    private mutating func cutEnded(_ position: WALPosition) {
        guard case .standby = state.role else { return }
        needsReplay = false
        cutPosition = position
        switch goal {
        case .prepare, .lead: break
        case .wait, .initialize, .govern, .handOver, .follow, .catchUp: return
        }
        prepared = PreparedAnswer(term: state.promised.term, position: position)
        explain(
            .prepare,
            rule: "R6",
            "term \(state.promised.term) is promised: nothing reaches this server any more",
            evidence: ["\(position)"]
        )
    }

    private mutating func followEnded(_ plan: FollowPlan) {
        prepared = nil
        // Where the receiver was until now says nothing about where it is.
        status?.receiver = nil
        following = Following(term: state.promised.term, primary: plan.primary)
        explain(.follow, rule: "R14", "following '\(plan.primary)' in term \(state.promised.term)")
    }

    private mutating func promoted(
        _ promotion: Promotion,
        _ timeline: Timeline,
        _ switchLSN: LSN,
        _ fork: Lineage.Fork,
        _ now: MonotonicInstant
    ) {
        guard timeline == promotion.timeline else {
            explain(
                .fence,
                rule: "R13",
                "PostgreSQL took timeline \(timeline), not \(promotion.timeline): it is stopped"
            )
            fault = "the promotion took timeline \(timeline) instead of \(promotion.timeline)"
            strayTimeline = timeline
            persist { $0.tainted = true }
            return stop(.immediate)
        }
        self.promotion = PromotionResult(
            term: state.primaryOfTerm,
            timeline: timeline,
            switchLSN: switchLSN,
            forkLSN: fork.lsn,
            parent: fork.parent
        )
        openingLSN = switchLSN
        prepared = nil
        following = nil
        // Soon in any case: a member that has to rewind before it can be the k-th voter waits for it.
        checkpointDue = now + .milliseconds(300)
        explain(
            .promote,
            rule: "R13",
            "out of recovery on timeline \(timeline)",
            evidence: ["left timeline \(fork.parent) at \(fork.lsn)", "switch record ends by \(switchLSN)"]
        )
    }

    private mutating func initialized(_ incarnation: Incarnation, _ number: SystemIdentifier) {
        directory = .present(number)
        let rules: [Rule] = if case .initialize(let plan) = goal { plan.rules } else { [] }
        persist {
            $0.role = .primary
            $0.incarnation = incarnation
            $0.primaryOfTerm = $0.promised.term
            $0.hasRecovered = false
            $0.rules = rules
        }
        explain(.birth, rule: "R24", "the first data directory is made: system identifier \(number)")
    }

    /// Whoever must be rewound waits for it (R14).
    mutating func checkpointFailed(_ reason: String, _ now: MonotonicInstant) {
        guard phase == .up, state.isPrimaryInOffice else { return }
        explain(.fault, rule: "R14", "the checkpoint that others rewind from failed: \(reason); next try in 1 s")
        checkpointDue = now + .seconds(1)
    }

    mutating func takeCheckpoint() {
        checkpointDue = nil
        add(.checkpoint)
    }

    private mutating func failed(_ kind: Work.Kind, _ reason: String, _ now: MonotonicInstant) {
        switch kind {
        case .promote:
            explain(.fault, rule: "R13", "the promotion failed: \(reason)")
            fault = "could not promote: \(reason)"
            // From the trigger on it is a primary: it stops, and the term is given up.
            stop(.immediate)
        case .rewind:
            retryLater("could not rewind: \(reason)", now)
            rewindFailures += 1
            // Twice is enough: WAL that is gone does not come back.
            if rewindFailures >= Self.rewindAttempts, state.role == .rewinding {
                persist {
                    $0.role = .cloning
                    $0.incarnation = nil
                    $0.copyOf = nil
                }
            }
        // Nothing here was changed: it keeps what it holds, and its word (D105).
        case .makeReadyToRewind: retryLater("could not rewind yet: \(reason)", now)
        case .cut: retryLater("could not cut the receiver: \(reason)", now)
        case .follow: retryLater("could not follow: \(reason)", now)
        case .applyRules: retryLater("could not put the names in force: \(reason)", now)
        case .open: retryLater("could not admit clients: \(reason)", now)
        case .initialize: retryLater("could not initialize: \(reason)", now)
        case .clone: retryLater("could not clone: \(reason)", now)
        case .inspect: retryLater("could not read the control file: \(reason)", now)
        case .readLineage: retryLater("could not read the history file: \(reason)", now)
        }
    }
}
