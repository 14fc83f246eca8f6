/// What can be done to a cluster.
package enum FaultKind: String, Hashable, Sendable, CaseIterable {
    case postmasterKilled = "postmaster_killed"
    case agentKilled = "agent_killed"
    case launcherKilled = "launcher_killed"
    case controllerKilled = "controller_killed"
    /// Agent, launcher and server at once; the host's network stays and says so.
    case podKilled = "pod_killed"
    /// Everything on the host, without a word to anybody: power gone.
    case hostKilled = "host_killed"
    case everythingKilled = "everything_killed"
    case postmasterFrozen = "postmaster_frozen"
    case agentFrozen = "agent_frozen"
    case hostFrozen = "host_frozen"
    case controllerFrozen = "controller_frozen"
    /// Neither sends to anybody nor hears anybody.
    case isolated
    case cutFromController = "cut_from_controller"
    case cutFromInstances = "cut_from_instances"
    /// Is heard, hears nobody.
    case deaf
    /// Hears, is not heard.
    case mute
    /// Delays, jitter and reordering on all its links.
    case slowLink = "slow_link"
    /// Loses and duplicates frames on all its links.
    case lossyLink = "lossy_link"
    case diskFull = "disk_full"
    /// Writes to the small volume wait, and whoever waits for one cannot be killed.
    case diskHung = "disk_hung"
    /// An agent starts anew with certificates that another authority made.
    case certificateForeign = "certificate_foreign"
}

/// Whom a fault strikes; the words are resolved when it is injected.
package enum FaultTarget: Hashable, Sendable {
    case primary
    /// The instance of this rank, whatever it is at the time.
    case instance(Int)
    case controller
    case everybody
    /// The instance with the small volume.
    case volume
}

/// One fault of a round.
package struct Fault: Hashable, Sendable, CustomStringConvertible {
    package let kind: FaultKind
    package let target: FaultTarget
    /// How long after the beginning of the round.
    package let start: Duration
    /// How long it lasts; a killed part comes back then.
    package let length: Duration

    package init(_ kind: FaultKind, _ target: FaultTarget, start: Duration, length: Duration) {
        self.kind = kind
        self.target = target
        self.start = start
        self.length = length
    }

    package var description: String {
        let whom =
            switch target {
            case .primary: " of the primary"
            case .instance(let rank): " of instance \(rank + 1)"
            case .volume: " of the small volume"
            case .controller, .everybody: ""
            }
        let text = kind.rawValue.split(separator: "_").joined(separator: " ")
        return "\(text)\(whom) at \(start / .milliseconds(1)) ms for \(length / .milliseconds(1)) ms"
    }
}

/// The faults of all rounds, drawn from a seed: the same seed, the same plan.
package struct FaultPlan: Sendable {
    private var chance: SeededChance
    private var deck: [FaultKind] = []

    package init(seed: UInt64) { chance = SeededChance(seed: seed) }

    /// The faults of the next round: one or two, in the order of their beginning.
    package mutating func round() -> [Fault] {
        var faults = [fault()]
        if chance.chance(450) { faults.append(fault()) }
        return faults.sorted { $0.start < $1.start }
    }

    /// Kinds come as from a shuffled deck, so that few rounds already hold many.
    private mutating func fault() -> Fault {
        if deck.isEmpty { deck = FaultKind.allCases.shuffled(using: &chance) }
        let kind = deck.removeLast()
        let start = Duration.milliseconds(chance.number(0...2500))
        let length = Duration.milliseconds(chance.number(500...8000))
        return Fault(kind, target(of: kind), start: start, length: length)
    }

    private mutating func target(of kind: FaultKind) -> FaultTarget {
        switch kind {
        case .controllerKilled, .controllerFrozen: .controller
        case .everythingKilled: .everybody
        case .diskFull, .diskHung: .volume
        default: chance.chance(600) ? .primary : .instance(chance.number(0...ChaosCluster.instanceNames.count - 1))
        }
    }
}
