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

    /// Begins or ends a change of voters, k or mode; true if a write is under way.
    mutating func changeRules(_ record: ClusterRecord, _ now: MonotonicInstant) -> Bool {
        // Nobody is given up for what it may have said while this controller slept (D50).
        if let wokeAt, now - wokeAt < spec.timings.reportInterval { return false }
        guard let primary = record.primaryMember, let one = observation(primary.name), isFresh(one, now),
            let report = one.report, report.server == .primary, report.state.primaryOfTerm == record.term
        else {
            // Nobody is judged by senders that are not seen.
            for place in seen.indices { seen[place].missingSince = nil }
            return false
        }
        let views = voterViews(record, report, now)
        noteShortage(record.newestRule, views)
        if record.rules.count > 1 {
            if finishChange(record, report, now) { return true }
            // One change at a time; but one whose new voters are gone is overtaken, and the last barrier ends all.
            let rule = record.newestRule
            guard VoterPolicy.streaming(rule.voters, views) < rule.required else { return false }
        }
        guard isReadyToChange(record, views, now) else { return false }
        let rule = record.newestRule
        let policy = VoterPolicy(mode: spec.durability, target: spec.synchronousStandbys)
        guard let next = policy.rule(after: rule, among: views) else { return false }
        // The last place is kept for the fallback to k = 0, whose barrier can always be passed.
        var rules = record.rules.filter { $0 != next } + [next]
        if !hasRoom(for: rules) { rules = [merged(record, report), next] }
        explain(.rules, rule: "R12", changeText(rule, next), evidence: views.map(\.text))
        store { $0.rules = rules }
        return true
    }

    /// One rule instead of all that are recorded, none of which comes to its end: it is met by nobody (D104).
    private mutating func merged(_ record: ClusterRecord, _ primary: InstanceReport) -> Rule {
        let senders = (primary.status?.senders ?? []).map(\.applicationName)
        let merged = Rule.metByNobody(insteadOf: record.rules) { voter in
            record.members.contains(voter) || senders.contains(voter.applicationName)
        }
        explain(
            .rules,
            rule: "R12",
            "\(record.rules.count) rules are recorded, and none can be brought to its end: until the next one is, nobody "
                + "but '\(record.primary?.text ?? "none")' itself can go on",
            evidence: record.rules.map { "rule \($0)" }
        )
        return merged
    }

    func hasRoom(for rules: [Rule]) -> Bool {
        let isFallback = rules.last.map { $0.mode == .preferred && $0.required == 0 } ?? false
        return rules.count < ClusterRecord.ruleLimit + (isFallback ? 1 : 0)
    }

    private func changeText(_ rule: Rule, _ next: Rule) -> String {
        let change = "changing the rule from \(rule) to \(next)"
        guard next.mode == .preferred, next.required < rule.required else { return change }
        return next.required == 0
            ? "too few voters are left: from here on this is a single server, \(change)"
            : "too few voters are left for \(rule.required): \(change)"
    }

    /// Says whom commits wait for, where `required` has them wait.
    private mutating func noteShortage(_ rule: Rule, _ views: [VoterView]) {
        let streaming = VoterPolicy.streaming(rule.voters, views)
        let missing = rule.voters.filter { voter in !views.contains { $0.member == voter && $0.flows } }
        let isLasting = missing.allSatisfy { voter in views.contains { $0.member == voter && $0.isLost } }
        guard rule.mode == .required, streaming < rule.required, isLasting else { return waiting = nil }
        wait(
            .waiting,
            rule: "R12",
            "commits wait: \(rule.required) of \(rule.voters.map(\.name.text).joined(separator: ", ")) must stream, "
                + "\(streaming) do; start the others",
            evidence: views.map(\.text)
        )
    }

    /// At the first change from nothing all join at once, so that nobody waits for one change per member.
    private mutating func isReadyToChange(
        _ record: ClusterRecord,
        _ views: [VoterView],
        _ now: MonotonicInstant
    ) -> Bool {
        guard record.newestRule.voters.isEmpty else { return true }
        let well = views.filter(\.isWell).count
        guard well > 0 else {
            firstStreamingAt = nil
            return record.newestRule.mode != spec.durability
        }
        let since = firstStreamingAt ?? now
        firstStreamingAt = since
        // A primary that is open already has no time to lose.
        let patience: Duration = record.newestRule.mode == .preferred ? .seconds(1) : .seconds(20)
        if well >= spec.instances.count - 1 || now - since >= patience { return true }
        wakeBy(since + patience)
        return false
    }

    /// Every member but the primary, and voters whose data is gone, as the primary's senders and their agents show them.
    private mutating func voterViews(
        _ record: ClusterRecord,
        _ primary: InstanceReport,
        _ now: MonotonicInstant
    ) -> [VoterView] {
        let senders = primary.status?.senders ?? []
        let others = record.members.filter { $0.name != record.primary }
        let isAlone = cannotOpen(record, primary, now)
        var views: [VoterView] = []
        for member in others {
            let flows = senders.contains {
                $0.applicationName == member.applicationName && $0.usesOwnSlot && $0.state == "streaming"
            }
            let answers =
                observation(member.name).map { one in
                    isFresh(one, now) && reportsAnew(one) && one.member == member
                        && one.report?.state.role == .standby
                } ?? false
            let isLate = noteMissing(member.name, isWell: flows && answers, now)
            let isLost = isLate || isAlone && !flows && !comesAtOnce(member, now)
            views.append(VoterView(member: member, flows: flows, answers: answers, isLost: isLost))
        }
        // Of an incarnation that is no member any more nothing is left to come back.
        for voter in record.rules.flatMap(\.voters) where !views.contains(where: { $0.member == voter }) {
            views.append(VoterView(member: voter, flows: false, answers: false, isLost: true))
        }
        return views
    }

    /// Whether a primary that was promoted in this term, and admits nobody yet, lacks voters to open with (R23).
    ///
    /// Nobody's commit waits yet, and every moment of patience would be one without a primary: what is not there is
    /// given up at once (R12).
    private func cannotOpen(_ record: ClusterRecord, _ primary: InstanceReport, _ now: MonotonicInstant) -> Bool {
        let rule = record.newestRule
        guard rule.mode == .preferred, !primary.opened, primary.promotion?.term == record.term else { return false }
        let senders = primary.status?.senders ?? []
        let able = rule.voters.filter { voter in
            comesAtOnce(voter, now)
                || senders.contains { $0.applicationName == voter.applicationName && $0.usesOwnSlot }
        }
        return able.count < rule.required
    }

    /// Whether a member's agent is reached and has a standby to follow with.
    ///
    /// A former primary has to be rewound first. A controller that has just come may not have heard anybody yet.
    private func comesAtOnce(_ member: MemberID, _ now: MonotonicInstant) -> Bool {
        guard let one = observation(member.name) else { return false }
        guard one.reportAt != nil else { return startedAt.map { now - $0 < spec.timings.leaseDuration } ?? false }
        return isFresh(one, now) && one.member == member && one.report?.state.role == .standby && isUsable(one)
    }

    /// Keeps the moment since which a member is missing; true once that is longer ago than `voterPatience`.
    private mutating func noteMissing(_ name: InstanceName, isWell: Bool, _ now: MonotonicInstant) -> Bool {
        guard !isWell else {
            update(name) { $0.missingSince = nil }
            return false
        }
        let since = observation(name)?.missingSince ?? now
        update(name) { $0.missingSince = since }
        let end = since + spec.timings.voterPatience
        if now < end { wakeBy(end) }
        return now >= end
    }

    /// Ends a change once the primary has confirmed the names, and k new voters are past the barrier.
    private mutating func finishChange(
        _ record: ClusterRecord,
        _ primary: InstanceReport,
        _ now: MonotonicInstant
    ) -> Bool {
        let isConfirmed = primary.confirmation?.version == record.version
        guard isConfirmed || weakness == .changeUnconfirmed else { return false }
        let isBarred = weakness != .changeUnconfirmed && weakness != .changeWithoutBarrier
        let barrier = isBarred ? primary.confirmation?.barrier ?? .zero : .zero
        let rule = record.newestRule
        let past = (primary.status?.senders ?? []).filter {
            $0.usesOwnSlot && $0.state == "streaming" && $0.flushLSN >= barrier
        }
        let count = rule.voters.filter { voter in past.contains { $0.applicationName == voter.applicationName } }.count
        guard count >= rule.required else { return false }
        explain(
            .rules,
            rule: "R12",
            rule.mode.isSynchronous && rule.isSingleServer
                ? "the rule is now \(rule): a single server, which only itself can succeed"
                : "the rule is now \(rule)",
            evidence: ["\(count) \(count == 1 ? "voter has" : "voters have") flushed past \(barrier)"]
        )
        // A confirmation that is accepted counts as a full new lease (R3).
        let horizon = now + spec.timings.leaseHorizon
        if let name = record.primary { update(name) { $0.leaseUntil = horizon } }
        store { $0.rules = [rule] }
        return true
    }
}

extension Rule {
    /// A rule that no set of answers meets, so that whoever may be promoted by it may be by all of those (D104).
    ///
    /// It names those voters of theirs that may have a sender: the primary ends each that still judges by older names,
    /// as it does for every recorded rule.
    static func metByNobody(insteadOf rules: [Rule], naming mayHaveSender: (MemberID) -> Bool) -> Rule {
        guard let mode = rules.last(where: \.mode.isSynchronous)?.mode else { return .birth(.async) }
        return Rule(voters: rules.flatMap(\.voters).filter(mayHaveSender), required: 0, mode: mode)
    }
}

extension VoterView {
    /// One line of evidence.
    var text: String {
        let stream = flows ? "streams" : "does not stream"
        return "'\(member.name)' \(stream)" + (answers ? "" : ", its agent is silent") + (isLost ? ", given up" : "")
    }
}
