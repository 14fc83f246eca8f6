public import ClusterModel

/// What to simulate.
public struct SimulationOptions: Sendable, Hashable {
    /// Where all chance comes from.
    public var seed: UInt64
    /// How commits are treated in this world.
    public var durability: Durability
    /// Rule to break on purpose; nil to play fair.
    public var brokenRule: BrokenRule?
    /// Play the world of that rule, but leave nothing out: it must be clean, or a breach says nothing.
    public var isFair = false
    /// Keep a readable log of all that happens.
    public var trace: Bool

    /// Plays that seed, fair and silent unless told otherwise.
    public init(seed: UInt64, durability: Durability, brokenRule: BrokenRule? = nil, trace: Bool = false) {
        self.seed = seed
        self.durability = durability
        self.brokenRule = brokenRule
        self.trace = trace
    }

    /// The one command that plays this again, every event told.
    public var command: String {
        "understudy-simulate --seed \(seed) --durability \(durability.rawValue) --trace"
            + (brokenRule.map { " --disable-rule \($0.rawValue)" } ?? "")
    }
}

/// A promise that was broken.
public struct Violation: Sendable, Hashable, CustomStringConvertible {
    /// Name of the invariant, such as `I3`.
    public let invariant: String
    /// What was seen.
    public let text: String
    /// When, in virtual time.
    public let nanoseconds: UInt64

    /// Invariant, moment and what was seen, in one line.
    public var description: String {
        "\(invariant) broken at \(nanoseconds / 1_000_000) ms: \(text)"
    }
}

/// How often each thing happened.
public struct Coverage: Sendable, Hashable {
    /// By name of the fault.
    public internal(set) var faults: [String: Int] = [:]
    /// Orders taken and refused, as `promote taken` and `promote refused`.
    public internal(set) var orders: [String: Int] = [:]
    /// By kind of the explanation, from both cores.
    public internal(set) var explanations: [String: Int] = [:]
    /// By row of the cores' tables; see `expectedRows`.
    public internal(set) var rows: [String: Int] = [:]
    /// Commits acknowledged to clients.
    public internal(set) var acknowledged = 0
    /// Those of them that no voter had to confirm, though the mode is not `async`.
    public internal(set) var acknowledgedAlone = 0

    /// Nothing happened yet.
    public init() {}

    /// Adds another run's counts.
    public mutating func add(_ other: Coverage) {
        faults.merge(other.faults, uniquingKeysWith: +)
        orders.merge(other.orders, uniquingKeysWith: +)
        explanations.merge(other.explanations, uniquingKeysWith: +)
        rows.merge(other.rows, uniquingKeysWith: +)
        acknowledged += other.acknowledged
        acknowledgedAlone += other.acknowledgedAlone
    }
}

/// How one seed went.
public struct SimulationResult: Sendable, Hashable {
    /// The seed played.
    public let seed: UInt64
    /// How commits were treated.
    public let durability: Durability
    /// The first promise that was broken; nil if none was.
    public let violation: Violation?
    /// Steps of the world.
    public let events: Int
    /// Virtual time that went by.
    public let virtualNanoseconds: UInt64
    /// What was covered.
    public let coverage: Coverage
    /// Promotions that ended in a new primary.
    public let failovers: Int
    /// One line per happening, if a trace was asked for.
    public let trace: [String]
}

/// Plays one seed to its end: faults for a while, then none and everything must be well within a bound.
public func simulate(_ options: SimulationOptions) -> SimulationResult {
    if options.brokenRule?.focus.isAbsence == true {
        return simulateAbsence(options, for: .seconds(30), standbysLeft: 1)
    }
    return World(options).run()
}
