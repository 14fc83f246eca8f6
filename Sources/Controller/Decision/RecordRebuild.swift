import ClusterModel

/// A record that was lost, or is an old copy, is rebuilt from the copies that the agents keep (R1).
extension ClusterMachine {
    /// So many versions are left out, so that nothing that was decided from a version that is lost is taken any more.
    package static let versionLeap: UInt64 = 1000
    /// How long members get to come before it is judged who is missing.
    static let rebuildPatience = Duration.seconds(2)

    /// Gives members a copy of the record, once it is calm: while a primary is being replaced the disks have other work.
    mutating func handOutCopies(_ record: ClusterRecord, _ now: MonotonicInstant) {
        let begun = record.phase == .preparing ? preparingSince : promotingSince
        let isCalm = record.phase == .steady ? progress == nil : begun.map { now - $0 > Self.rebuildPatience } ?? false
        guard isCalm, pending == nil else { return }
        for place in seen.indices where seen[place].connected && seen[place].copySent != record.version {
            seen[place].copySent = record.version
            seen[place].copy = record
            add(.keepCopy(record, at: seen[place].spec.name))
        }
    }

    /// Replaces a record that is older than the cluster; gives why that cannot be done, nil if it is under way.
    mutating func rebuild(_ record: ClusterRecord, _ now: MonotonicInstant) -> String? {
        let since = staleSince ?? now
        staleSince = since
        guard now - since >= Self.rebuildPatience else {
            wakeBy(since + Self.rebuildPatience)
            return "its members are awaited"
        }
        let copies = seen.compactMap { one in one.copy.map { (one.spec.name, $0) } }.filter { isOurs($0.1, record) }
        let newest = copies.max { ($0.1.term, $0.1.version) < ($1.1.term, $1.1.version) }
        guard let (holder, copy) = newest else {
            if seen.contains(where: { $0.copy != nil }) { return "what its members keep is no record of this cluster" }
            return "no member that answers keeps a copy of it"
        }
        var rebuilt = copy
        var manner = ""
        if let doubt = doubt(about: copy, record, now) {
            // Whoever was ordered to be promoted may be at it yet: until every lease is over, and was reported on since.
            let limit = spec.timings.leaseHorizon + spec.timings.reportInterval * 4
            guard now - since >= limit else {
                wakeBy(since + limit)
                return doubt
            }
            guard let renewed = inNewTerm(copy, record, now) else {
                return fork(record, copies.map { ($0.0, $0.1.stamp) }, now) ?? doubt
            }
            rebuilt = renewed
            manner = ", in a new term, since members accepted more than that and nobody else became primary by it"
        }
        rebuilt.version = RecordVersion(
            rawValue: highest(copy, record, now).version.rawValue + Self.versionLeap
        )
        waiting = nil
        explain(
            .record,
            rule: "R1",
            "the record is lost or older than the cluster: it is rebuilt from the copy of \(copy.stamp) that '\(holder)' "
                + "keeps\(manner)",
            evidence: staleReports(record)
        )
        isRebuilding = true
        pending = rebuilt
        add(.store(rebuilt, replacing: record.version))
        return nil
    }

