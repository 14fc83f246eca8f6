import ClusterDecision
public import ClusterModel
import InstanceDecision

/// What to search through.
public struct ExhaustiveOptions: Sendable {
    /// Standbys beside the first primary, from 1 to 3.
    public var standbys: Int
    /// Controllers that all believe that they lead.
    public var controllers = 1
    /// How many steps at most.
    public var depth: Int
    /// How many different states at most.
    public var states: Int
    /// Client commits, faults, repeated orders and jumps of clocks, each at most so often.
    public var commits = 1
    /// Crashes, cuts and losses.
    public var faults = 1
    /// Orders that come twice.
    public var repeats = 1
    /// Moments at which a lot of time has passed for one participant.
    public var jumps = 2
    /// Terms that may begin after the first one; with the next the search of that branch ends.
    public var failovers = 2
    /// How commits are treated.
    public var durability = Durability.required
    /// What has happened when the search begins.
    public var beginning = SmallBeginning.steady
    /// Rule to break on purpose.
    public var brokenRule: BrokenRule?

    /// Plays fair, with one fault.
    public init(standbys: Int, depth: Int, states: Int) {
        self.standbys = standbys
        self.depth = depth
        self.states = states
    }

    var firstWorld: SmallWorld {
        let limits = SmallLimits(
            commits: commits,
            faults: faults,
            repeats: repeats,
            jumps: jumps,
            terms: UInt64(1 + failovers)
        )
        var first = SmallWorld(
            standbys: standbys,
            controllers: controllers,
            durability: durability,
            limits: limits,
            rule: brokenRule
        )
        first.bear()
        first.begin(beginning)
        return first
    }
}

/// Where a search begins.
public enum SmallBeginning: String, Sendable, CaseIterable {
    /// All is well, clients are admitted.
    case steady
    /// The last standby is cut off for longer than anybody's patience: a rule without it is about to be recorded.
    case leaving
    /// Its agent was silent for so long, and it streams: what leaves may be all that acknowledges.
    case silent
    /// It was gone for so long, and is back: a rule with it is about to be recorded.
    case joining
}

/// What an exhaustive search found.
public struct ExhaustiveResult: Sendable {
    /// Different states seen.
    public let states: Int
    /// Steps from the beginning to the farthest of them, on the way on which it was found.
    public let depth: Int
    /// Nothing was left to try.
    public let isComplete: Bool
    /// The first promise that was broken.
    public let violation: String?
    /// The way there, told for people.
    public let trace: [String]
    /// The way there, as `replay` takes it.
    public let steps: [SmallStep]
    /// No way there is shorter.
    public var isShortest = true
}

/// Tries everything that can happen in a small world, depth first: what waits its turn takes no memory but for the
/// steps of one way, so that a search ends only with the states themselves.
///
/// What the bounds still allow is part of the state: that a state was met before says that everything after it was, or
/// will be, tried. Two states are taken for one if two hashes of 64 bits each agree. Members are not taken for each
/// other: `b` and `c` differ by their order, which decides between equals. A breach is shortened: breadth first where
/// that is affordable, else by leaving out steps.
///
/// - Parameters:
///   - options: The world and its bounds.
///   - isOver: Asked now and then; true ends the search incomplete.
/// - Returns: What was found, and whether anything was left to try.
public func explore(_ options: ExhaustiveOptions, until isOver: () -> Bool = { false }) -> ExhaustiveResult {
    let first = options.firstWorld
    // A breach is there to be found, and a short one is near.
    if options.brokenRule != nil { return shortened(nil, options, first) }
    var seen: Set<Fingerprint> = [first.fingerprint]
    var way: [(world: SmallWorld, steps: [SmallStep], next: Int)] = [(first, first.stepsFaultsLast, 0)]
    var depth = 0
    var isCut = false
    while let last = way.indices.last {
        guard way[last].next < way[last].steps.count else {
            way.removeLast()
            continue
        }
        let step = way[last].steps[way[last].next]
        way[last].next += 1
        let child = way[last].world.after(step)
        guard seen.insert(child.fingerprint).inserted else { continue }
        depth = max(depth, way.count)
        if child.violation != nil {
            return shortened(way.map { $0.steps[$0.next - 1] }, options, first)
        }
        if seen.count >= options.states || seen.count % 1024 == 0 && isOver() {
            return ExhaustiveResult(
                states: seen.count,
                depth: depth,
                isComplete: false,
                violation: nil,
                trace: [],
                steps: []
            )
        }
        if way.count < options.depth { way.append((child, child.stepsFaultsLast, 0)) } else { isCut = true }
    }
    return ExhaustiveResult(
        states: seen.count,
        depth: depth,
        isComplete: !isCut,
        violation: nil,
        trace: [],
        steps: []
    )
}

