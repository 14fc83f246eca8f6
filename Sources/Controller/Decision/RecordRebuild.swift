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
        if let doubt = doubt(about: copy, now) {
            guard let renewed = inNewTerm(copy, now) else { return doubt }
            rebuilt = renewed
            manner = ", in a new term, since members accepted more than that and nobody became primary by it"
        }
        rebuilt.version = RecordVersion(
            rawValue: max(copy.version, record.version, highestPromise(now).version).rawValue + Self.versionLeap
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
    private func doubt(about copy: ClusterRecord, _ now: MonotonicInstant) -> String? {
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

    /// The copy in a term of its own; nil if what was lost may have made somebody primary.
    ///
    /// Members accepted more than any copy shows. When every one of them answers, their state files tell what became of
    /// that: a candidate writes down the term that it is primary of before it is promoted. If nobody did after the
    /// copy's primary, that one still holds all that was acknowledged, by whatever rule, and so do all others together.
    private func inNewTerm(_ copy: ClusterRecord, _ now: MonotonicInstant) -> ClusterRecord? {
        guard copy.phase == .steady || copy.phase == .promoting || copy.phase == .preparing,
            let primary = copy.primaryMember, seen.allSatisfy({ isFresh($0, now) && $0.report != nil })
        else { return nil }
        let present = seen.compactMap(\.member)
        let known = copy.members + copy.rules.flatMap(\.voters) + [primary]
        guard known.allSatisfy(present.contains) else { return nil }
        let hasSuccessor = seen.contains { one in
            guard let report = one.report else { return true }
            if one.member == primary { return report.state.primaryOfTerm > copy.term }
            return report.state.primaryOfTerm >= copy.term
                || (report.status?.position.timeline ?? .none) > copy.highestTimeline
        }
        let highest = highestPromise(now)
        guard !hasSuccessor, highest.term.rawValue < 1 << 62, highest.version.rawValue < 1 << 62 else { return nil }
        var renewed = copy
        renewed.phase = .preparing
        renewed.term = max(copy.term, highest.term).next
        renewed.request = nil
        // Whoever joined in what was lost may have voted.
        let others = present.filter { $0 != primary }
        if let mode = copy.rules.last?.mode, mode.isSynchronous, !others.isEmpty {
            // A rule that was lost is met by them all, whatever it was.
            renewed.rules.append(Rule(voters: others, required: 1, mode: mode))
        }
        return renewed.faults.isEmpty ? renewed : nil
    }

    /// The most that any member accepted.
    private func highestPromise(_ now: MonotonicInstant) -> Stamp {
        let promises = seen.filter { isFresh($0, now) }.compactMap(\.report?.state.promised)
        return Stamp(term: promises.map(\.term).max() ?? .none, version: promises.map(\.version).max() ?? .none)
    }
}