    /// Why a copy may not be the newest of what had any effect; nil if it is certain to be.
    ///
    /// Nothing has an effect that no agent accepted. Either all have answered, and none accepted more; or the copy's
    /// primary has, without whom no rule changes, and those that did not answer could not have promoted anybody.
    private func doubt(about copy: ClusterRecord, _ record: ClusterRecord, _ now: MonotonicInstant) -> String? {
        guard copy.cluster == spec.name, copy.faults.isEmpty, copy.version.rawValue < 1 << 62 else {
            return "the copy of \(copy.stamp) is no record of this cluster"
        }
        let answering = seen.filter { isFresh($0, now) && $0.report != nil }
        for one in answering {
            guard let promised = one.report?.state.promised else { continue }
            if promised.term > copy.term || promised.version > copy.version {
                return "'\(one.spec.name)' accepted \(promised), the newest copy at hand is of \(copy.stamp)"
            }
        }
        if heard.term > copy.term || heard.version > copy.version {
            return "'\(heardFrom?.text ?? "")' told of \(heard), the newest copy at hand is of \(copy.stamp)"
        }
        if record.term > copy.term {
            return "the record went on to \(record.stamp), the newest copy at hand is of \(copy.stamp)"
        }
        let names = answering.map(\.spec.name)
        let known = seen.map(\.spec.name) + (copy.members + copy.rules.flatMap(\.voters)).map(\.name)
        let missing = known.filter { !names.contains($0) }
        if missing.isEmpty { return nil }
        let text =
            "the copy of \(copy.stamp) may not be the newest; missing: "
            + Array(Set(missing)).sorted().map(\.text).joined(separator: ", ")
        // While a term is being prepared, answers given already may have made a primary of somebody who is missing.
        guard copy.phase == .steady || copy.phase == .promoting, let primary = copy.primaryMember,
            answering.contains(where: { $0.member == primary })
        else { return text }
        // A voter that lost its data since may have answered before.
        let present = answering.compactMap(\.member)
        let isBlocked = copy.rules.contains { rule in !rule.isMet(by: rule.voters.filter { !present.contains($0) }) }
        return isBlocked ? nil : text
    }

    /// The copy in a term of its own; nil if what was lost may have made somebody else primary.
    ///
    /// Members accepted more than any copy shows. When every one of them answers, their state files tell what became of
    /// that: a candidate writes down the term that it is primary of before it is promoted. If nobody did after the
    /// copy's primary, that one still holds all that was acknowledged, by whatever rule.
    private func inNewTerm(
        _ copy: ClusterRecord,
        _ record: ClusterRecord,
        _ now: MonotonicInstant
    ) -> ClusterRecord? {
        guard copy.phase == .steady || copy.phase == .promoting || copy.phase == .preparing,
            let primary = copy.primaryMember, let last = copy.history.last,
            let own = seen.first(where: { $0.member == primary })?.report?.state,
            seen.allSatisfy({ isFresh($0, now) && $0.report != nil })
        else { return nil }
        let present = seen.compactMap(\.member)
        let known = copy.members + copy.rules.flatMap(\.voters) + [primary]
        guard known.allSatisfy(present.contains), !mayHaveSuccessor(copy, known: known) else { return nil }
        let highest = highest(copy, record, now)
        guard highest.term.rawValue < 1 << 62, highest.version.rawValue < 1 << 62 else { return nil }
        var renewed = copy
        renewed.phase = .preparing
        renewed.term = highest.term.next
        renewed.request = nil
        renewed.rules = rules(insteadOf: copy, own, others: present.filter { $0 != primary })
        renewed.highestTimeline = highestTimeline(copy)
        if own.primaryOfTerm > last.term {
            let lost = own.primaryOfTerm.rawValue - last.term.rawValue
            guard lost <= Self.timelineLeap, renewed.highestTimeline.rawValue < 1 << 31 else { return nil }
            // As the record that was lost had it (R16); each of its terms may have assigned a timeline.
            var continued = last
            continued.term = own.primaryOfTerm
            continued.why = "went on in place, as its own word has it; the record of that was lost"
            renewed.history.append(continued)
            renewed.forgetOldPrimacies()
            renewed.highestTimeline = Timeline(rawValue: renewed.highestTimeline.rawValue + UInt32(lost))
        }
        return renewed.faults.isEmpty ? renewed : nil
    }