/// Takes these steps; what they break, and where, is in the result.
public func replay(_ options: ExhaustiveOptions, _ steps: [SmallStep]) -> ExhaustiveResult {
    told(steps, options.firstWorld, states: steps.count)
}

/// Breadth first as far as it is affordable: the first breach has the shortest way.
private func shortened(
    _ found: [SmallStep]?,
    _ options: ExhaustiveOptions,
    _ first: SmallWorld
) -> ExhaustiveResult {
    var seen: Set<Fingerprint> = [first.fingerprint]
    var cameBy: [(parent: Int, step: SmallStep)] = []
    var level = [(world: first, place: -1)]
    var depth = 0
    while !level.isEmpty, seen.count <= min(options.states, breadthLimit), depth < options.depth {
        var next: [(world: SmallWorld, place: Int)] = []
        depth += 1
        for (world, place) in level {
            for step in world.steps {
                let child = world.after(step)
                guard seen.insert(child.fingerprint).inserted else { continue }
                cameBy.append((place, step))
                guard child.violation == nil else {
                    return told(way(to: cameBy.count - 1, cameBy), first, states: seen.count)
                }
                next.append((child, cameBy.count - 1))
            }
            if seen.count > min(options.states, breadthLimit) { break }
        }
        level = next
    }
    if let found {
        var result = told(withoutDetours(found, first), first, states: seen.count)
        result.isShortest = false
        return result
    }
    return ExhaustiveResult(
        states: seen.count,
        depth: depth,
        isComplete: level.isEmpty,
        violation: nil,
        trace: [],
        steps: []
    )
}

/// States that a search breadth first keeps; each takes some 10 kB while it waits its turn.
private let breadthLimit = 60_000

private func way(to place: Int, _ cameBy: [(parent: Int, step: SmallStep)]) -> [SmallStep] {
    var steps: [SmallStep] = []
    var place = place
    while place >= 0 {
        steps.append(cameBy[place].step)
        place = cameBy[place].parent
    }
    return steps.reversed()
}

/// Leaves out one step after the other, as long as the breach stays.
private func withoutDetours(_ steps: [SmallStep], _ first: SmallWorld) -> [SmallStep] {
    var steps = steps
    var place = steps.count - 1
    while place >= 0 {
        var shorter = steps
        shorter.remove(at: place)
        if let count = breach(shorter, first) { steps = Array(shorter.prefix(count)) }
        place = min(place, steps.count) - 1
    }
    return steps
}

/// After how many of the steps a promise is broken; nil if none is, or one of them cannot be taken.
private func breach(_ steps: [SmallStep], _ first: SmallWorld) -> Int? {
    var world = first
    for (number, step) in steps.enumerated() {
        guard world.steps.contains(step) else { return nil }
        world = world.after(step)
        if world.violation != nil { return number + 1 }
    }
    return nil
}

