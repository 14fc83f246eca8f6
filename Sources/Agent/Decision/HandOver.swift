import ClusterModel

/// A primary's part in a planned change of primary, and in one that was given up (R16).
extension InstanceMachine {
    /// Longest time that a fast shutdown is given, whatever the order says.
    static let longestShutdown = Duration.seconds(60)

    /// Checkpoints, or shuts down for good in this term; then looks where its WAL ends.
    mutating func handOver(_ plan: HandOver, _ version: RecordVersion, _ now: MonotonicInstant) {
        guard state.isPrimaryInOffice else {
            // The answer to the `prepare` that comes next is ready when that comes.
            if phase == .down, endedFast, stopped == nil { beginInspection() }
            return
        }
        guard phase == .up else { return }
        guard plan.stops else { return checkpointFirst(version) }
        let patience = min(max(plan.deadline, .zero), Self.longestShutdown)
        explain(
            .switchover,
            rule: "R16",
            "the server shuts down, to hand over from term \(state.primaryOfTerm)",
            evidence: ["at once and uncleanly if it has not ended within \(patience.wholeMilliseconds) ms"]
        )
        // No client session survives this, and none is admitted any more; what is flushed still reaches the standbys.
        stop(.fast)
        stopDeadline = now + patience
    }

    private mutating func checkpointFirst(_ version: RecordVersion) {
        guard readyToHandOver != version, checkpointing == nil else { return }
        // Another version of the record changes nothing about a checkpoint that is done.
        if readyToHandOver != nil {
            readyToHandOver = version
            return
        }
        lastID += 1
        let id = ActionID(rawValue: lastID)
        checkpointing = id
        add(.checkpointFirst(id))
    }

    mutating func checkpointEnded(_ outcome: Outcome, _ now: MonotonicInstant) {
        checkpointing = nil
        guard case .handOver(_, let version) = goal else { return }
        guard case .checkpointed = outcome else {
            if case .failed(let reason) = outcome {
                retryLater("could not checkpoint before handing over: \(reason)", now)
            }
            return
        }
        failures = 0
        fault = ""
        readyToHandOver = version
        explain(.switchover, rule: "R16", "the checkpoint before handing over is done")
    }

    /// The change of primary that a higher term was opened for was given up: this primary goes on in that term, in
    /// place and on its own timeline.
    mutating func goOn() {
        let before = state.primaryOfTerm
        persist { $0.primaryOfTerm = $0.promised.term }
        explain(
            .abandoned,
            rule: "R16",
            "primary of term \(before) goes on in term \(state.promised.term): no candidate was recorded in it"
        )
    }

    private mutating func beginInspection() {
        let id = begin(.inspect)
        add(.inspect(id))
    }

    /// Answers `prepare` from the control file of a server that was shut down cleanly: nothing can be added to its WAL,
    /// which ends with the shutdown checkpoint (R6).
    ///
    /// Gives true if there is nothing else to do, or nothing else yet.
    mutating func answerAfterShutdown() -> Bool {
        guard let stopped else {
            guard endedFast else { return false }
            beginInspection()
            return true
        }
        guard let end = stopped.endAsPrimary else { return false }
        // From here on it is a standby that has all it ever acknowledged.
        persist { $0.role = .standby }
        prepared = PreparedAnswer(term: state.promised.term, position: end)
        explain(
            .prepare,
            rule: "R6",
            "term \(state.promised.term) is promised: this server was shut down cleanly and holds all it ever wrote",
            evidence: ["\(end)"]
        )
        return true
    }

    /// Starts a former primary as a standby without a rewind, if it was shut down cleanly and all its WAL lies in the
    /// recorded history; gives false if it does not.
    ///
    /// Its control file has told the end of its WAL, so that it need not be cut and judged first (R14).
    mutating func rejoinAfterShutdown(_ plan: FollowPlan, _ upstream: Upstream) -> Bool {
        guard phase == .down, let end = stopped?.endAsPrimary else { return false }
        guard let found = judge(end, plan) else { return true }
        guard found == .prefix else { return false }
        explain(
            .rejoin,
            rule: "R14",
            "shut down cleanly within the history of '\(plan.primary)': a standby without a rewind",
            evidence: ["\(end)"]
        )
        start(.standby(.upstream(upstream)), peers: plan.peers)
        cutPosition = end
        return true
    }
}

extension StoppedFacts {
    /// Where the WAL of a primary that was shut down cleanly ends; nil for every other.
    var endAsPrimary: WALPosition? {
        guard cleanShutdown, wasPrimary, end != .zero else { return nil }
        return WALPosition(timeline: timeline, lsn: end)
    }
}
