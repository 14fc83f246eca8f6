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
        let isAtRest = isRecordedPrimary(one, record) && isFresh(one, now) && one.report?.state.tainted == false
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
            return CommandRefusal(text: goesOn(one, instead: name, record, now))
        }
        if let one = record.primary.flatMap(observation), isFresh(one, now), let report = one.report,
            let hang = hangSeen(one, report, now)
        {
            // Whoever looks at it may know more than the time that has passed.
            if hang.duration >= Self.switchoverPatience { return nil }
            let text =
                "\(primary) \(hang.what), but only for \(hang.duration.wholeMilliseconds) ms: that may pass; ask again "
                + "after \(Self.switchoverPatience.wholeMilliseconds) ms of it"
            return CommandRefusal(rule: "R9", text: text)
        }
        guard primaryLoss(record, now, atOnce: true) != nil else {
            return CommandRefusal(rule: "R9", text: "it is not shown that \(primary) is gone: \(doubt(record, now))")
        }
        return nil
    }

    /// Why nobody takes the place of a primary that is well.
    private func goesOn(
        _ primary: Seen,
        instead name: InstanceName,
        _ record: ClusterRecord,
        _ now: MonotonicInstant
    ) -> String {
        if name == primary.spec.name { return "'\(name)' is primary already" }
        let text = "'\(primary.spec.name)' is primary and answers"
        guard let one = observation(name), let reason = absence(one, record, now) else {
            return text + ": use `switchover`, which loses nothing"
        }
        return text + ", and '\(name)' could not take over: it \(reason)"
    }

    /// What speaks against a primary whose agent reports, and for how long; nil if nothing does.
    ///
    /// Its standbys may hear from it all the same: senders go on while a disk hangs, or the sessions do not answer.
    func hangSeen(
        _ one: Seen,
        _ report: InstanceReport,
        _ now: MonotonicInstant
    ) -> (what: String, duration: Duration)? {
        if let found = silence(of: one, report, now) { return found }
        guard report.server == .unresponsive, report.state.isPrimaryInOffice, let at = one.reportAt else { return nil }
        return ("leaves its own agent without an answer", report.statusAge + (now - at))
    }

    /// What is missing before the primary is known to be gone (R9).
    private func doubt(_ record: ClusterRecord, _ now: MonotonicInstant) -> String {
        guard let name = record.primary, let one = observation(name) else { return "no primary is recorded" }
        if let report = one.report, isFresh(one, now), report.server != .unresponsive {
            return "its agent reports that its server is \(report.server.rawValue); wait until it is up or has ended"
        }
        let standbys = seen.filter { $0.spec.name != name && isFresh($0, now) && $0.report?.server == .standby }
        if standbys.isEmpty { return "no running standby reports that could confirm it; start one, and ask again" }
        let hearing = standbys.filter { lossSeen(by: $0, of: name, now) == nil }.map { "'\($0.spec.name)'" }
        if !hearing.isEmpty {
            return hearing.joined(separator: ", ")
                + " still receives from it; what failed is its agent, or the way to it"
        }
        return "too little time has passed since this controller came, or woke; ask again in a moment"
    }

    private func isRecordedPrimary(_ one: Seen, _ record: ClusterRecord) -> Bool {
        one.member != nil && one.member == record.primaryMember
    }

    private func losses(_ one: Seen, _ record: ClusterRecord, _ now: MonotonicInstant) -> [String] {
        var found: [String] = []
        let reachable = seen.filter { isFresh($0, now) && isUsable($0) && !isHanging($0, record, now) }
            .compactMap(\.member)
        let ownAnswer = record.primaryMember.map(reachable.contains) ?? false
        if !ownAnswer {
            for rule in record.rules where !rule.isMet(by: reachable) {
                found.append(
                    "needed to know every acknowledged commit are \(neededText(rule)), or "
                        + "'\(record.primary?.text ?? "")' itself; reachable are \(naming(reachable, record))"
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

    /// What clients will wait for once it is promoted, where nobody lowers k by himself; empty if enough are there.
    func openingText(of name: InstanceName, _ record: ClusterRecord, _ now: MonotonicInstant) -> String {
        guard spec.durability == .required, let old = record.primaryMember, let one = observation(name),
            let candidate = one.member, let rule = record.rules.last?.promoting(candidate, replacing: old)
        else { return "" }
        let standbys = seen.filter { other in
            other.spec.name != name && isFresh(other, now) && isUsable(other) && !isHanging(other, record, now)
        }.compactMap(\.member)
        guard rule.voters.filter(standbys.contains).count < rule.required else { return "" }
        let names = rule.voters.map(\.name.text).joined(separator: ", ")
        return "; '\(name)' admits clients only when \(rule.required) of \(names) "
            + (rule.required == 1 ? "streams" : "stream") + " from it (R23): `durability preferred` lifts that"
    }

    /// Whether it may never answer although its agent does: what hangs cannot be stopped, and does not release.
    private func isHanging(_ one: Seen, _ record: ClusterRecord, _ now: MonotonicInstant) -> Bool {
        guard one.spec.name == record.primary, let report = one.report else { return false }
        return hangSeen(one, report, now) != nil
    }

    /// What is to be said of a primary that a person has replaced though its agent reports; empty if nothing.
    func hangEvidence(_ record: ClusterRecord, _ now: MonotonicInstant) -> [String] {
        guard let one = record.primary.flatMap(observation), isFresh(one, now), let report = one.report,
            let hang = hangSeen(one, report, now)
        else { return [] }
        return ["'\(one.spec.name)' \(hang.what), for \(hang.duration.wholeMilliseconds) ms by its own agent"]
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
        let isKnown = !record.history(through: own.timeline).isEmpty
        let missing = isKnown ? last.lsn.bytes(since: record.sharedEnd(of: own, and: last)) : 0
        guard !record.rules.contains(where: { $0.mode == .async }) || missing > spec.maximumLagOnFailover else {
            return []
        }
        let age = record.primary.flatMap(observation)?.reportAt.map { (now - $0).wholeMilliseconds } ?? 0
        return [
            "'\(name)' reported WAL up to \(last.lsn), \(missing) bytes more than this one holds, and what it wrote in the "
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
