import ClusterModel

/// What is known of one member as a voter.
struct VoterView: Hashable, Sendable {
    var member: MemberID
    /// Streams from the primary through its own slot: it can acknowledge.
    var flows: Bool
    /// Its agent answers for it, in this incarnation: it can promise.
    var answers: Bool
    /// One of both has been missing for longer than `voterPatience`, or its data is gone.
    var isLost: Bool

    var isWell: Bool { flows && answers }
}

/// Who should vote, and how many of them a commit should wait for (R12).
///
/// Down with patience, up at once: a voter is given up only when it was missing for a while, and taken as soon as it
/// is well. No change is begun that could not be completed now, since its barrier needs k voters that stream.
struct VoterPolicy: Hashable, Sendable {
    /// What the specification asks for.
    let mode: Durability
    /// k of the specification; of no account in `async`.
    let target: Int

    /// The rule that should follow `rule`; nil if that one is as good as can be.
    func rule(after rule: Rule, among views: [VoterView]) -> Rule? {
        let voters = voters(after: rule, among: views)
        let streaming = Self.streaming(voters, views)
        guard let required = required(after: rule, voters: voters.count, streaming: streaming) else { return nil }
        let isSingle = mode.isSynchronous && required == 0
        let next = Rule(voters: isSingle ? [] : voters, required: required, mode: mode)
        return next == rule ? nil : next
    }

    /// How many of those voters stream now.
    static func streaming(_ voters: [MemberID], _ views: [VoterView]) -> Int {
        voters.filter { voter in views.contains { $0.member == voter && $0.flows } }.count
    }

    /// All that are well or not yet given up; in `preferred` and below k whoever streams at all.
    private func voters(after rule: Rule, among views: [VoterView]) -> [MemberID] {
        func view(_ member: MemberID) -> VoterView? { views.first { $0.member == member } }
        let joining = views.filter { $0.isWell && !rule.voters.contains($0.member) }.map(\.member)
        let kept = rule.voters.filter { view($0).map { $0.isWell || !$0.isLost } ?? false } + joining
        // A voter without an agent still acknowledges, and no better one is left.
        let enough = mode.isSynchronous ? target : min(1, rule.voters.count)
        if kept.count >= enough { return kept }
        let silent = rule.voters.filter { voter in !kept.contains(voter) && view(voter)?.flows == true }
        let filled = kept + silent.prefix(enough - kept.count)
        if mode == .preferred || filled.count >= enough { return filled }
        // Where k may not fall, whoever is missing stays a voter: its return is what everybody waits for.
        return rule.voters.filter { !filled.contains($0) } + filled
    }

    /// k for that many voters; nil if no change could be completed now.
    private func required(after rule: Rule, voters: Int, streaming: Int) -> Int? {
        let present = rule.mode.isSynchronous ? rule.required : 0
        switch mode {
        case .async: return 0
        case .required:
            if voters >= target && streaming >= target { return target }
            return present > 0 && present < target && streaming >= present ? present : nil
        case .preferred:
            let limit = min(target, voters)
            if limit <= streaming { return limit }
            // Some of those that are not given up do not stream: never k below what it is for their sake.
            return present <= streaming ? streaming : nil
        }
    }

    /// The rule that a promotion is to begin with, after the swap of R7; nil if the swapped one will do.
    ///
    /// `prepared` follow at once, `reachable` may soon; all others are taken for gone. Never k = 0: if the candidate
    /// fails, that rule would leave it alone able to go on (D100).
    func ruleAtPromotion(_ rule: Rule, prepared: [MemberID], reachable: [MemberID]) -> Rule? {
        let sure = rule.voters.filter(prepared.contains).count
        let there = rule.voters.filter { prepared.contains($0) || reachable.contains($0) }
        if rule.mode == .preferred, sure < rule.required {
            return sure == 0 ? nil : Rule(voters: there, required: sure, mode: .preferred)
        }
        guard there.count < rule.voters.count, sure >= max(1, rule.required) else { return nil }
        return Rule(voters: there, required: rule.required, mode: rule.mode)
    }
}
