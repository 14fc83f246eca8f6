import ClusterModel

/// A WAL message of the primary's own agent: whoever has flushed it was not revoked when it was begun (R10, R22).
struct Heartbeat: Hashable, Sendable {
    /// End of its record.
    var end: LSN
    /// From before its writing, on the own clock.
    var begunAt: MonotonicInstant
}

/// Life without a leader: what extends a lease, and what a primary may do without one (R2, R10).
extension InstanceMachine {
    /// How many heartbeats are remembered: more than are ever on their way.
    static let beatLimit = 16

    /// Admits clients and is to be routed to.
    var isRouted: Bool { opened && !lapsed }

    /// Whether a higher term than its own was promised or named by a leader: nothing extends a lease then.
    var isOverruled: Bool { max(state.promised.term, seenTerm) > state.primaryOfTerm }

    /// Early enough before `end` that the launcher's own timer does not act first (R21).
    func holdAt(_ end: MonotonicInstant) -> MonotonicInstant {
        end - configuration.timings.fenceBudget - configuration.timings.reportInterval
    }

    mutating func beaten(_ end: LSN, _ begunAt: MonotonicInstant) {
        guard phase == .up, state.isPrimaryInOffice else { return }
        beats.append(Heartbeat(end: end, begunAt: begunAt))
        if beats.count > Self.beatLimit { beats.removeFirst() }
    }

    /// Notes what a leader's answer says beside the lease.
    mutating func heardLeader(_ answer: ReportAnswer, _ sentAt: MonotonicInstant, granted: Bool) {
        seenTerm = max(seenTerm, answer.stamp.term)
        if granted {
            grantedAt = max(grantedAt ?? sentAt, sentAt)
            if let deniedAt, deniedAt <= sentAt { self.deniedAt = nil }
            denial = ""
        } else if state.isPrimaryInOffice, sentAt > grantedAt ?? (sentAt - .nanoseconds(1)) {
            deniedAt = max(deniedAt ?? sentAt, sentAt)
        }
    }

    /// Extends the lease without a leader, from the latest moment that every rule shows to be free of revocation.
    ///
    /// Where commits wait for voters that is the writing of a heartbeat which k of them have flushed; in `async` it is
    /// the asking of a round in which half of them granted. The newest rule known here is always in the record, since
    /// no change ends without this agent's confirmation (R12): fewer than its n − k + 1 voters can have been prepared.
    mutating func extendWithoutLeader(_ now: MonotonicInstant) {
        guard let lease, lease.term == state.primaryOfTerm, state.isPrimaryInOffice, phase == .up, !isOverruled,
            state.rules.last?.answersNeeded != nil, weakness != .noFailsafe
        else { return }
        var since: [MonotonicInstant] = []
        var duration = configuration.timings.leaseDuration
        var evidence: [String] = []
        if !rulesByFlushes.isEmpty {
            guard let status, !status.inRecovery, let beat = beats.last(where: { hasReachedVoters($0, status) }) else {
                return
            }
            since.append(beat.begunAt)
            evidence.append("heartbeat at \(beat.end) is flushed")
        }
        if !rulesByGrants.isEmpty {
            guard let round = grantedRound() else { return }
            since.append(round.askedAt)
            duration = min(duration, round.lease)
            evidence.append("granted by \(round.grantedBy.map(\.name.text).joined(separator: ", "))")
        }
        guard let start = since.min() else { return }
        beats.removeAll { $0.begunAt <= start }
        rounds.removeAll { $0.askedAt < start }
        let end = start + duration
        guard end > lease.end, end - configuration.timings.fenceBudget > now else { return }
        if grantedAt.map({ lease.end == $0 + configuration.timings.leaseDuration }) ?? true, isLeaderless(now) {
            let who = rulesByGrants.isEmpty ? "the voters that stream from here" : "the agents of its voters"
            explain(
                .lease,
                rule: "R10",
                "no leader answers: \(who) extend the lease of term \(lease.term)",
                evidence: evidence
            )
        }
        extendedBy = rulesByGrants.isEmpty ? streamingVoters : grantedRound()?.grantedBy.map(\.name) ?? []
        self.lease = Lease(term: lease.term, end: end)
        arm()
    }

