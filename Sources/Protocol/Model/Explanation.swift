/// Why something was done or left undone: one value feeds log, history, status and command line (P5).
public struct Explanation: Hashable, Sendable, Codable, CustomStringConvertible {
    /// What kind of decision this explains; stable, for filters and alerts.
    public enum Kind: String, Sendable, Hashable, Codable, CaseIterable {
        case birth, evidence, prepare, candidate, promote, opened, follow, rules, waiting, refused, lease, fence,
            release
        case rejoin, fault, record, backoff
        case switchover, abandoned, pause, byHand
    }

    /// What it is about.
    public let kind: Kind
    /// The rule of the protocol it rests on, such as `R7`; empty if none.
    public let rule: String
    /// One sentence for a person at three in the morning.
    public let text: String
    /// What was seen: one line each.
    public let evidence: [String]

    /// Creates an explanation from its parts.
    public init(_ kind: Kind, rule: String = "", _ text: String, evidence: [String] = []) {
        self.kind = kind
        self.rule = rule
        self.text = text
        self.evidence = evidence
    }

    /// For people: logs, history and command line.
    public var description: String {
        let cited = rule.isEmpty ? "" : " [\(rule)]"
        return text + cited + (evidence.isEmpty ? "" : " (" + evidence.joined(separator: "; ") + ")")
    }
}

/// Stops the program with words if a law that must hold does not.
///
/// `precondition` is silent in optimized builds; this is not. Stopping is safe: the launcher's lease timer
/// outlives the agent, and the record outlives the controller.
public func invariant(_ holds: Bool, _ law: @autoclosure () -> String) {
    if !holds { fatalError("invariant broken: " + law()) }
}
