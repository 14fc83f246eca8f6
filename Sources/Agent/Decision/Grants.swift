import ClusterModel

/// One round of questions to the voters' agents; what they grant counts from the moment of asking (R10).
struct GrantRound: Hashable, Sendable {
    var sequence: UInt64
    /// On the own clock, from before the questions left.
    var askedAt: MonotonicInstant
    var grantedBy: [MemberID] = []
    /// The shortest that was granted.
    var lease: Duration
}

/// Leases among agents, where no name in PostgreSQL keeps two primaries apart (R10, `async`).
///
/// Of n voters ⌈n/2⌉ extend a lease and n − ⌈n/2⌉ + 1 prepared ones permit a promotion: at least one of them does
/// both, and it prepares only when what it granted is over.
extension InstanceMachine {
    /// How many rounds may be under way: more than a lease has report intervals, as a rule.
    static let roundLimit = 16

    // MARK: Asking

    /// Rules that only the grants of voters can extend a lease under.
    var rulesByGrants: [Rule] { state.rules.filter { $0.mode == .async && $0.answersNeeded != nil } }

    /// When its voters are asked next; nil while nobody is to be asked.
    ///
    /// Not before half of what can be used of a lease is over: whoever grants holds up a failover.
    var askDue: MonotonicInstant? {
        guard state.isPrimaryInOffice, phase == .up, member != nil, !isOverruled, deniedAt == nil,
            let lease, lease.term == state.primaryOfTerm, !rulesByGrants.isEmpty, !state.agents.isEmpty
        else { return nil }
        let timings = configuration.timings
        let patience = max(timings.reportInterval * 2, (timings.leaseDuration - timings.fenceBudget) / 2)
        let due = grantedAt.map { $0 + patience } ?? lease.end - timings.leaseDuration + patience
        return askedAt.map { max(due, $0 + timings.reportInterval) } ?? due
    }

    /// Asks the agents of the voters, if it is time to.
    mutating func askVoters(_ now: MonotonicInstant) {
        guard let askDue, now >= askDue, let member else { return }
        askedAt = now
        lastRound += 1
        rounds.append(GrantRound(sequence: lastRound, askedAt: now, lease: configuration.timings.leaseDuration))
        if rounds.count > Self.roundLimit { rounds.removeFirst() }
        let voters = rulesByGrants.flatMap(\.voters).map(\.name)
        let request = LeaseRequest(sequence: lastRound, term: state.primaryOfTerm, primary: member)
        add(.askVoters(request, state.agents.filter { voters.contains($0.name) }))
    }

    mutating func peerAnswered(_ answer: LeaseAnswer, _ name: InstanceName, _ now: MonotonicInstant) {
        // Only a leader begins a higher term: whoever knows of one has it from there.
        if state.isPrimaryInOffice { seenTerm = max(seenTerm, answer.highestTerm) }
        guard let lease = answer.lease, lease > .zero, let voter = answer.voter, voter.name == name else {
            let text = "'\(name)' extends no lease: \(answer.reason)"
            guard denial != text else { return }
            denial = text
            return explain(.lease, rule: "R10", text)
        }
        guard let place = rounds.firstIndex(where: { $0.sequence == answer.sequence }) else { return }
        if !rounds[place].grantedBy.contains(voter) { rounds[place].grantedBy.append(voter) }
        rounds[place].lease = min(rounds[place].lease, lease)
        extendWithoutLeader(now)
    }

    /// The latest round in which enough voters of every rule granted.
    func grantedRound() -> GrantRound? {
        let missing = weakness == .oneGrantLess ? 1 : 0
        return rounds.last { round in
            rulesByGrants.allSatisfy { rule in
                rule.voters.filter(round.grantedBy.contains).count >= rule.grantsNeeded - missing
            }
        }
    }

    // MARK: Granting

    /// The agent of a primary asks for a lease: grants it and is bound by that, or says why not.
    mutating func asked(
        _ request: LeaseRequest,
        _ name: InstanceName,
        _ question: UInt64,
        _ now: MonotonicInstant
    ) {
        let known = max(state.promised.term, seenTerm, state.grantedTerm)
        var answer = LeaseAnswer(sequence: request.sequence, voter: member, highestTerm: known, lease: nil)
        if let reason = reasonToDeny(request, name, known) {
            answer.reason = reason
            return add(.answerPeer(answer, question: question))
        }
        if state.grantedTerm < request.term {
            // The agent after this one keeps as silent without knowing when the last grant was.
            persist { $0.grantedTerm = request.term }
            explain(
                .lease,
                rule: "R10",
                "no leader answers '\(name)': its lease of term \(request.term) is extended from here, and no higher term "
                    + "is prepared until that is over"
            )
        }
        bind(now)
        answer.lease = configuration.timings.leaseDuration
        add(.answerPeer(answer, question: question))
    }

    private func reasonToDeny(_ request: LeaseRequest, _ name: InstanceName, _ known: Term) -> String? {
        guard request.primary.name == name else { return "the request names '\(request.primary.name)' as its sender" }
        guard name != configuration.name else { return "nobody votes for itself" }
        if phase == .unknown { return "its launcher is not reached" }
        if known > request.term { return "it knows of term \(known)" }
        // Whoever follows that primary promised exactly its term; the bond must not be to a number that somebody makes up.
        if state.promised.term != request.term { return "it has not promised term \(request.term)" }
        if state.incarnation == nil || state.tainted { return "it holds no data that counts" }
        if state.isPrimaryInOffice { return "it is primary of term \(state.primaryOfTerm) itself" }
        switch state.role {
        case .standby, .primary: return nil
        case .none, .initializing, .cloning, .rewinding: return "its data does not count: \(state.role.rawValue)"
        }
    }

    private mutating func bind(_ now: MonotonicInstant) {
        let end = now + configuration.timings.leaseHorizon
        boundUntil = max(boundUntil ?? end, end)
    }

    /// An agent that comes anew does not know when the one before it last granted.
    mutating func bindAgain(_ now: MonotonicInstant) {
        guard state.grantedTerm != .none else { return }
        if weakness == .forgottenGrant {
            boundUntil = nil
        } else {
            bind(now)
        }
    }

    /// For how long it still refuses to prepare for a term above that of its last grant; nil if it does not.
    func boundFor(_ now: MonotonicInstant) -> Duration? {
        // Also after `follow` of a higher term: where a primary goes on in that term (R16), it may not know so yet.
        guard let boundUntil, now < boundUntil, !state.isPrimaryInOffice, weakness != .unboundGrant else { return nil }
        return boundUntil - now
    }

    /// What the rules by which its voters grant still lack, for a primary that is stopped for want of a lease.
    var grantsMissing: [String] {
        if rulesByGrants.isEmpty { return [] }
        if state.agents.isEmpty { return ["where the agents of its voters answer is not known (R10)"] }
        return rulesByGrants.map { rule in
            let granted = rounds.last.map { round in rule.voters.filter(round.grantedBy.contains).count } ?? 0
            return "without a leader \(rule.grantsNeeded) of \(rule.voters.count) voters must extend it, \(granted) did"
        }
    }

    /// Why it may not prepare for that term yet; from being asked on it grants nothing any more.
    mutating func bindingReason(_ term: Term, _ now: MonotonicInstant) -> String? {
        guard term > state.grantedTerm, boundFor(now) != nil else { return nil }
        seenTerm = max(seenTerm, term)
        return "it granted a lease of term \(state.grantedTerm) without a leader, and prepares when that is over (R10)"
    }
}