    /// Whether a state file or a timeline tells of a primary after the copy's.
    private func mayHaveSuccessor(_ copy: ClusterRecord, known: [MemberID]) -> Bool {
        let since = copy.history.last?.term ?? copy.term
        let timeline = copy.history.last?.timeline
        let taken = copy.history.first { $0.timeline == timeline }?.term ?? since
        // Whoever joined in what was lost may have left data that were promoted, state file and all.
        var isWitnessed = seen.allSatisfy { one in one.member.map(known.contains) ?? false }
        for one in seen {
            guard let report = one.report else { return true }
            let state = report.state
            guard one.member == copy.primaryMember else {
                if state.primaryOfTerm >= copy.term || wasPrimaryElsewhere(one, copy) { return true }
                continue
            }
            guard state.primaryOfTerm > since else { continue }
            // It went on in place (R16), or released its term and was promoted anew, onto a timeline of its own.
            isWitnessed = false
            if state.isPrimaryInOffice, state.releasedTerm >= taken { return true }
            // Only its timeline tells the one from the other.
            let isUp = report.server == .primary && report.status?.inRecovery == false
            let told = isUp ? report.status?.position.timeline : report.server == .down ? report.stoppedTimeline : nil
            if told != timeline { return true }
        }
        // A timeline that nobody took as a primary was taken by hand: who is on it counts for nothing (D8).
        return !isWitnessed
            && seen.contains { one in
                let told = [one.report?.status?.position.timeline, one.report?.stoppedTimeline]
                return told.contains { $0 ?? .none > copy.highestTimeline }
            }
    }

    /// Whether it was made primary by another record than the one that the copy is of (D116).
    private func wasPrimaryElsewhere(_ one: Seen, _ copy: ClusterRecord) -> Bool {
        guard let state = one.report?.state, state.primaryOfTerm != .none else { return false }
        // What went on in place stands under its last term alone.
        let inIt = copy.history.filter { $0.term == state.primaryOfTerm }
        if inIt.contains(where: { $0.primary == one.member }) { return false }
        return !inIt.isEmpty || state.promised.version > copy.version
    }

    /// The rules of the copy, and what those that were lost demanded.
    private func rules(insteadOf copy: ClusterRecord, _ primary: InstanceState, others: [MemberID]) -> [Rule] {
        var rules = copy.rules
        // What it was told before it acknowledged by it: a single server's commits are nowhere else.
        let isOfNow = primary.primaryOfTerm >= copy.history.last?.term ?? copy.term
        if isOfNow, primary.promised.version > copy.version { rules += primary.rules.filter { !rules.contains($0) } }
        if let mode = rules.last?.mode, mode.isSynchronous, !others.isEmpty {
            // Whoever joined in what was lost may have voted; any other rule is met by them all.
            let all = Rule(voters: others, required: 1, mode: mode)
            rules = rules.filter { $0 != all } + [all]
        }
        guard rules.count > ClusterRecord.ruleLimit else { return rules }
        return [Rule.metByNobody(insteadOf: rules) { others.contains($0) }]
    }

    /// The most that any member accepted or told of, and any record came to.
    private func highest(_ copy: ClusterRecord, _ record: ClusterRecord, _ now: MonotonicInstant) -> Stamp {
        let promises = seen.filter { isFresh($0, now) }.compactMap(\.report?.state.promised)
        return (promises + [heard, record.stamp]).reduce(copy.stamp) { most, one in
            Stamp(term: max(most.term, one.term), version: max(most.version, one.version))
        }
    }

    /// How two may have gone on apart, each from the same old record; nil if all is one history.
    ///
    /// Terms and versions grow together: where one is ahead in terms and the other in versions, each may have a
    /// primary of its own behind it.
    private func fork(
        _ record: ClusterRecord,
        _ copies: [(InstanceName, Stamp)],
        _ now: MonotonicInstant
    ) -> String? {
        let promises = seen.filter { isFresh($0, now) }
            .compactMap { one in one.report.map { ("'\(one.spec.name)' accepted", $0.state.promised) } }
        let told = [("the record is of", record.stamp)] + promises + copies.map { ("'\($0)' keeps a copy of", $1) }
        for (who, stamp) in told {
            guard let other = told.first(where: { $0.1.term > stamp.term && $0.1.version < stamp.version }) else {
                continue
            }
            return "\(who) \(stamp), but \(other.0) \(other.1): the cluster went on from an old record; which "
                + "branch is to stay is yours to say: stop the controllers, give the record that is to stay a higher term and "
                + "version than any of these, remove data and state file of the other branch's members, and start again"
        }
        return nil
    }
}
