import ClusterModel

/// What durability `preferred` adds to the world: members that stay away for long, and a primary that is alone.
extension World {
    /// Members are gone for longer than anybody's patience, so that the rule is narrowed and widened again.
    func loseMembers(_ first: Host) {
        let count = 1 + random.below(hosts.count)
        for host in [first] + hosts.filter({ $0 !== first }).prefix(count - 1) {
            killHost(host, random.number(Time.seconds(2)...Time.seconds(20)))
        }
    }

    /// Whether an opening primary owes what it shows to a second copy: not one that is a single server by its rule.
    func owesCopies(_ host: Host) -> Bool {
        switch options.durability {
        case .async: false
        case .required: true
        case .preferred: store.record?.rules.allSatisfy { $0.required > 0 } ?? true
        }
    }

    /// What is still missing from the rule that the specification asks for; nil if nothing is.
    func missingVoters(_ record: ClusterRecord) -> String? {
        let rule = record.newestRule
        guard options.durability.isSynchronous, hosts.count > 1 else { return nil }
        if rule.mode != spec.durability { return "the rule is still of mode \(rule.mode.rawValue)" }
        if rule.required != spec.synchronousStandbys { return "commits wait for \(rule.required)" }
        if rule.voters.count < hosts.count - 1 { return "only \(rule.voters.count) members vote" }
        return nil
    }
}
