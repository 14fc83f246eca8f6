import ClusterModel

/// A command that waits for the end of a write.
struct HeldCommand: Hashable, Sendable {
    let id: UInt64
    let command: ClusterCommand
}

/// An answer that becomes true when the pending write takes effect.
struct PromisedReply: Hashable, Sendable {
    let id: UInt64
    let answer: CommandAnswer
}

/// What people ask: answered once each, with what was done or why it was refused.
extension ClusterMachine {
    /// How many commands may wait.
    static let heldCommandLimit = 16

    mutating func hold(_ command: ClusterCommand, _ id: UInt64) {
        guard heldCommands.count < Self.heldCommandLimit else {
            return reply(id, .failed, "too many commands wait for the record to be written; ask again")
        }
        heldCommands.append(HeldCommand(id: id, command: command))
    }

    /// Takes what was held, as long as no write is under way.
    mutating func answerCommands(_ now: MonotonicInstant) {
        while pending == nil, !heldCommands.isEmpty {
            let next = heldCommands.removeFirst()
            take(next.command, next.id, now)
        }
    }

    mutating func keepPromises() {
        for promised in promisedReplies { add(.reply(promised.answer, to: promised.id)) }
        promisedReplies = []
    }

    mutating func breakPromises(_ reason: String) {
        for promised in promisedReplies { reply(promised.id, .failed, reason) }
        promisedReplies = []
    }

    private mutating func take(_ command: ClusterCommand, _ id: UInt64, _ now: MonotonicInstant) {
        guard loaded, let record, record.phase != .forming, record.phase != .initializing else {
            return reply(id, .failed, "the cluster is not made yet, or its record not read; wait and ask again")
        }
        guard staleReports(record).isEmpty else {
            return reply(
                id,
                .refused,
                "the record is older than the cluster (R1): restore a newer copy of it first"
            )
        }
        switch command {
        case .pause(let reason): pause(record, reason, id)
        case .resume: resume(record, id)
        case .abandon: abandon(record, id, now)
        case .switchover(let target, let by, let isDryRun):
            answerSwitchover(to: target, by: by, isDryRun: isDryRun, record, id, now)
        case .promote(let name, let accepts, let isOff, let isDryRun):
            let word = Word(accepts: accepts, isOff: isOff, isDryRun: isDryRun)
            answerPromotion(of: name, word, record, id, now)
        case .rebuild(let name, let mayWait, let isDryRun):
            answerRebuild(of: name, mayWait: mayWait, isDryRun: isDryRun, record, id, now)
        }
    }

    // MARK: Pause (R18)

    private mutating func pause(_ record: ClusterRecord, _ reason: String, _ id: UInt64) {
        let text = reason.isEmpty ? "asked for by an operator" : reason
        if record.pauseReason == text { return reply(id, .done, "Paused already: \(text).") }
        explain(.pause, rule: "R18", "paused: no change of primary begins by itself", evidence: [text])
        store { $0.pauseReason = text }
        promise(
            id,
            "Paused: no change of primary begins by itself. Leases and fencing go on; a switchover and a promotion by "
                + "hand work. A primary that stops, with the whole cluster, too, stays down. Go on with `resume`."
        )
    }

    private mutating func resume(_ record: ClusterRecord, _ id: UInt64) {
        guard record.pauseReason != nil else {
            let other = spec.failoverDisabled ? ", but failover.isDisabled is set in the configuration" : ""
            return reply(id, .done, "It is not paused\(other).")
        }
        explain(.pause, rule: "R18", "resumed: automation goes on")
        store { $0.pauseReason = nil }
        promise(id, "Resumed: automation goes on.")
    }

    /// Why no change of primary begins by itself; nil if nothing keeps it from that.
    func standstill(_ record: ClusterRecord) -> String? {
        if weakness == .pauseIgnored { return nil }
        if spec.failoverDisabled { return "automatic failover is disabled in the configuration" }
        return record.pauseReason.map { "automation is paused (\($0))" }
    }

    // MARK: Abandoning (R16)

    private mutating func abandon(_ record: ClusterRecord, _ id: UInt64, _ now: MonotonicInstant) {
        guard record.phase != .promoting else {
            return refuse(
                id,
                "R16",
                "'\(record.primary?.text ?? "")' is recorded as the candidate of term \(record.term): the only way is forward"
            )
        }
        guard record.phase == .preparing || record.request != nil else {
            return reply(id, .failed, "no change of primary is under way: there is nothing to abandon")
        }
        guard let primary = record.primary.flatMap(observation), canGoOn(primary, record, now) else {
            return refuse(
                id,
                "R16",
                "'\(record.primary?.text ?? "")' has stopped, or does not answer: it cannot go on in place"
            )
        }
        giveUp(record, "an operator abandoned it")
        promise(id, "Abandoned: '\(primary.spec.name)' goes on as primary.")
    }

    // MARK: Switchover (R16)

