import ArgumentParser
import ClusterModel
import Simulation

@main
struct Simulate: ParsableCommand {
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

    @Option(help: "How many seeds to play.")
    var seeds: UInt64 = 500

    @Option(help: "The first seed.")
    var first: UInt64 = 1

    @Option(help: "Play this one seed only.")
    var seed: UInt64?

    @Option(help: "required, preferred, async or all.")
    var durability: DurabilityChoice = .all

    @Option(name: .customLong("disable-rule"), help: "Break a rule on purpose: \(ruleNames).")
    var disableRule: RuleChoice?

    @Flag(help: "Tell every event of the seed; needs --seed.")
    var trace = false

    @Flag(help: "Name each seed before it is played, to find one that ends the program.")
    var announce = false

    func validate() throws {
        if trace && seed == nil { throw ValidationError("--trace tells one seed: add --seed NUMBER") }
        if seeds == 0 { throw ValidationError("--seeds must be at least 1") }
        if trace && durability == .all {
            throw ValidationError("--trace tells one world: add --durability required or async")
        }
    }

    /// Wrong usage ends with 2 in all programs of this package.
    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch {
            guard exitCode(for: error) == .validationFailure else { exit(withError: error) }
            print(fullMessage(for: error))
            exit(withError: ExitCode(2))
        }
    }

    func run() throws {
        var tally = Tally()
        let chosen = seed.map { $0...$0 } ?? first...(first + seeds - 1)
        for seed in chosen {
            for mode in durability.modes {
                let options = SimulationOptions(
                    seed: seed,
                    durability: mode,
                    brokenRule: disableRule?.rule,
                    trace: trace
                )
                if announce { print("seed \(seed), \(mode.rawValue)") }
                let result = simulate(options)
                for line in result.trace { print(line) }
                if let violation = result.violation {
                    print("seed \(seed): \(violation)\n  play it again: \(options.command)")
                }
                tally.add(result)
            }
        }
        tally.show(seeds: chosen.upperBound - chosen.lowerBound + 1)
        if tally.violations > 0 { throw ExitCode.failure }
    }
}

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
