import ClusterModel

/// A switchover that can begin.
struct SwitchoverPlan: Hashable, Sendable {
    var primary: InstanceName
    var candidate: InstanceName
    /// How far behind the candidate is, and why each other instance is not it.
    var evidence: [String]

    /// What would happen, for a person.
    func story(_ record: ClusterRecord) -> String {
        let names = record.newestRule.voters.map { $0.name == candidate ? primary.text : $0.name.text }
        let opening =
            record.newestRule.required > 0
            ? "admits clients when \(record.newestRule.required) of \(names.joined(separator: ", ")) has flushed what it starts with (R23)"
            : "admits clients at once"
        return """
            Would hand over from '\(primary)' to '\(candidate)':
            \(evidence.map { "  - \($0)" }.joined(separator: "\n"))
              1. '\(primary)' checkpoints while clients write on
              2. '\(primary)' shuts down cleanly; from here on nothing can be written
              3. term \(record.term.next) is opened, and all members say how far they are (R6)
              4. '\(candidate)' holds the end of the WAL of '\(primary)', or somebody who does is promoted instead (R7)
              5. '\(candidate)' is promoted (R13) and \(opening)
              6. '\(primary)' comes back as a standby, without a rewind
            Nothing was changed.
            """
    }
}

/// Why a command is not carried out.
struct CommandRefusal: Error, Hashable, Sendable {
    var rule = "R16"
    var text: String
    var evidence: [String] = []
    /// False for wrong usage, such as an instance that does not exist.
    var isHarmful = true
}

/// Handing over (R16): what must hold first, its steps, and how it is given up.
extension ClusterMachine {
    /// How much WAL a candidate may lack, or have to replay, when a switchover begins: it would be waited for.
    static let switchoverLagLimit: UInt64 = 16 << 20
    /// How long the old primary may take to shut down cleanly.
    static let shutdownDeadline = Duration.seconds(5)
    /// How long candidate or primary may be out of sight before a switchover is given up.
    static let switchoverPatience = Duration.seconds(2)
    /// How long the checkpoint before a switchover may take.
    static let checkpointLimit = Duration.seconds(600)

    // MARK: Before

    func planSwitchover(
        to target: InstanceName?,
        _ record: ClusterRecord,
        _ now: MonotonicInstant
    ) -> Result<SwitchoverPlan, CommandRefusal> {
        if let target, spec.instance(target) == nil { return .failure(unknown(target)) }
        if let request = record.request {
            return .failure(CommandRefusal(text: "a change of primary is under way: \(request.why)"))
        }
        guard record.phase == .steady, let name = record.primary, let primary = observation(name) else {
            return .failure(CommandRefusal(text: "the cluster is changing its primary: wait until that is done"))
        }
        guard target != name else { return .failure(CommandRefusal(text: "'\(name)' is primary already")) }
        guard canGoOn(primary, record, now), primary.report?.opened == true else {
            return .failure(
                CommandRefusal(
                    text: "'\(name)' is not in office and open, so that it cannot hand over; if it is gone and nothing "
                        + "happens by itself, `promote` an instance"
                )
            )
        }
        guard record.rules.count == 1 else {
            return .failure(CommandRefusal(rule: "R12", text: "voters are being changed: ask again in a moment"))
        }
        let others = seen.filter { $0.spec.name != name }
        let judged = others.map { ($0, obstacle($0, record, now)) }
        let reasons = judged.compactMap { one, reason in reason.map { "'\(one.spec.name)' \($0)" } }
        let fit = judged.filter { $0.1 == nil }.map(\.0)
        if let target, let reason = judged.first(where: { $0.0.spec.name == target })?.1 {
            return .failure(
                CommandRefusal(rule: "R8", text: "'\(target)' cannot take over: it \(reason)", evidence: reasons)
            )
        }
        guard let chosen = fit.first(where: { $0.spec.name == target }) ?? best(fit) else {
            return .failure(
                CommandRefusal(rule: "R8", text: "nobody can take over: \(list(reasons))", evidence: reasons)
            )
        }
        if let reason = shortage(primary, record) {
            return .failure(CommandRefusal(rule: "R12", text: "\(reason); start the others, and ask again"))
        }
        let behind = lag(of: chosen, record)
        let rest = fit.filter { $0.spec.name != chosen.spec.name }
            .map { "'\($0.spec.name)' could take over, too" + (target == nil ? ", but comes later" : "") }
        return .success(
            SwitchoverPlan(
                primary: name,
                candidate: chosen.spec.name,
                evidence: ["'\(chosen.spec.name)' streams and is \(behind) bytes of WAL behind"] + rest + reasons
            )
        )
    }

