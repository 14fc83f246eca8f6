import ClusterModel

/// Promotion by hand (R18), and by the word of somebody who accepts the loss of data (R19).
extension ClusterMachine {
    /// What may be lost if that instance is promoted now; empty if nothing acknowledged is.
    mutating func assessPromotion(
        of name: InstanceName,
        _ record: ClusterRecord,
        _ now: MonotonicInstant
    ) -> Result<[String], CommandRefusal> {
        guard let one = observation(name) else { return .failure(unknown(name)) }
        if let refusal = prematurity(name, record, now) { return .failure(refusal) }
        // A former primary that is at rest has its answer asked for by the new term itself.
        let isAtRest = name == record.primary && isFresh(one, now) && one.report?.state.tainted == false
        if !isAtRest, let reason = absence(one, record, now) {
            return .failure(CommandRefusal(rule: "R8", text: "'\(name)' cannot be promoted: it \(reason)"))
        }
        return .success(isAtRest ? [] : losses(one, record, now))
    }

    /// Why it is too early, or too late, for a promotion by hand.
    private mutating func prematurity(
        _ name: InstanceName,
        _ record: ClusterRecord,
        _ now: MonotonicInstant
    ) -> CommandRefusal? {
        let primary = record.primary.map { "'\($0)'" } ?? "the primary"
        if record.phase == .promoting {
            return CommandRefusal(text: "\(primary) is being promoted already: wait, or see `status`")
        }
        if record.phase == .preparing { return nil }
        if let request = record.request {
            return CommandRefusal(text: "a change of primary is under way: \(request.why)")
        }
        if let one = record.primary.flatMap(observation), canGoOn(one, record, now) {
            return CommandRefusal(
                text: name == record.primary
                    ? "'\(name)' is primary already"
                    : "\(primary) is primary and answers: use `switchover`, which loses nothing"
            )
        }
        guard primaryLoss(record, now) != nil else {
            return CommandRefusal(
                rule: "R9",
                text:
                    "it is not shown that \(primary) is gone: a standby still receives from it, or too little time has "
                    + "passed; look at its agent, and ask again"
            )
        }
        return nil
    }

    private func losses(_ one: Seen, _ record: ClusterRecord, _ now: MonotonicInstant) -> [String] {
        var found: [String] = []
        let reachable = seen.filter { isFresh($0, now) && isUsable($0) }.compactMap(\.member)
        let ownAnswer = record.primaryMember.map(reachable.contains) ?? false
        if !ownAnswer {
            for rule in record.rules where !rule.isMet(by: reachable) {
                found.append(
                    "needed to know every acknowledged commit are \(neededText(rule)), or "
                        + "'\(record.primary?.text ?? "")' itself; reachable are \(reachable.map(\.name.text).joined(separator: ", "))"
                )
            }
        }
        guard let own = position(one) else { return found + ["how much WAL '\(one.spec.name)' holds is not known"] }
        for other in seen where other.spec.name != one.spec.name && isFresh(other, now) && isUsable(other) {
            guard let there = position(other), there > own, other.report?.state.role == .standby else { continue }
            found.append(
                there.timeline == own.timeline
                    ? "'\(other.spec.name)' holds \(there.lsn.bytes(since: own.lsn)) bytes of WAL more: promote that one instead"
                    : "'\(other.spec.name)' holds WAL of the later timeline \(there.timeline): promote that one instead"
            )
        }
        if !ownAnswer && (record.rules.contains { $0.mode == .async } || !found.isEmpty) {
            found += distanceFromPrimary(own, record, now)
        }
        return found
    }

    /// What the old primary reported and this position lacks: beyond the limit in `async`, all of it where a loss is
    /// to be accepted.
    private func distanceFromPrimary(
        _ own: WALPosition,
        _ record: ClusterRecord,
        _ now: MonotonicInstant
    ) -> [String] {
        let name = record.primary?.text ?? ""
        guard let last = primaryPosition else {
            return ["how much '\(name)' wrote is not known: this controller never heard from it"]
        }
        let shared = last.timeline == own.timeline ? last.lsn.bytes(since: own.lsn) : 0
        guard !record.rules.contains(where: { $0.mode == .async }) || shared > spec.maximumLagOnFailover else {
            return []
        }
        let age = record.primary.flatMap(observation)?.reportAt.map { (now - $0).wholeMilliseconds } ?? 0
        return [
            "'\(name)' reported WAL up to \(last.lsn), \(shared) bytes more than this one holds, and what it wrote in the "
                + "\(age) ms since then is not known"
        ]
    }

    private func position(_ one: Seen) -> WALPosition? {
        one.report?.prepared?.position ?? one.report?.status?.position
    }

    /// Whether the candidate of an operator who accepts the loss may be taken although rule R7 is not satisfied.
    ///
    /// Everybody in reach has stopped receiving, and the old primary cannot be writing: there is still one writer.
    func overrides(_ record: ClusterRecord, _ answered: [Seen], _ now: MonotonicInstant) -> Bool {
        guard let request = record.request, request.acceptsDataLoss, let since = preparingSince else { return false }
        guard answered.contains(where: { $0.spec.name == request.candidate }) else { return false }
        let silent = seen.filter { one in
            isFresh(one, now) && isUsable(one) && !answered.contains { $0.spec.name == one.spec.name }
        }
        return silent.isEmpty || now - since >= .seconds(2)
    }
}
