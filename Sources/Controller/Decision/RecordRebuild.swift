import ClusterModel

/// A record that was lost, or is an old copy, is rebuilt from the copies that the agents keep (R1).
extension ClusterMachine {
    /// So many versions are left out, so that nothing that was decided from a version that is lost is taken any more.
    static let versionLeap: UInt64 = 1000
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
        if let doubt = doubt(about: copy, now) { return doubt }
        var rebuilt = copy
        rebuilt.version = RecordVersion(rawValue: max(copy.version, record.version).rawValue + Self.versionLeap)
        waiting = nil
        explain(
            .record,
            rule: "R1",
            "the record is lost or older than the cluster: it is rebuilt from the copy of \(copy.stamp) that '\(holder)' keeps",
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
}
