import ArgumentParser
import ClusterModel
import Configuration
import ControllerRuntime
import Logging
import Platform
import Telemetry

/// Parses arguments, then runs the controller until it is told to stop.
@main
struct ControllerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "understudy-controller",
        abstract: "Decides who is primary: gathers the agents' reports, promotes the standby with the most WAL.",
        discussion: """
            Every key of the YAML file with one value is also a flag and an environment variable: timings.leaseDuration \
            is --timings-lease-duration and UNDERSTUDY_TIMINGS_LEASE_DURATION. A flag wins over the environment, the \
            environment over the file. The list of instances stands only in the file. Durations are written 500ms, 3s, \
            2m or 1h; the timings must be the same in all programs of a cluster.

            Example:
              understudy-controller --config controller.yaml

            Example of a file:
              cluster: orders
              durability: preferred            # or required, async; synchronousStandbys: 1
              listen: 0.0.0.0:7432
              certificates: /etc/understudy/controller   # ca.pem, certificate.pem, key.pem
              recordFile: /var/lib/understudy/record.json
              historyFile: /var/lib/understudy/history.jsonl
              instances:                       # the first becomes the first primary
                - {name: one, server: "10.0.0.1:5432", agent: "10.0.0.1:7431"}
                - {name: two, server: "10.0.0.2:5432", agent: "10.0.0.2:7431"}
                - {name: three, server: "10.0.0.3:5432", agent: "10.0.0.3:7431"}

            An instance may also have failoverPriority (0 to 1000), noFailover (true) and zone.

            On Kubernetes one program keeps all clusters: see `understudy-controller operator --help`.

            Exit codes: 0 told to stop, 1 failed, 2 wrong usage or configuration.
            """,
        version: softwareVersion,
        subcommands: [OperatorCommand.self]
    )

    @Option(help: "YAML file to read.") var config: String?
    @Option(help: "Name of the cluster: a-z, 0-9 and inner hyphens, at most 50. Must be given.")
    var cluster: String?
    @Option(help: "What a commit waits for: preferred, required or async (default preferred; async with one instance).")
    var durability: String?
    @Option(
        help: """
            How many standbys a commit waits for (default \(ControllerConfiguration.defaultStandbys); 1 to one \
            fewer than there are instances).
            """
    )
    var synchronousStandbys: String?
    @Option(help: "Address to listen on for agents, host:port. Must be given.")
    var listen: String?
    @Option(help: "Where agents find it, host:port (default: as --listen).")
    var advertise: String?
    @Option(help: "Folder with ca.pem, certificate.pem and key.pem. Must be given.")
    var certificates: String?
    @Option(help: "File of the cluster record. Must be given.")
    var recordFile: String?
    @Option(help: "File of the history. Must be given.")
    var historyFile: String?
    @Option(
        help: """
            In async: bytes that a candidate may miss (default \(ClusterSpec.defaultMaximumLag); 0 to \
            \(ClusterSpec.largestMaximumLag)).
            """
    )
    var maximumLagOnFailover: String?
    @Option(help: "true: no automatic failover (default false).")
    var failoverIsDisabled: String?
    @Option(help: "\(ConfigurationReader.logLevelHelp).") var logLevel: String?
    @Option(
        help: """
            Longest time between two reports \
            \(ConfigurationReader.help(\.reportInterval, Timings.Bounds.reportInterval)).
            """
    )
    var timingsReportInterval: String?
    @Option(
        help: """
            How long a primary may run on one grant; at least 4 report intervals \
            \(ConfigurationReader.help(\.leaseDuration, Timings.Bounds.leaseDuration)).
            """
    )
    var timingsLeaseDuration: String?
    @Option(
        help: """
            Part of the lease kept for stopping; at most a quarter of it \
            \(ConfigurationReader.help(\.fenceBudget, Timings.Bounds.fenceBudget)).
            """
    )
    var timingsFenceBudget: String?
    @Option(
        help: """
            When a promotion is given up \
            \(ConfigurationReader.help(\.promotionTimeout, Timings.Bounds.promotionTimeout)).
            """
    )
    var timingsPromotionTimeout: String?
    @Option(
        help: """
            When a standby that receives nothing is rebuilt \
            \(ConfigurationReader.help(\.rebuildAfter, Timings.Bounds.rebuildAfter)).
            """
    )
    var timingsRebuildAfter: String?
    @Option(
        help: """
            When the rule goes on without a voter that is missing \
            \(ConfigurationReader.help(\.voterPatience, Timings.Bounds.voterPatience)).
            """
    )
    var timingsVoterPatience: String?
    @Option(
        help: """
            First delay after three failovers in five minutes \
            \(ConfigurationReader.help(\.repeatedFailoverDelay, Timings.Bounds.repeatedFailoverDelay)).
            """
    )
    var timingsRepeatedFailoverDelay: String?
    @Option(
        help: """
            How long a primary may live without serving before it is replaced \
            \(ConfigurationReader.help(\.hangTimeout, Timings.Bounds.hangTimeout)).
            """
    )
    var timingsHangTimeout: String?

    /// Wrong usage ends with 2 in all programs of this package.
    static func main() async {
        ProcessMemory.limitHeaps()
        do {
            var command = try parseAsRoot()
            if var waiting = command as? any AsyncParsableCommand {
                try await waiting.run()
            } else {
                try command.run()
            }
        } catch {
            guard exitCode(for: error) == .validationFailure else { exit(withError: error) }
            StandardError.write(fullMessage(for: error))
            exit(withError: ExitCode(2))
        }
    }

    private var flags: [String: String] {
        let given: [(String, String?)] = [
            ("cluster", cluster), ("durability", durability), ("synchronousStandbys", synchronousStandbys),
            ("listen", listen), ("advertise", advertise), ("certificates", certificates),
            ("recordFile", recordFile), ("historyFile", historyFile), ("maximumLagOnFailover", maximumLagOnFailover),
            ("failover.isDisabled", failoverIsDisabled), ("logLevel", logLevel),
            ("timings.reportInterval", timingsReportInterval), ("timings.leaseDuration", timingsLeaseDuration),
            ("timings.fenceBudget", timingsFenceBudget), ("timings.promotionTimeout", timingsPromotionTimeout),
            ("timings.rebuildAfter", timingsRebuildAfter),
            ("timings.voterPatience", timingsVoterPatience),
            ("timings.repeatedFailoverDelay", timingsRepeatedFailoverDelay),
            ("timings.hangTimeout", timingsHangTimeout),
        ]
        return Dictionary(uniqueKeysWithValues: given.compactMap { key, value in value.map { (key, $0) } })
    }

    func run() async throws {
        let configuration: ControllerConfiguration
        do {
            let reader = try ConfigurationReader.open(
                file: config,
                flags: flags,
                environment: ProcessEnvironment.variables
            )
            configuration = try ControllerConfiguration(reader)
        } catch {
            StandardError.write("understudy-controller: \(error)")
            throw ExitCode(2)
        }
        bootstrapLogging(level: configuration.logLevel)
        Signals.ignoreBrokenPipes()
        var logger = Logger(label: "understudy-controller")
        logger[metadataKey: LogKey.cluster] = "\(configuration.spec.name)"
        do {
            let signals = try Signals.stream([Signals.terminate, Signals.interrupt, Signals.hangUp])
            let shell = try ControllerShell(configuration, version: softwareVersion, logger: logger)
            try await runUntilSignalled(signals, onHangUp: { await shell.reloadCertificates() }, logger: logger) {
                try await shell.run()
            }
        } catch {
            StandardError.write("understudy-controller: \(error)")
            throw ExitCode(1)
        }
    }
}