    private func list(_ reasons: [String]) -> String {
        reasons.isEmpty ? "there is no other instance" : reasons.joined(separator: "; ")
    }

    func unknown(_ name: InstanceName) -> CommandRefusal {
        let names = spec.instances.map(\.name.text).joined(separator: ", ")
        return CommandRefusal(text: "there is no instance '\(name)': there are \(names)", isHarmful: false)
    }

    /// The one with the highest priority, of these the one that has replayed most, of these the first.
    private func best(_ fit: [Seen]) -> Seen? {
        fit.enumerated().max { left, right in
            let (one, other) = (left.element, right.element)
            let replayed = (one.report?.status?.replayLSN ?? .zero, other.report?.status?.replayLSN ?? .zero)
            return (one.spec.failoverPriority, replayed.0, -left.offset) < (
                other.spec.failoverPriority, replayed.1, -right.offset
            )
        }?.element
    }

    // MARK: Who could take over

    /// Why an instance could not be primary now; nil if it could (R8).
    func obstacle(_ one: Seen, _ record: ClusterRecord, _ now: MonotonicInstant) -> Ineligibility? {
        if let reason = absence(one, record, now) { return reason }
        if one.spec.noFailover { return .noFailover }
        guard record.phase == .steady, let name = record.primary, let report = one.report,
            let primary = observation(name), isFresh(primary, now), let status = primary.report?.status,
            primary.report?.server == .primary
        else { return nil }
        let application = one.member?.applicationName
        let streams = status.senders.contains {
            $0.applicationName == application && $0.usesOwnSlot && $0.state == "streaming"
        }
        guard streams, receives(report, from: name) else { return .notStreaming(name) }
        let behind = lag(of: one, record)
        return behind > Self.switchoverLagLimit ? .lagging(behind) : nil
    }

    /// What keeps it from counting whoever asks; nil if nothing does.
    func absence(_ one: Seen, _ record: ClusterRecord, _ now: MonotonicInstant) -> Ineligibility? {
        guard isFresh(one, now), let report = one.report else { return .notThere("does not report") }
        if let reason = CandidateRanking.unfitness(report, record) { return reason }
        if report.state.tainted { return .notThere("holds data that took a timeline without an order") }
        switch report.state.role {
        case .none, .initializing: return .notThere("holds no data")
        case .cloning: return .notThere("is being copied")
        case .rewinding: return .notThere("is being rewound")
        case .primary: return .notThere("is a former primary that does not follow yet")
        case .standby: break
        }
        guard let member = one.member, record.members.contains(member) else {
            return .notThere("is a new incarnation that is not recorded yet")
        }
        guard report.server == .standby else { return .notThere("has a server that is \(report.server.rawValue)") }
        return nil
    }

    /// Bytes that it has to receive or to replay until it has all that the primary reported.
    private func lag(of one: Seen, _ record: ClusterRecord) -> UInt64 {
        guard let own = one.report?.status, let end = record.primary.flatMap(observation)?.report?.status?.position
        else { return 0 }
        return end.lsn.bytes(since: min(own.position.lsn, max(own.replayLSN, .zero)))
    }