    private mutating func answerSwitchover(
        to target: InstanceName?,
        by: String,
        isDryRun: Bool,
        _ record: ClusterRecord,
        _ id: UInt64,
        _ now: MonotonicInstant
    ) {
        let plan: SwitchoverPlan
        switch planSwitchover(to: target, record, now) {
        case .failure(let refusal):
            let text = isDryRun ? "would be refused: \(refusal.text)" : refusal.text
            guard refusal.isHarmful, !isDryRun else {
                return reply(id, refusal.isHarmful ? .refused : .usage, text)
            }
            return refuse(id, refusal.rule, text, evidence: refusal.evidence)
        case .success(let found): plan = found
        }
        if isDryRun { return reply(id, .done, plan.story(record)) }
        let why = "switchover from '\(plan.primary)' to '\(plan.candidate)', asked for by \(by)"
        explain(.switchover, rule: "R16", why, evidence: plan.evidence)
        store { $0.request = ChangeRequest(candidate: plan.candidate, step: .checkpoint, why: why) }
        promise(id, "Switchover from '\(plan.primary)' to '\(plan.candidate)' has begun.")
    }

    // MARK: Promotion by hand (R18, R19)

    /// What an operator says with a promotion by hand.
    private struct Word {
        var accepts: Bool
        var isOff: Bool
        var isDryRun: Bool
    }

    private mutating func answerPromotion(
        of name: InstanceName,
        _ word: Word,
        _ record: ClusterRecord,
        _ id: UInt64,
        _ now: MonotonicInstant
    ) {
        let isDryRun = word.isDryRun
        let losses: [String]
        switch assessPromotion(of: name, record, now) {
        case .failure(let refusal):
            let text = isDryRun ? "would be refused: \(refusal.text)" : refusal.text
            guard refusal.isHarmful, !isDryRun else {
                return reply(id, refusal.isHarmful ? .refused : .usage, text)
            }
            return refuse(id, refusal.rule, text, evidence: refusal.evidence)
        case .success(let found): losses = found
        }
        if let (rule, text) = objection(to: name, word, losses, record, now) {
            if isDryRun { return reply(id, .refused, "would be refused: " + text) }
            return refuse(id, rule, text, evidence: losses)
        }
        let hang = hangEvidence(record, now)
        let price =
            (hang.isEmpty ? "" : hang.joined() + "; ")
            + (losses.isEmpty ? "nothing acknowledged is lost" : "may be lost: \(losses.joined(separator: "; "))")
            + openingText(of: name, record, now)
        if isDryRun { return reply(id, .done, "'\(name)' would be promoted: \(price)") }
        let why = "an operator promotes '\(name)' by hand" + (losses.isEmpty ? "" : " and accepts the loss of data")
        explain(.byHand, rule: losses.isEmpty ? "R18" : "R19", why, evidence: hang + losses)
        waiting = nil
        if progress == nil {
            progress = Progress(from: record.primary, why: why, evidence: hang + losses, mark: now)
        } else {
            progress?.evidence += [why] + hang + losses
        }
        let request = ChangeRequest(
            candidate: name,
            step: .takeOver,
            acceptsDataLoss: word.accepts && !losses.isEmpty,
            why: why
        )
        store {
            $0.request = request
            if record.phase == .steady {
                $0.term = record.term.next
                $0.phase = .preparing
            }
        }
        // A word that covers no loss leaves the choice to what everybody answers (R7, D33).
        let reserve = losses.isEmpty ? ". If another turns out to hold more, that one is promoted" : ""
        promise(id, "Promotion of '\(name)' has begun: \(price)\(reserve).")
    }

    /// What an operator has to say before data may be lost.
    private func objection(
        to name: InstanceName,
        _ word: Word,
        _ losses: [String],
        _ record: ClusterRecord,
        _ now: MonotonicInstant
    ) -> (rule: String, text: String)? {
        if losses.isEmpty { return nil }
        guard word.accepts else {
            let text =
                "promoting '\(name)' could lose acknowledged commits: \(losses.joined(separator: "; "))"
                + openingText(of: name, record, now)
                + "; wait for the missing members, or accept that with --accept-data-loss"
            return ("R19", text)
        }
        guard word.isOff || cannotServeUnseen(record, now) else {
            let old = record.primary?.text ?? "the primary"
            let text =
                "'\(old)' cannot be seen to be stopped, and without a leader it may go on acknowledging commits (R10): "
                + "make sure that it is off for good, and say so with --old-primary-is-off"
            return ("R2", text)
        }
        return nil
    }

    /// Whether the recorded primary is seen stopped; what its voters' agents extend is not seen from here (R10).
    private func cannotServeUnseen(_ record: ClusterRecord, _ now: MonotonicInstant) -> Bool {
        guard let one = record.primary.flatMap(observation), isFresh(one, now), let report = one.report else {
            return false
        }
        return report.state.releasedTerm >= (record.history.last?.term ?? record.term) || report.server == .standby
            || report.state.incarnation != record.primaryIncarnation
    }

    // MARK: Answers

    mutating func reply(_ id: UInt64, _ ending: CommandAnswer.Ending, _ text: String) {
        add(.reply(CommandAnswer(ending, text), to: id))
    }

    /// Refuses for safety; for the history, too.
    mutating func refuse(_ id: UInt64, _ rule: String, _ text: String, evidence: [String] = []) {
        explain(.refused, rule: rule, "a command was refused: \(text)", evidence: evidence)
        reply(id, .refused, text)
    }

    private mutating func promise(_ id: UInt64, _ text: String) {
        promisedReplies.append(PromisedReply(id: id, answer: CommandAnswer(.done, text)))
    }
}
