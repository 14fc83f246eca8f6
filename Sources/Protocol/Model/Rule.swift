/// How a cluster treats a commit.
public enum Durability: String, Sendable, Hashable, Codable, CaseIterable {
    /// Plain streaming replication: a commit waits for nobody.
    case async
    /// A commit waits for `required` voters, always.
    case required
    /// The same while enough voters are left; with fewer, `required` is lowered by R12, to 0 if need be.
    case preferred

    /// Whether voters acknowledge commits; else only leases keep two primaries apart.
    public var isSynchronous: Bool { self != .async }
}

/// One recorded rule: which members acknowledge, and how many of them a commit waits for (V, k).
///
/// While a change is under way the record holds the old and the new rule; a promotion satisfies both (R12).
public struct Rule: Hashable, Sendable, Codable, CustomStringConvertible {
    /// Members that may acknowledge, sorted, without duplicates.
    public let voters: [MemberID]
    /// Acknowledgements a commit waits for (k); zero in `async`, at birth, and where `preferred` has no voter left.
    public let required: Int
    /// In which the voters are counted.
    public let mode: Durability

    /// Creates a rule from its parts.
    public init(voters: [MemberID], required: Int, mode: Durability) {
        self.voters = Array(Set(voters)).sorted()
        self.required = required
        self.mode = mode
    }

    /// The rule of a cluster's birth: nobody votes, nothing is waited for (R24).
    public static func birth(_ mode: Durability) -> Rule { Rule(voters: [], required: 0, mode: mode) }

    /// Grants of voters that extend a lease without a leader in `async`: half of the voters, rounded up (R10).
    public var grantsNeeded: Int { (voters.count + 1) / 2 }

    /// Prepared answers of voters that must include a holder of every acknowledged commit: n − k + 1 (R7).
    ///
    /// - Returns: nil if no number of voters is enough, so that only the recorded primary's own answer is.
    public var answersNeeded: Int? {
        let waiting = mode == .async ? grantsNeeded : required
        return waiting == 0 ? nil : voters.count - waiting + 1
    }

    /// Whether nobody but the recorded primary can be known to hold every acknowledged commit.
    public var isSingleServer: Bool { answersNeeded == nil }

    /// Whether `answered` meets every set of voters that can have acknowledged a commit under this rule.
    public func isMet(by answered: [MemberID]) -> Bool {
        guard let needed = answersNeeded else { return false }
        return voters.filter(answered.contains).count >= needed
    }

    /// The rule after `candidate` becomes primary: the old primary takes its place among the voters (R7).
    ///
    /// A candidate outside the voters leaves them as they are.
    public func promoting(_ candidate: MemberID, replacing old: MemberID) -> Rule {
        guard let place = voters.firstIndex(of: candidate) else { return self }
        var swapped = voters
        swapped.remove(at: place)
        if candidate != old { swapped.append(old) }
        return Rule(voters: swapped, required: required, mode: mode)
    }

    /// Value of `synchronous_standby_names` on a primary under this rule; empty where a commit waits for nobody.
    public var synchronousStandbyNames: String {
        guard required > 0 else { return "" }
        return "ANY \(required) (" + voters.map(\.applicationName).joined(separator: ", ") + ")"
    }

    /// For people: logs, history and command line.
    public var description: String {
        "\(required) of {\(voters.map(\.description).joined(separator: ", "))}, \(mode.rawValue)"
    }
}

/// Value of `synchronous_standby_names` on every standby: matches nobody, so that a promotion cannot
/// acknowledge alone (R12).
public let standbySynchronousNames = "ANY 1 (understudy_nobody)"
