import ArgumentParser
import ChaosChecker
import ChaosHosts
import ClusterModel
import Foundation
import LocalCluster
import Platform

/// Parses arguments, plays rounds, judges what the clients saw.
@main
struct ChaosCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "understudy-chaos",
        abstract: "Breaks a cluster of real PostgreSQL servers on hosts of its own, and judges what its clients saw.",
        discussion: """
            Three hosts with launcher, agent and PostgreSQL, two with controllers and one with the clients are \
            network namespaces of this machine, joined by a switch in this program. Each round draws one or two \
            faults from the seed: processes and whole hosts killed or frozen, links cut in one or both directions, \
            slow and lossy links, a full or hanging disk, certificates that nobody trusts, everything restarted. Then \
            all is healed, and within two minutes a primary must take every kind of write and all standbys must stream; else the round counts as stuck. What \
            ends is started again after a second, as a service manager would.

            Seven clients write all the time: elements of a set that only grows, transfers between accounts of \
            constant sum, registers whose reads and writes must be linearizable. Each operation stands in \
            history.jsonl with its times and what became of it. In the end it is judged: nothing acknowledged may be \
            missing (in async: beyond the limit), nothing there that nobody tried, no acknowledgement by an older \
            primary after one by a newer.

            The seed decides the faults and their times. The machine decides the rest, so that a seed repeats a \
            story, but not its last microsecond.

            Scenarios:
              frozen-primary  the primary's host is stopped, and goes on after another was promoted
              lone            no controller, no record store, one standby dead: the primary acknowledges throughout
              lossy           1 % loss and 50 ms jitter on every link: nobody fails over
              pod-kill        agent, launcher and server of the primary killed; how long is nothing acknowledged?
              silent-host     the primary's host falls silent; how long is nothing acknowledged?

            Examples:
              sudo understudy-chaos --rounds 40 --seed 7
              sudo understudy-chaos --scenario lone --minutes 10
              sudo understudy-chaos --scenario frozen-primary --rounds 2 --weaken-clients    # must fail

            Needs root, for namespaces and a small file system in a file; leaves nothing behind. After a failure, or \
            with --keep, the directory stays, with all logs and the history. Exit codes: 0 all well, 1 something is \
            wrong, 2 wrong usage.
            """
    )

    @Option(help: "How many rounds; of a scenario, how many repetitions.") var rounds = 10
    @Option(help: "Decides the faults; one is drawn and named if none is given.") var seed: UInt64?
    @Option(help: "\(Durability.allCases.map(\.rawValue).joined(separator: ", ")).") var durability = "required"
    @Option(help: "\(Scenario.allCases.map(\.rawValue).joined(separator: ", ")).") var scenario: Scenario?
    @Option(help: "How long the scenarios lone and lossy last.") var minutes = 10
    @Option(help: "A new directory for data and logs, in /tmp if none is given.") var directory: String?
    @Option(help: "Folder of launcher, agent and controller, if they are not beside this program.")
    var programs: String?
    @Option(help: "Folder of PostgreSQL's programs.") var postgresBin: String?
    @Flag(help: "Keep data and logs also if all went well.") var keep = false
    @Flag(help: "The clients' commits wait for no standby, to see that the judges notice: try it with frozen-primary.")
    var weakenClients = false

    func validate() throws {
        guard (1...100_000).contains(rounds) else { throw ValidationError("--rounds must be between 1 and 100000") }
        guard (1...1440).contains(minutes) else { throw ValidationError("--minutes must be between 1 and 1440") }
        guard Durability(rawValue: durability) != nil else {
            throw ValidationError("--durability '\(durability.prefix(40))' is not known; see --help")
        }
    }

    /// The network is left before there is a second thread.
    static func main() async {
        Signals.ignoreBrokenPipes()
        do {
            let command = try parseAsRoot()
            guard let chaos = command as? ChaosCommand else {
                var other = command
                return try other.run()
            }
            guard UserAccount.isSuperuser else {
                throw CommandFailure(
                    .usage,
                    "could not make hosts: network namespaces and mounts need root; run it with sudo"
                )
            }
            try Namespaces.leaveOwnNetwork()
            try await chaos.run()
        } catch let failure as CommandFailure {
            StandardError.write("understudy-chaos: \(failure)")
            Foundation.exit(failure.kind == .usage ? 2 : 1)
        } catch let code as ExitCode {
            Foundation.exit(code.rawValue)
        } catch {
            guard exitCode(for: error) == .validationFailure else { exit(withError: error) }
            StandardError.write(fullMessage(for: error))
            Foundation.exit(2)
        }
    }

    func run() async throws {
        guard let mode = Durability(rawValue: durability) else { throw ExitCode(2) }
        let process = ProcessInfo.processInfo.processIdentifier
        let path = try ClusterFolder(named: directory ?? "/tmp/understudy-chaos-\(process)").path
        let names = try? FileManager.default.contentsOfDirectory(atPath: path)
        guard names?.isEmpty ?? !FileManager.default.fileExists(atPath: path) else {
            throw CommandFailure(.usage, "could not use \(path): it is not an empty directory; name a new one")
        }
        try ServerAccount.makeFolder(path)
        let session = Session(
            path: path,
            options: options(path, mode),
            rounds: rounds,
            scenario: scenario,
            minutes: minutes,
            keep: keep,
            weakensClients: weakenClients
        )
        guard try await session.run() else { throw ExitCode(1) }
    }

    private func options(_ path: String, _ mode: Durability) -> ChaosCluster.Options {
        let drawn = seed ?? UInt64.random(in: 1...999_999)
        var options = ChaosCluster.Options(directory: path, durability: mode, seed: drawn)
        options.programs = programs.map { URL(fileURLWithPath: $0).standardizedFileURL.path }
        options.postgresBin = postgresBin
        return options
    }
}
