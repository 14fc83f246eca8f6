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
            Every key of the YAML file is also a flag and an environment variable: timings.leaseDuration is
            --timings-lease-duration and UNDERSTUDY_TIMINGS_LEASE_DURATION. A flag wins over the environment, the
            environment over the file. The list of instances stands only in the file.

            Example:
              understudy-controller --config controller.yaml

            Example of a file:
              cluster: orders
              durability: required            # or async
              listen: 0.0.0.0:7432
              certificates: /etc/understudy/controller   # ca.pem, certificate.pem, key.pem
              recordFile: /var/lib/understudy/record.json
              historyFile: /var/lib/understudy/history.jsonl
              instances:
                - {name: one, server: "10.0.0.1:5432"}
                - {name: two, server: "10.0.0.2:5432", failoverPriority: 5}
              timings: {reportInterval: 500ms, leaseDuration: 3s}

            Exit codes: 0 told to stop, 1 failed, 2 wrong usage or configuration.
            """,
        version: softwareVersion
    )

    @Option(help: "YAML file to read.") var config: String?
    @Option(help: "Name of the cluster.") var cluster: String?
    @Option(help: "preferred, required or async.") var durability: String?
    @Option(help: "How many standbys a commit waits for.") var synchronousStandbys: String?
    @Option(help: "Address to listen on for agents, host:port.") var listen: String?
    @Option(help: "Where agents find it, if not at --listen: host:port.") var advertise: String?
    @Option(help: "Folder with ca.pem, certificate.pem and key.pem.") var certificates: String?
    @Option(help: "File of the cluster record.") var recordFile: String?
    @Option(help: "File of the history.") var historyFile: String?
    @Option(help: "In async: bytes that a candidate may miss.") var maximumLagOnFailover: String?
    @Option(help: "true: no automatic failover.") var failoverIsDisabled: String?
    @Option(help: "trace, debug, info, notice, warning or error.") var logLevel: String?
    @Option(help: "Longest time between two reports.") var timingsReportInterval: String?
    @Option(help: "How long a primary may run on one grant.") var timingsLeaseDuration: String?
    @Option(help: "Part of the lease kept for stopping.") var timingsFenceBudget: String?
    @Option(help: "When a promotion is given up.") var timingsPromotionTimeout: String?
    @Option(help: "When a standby that receives nothing is rebuilt.") var timingsRebuildAfter: String?
    @Option(help: "When the rule goes on without a voter that is missing.") var timingsVoterPatience: String?
    @Option(help: "First delay after three failovers in five minutes.") var timingsRepeatedFailoverDelay: String?
    @Option(help: "How long a primary may live without serving before it is replaced.") var timingsHangTimeout: String?

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
