import ArgumentParser
import ClusterModel
import Simulation

@main
struct Simulate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "understudy-simulate",
        abstract: "Plays clusters in virtual time, with faults, and checks what Understudy promises.",
        discussion: """
            Each seed is one cluster: the decision cores that run in production, with disks, servers, clocks and a \
            network made up around them. From the seed follow all faults: killed, frozen and restarted processes, \
            paused and lost machines, partitions, lost, doubled and very late messages. After a while the faults \
            stop and everything must be well again within two minutes. The same seed always plays the same.

            Checked after every event: one writer (I1), terms never fall (I2), no promised commit is lost (I3), no \
            primary without a lease (I4), progress (I6), no failover without a fault (I7), a history that explains \
            (I8).

            A seed that breaks a promise is named with the one command that plays it again and tells every event. \
            To see that the checks would notice, break a rule on purpose:

              understudy-simulate --seeds 200 --disable-rule R4
            """
    )

    @Option(name: .customLong("seeds"), help: "How many seeds to play (default: 500; with --mutations 2000 at most).")
    var wantedSeeds: UInt64?

    private var seeds: UInt64 { wantedSeeds ?? (mutations ? 2000 : 500) }

    @Option(help: "The first seed.")
    var first: UInt64 = 1

    @Option(help: "Play this one seed only.")
    var seed: UInt64?

    @Option(help: "required, preferred, async or all.")
    var durability: DurabilityChoice = .all

    @Option(name: .customLong("disable-rule"), help: "Break a rule on purpose: \(ruleNames).")
    var disableRule: RuleChoice?

    @Option(help: "How many worlds to play at a time; a seed plays the same whatever this is.")
    var jobs: Int = 1

    @Flag(help: "Leave out one point of the protocol after the other; each must be noticed within --seeds.")
    var mutations = false

    @Flag(help: "Try everything that can happen in a small world instead.")
    var exhaustive = false

    @Option(help: "With --exhaustive: 1+1, 1+2 or 1+3, a primary and its standbys.")
    var world: SmallWorldChoice = .two

    @Option(help: "With --exhaustive: how many steps one after the other at most.")
    var depth: Int = 100_000

    @Option(help: "With --exhaustive: how many states at most; each takes some 30 bytes.")
    var states: Int = 20_000_000

    @Option(help: "With --exhaustive: how many seconds at most.")
    var seconds: Int64 = 600

    @Option(
        help: "With --exhaustive: client commits, faults, repeated orders, jumps of clocks, controllers, failovers."
    )
    var bounds: SmallBounds = SmallBounds(numbers: [1, 1, 0, 0, 1, 1])

    @Option(help: "With --exhaustive: what has happened at the beginning; \(beginningNames).")
    var beginning: BeginningChoice = .steady

    @Flag(help: "Tell every event of the seed; needs --seed.")
    var trace = false

    @Flag(help: "Name each seed before it is played, to find one that ends the program.")
    var announce = false

    func validate() throws {
        if trace && seed == nil { throw ValidationError("--trace tells one seed: add --seed NUMBER") }
        if !(1...64).contains(jobs) { throw ValidationError("--jobs must be between 1 and 64") }
        if seeds == 0 { throw ValidationError("--seeds must be at least 1") }
        if seconds < 1 { throw ValidationError("--seconds must be at least 1") }
        if states < 1 || depth < 1 { throw ValidationError("--states and --depth must be at least 1") }
        if trace && durability == .all {
            throw ValidationError("--trace tells one world: add --durability required or async")
        }
    }

    /// Wrong usage ends with 2 in all programs of this package.
    static func main() async {
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand { try await command.run() } else { try command.run() }
        } catch {
            guard exitCode(for: error) == .validationFailure else { exit(withError: error) }
            print(fullMessage(for: error))
            exit(withError: ExitCode(2))
        }
    }

    func run() async throws {
        if exhaustive { return try explore() }
        if mutations {
            let missed = await MutationTable(seeds: seeds, jobs: jobs).run()
            if missed.isEmpty { return }
            throw ExitCode.failure
        }
        let chosen = seed.map { $0...$0 } ?? first...(first + seeds - 1)
        var tally = Tally()
        let clock = ContinuousClock()
        let begun = clock.now
        if jobs == 1 || seed != nil {
            for seed in chosen { play(seed, &tally) }
        } else {
            tally = await playInParallel(chosen)
        }
        let count = chosen.upperBound - chosen.lowerBound + 1
        tally.show(seeds: count, taking: clock.now - begun, jobs: jobs)
        let isIncomplete = !tally.coverage.rowsMissing.isEmpty || !tally.coverage.faultsMissing.isEmpty
        let mustBeComplete = count >= Coverage.completeFrom && durability == .all && disableRule == nil
        if tally.violations > 0 || (mustBeComplete && isIncomplete) { throw ExitCode.failure }
    }

    private func play(_ seed: UInt64, _ tally: inout Tally) {
        for mode in durability.modes {
            let options = SimulationOptions(seed: seed, durability: mode, brokenRule: disableRule?.rule, trace: trace)
            if announce { print("seed \(seed), \(mode.rawValue)") }
            let result = simulate(options)
            for line in result.trace { print(line) }
            if let violation = result.violation {
                print("seed \(seed): \(violation)\n  play it again: \(options.command)")
            }
            tally.add(result)
        }
    }

    /// Worlds share nothing, so that each thread plays its own seeds.
    private func playInParallel(_ chosen: ClosedRange<UInt64>) async -> Tally {
        let stride = UInt64(jobs)
        return await withTaskGroup(of: Tally.self) { group in
            for job in 0..<stride {
                group.addTask {
                    var tally = Tally()
                    for seed in Swift.stride(from: chosen.lowerBound + job, through: chosen.upperBound, by: Int(stride))
                    {
                        self.play(seed, &tally)
                    }
                    return tally
                }
            }
            var total = Tally()
            for await tally in group { total.add(tally) }
            return total
        }
    }
}

private let beginningNames = BeginningChoice.allCases.map(\.rawValue).joined(separator: ", ")
private let ruleNames = BrokenRule.allCases.map(\.rawValue).joined(separator: ", ")

/// Which durability to play.
enum DurabilityChoice: String, ExpressibleByArgument, CaseIterable {
    case required, preferred, async, all

    var modes: [Durability] {
        switch self {
        case .required: [.required]
        case .preferred: [.preferred]
        case .async: [.async]
        case .all: [.required, .preferred, .async]
        }
    }
}

/// A rule that can be broken on purpose.
struct RuleChoice: ExpressibleByArgument {
    let rule: BrokenRule

    init?(argument: String) {
        // R21 is the launcher's side of R3.
        guard let rule = BrokenRule(rawValue: argument == "R21" ? "R3" : argument) else { return nil }
        self.rule = rule
    }

    static var allValueStrings: [String] { BrokenRule.allCases.map(\.rawValue) }
}