    /// Whether the recorded primary could go on in place: in office, answering, not told of a later term.
    func canGoOn(_ primary: Seen, _ record: ClusterRecord, _ now: MonotonicInstant) -> Bool {
        guard isFresh(primary, now), let report = primary.report, primary.member == record.primaryMember else {
            return false
        }
        guard report.state.isPrimaryInOffice, report.server == .primary, !report.state.tainted else { return false }
        // One that may be hanging is neither handed over from nor given way to.
        guard silence(of: primary, report, now) == nil else { return false }
        if record.phase == .steady { return report.state.primaryOfTerm == record.term }
        return report.state.promised.term < record.term && report.state.primaryOfTerm == record.history.last?.term
    }

    // MARK: Its steps

    /// The next step of a switchover: checkpoint, stop; what follows is a change of primary like any other.
    mutating func handOver(_ record: ClusterRecord, _ request: ChangeRequest, _ now: MonotonicInstant) {
        orderFollowers(record, now)
        guard let name = record.primary, let primary = observation(name), let candidate = observation(request.candidate)
        else { return giveUp(record, "'\(request.candidate)' is not of this cluster") }
        // Once it shuts down there is no way back.
        if primary.report?.server == .stopping { return }
        let since = stepSince ?? now
        if let reason = unfitness(primary, candidate, request.step, record, now) {
            let start = candidateUnfitSince ?? now
            candidateUnfitSince = start
            wakeBy(start + Self.switchoverPatience)
            guard now - start < Self.switchoverPatience else { return giveUp(record, reason) }
            return
        }
        candidateUnfitSince = nil
        switch request.step {
        case .checkpoint:
            guard now - since < Self.checkpointLimit else {
                return giveUp(record, "the checkpoint of '\(name)' did not end")
            }
            guard primary.report?.readyToHandOver == record.version else {
                return order(.handOver(HandOver(stops: false, deadline: Self.shutdownDeadline)), to: name, now)
            }
            beginStop(record, request, now)
        case .stop, .takeOver:
            guard now - since < Self.shutdownDeadline + .seconds(5) else {
                return giveUp(record, "'\(name)' was told to stop, and did not begin to")
            }
            order(.handOver(HandOver(stops: true, deadline: Self.shutdownDeadline)), to: name, now)
        }
    }

    private func unfitness(
        _ primary: Seen,
        _ candidate: Seen,
        _ step: ChangeRequest.Step,
        _ record: ClusterRecord,
        _ now: MonotonicInstant
    ) -> String? {
        guard canGoOn(primary, record, now) else { return "'\(primary.spec.name)' does not answer" }
        if let reason = obstacle(candidate, record, now) { return "'\(candidate.spec.name)' \(reason)" }
        return step == .checkpoint ? shortage(primary, record) : nil
    }

    /// Whether commits wait for more voters than stream; nil if they do not.
    ///
    /// Voters are not changed during a switchover, and a checkpoint may take minutes.
    private func shortage(_ primary: Seen, _ record: ClusterRecord) -> String? {
        let senders = primary.report?.status?.senders ?? []
        for rule in record.rules {
            let streaming = rule.voters.filter { voter in
                senders.contains {
                    $0.applicationName == voter.applicationName && $0.usesOwnSlot && $0.state == "streaming"
                }
            }
            guard streaming.count < rule.required else { continue }
            let names = rule.voters.map(\.name.text).joined(separator: ", ")
            return "commits wait: \(rule.required) of \(names) must stream, \(streaming.count) do"
        }
        return nil
    }

    private mutating func beginStop(_ record: ClusterRecord, _ request: ChangeRequest, _ now: MonotonicInstant) {
        let others = seen.filter { $0.spec.name != record.primary && $0.spec.name != request.candidate }
        let reasons = others.map { one in
            "'\(one.spec.name)' "
                + (obstacle(one, record, now)?.description ?? "could take over, too, but was not asked for")
        }
        progress = Progress(from: record.primary, why: request.why, evidence: reasons, mark: now, isPlanned: true)
        explain(
            .switchover,
            rule: "R16",
            "'\(record.primary?.text ?? "")' is told to shut down; '\(request.candidate)' streams from it",
            evidence: reasons
        )
        store { $0.request?.step = .stop }
    }

