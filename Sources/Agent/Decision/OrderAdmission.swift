package import ClusterModel

/// What an instance is, as far as taking orders goes.
public enum Situation: String, Hashable, Sendable, CaseIterable {
    /// No data directory.
    case empty
    /// A directory that counts for nobody: being initialized, cloned or rewound, or taken without an order.
    case unusable
    /// Something that is not this cluster's data: never touched.
    case foreign
    case standby
    /// Primary of the order's own term.
    case primaryOfThisTerm
    /// Primary in office of an earlier term.
    case primaryOfEarlierTerm
    /// Gave its term up.
    case formerPrimary
}

/// One row: what an instance in a situation does with an order.
public struct AdmissionRow: Hashable, Sendable {
    /// As `Order.name` says it.
    public var order: String
    /// In which the order finds the instance.
    public var situation: Situation
    /// Nil where the order is taken; else why it is refused.
    public var refusal: String?
}

/// Every order that the controller can give, against every situation: refused with a reason or taken.
///
/// A test proves that no pair is missing and none stands twice.
public let admissionTable: [AdmissionRow] = {
    func rows(_ order: String, takenBy taken: [Situation], otherwise reasons: [Situation: String]) -> [AdmissionRow] {
        taken.map { AdmissionRow(order: order, situation: $0, refusal: nil) }
            + Situation.allCases.compactMap { situation in
                reasons[situation].map { AdmissionRow(order: order, situation: situation, refusal: $0) }
            }
    }
    let foreign = "the data directory is not this cluster's; move it away or correct the configuration"
    return rows(
        "initialize",
        takenBy: [.empty, .unusable, .primaryOfThisTerm],
        otherwise: [
            .foreign: foreign, .standby: "there is data already", .primaryOfEarlierTerm: "there is data already",
            .formerPrimary: "there is data already",
        ]
    )
        + rows(
            "prepare",
            takenBy: [.empty, .unusable, .standby, .primaryOfEarlierTerm, .formerPrimary],
            otherwise: [.foreign: foreign, .primaryOfThisTerm: "this instance is primary of that very term"]
        )
        + rows(
            "promote",
            takenBy: [.standby, .primaryOfThisTerm],
            otherwise: [
                .empty: "there is no data", .foreign: foreign,
                .unusable: "the data directory is incomplete or took a timeline without an order",
                .primaryOfEarlierTerm: "it has not prepared in this term",
                .formerPrimary: "it has not prepared in this term",
            ]
        )
        + rows(
            "follow",
            takenBy: [.empty, .unusable, .standby, .primaryOfEarlierTerm, .formerPrimary],
            otherwise: [.foreign: foreign, .primaryOfThisTerm: "this instance is primary of that very term"]
        )
        + rows(
            "catchUp",
            takenBy: [.standby],
            otherwise: [
                .empty: "there is no data", .foreign: foreign,
                .unusable: "the data directory is incomplete or took a timeline without an order",
                .primaryOfThisTerm: "this instance is primary of that very term",
                .primaryOfEarlierTerm: "it has not prepared in this term",
                .formerPrimary: "it has not prepared in this term",
            ]
        )
        + rows(
            "govern",
            // A primary in office goes on in a later term whose change of primary was given up (R16).
            takenBy: [.primaryOfThisTerm, .primaryOfEarlierTerm],
            otherwise: [
                .empty: "it is not primary of this term", .unusable: "it is not primary of this term",
                .foreign: foreign, .standby: "it is not primary of this term",
                .formerPrimary: "it is not primary of this term",
            ]
        )
        + rows(
            "handOver",
            takenBy: [.primaryOfThisTerm],
            otherwise: [
                .empty: "it is not primary of this term", .unusable: "it is not primary of this term",
                .foreign: foreign, .standby: "it is not primary of this term",
                .primaryOfEarlierTerm: "it is not primary of this term",
                .formerPrimary: "it is not primary of this term",
            ]
        )
}()

extension InstanceMachine {
    /// The situation in which an order of `term` finds this instance.
    package func situation(for term: Term) -> Situation {
        if case .foreign = directory, weakness != .foreignTaken { return .foreign }
        switch state.role {
        case .none: return .empty
        case .initializing, .cloning, .rewinding: return .unusable
        case .standby: return state.tainted ? .unusable : .standby
        case .primary:
            if !state.isPrimaryInOffice { return state.tainted ? .unusable : .formerPrimary }
            return state.primaryOfTerm == term ? .primaryOfThisTerm : .primaryOfEarlierTerm
        }
    }

