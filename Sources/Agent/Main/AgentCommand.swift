import AgentRuntime
import ArgumentParser
import ClusterModel
import Configuration
import Logging
import Platform
import Telemetry

/// Parses arguments, then runs the agent until it is told to stop.
@main
struct AgentCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "understudy-agent",
        abstract: "Stands beside one PostgreSQL server: reports its state, promotes, follows, fences, rebuilds it.",
        discussion: """
            Every key of the YAML file with one value is also a flag and an environment variable: postgres.socketFolder \
            is --postgres-socket-folder and UNDERSTUDY_POSTGRES_SOCKET_FOLDER. A flag wins over the environment, the \
            environment over the file. Settings and access rules of PostgreSQL stand only in the file. Durations are \
            written 500ms, 3s, 2m or 1h; the timings must be the same in all programs of a cluster.

            Example:
              understudy-launcher --data-folder /var/lib/understudy/one --socket /run/understudy/one.sock &
              understudy-agent --config agent.yaml

            Example of a file:
              cluster: orders
              instance: one
              controllers: ["10.0.0.9:7432"]
              listen: 10.0.0.1:7431                    # for the agents of the other instances
              http: 10.0.0.1:8008                      # for probes, load balancers and Prometheus
              certificates: /etc/understudy/one        # ca.pem, certificate.pem, key.pem
              launcherSocket: /run/understudy/one.sock
              dataFolder: /var/lib/understudy/one      # as given to the launcher
              volume: disk-0041                        # what the platform calls it; leave out if it gives no name
              postgres:
                server: 10.0.0.1:5432                  # where the other servers reach this one
                socketFolder: /run/understudy
                replicationPasswordFile: /etc/understudy/replication-password   # the same on all instances
                settings: {shared_buffers: 1GB}
                accessRules: ["host all all 10.0.0.0/8 scram-sha-256"]

            Exit codes: 0 told to stop, 1 failed, 2 wrong usage or configuration.
            """,
        version: softwareVersion
    )

    @Option(help: "YAML file to read.") var config: String?
    @Option(help: "Name of the cluster: a-z, 0-9 and inner hyphens, at most 50. Must be given.")
    var cluster: String?
    @Option(help: "Name of this instance: a-z, 0-9 and inner hyphens, at most 40. Must be given.")
    var instance: String?
    @Option(help: "Controllers, host:port, separated by commas. Must be given.")
    var controllers: String?
    @Option(help: "Where the agents of other instances ask this one, host:port (default: nowhere).")
    var listen: String?
    @Option(help: "Where /livez, /readyz, /primary, /metrics … are answered over HTTP, host:port (default: nowhere).")
    var http: String?
    @Option(
        help: """
            Bytes of WAL that a standby may not have replayed yet and be ready all the same (default \
            \(AgentConfiguration.defaultReadyLag)).
            """
    )
    var readyLag: String?
    @Option(help: "Folder with ca.pem, certificate.pem and key.pem. Must be given.")
    var certificates: String?
    @Option(help: "Socket of the launcher beside this agent. Must be given.")
    var launcherSocket: String?
    @Option(help: "Data folder given to the launcher. Must be given.")
    var dataFolder: String?
    @Option(help: "What the platform calls the volume, so that copies of its data can be told apart (default: none).")
    var volume: String?
    @Option(help: "Where others reach the server, host:port. Must be given.")
    var postgresServer: String?
    @Option(help: "Value of listen_addresses (default: the host of --postgres-server).")
    var postgresListenAddresses: String?
    @Option(help: "Folder of the server's Unix socket. Must be given.")
    var postgresSocketFolder: String?
    @Option(help: "Superuser of the database (default \(AgentConfiguration.defaultSuperuser)).")
    var postgresSuperuser: String?
    @Option(help: "File with the password of the replication role, the same on all instances. Must be given.")
    var postgresReplicationPasswordFile: String?
    @Option(
        help: """
            WAL kept so that a failed primary can be rewound, in PostgreSQL's units (default \
            \(AgentConfiguration.defaultWALKeepSize)).
            """
    )
    var postgresWalKeepSize: String?
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
            ("cluster", cluster), ("instance", instance), ("controllers", controllers), ("listen", listen),
            ("http", http), ("readyLag", readyLag),
            ("certificates", certificates), ("launcherSocket", launcherSocket), ("dataFolder", dataFolder),
            ("volume", volume),
            ("postgres.server", postgresServer), ("postgres.listenAddresses", postgresListenAddresses),
            ("postgres.socketFolder", postgresSocketFolder), ("postgres.superuser", postgresSuperuser),
            ("postgres.replicationPasswordFile", postgresReplicationPasswordFile),
            ("postgres.walKeepSize", postgresWalKeepSize), ("logLevel", logLevel),
            ("timings.reportInterval", timingsReportInterval), ("timings.leaseDuration", timingsLeaseDuration),
            ("timings.fenceBudget", timingsFenceBudget),
        ]
        return Dictionary(uniqueKeysWithValues: given.compactMap { key, value in value.map { (key, $0) } })
    }

    func run() async throws {
        let configuration: AgentConfiguration
        do {
            let reader = try ConfigurationReader.open(
                file: config,
                flags: flags,
                environment: ProcessEnvironment.variables
            )
            configuration = try AgentConfiguration(reader)
        } catch {
            StandardError.write("understudy-agent: \(error)")
            throw ExitCode(2)
        }
        bootstrapLogging(level: configuration.logLevel)
        Signals.ignoreBrokenPipes()
        var logger = Logger(label: "understudy-agent")
        logger[metadataKey: LogKey.cluster] = "\(configuration.cluster)"
        logger[metadataKey: LogKey.instance] = "\(configuration.instance)"
        do {
            let signals = try Signals.stream([Signals.terminate, Signals.interrupt, Signals.hangUp])
            let shell = try AgentShell(configuration, version: softwareVersion, logger: logger)
            try await runUntilSignalled(signals, onHangUp: { await shell.reloadCertificates() }, logger: logger) {
                await shell.run()
            }
        } catch {
            StandardError.write("understudy-agent: \(error)")
            throw ExitCode(1)
        }
    }
}