    // MARK: Giving up

    /// The primary is gone in the middle of what was asked for: goes forward, or gives that up.
    mutating func replacePrimary(_ record: ClusterRecord, _ loss: Loss, _ now: MonotonicInstant) {
        guard let request = record.request else { return failOver(record, loss, now) }
        // It was not told to stop: this is a failure like any other.
        if request.step == .checkpoint { return giveUp(record, loss.why) }
        progress?.lap(\.detect, now)
        startTerm(record, loss, now)
    }

    /// Gives a change of primary up for which no candidate is recorded.
    ///
    /// Before the primary was told to stop, and before anybody promised a higher term, nothing has to be undone.
    /// Afterwards it goes on in a new term, which makes every earlier order void (R16).
    mutating func giveUp(_ record: ClusterRecord, _ reason: String) {
        invariant(record.phase == .steady || record.phase == .preparing, "a recorded candidate is final (R16)")
        let what = record.request?.why ?? progress?.why ?? "a change of primary"
        let isOpen = record.phase == .preparing
        let term = isOpen ? record.term : record.term.next
        let stays = !isOpen && record.request?.step == .checkpoint
        let name = record.primary?.text ?? ""
        explain(
            .abandoned,
            rule: "R16",
            stays ? "given up: \(what)" : "given up: \(what); '\(name)' goes on in term \(term)",
            evidence: [reason]
        )
        progress = nil
        waiting = nil
        candidateUnfitSince = nil
        store {
            $0.request = nil
            guard !stays, var last = $0.history.last else { return }
            $0.term = term
            $0.phase = .steady
            last.term = term
            last.primary = record.primaryMember
            last.why = "went on in place; given up: \(what): \(reason)"
            $0.history.append(last)
        }
    }

    /// Whether the primary that a term was opened against is back and well, so that it goes on; true if that is
    /// being written.
    mutating func givesWay(_ record: ClusterRecord, _ now: MonotonicInstant) -> Bool {
        guard let primary = record.primary.flatMap(observation), canGoOn(primary, record, now) else { return false }
        guard let at = primary.reportAt, let preparingSince, at > preparingSince else { return false }
        giveUp(record, "'\(primary.spec.name)' is in office and answers")
        return true
    }

    /// Whether the old primary may yet turn out to be well: it is told to prepare only when that is known.
    func mayGiveWay(_ one: Seen, _ record: ClusterRecord, _ now: MonotonicInstant) -> Bool {
        guard one.spec.name == record.primary, let report = one.report, report.state.isPrimaryInOffice,
            report.state.promised.term < record.term, let preparingSince, let at = one.reportAt
        else { return false }
        return at <= preparingSince && now - preparingSince < .seconds(2)
    }

    // MARK: Whom a new term waits for

    /// What a term that somebody asked for waits for before it takes a candidate; nil if for nothing.
    ///
    /// The instance that was asked for answers as fast as any. In `async` the old primary's own answer is what proves
    /// that nothing is lost; where it shut down cleanly it comes at once.
    func awaited(_ record: ClusterRecord, ownAnswer: Bool, _ now: MonotonicInstant) -> String? {
        guard let request = record.request, let since = preparingSince else { return nil }
        if let one = observation(request.candidate), isFresh(one, now), one.report?.prepared?.term != record.term {
            // A former primary has to start and replay first.
            let isAtRest = request.candidate == record.primary && isUsable(one)
            let patience = isAtRest ? spec.timings.promotionTimeout : .seconds(2)
            if now - since < patience, isAtRest || absence(one, record, now) == nil { return "'\(request.candidate)'" }
        }
        // In a later term the recorded primary is one that was to follow it.
        guard request.step == .stop, record.primary != request.candidate, !ownAnswer,
            record.rules.contains(where: { $0.mode == .async }),
            now - since < spec.timings.promotionTimeout, let old = record.primary.flatMap(observation),
            isFresh(old, now)
        else { return nil }
        return "the end of the WAL of '\(old.spec.name)'"
    }
}
