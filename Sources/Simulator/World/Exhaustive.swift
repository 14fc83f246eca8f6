import ClusterDecision
import ClusterModel
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
    /// Rule to break on purpose.
    public var brokenRule: BrokenRule?

    /// Plays fair, with one fault.
    public init(standbys: Int, depth: Int, states: Int) {
        self.standbys = standbys
        self.depth = depth
        self.states = states
    }
}

/// What an exhaustive search found.
public struct ExhaustiveResult: Sendable {
    /// Different states seen.
    public let states: Int
    /// Steps from the beginning to the farthest of them.
    public let depth: Int
    /// Nothing was left to try.
    public let isComplete: Bool
    /// The first promise that was broken.
    public let violation: String?
    /// The shortest way there.
    public let trace: [String]
}

/// Tries everything that can happen in a small world, breadth first; the first violation has the shortest trace.
///
/// Two states are taken for one if their hashes agree, which of a million states happens once in 10 million runs.
public func explore(_ options: ExhaustiveOptions) -> ExhaustiveResult {
    let limits = SmallLimits(
        commits: options.commits,
        faults: options.faults,
        repeats: options.repeats,
        jumps: options.jumps
    )
    var first = SmallWorld(
        standbys: options.standbys,
        controllers: options.controllers,
        limits: limits,
        rule: options.brokenRule
    )
    first.bear()
    var cameBy: [Int: (parent: Int, step: SmallStep)] = [:]
    var seen: Set<Int> = [first.fingerprint]
    var level = [first]
    var depth = 0
    while !level.isEmpty, depth < options.depth {
        var next: [SmallWorld] = []
        for world in level {
            let parent = world.fingerprint
            for step in world.steps {
                let child = world.after(step)
                let hash = child.fingerprint
                guard seen.insert(hash).inserted else { continue }
                cameBy[hash] = (parent, step)
                if let violation = child.violation {
                    return ExhaustiveResult(
                        states: seen.count,
                        depth: depth + 1,
                        isComplete: false,
                        violation: violation,
                        trace: way(to: hash, cameBy, first)
                    )
                }
                next.append(child)
            }
            if seen.count >= options.states {
                return ExhaustiveResult(states: seen.count, depth: depth, isComplete: false, violation: nil, trace: [])
            }
        }
        level = next
        depth += 1
    }
    return ExhaustiveResult(states: seen.count, depth: depth, isComplete: level.isEmpty, violation: nil, trace: [])
}

/// The steps that led there, each with the record that it left.
private func way(to hash: Int, _ cameBy: [Int: (parent: Int, step: SmallStep)], _ first: SmallWorld) -> [String] {
    var steps: [SmallStep] = []
    var place = hash
    while let (parent, step) = cameBy[place] {
        steps.append(step)
        place = parent
    }
    var world = first
    return steps.reversed().map { step in
        let orders: String =
            if case .deliver(let index, let place, _) = step { " (\(world.hosts[index].orders[place].name))" } else {
                ""
            }
        let works: String =
            if case .work(let index) = step { " (\(world.hosts[index].work.map { "\($0.row)" } ?? ""))" } else { "" }
        world = world.after(step)
        let record = world.record.map { "term \($0.term) \($0.phase.rawValue), \($0.rules)" } ?? "none"
        return "\(step)\(orders)\(works) — record: \(record)"
    }
}

extension SmallWorld {
    /// Tells states apart and orders nothing: whatever numbers a run gives, it visits the same states.
    var fingerprint: Int {
        var hasher = Hasher()
        hasher.combine(self)
        return hasher.finalize()
    }

    /// Lets everything happen that is no fault, until clients are admitted and nothing changes any more.
    mutating func bear() {
        let wanted = limits
        limits = SmallLimits(commits: 0, faults: 0, repeats: 0, jumps: 0)
        for index in hosts.indices { attach(index) }
        for place in controllers.indices { tell(.recordLoaded(nil), place) }
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

    /// Of the steps listed before, earlier ones may have made this one void.
    private func isPossible(_ step: SmallStep) -> Bool {
        switch step {
        case .deliver(let index, let place, _): hosts[index].orders.indices.contains(place)
        case .work(let index): hosts[index].work != nil
        case .swap(let place): controllers[place].store != nil
        default: true
        }
    }
}
