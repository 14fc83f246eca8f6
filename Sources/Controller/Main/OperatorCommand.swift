import ArgumentParser
import ClusterModel
import Configuration
import ControllerRuntime
import KubernetesClient
import Logging
import OperatorRuntime
import Platform
import Telemetry

/// Parses arguments, then runs the operator until it is told to stop.
struct OperatorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "operator",
        abstract: "Keeps the clusters of a Kubernetes installation: every resource of kind Kubegres.",
        discussion: """
            Makes and changes the objects of each Kubegres resource, and decides who is primary in each cluster. Several \
            may run: one leads, the others take over within ten seconds. The cluster record lies in the status of the \
            resource, the leadership in Lease understudy-controller, the certificate authority in Secret \
            understudy-authority, which only the operator's account should be able to read.

            In a pod it uses the pod's service account; elsewhere give --kubeconfig. Every key is a flag, an environment \
            variable (agentImage is --agent-image and UNDERSTUDY_AGENT_IMAGE) and a key of the YAML file --config.

            Example, in a pod:
              understudy-controller operator --agent-image registry.example/understudy-agent:0.1.0 \\
                  --advertise "[$(POD_IP)]:7432" --controllers understudy-controller.understudy-system:7432

            Example, beside a kubeconfig, for one namespace:
              understudy-controller operator --kubeconfig ~/.kube/config --namespace shop \\
                  --agent-image understudy-agent:dev --advertise 10.0.0.9:7432

            Exit codes: 0 told to stop, 1 failed, 2 wrong usage or configuration.
            """
    )

    @Option(help: "YAML file to read.") var config: String?
    @Option(help: "Namespace in which resources are kept (default: all).") var namespace: String?
    @Option(help: "Address to listen on for agents, host:port (default \(OperatorConfiguration.defaultListen)).")
    var listen: String?
    @Option(help: "Where this operator itself is found, host:port (default: as --listen).") var advertise: String?
    @Option(help: "What pods connect to, host:port, separated by commas (default: as --advertise).")
    var controllers: String?
    @Option(help: "Image with understudy-agent and understudy-launcher, for the pods. Must be given.")
    var agentImage: String?
    @Option(help: "Namespace of authority and Lease (default: the one that the credentials name).")
    var installationNamespace: String?
    @Option(help: "Name of this operator among others, for events (default: as --advertise).") var identity: String?
    @Option(help: "kubeconfig file (default: the pod's service account).") var kubeconfig: String?
    @Option(help: "Context in the kubeconfig file (default: its present one).") var context: String?
    @Option(help: "\(ConfigurationReader.logLevelHelp).") var logLevel: String?

    private var flags: [String: String] {
        let given: [(String, String?)] = [
            ("namespace", namespace), ("listen", listen), ("advertise", advertise), ("controllers", controllers),
            ("agentImage", agentImage), ("installationNamespace", installationNamespace), ("identity", identity),
            ("kubeconfig", kubeconfig), ("context", context), ("logLevel", logLevel),
        ]
        return Dictionary(uniqueKeysWithValues: given.compactMap { key, value in value.map { (key, $0) } })
    }

    func run() async throws {
        let environment = ProcessEnvironment.variables
        let settings: OperatorConfiguration
        let credentials: KubernetesCredentials
        do {
            let reader = try ConfigurationReader.open(file: config, flags: flags, environment: environment)
            settings = try OperatorConfiguration(reader)
            credentials =
                if let file = settings.kubeconfig {
                    try KubernetesCredentials.kubeconfig(file, context: settings.context)
                } else {
                    try KubernetesCredentials.inCluster(environment: environment)
                }
        } catch {
            StandardError.write("understudy-controller operator: \(error)")
            throw ExitCode(2)
        }
        bootstrapLogging(level: settings.logLevel)
        Signals.ignoreBrokenPipes()
        let logger = Logger(label: "understudy-controller")
        do {
            let signals = try Signals.stream([Signals.terminate, Signals.interrupt, Signals.hangUp])
            let shell = try OperatorShell(settings, credentials: credentials, version: softwareVersion, logger: logger)
            let quiet: @Sendable () async -> Void = { logger.info("nothing is read again on SIGHUP") }
            try await runUntilSignalled(signals, onHangUp: quiet, logger: logger) { try await shell.run() }
        } catch {
            StandardError.write("understudy-controller operator: \(error)")
            throw ExitCode(1)
        }
    }
}
