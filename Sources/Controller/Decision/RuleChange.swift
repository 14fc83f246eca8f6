import ClusterModel

/// Members and voters, changed one safe step at a time (R12).
extension ClusterMachine {
    /// Records new incarnations of members; true if a write is under way.
    mutating func updateMembers(_ record: ClusterRecord, _ now: MonotonicInstant) -> Bool {
        guard let number = record.systemIdentifier else { return false }
        var members = record.members
        for one in seen where isFresh(one, now) {
            guard let member = one.member, let report = one.report, !report.state.tainted else { continue }
            guard report.state.role == .standby || report.state.role == .primary else { continue }
            guard case .present(let found) = report.directory, found == number else { continue }
            if member.name == record.primary && member != record.primaryMember { continue }
            members.removeAll { $0.name == member.name }
            members.append(member)
        }
        members.sort()
        guard members != record.members else { return false }
        store { $0.members = members }
        return true
    }

    /// Begins or ends a change of voters; true if a write is under way.
    ///
    /// Voters are added at birth, when a member joins, and when a voter came back as a new incarnation; in this
    /// version none is ever taken out.
    mutating func changeRules(_ record: ClusterRecord, _ now: MonotonicInstant) -> Bool {
        guard let primary = record.primaryMember, let report = observation(primary.name)?.report else { return false }
        guard report.server == .primary, report.state.primaryOfTerm == record.term else { return false }
        if record.rules.count > 1 && finishChange(record, report) { return true }
        // A change whose new voters are gone is overtaken by another: the barrier of the last ends them all.
        guard record.rules.count < ClusterRecord.ruleLimit else { return false }
        let streaming = streamingMembers(record, report, now)
        let rule = record.newestRule
        guard var voters = wantedVoters(rule, streaming, now) else { return false }
        voters.removeAll { $0.name == primary.name && $0 != primary }
        let required = rule.mode == .required ? 1 : 0
        let next = Rule(voters: voters, required: required, mode: rule.mode)
        guard next != rule, !voters.isEmpty else { return false }
        explain(.rules, rule: "R12", "changing the rule from \(rule) to \(next)")
        store { $0.rules.append(next) }
        return true
    }

    private mutating func wantedVoters(
        _ rule: Rule,
        _ streaming: [MemberID],
        _ now: MonotonicInstant
    ) -> [MemberID]? {
        if rule.voters.isEmpty {
            // At birth: all at once, so that nobody waits for one change per member.
            guard !streaming.isEmpty else {
                firstStreamingAt = nil
                return nil
            }
            let since = firstStreamingAt ?? now
            firstStreamingAt = since
            guard streaming.count >= spec.instances.count - 1 || now - since >= .seconds(20) else { return nil }
            return streaming
        }
        var voters = rule.voters
        for member in streaming where !voters.contains(member) {
            voters.removeAll { $0.name == member.name }
            voters.append(member)
        }
        return voters
    }

    /// Standbys that stream from the primary through their own slot, in their recorded incarnation.
    private func streamingMembers(
        _ record: ClusterRecord,
        _ primary: InstanceReport,
        _ now: MonotonicInstant
    ) -> [MemberID] {
        let senders = primary.status?.senders ?? []
        return record.members.filter { member in
            guard member.name != record.primary, let one = observation(member.name), isFresh(one, now) else {
                return false
            }
            guard one.member == member, one.report?.state.role == .standby else { return false }
            return senders.contains {
                $0.applicationName == member.applicationName && $0.usesOwnSlot && $0.state == "streaming"
            }
        }
    }

    /// Ends a change once the primary has confirmed the names, and k new voters are past the barrier.
    private mutating func finishChange(_ record: ClusterRecord, _ primary: InstanceReport) -> Bool {
        guard let confirmation = primary.confirmation, confirmation.version == record.version else { return false }
        let rule = record.newestRule
        let past = (primary.status?.senders ?? []).filter {
            $0.usesOwnSlot && $0.state == "streaming" && $0.flushLSN >= confirmation.barrier
        }
        let count = rule.voters.filter { voter in past.contains { $0.applicationName == voter.applicationName } }.count
        guard count >= rule.required else { return false }
        explain(
            .rules,
            rule: "R12",
            "the rule is now \(rule)",
            evidence: ["\(count) voters flushed past \(confirmation.barrier)"]
        )
        store { $0.rules = [rule] }
        return true
    }
}
