import ClusterModel

/// What can go wrong in the world.
enum Fault: String, CaseIterable {
    case postmasterKilled, postmasterFrozen, serverFrozen
    case agentKilled, agentKilledBetweenActions, agentFrozen, launcherKilled
    case hostKilled, hostPaused, allHostsKilled
    case controllerKilled, controllerKilledBetweenActions, controllerFrozen, twoControllers, storeDown
    case controllerCutOff, reportsLost, serversSevered, oneWayPartition, hostIsolated, networkChaos
    case connectionBroken, orderMisdirected
    case stateWriteFails, stateFileTorn, diskFull, diskHangs, fsyncLies, volumeLost, foreignDirectory
    case promotedByHand, upstreamEditedByHand
    /// Only in `preferred`, where the cluster goes on without them.
    case membersLost
}

/// Which faults a seed has, and how thick they come.
struct FaultPlan {
    var isCalm: Bool
    /// Nothing goes wrong but what a script says.
    var isScripted = false
    var kinds: [Fault] = []
    /// Mean time between two faults.
    var spacing: UInt64 = 0
    var firstAt: UInt64 = 0
    var safetySpan: UInt64
    var losesStoreAnswers = false
    /// Spans are as long as that, if a rule broken on purpose asks for it.
    var span: ClosedRange<UInt64>?
    /// Faults in one order, each at its moment; none in the random walk.
    var steps: [Steer] = []

    init(_ random: inout SplitMix64, isCalm: Bool, _ durability: Durability) {
        self.isCalm = isCalm
        safetySpan = random.number(Time.seconds(15)...Time.seconds(35))
        guard !isCalm else { return }
        let chance = random.chance(500) ? 350 : 120
        kinds = Fault.allCases.filter { $0 != .membersLost && random.chance(chance) }
        if durability == .preferred, random.chance(600) { kinds.append(.membersLost) }
        if kinds.isEmpty { kinds = [.postmasterKilled] }
        if random.chance(600), !kinds.contains(.postmasterKilled) { kinds.append(.postmasterKilled) }
        spacing = random.number(Time.milliseconds(400)...Time.seconds(5))
        // Sometimes the cluster is disturbed while it is being born.
        firstAt = random.chance(250) ? Time.milliseconds(100) : Time.seconds(8)
        losesStoreAnswers = random.chance(300)
    }

    /// A rule that is broken on purpose is played under the faults it is there for.
    mutating func focus(on focus: Focus, _ random: inout SplitMix64) {
        kinds = focus.faults
        spacing = random.number(focus.spacing)
        span = focus.span
        firstAt = focus.fromBirth ? Time.milliseconds(100) : Time.seconds(8)
        safetySpan = Time.seconds(focus.seconds)
        losesStoreAnswers = focus.losesStoreAnswers
        steps = focus.steps
    }

    var isTroubled: Bool { !isCalm && !isScripted }

    var summary: String {
        isCalm ? "calm" : "faults: " + kinds.map(\.rawValue).joined(separator: ", ")
    }
}