    private var rulesByFlushes: [Rule] { state.rules.filter { $0.mode != .async && $0.answersNeeded != nil } }

    private var streamingVoters: [InstanceName] {
        let streaming = (status?.senders ?? []).filter { $0.usesOwnSlot && $0.state == "streaming" }
            .map(\.applicationName)
        return (state.rules.last?.voters ?? []).filter { streaming.contains($0.applicationName) }.map(\.name)
    }

    private func hasReachedVoters(_ beat: Heartbeat, _ status: ServerStatus) -> Bool {
        let past = status.senders
            .filter { $0.usesOwnSlot && $0.state == "streaming" && $0.flushLSN >= beat.end }
            .map(\.applicationName)
        // A rule that only this primary's own answer meets needs no proof.
        return rulesByFlushes.allSatisfy { rule in
            rule.voters.filter { past.contains($0.applicationName) }.count >= rule.required
        }
    }

    /// How long no leader has granted, once that is longer than an answer takes.
    func leaderless(_ now: MonotonicInstant) -> LeaderlessSpan? {
        guard state.isPrimaryInOffice, phase == .up, let grantedAt, isLeaderless(now) else { return nil }
        return LeaderlessSpan(length: now - grantedAt, extendedBy: extendedBy)
    }

    /// Whether no report of the last two intervals was answered with a lease.
    func isLeaderless(_ now: MonotonicInstant) -> Bool {
        grantedAt.map { now - $0 > configuration.timings.reportInterval * 2 } ?? true
    }

    /// Why a running primary may go on past its lease; nil if it must be fenced.
    private var exemption: Exemption? {
        guard let lease, lease.term == state.primaryOfTerm, phase == .up, !isOverruled,
            let newest = state.rules.last
        else { return nil }
        // Only its own answer permits a promotion: nobody can replace it (R2). Until it has confirmed a change all
        // of the rules that it was told stand in the record, afterwards only the newest surely does (R12).
        let certain = awaitsConfirmation ? state.rules : [newest]
        if certain.contains(where: { $0.answersNeeded == nil }) { return .irreplaceable }
        guard state.rules.allSatisfy({ $0.mode != .async }) else { return nil }
        // A leader that answers and does not grant means it: only where none is seen, revocation is fence enough.
        return deniedAt == nil ? .revocable : nil
    }

    private enum Exemption { case irreplaceable, revocable }

    /// Lets a primary run on that needs no lease, or whose lease lapsed with no leader in sight; true if it may.
    ///
    /// The launcher's timer is wound up on the agent's own word then: it still ends the server of an agent that
    /// died or hangs (R21).
    mutating func holdOut(_ now: MonotonicInstant) -> Bool {
        guard let lease, now >= holdAt(lease.end) else {
            endLapse()
            return false
        }
        guard let exemption, weakness != .noFailsafe else { return false }
        if heldUntil.map({ now >= holdAt($0) }) ?? true {
            let end = now + configuration.timings.leaseDuration
            heldUntil = end
            armed = true
            add(.armLease(until: end))
        }
        if exemption == .revocable, !lapsed, now >= lease.end - configuration.timings.fenceBudget {
            lapsed = true
            explain(
                .lease,
                rule: "R10",
                "the lease of term \(lease.term) has lapsed, but no leader and no higher term was seen: the server is "
                    + "not stopped; it is off the route, reads go on, commits wait for the voters",
                evidence: state.rules.map { "rule \($0)" }
            )
            fault = Self.lapseFault
        }
        return true
    }

    /// Whether it may say that rules are in force: before others can replace it, it holds a lease again (R2).
    func mayConfirm(_ rules: [Rule], _ now: MonotonicInstant) -> Bool {
        rules.allSatisfy { $0.answersNeeded == nil } || leaseIsLive(now, for: state.primaryOfTerm)
    }

    /// Of a server that is gone.
    mutating func forgetLapse() {
        heldUntil = nil
        lapsed = false
        if fault == Self.lapseFault { fault = "" }
    }

    private static let lapseFault = "no leader answers and too few voters stream: reads go on, commits wait"

    private mutating func endLapse() {
        let wasLapsed = lapsed
        forgetLapse()
        guard wasLapsed else { return }
        explain(.lease, rule: "R10", "a lease of term \(state.primaryOfTerm) is there again: back on the route")
    }
}
