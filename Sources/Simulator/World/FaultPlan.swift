import ClusterModel

/// What can go wrong in the world.
enum Fault: String, CaseIterable {
    case postmasterKilled, serverFrozen, agentKilled, agentKilledBetweenActions, agentFrozen, launcherKilled
    case hostKilled, hostPaused, allHostsKilled, controllerKilled, controllerCutOff, serversSevered, hostIsolated
    case networkChaos, connectionBroken, stateWriteFails, promotedByHand
    /// Only in `preferred`, where the cluster goes on without them.
    case membersLost
}

/// Which faults a seed has, and how thick they come.
struct FaultPlan {
    var isCalm: Bool
    var kinds: [Fault] = []
    /// Mean time between two faults.
    var spacing: UInt64 = 0
    var firstAt: UInt64 = 0
    var safetySpan: UInt64
    var losesStoreAnswers = false

    init(_ random: inout SplitMix64, isCalm: Bool, _ durability: Durability) {
        self.isCalm = isCalm
        safetySpan = random.number(Time.seconds(15)...Time.seconds(35))
        guard !isCalm else { return }
        kinds = Fault.allCases.filter { $0 != .membersLost && random.chance(400) }
        if durability == .preferred, random.chance(600) { kinds.append(.membersLost) }
        if kinds.isEmpty { kinds = [.postmasterKilled] }
        if random.chance(600), !kinds.contains(.postmasterKilled) { kinds.append(.postmasterKilled) }
        spacing = random.number(Time.milliseconds(400)...Time.seconds(5))
        // Sometimes the cluster is disturbed while it is being born.
        firstAt = random.chance(250) ? Time.milliseconds(100) : Time.seconds(8)
        losesStoreAnswers = random.chance(300)
    }

    /// A rule that is broken on purpose is played under the faults it is there for.
    mutating func focus(on rule: BrokenRule, _ random: inout SplitMix64) {
        switch rule {
        case .staleOrders, .revocation:
            kinds = [.hostPaused, .hostPaused, .networkChaos, .controllerCutOff, .serverFrozen]
        case .leaseTimer: kinds = [.agentFrozen, .hostIsolated]
        case .voterSwap: kinds = [.hostKilled, .hostPaused, .serversSevered, .postmasterKilled, .hostKilled]
        case .oldRule: kinds = [.membersLost, .membersLost, .serversSevered, .hostPaused, .postmasterKilled]
        case .release, .gate, .names, .opening: kinds = [.postmasterKilled, .hostKilled, .serversSevered]
        }
        spacing = random.number(Time.milliseconds(500)...Time.milliseconds(2500))
        firstAt = Time.seconds(8)
        safetySpan = Time.seconds(40)
        losesStoreAnswers = false
    }

    var isTroubled: Bool { !isCalm }

    var summary: String {
        isCalm ? "calm" : "faults: " + kinds.map(\.rawValue).joined(separator: ", ")
    }
}