private func told(_ steps: [SmallStep], _ first: SmallWorld, states: Int) -> ExhaustiveResult {
    var world = first
    var lines: [String] = []
    for step in steps {
        guard world.steps.contains(step) else {
            lines.append("\(step): cannot happen here")
            break
        }
        let detail: String =
            switch step {
            case .deliver(let index, let place, _), .agentDiesBetween(let index, let place, _):
                " (\(world.hosts[index].orders[place].name))"
            case .work(let index): " (\(world.hosts[index].work.map { "\($0.row)" } ?? ""))"
            default: ""
            }
        world = world.after(step)
        let record = world.record.map { "term \($0.term) \($0.phase.rawValue), \($0.rules)" } ?? "none"
        lines.append("\(step)\(detail) — record: \(record)")
    }
    return ExhaustiveResult(
        states: states,
        depth: steps.count,
        isComplete: false,
        violation: world.violation,
        trace: lines,
        steps: steps
    )
}

/// Two hashes of one state, independent of each other.
struct Fingerprint: Hashable {
    let one: Int
    let other: Int
}

extension SmallWorld {
    /// What must happen comes first, so that a fault is soon tried where much has happened.
    fileprivate var stepsFaultsLast: [SmallStep] {
        let steps = steps
        return steps.filter { !$0.isFault } + steps.filter(\.isFault)
    }

    /// Tells states apart and orders nothing: whatever numbers a run gives, it visits the same states.
    var fingerprint: Fingerprint {
        var one = Hasher()
        var other = Hasher()
        other.combine(0x7365_636f_6e64)
        combine(into: &one)
        combine(into: &other)
        return Fingerprint(one: one.finalize(), other: other.finalize())
    }

    /// All that differs between two states of one search.
    private func combine(into hasher: inout Hasher) {
        for host in hosts { hasher.combine(host) }
        for controller in controllers { hasher.combine(controller) }
        hasher.combine(record)
        hasher.combine(limits)
        hasher.combine(chain)
        hasher.combine(highestTerm)
        hasher.combine(lastCommit)
        hasher.combine(violation)
    }

    /// Lets everything happen that is no fault, until clients are admitted and nothing changes any more.
    mutating func bear() {
        for index in hosts.indices { attach(index) }
        for place in controllers.indices { tell(.recordLoaded(nil), place) }
        settleDown()
    }

    private mutating func settleDown() {
        let wanted = limits
        limits = SmallLimits(commits: 0, faults: 0, repeats: 0, jumps: 0, terms: wanted.terms)
        calm()
        var quiet = 0
        var round = 0
        while quiet < 3, round < 400 {
            let before = fingerprint
            for step in steps where isPossible(step) { self = after(step) }
            quiet = fingerprint == before ? quiet + 1 : 0
            round += 1
            // Births wait for a moment where not everybody comes at once.
            for place in controllers.indices { tell(.tick, place) }
        }
        limits = wanted
    }

    /// Brings about what the search begins with.
    mutating func begin(_ beginning: SmallBeginning) {
        let last = hosts.count - 1
        guard beginning != .steady else { return }
        hosts[last].isCutOff = beginning == .silent
        hosts[last].isIsolated = beginning != .silent
        for other in hosts.indices where other != last && hosts[last].isIsolated {
            hosts[other].server?.known[last] = nil
            hosts[last].server?.known[other] = nil
        }
        for place in controllers.indices { tell(.disconnected(spec.instances[last].name), place) }
        calm()
        // Longer than `voterPatience`, in steps that leave no report to grow old.
        for _ in 0..<6 {
            for index in hosts.indices {
                hosts[index].clock += 1000
                give(.tick, to: index)
            }
            for place in controllers.indices { controllers[place].clock += 1000 }
            calm()
        }
        guard beginning == .joining else { return }
        settleDown()
        hosts[last].isIsolated = false
        calm()
    }

    /// Of the steps listed before, earlier ones may have made this one void.
    private func isPossible(_ step: SmallStep) -> Bool {
        switch step {
        case .deliver(let index, let place, _): hosts[index].orders.indices.contains(place)
        case .work(let index): hosts[index].work != nil
        case .swap(let place): controllers[place].store != nil
        case .rejoin: false
        default: true
        }
    }
}