    /// Checks an order against what was promised and what this instance is; takes it or says why not.
    mutating func take(_ order: Order, _ now: MonotonicInstant) {
        if phase == .unknown { return refuse(order, "the launcher is not reached; it must run beside the agent") }
        let isCurrent =
            order.stamp.isCurrent(comparedTo: state.promised)
            || weakness == .termOnly && order.stamp.term >= state.promised.term
        guard isCurrent else {
            return refuse(order, "it was decided in \(order.stamp); \(state.promised) was accepted already (R1)")
        }
        let situation = situation(for: order.stamp.term)
        let row = admissionTable.first { $0.order == order.name && $0.situation == situation }
        if let refusal = row?.refusal { return refuse(order, refusal) }
        if let refusal = specialRefusal(order, situation) { return refuse(order, refusal) }
        if case .prepare = order.kind, let reason = bindingReason(order.stamp.term, now) {
            return refuse(order, reason)
        }
        let termRises = order.stamp.term > state.promised.term
        if case .govern = order.kind, order.stamp.version > state.promised.version { awaitsConfirmation = true }
        // A promise of a higher term ends whatever the lower one had under way (R1, R6).
        if termRises { newTerm(order.stamp.term) }
        persist {
            $0.promised = order.stamp
            // It was taken after the end of all that was granted before.
            if case .prepare = order.kind, order.stamp.term > $0.grantedTerm { $0.grantedTerm = .none }
        }
        adopt(order, now)
    }

    private func specialRefusal(_ order: Order, _ situation: Situation) -> String? {
        switch order.kind {
        case .initialize:
            if situation == .unusable && state.role != .initializing { return "there is data already" }
            if case .present(let number) = directory, situation == .empty {
                return "a data directory of system identifier \(number) is there already"
            }
            return nil
        case .follow(let plan):
            if plan.primary == configuration.name { return "an instance cannot follow itself" }
            if case .present(let number) = directory, number != plan.systemIdentifier {
                return "the data directory is of system identifier \(number), the cluster's is "
                    + "\(plan.systemIdentifier); move it away"
            }
            return nil
        case .promote:
            // Never a promotion out of a lower promise: its receiver could still feed an older primary.
            if situation == .standby && order.stamp.term > state.promised.term {
                return "it has not prepared in term \(order.stamp.term)"
            }
            return nil
        case .catchUp(let plan):
            if plan.primary == configuration.name { return "an instance cannot catch up from itself" }
            if goalTerm == order.stamp.term, goal.isBeyondPrepare { return "it comes after what followed it" }
            // Without an answer of this very term nothing is known of what is on disk here.
            let isUnderWay = following == Following(term: order.stamp.term, primary: plan.primary)
            if prepared?.term == order.stamp.term || isUnderWay || work?.kind == .follow(plan) { return nil }
            return "it has not prepared in term \(order.stamp.term)"
        case .prepare, .govern, .handOver: return nil
        }
    }

    private mutating func newTerm(_ term: Term) {
        prepared = nil
        confirmation = nil
        // Also a `follow` half done: its next step would point the server at the old primary again, after the cut.
        // A primary stops at once, and that ends its work; nothing may hold up the stop.
        // Reading the control file of a stopped server goes on: what it says holds in any term.
        if !state.isPrimaryInOffice, work?.kind != .inspect { abandonWork() }
        discarding = false
        forgetRewind()
        // What was rewound, was rewound onto the history of the term before.
        if state.role == .rewinding { rejoining = false }
        retryAt = nil
        failures = 0
        fault = ""
    }

    private mutating func adopt(_ order: Order, _ now: MonotonicInstant) {
        switch order.kind {
        case .initialize(let plan): goal = .initialize(plan)
        case .prepare(let recover):
            // A late duplicate must not undo the candidate's promotion or a standby's new upstream of this term.
            if goalTerm == order.stamp.term && goal.isBeyondPrepare {
                return explain(.refused, rule: "R6", "prepare of term \(goalTerm) comes after what followed it")
            }
            goal = .prepare(recover: recover)
        case .promote(let promotion):
            goal = .lead(promotion)
            // The lease may have been granted in an answer that came before this order.
            if !leaseIsLive(now, for: state.promised.term) { add(.report) }
        case .follow(let plan):
            if let discard = plan.discard, discard != state.incarnation {
                return explain(.refused, rule: "R14", "incarnation \(discard) is gone already")
            }
            goal = .follow(plan)
            prepared = nil
        case .catchUp(let plan): goal = .catchUp(plan)
        case .govern(let governance):
            if state.primaryOfTerm < order.stamp.term { goOn() }
            // What the record holds decides what extends a lease, also for the agent after this one (R10).
            persist {
                $0.rules = governance.rules
                $0.agents = governance.agents
            }
            goal = .govern(governance, version: order.stamp.version)
        case .handOver(let plan): goal = .handOver(plan, version: order.stamp.version)
        }
        if case .handOver = goal {} else { readyToHandOver = nil }
        goalTerm = order.stamp.term
    }

    private mutating func refuse(_ order: Order, _ reason: String) {
        add(.refuse(OrderRefusal(stamp: order.stamp, order: order.name, reason: reason)))
        explain(.refused, rule: "R1", "'\(order.name)' of \(order.stamp) is refused: \(reason)")
    }
}
