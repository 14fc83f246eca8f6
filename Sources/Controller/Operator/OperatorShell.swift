import ClusterDecision
import ClusterModel
import ControlChannel
public import ControllerRuntime
public import KubernetesClient
import KubernetesObjects
public import Logging
import Platform
import ResourcePlan
import TLSTransport
import Telemetry

/// The operator: leads or stands by, and while it leads keeps the objects of all clusters and runs their cores.
public actor OperatorShell {
    /// The Lease of an installation.
    static let leaseName = "understudy-controller"
    /// How long leadership lasts without being renewed: a leader that is lost is replaced in about a second more.
    static let leadershipDuration = Duration.seconds(5)

    private let configuration: OperatorConfiguration
    private let installationNamespace: String
    /// For leadership and records, which nothing else may hold up.
    private let urgent: KubernetesClient
    private let client: KubernetesClient
    private let version: String
    private let logger: Logger
    private let board = StandingBoard()
    private var work: Task<Void, Never>?

    /// Makes an operator; nothing is asked yet.
    ///
    /// - Throws: `ControllerError` if the credentials cannot be used.
    public init(
        _ configuration: OperatorConfiguration,
        credentials: KubernetesCredentials,
        version: String,
        logger: Logger
    ) throws(ControllerError) {
        self.configuration = configuration
        self.version = version
        self.logger = logger
        installationNamespace = configuration.installationNamespace ?? credentials.namespace
        var quick = KubernetesLimits()
        quick.deadline = .seconds(3)
        quick.connectTimeout = .seconds(2)
        (quick.requestsPerSecond, quick.burst) = (200, 400)
        var many = KubernetesLimits()
        (many.requestsPerSecond, many.burst) = (50, 200)
        do {
            urgent = try KubernetesClient(credentials, limits: quick)
            client = try KubernetesClient(credentials, limits: many)
        } catch {
            throw ControllerError(description: "\(error)")
        }
    }

    /// Works until the task is cancelled, then gives leadership back.
    ///
    /// - Parameter onListening: Told the port once agents can connect.
    /// - Throws: `ControllerError` if the address cannot be listened on, or the authority cannot be used.
    public func run(onListening: @escaping @Sendable (Int) -> Void = { _ in }) async throws(ControllerError) {
        defer {
            urgent.close()
            client.close()
        }
        guard let authority = try await authority() else { return }
        let server: ControlServer
        do {
            server = ControlServer(
                serverConfiguration,
                tls: try TLSContext(credentials: try authority.controllerCredentials()),
                logger: logger
            )
        } catch {
            throw ControllerError(description: "\(error)")
        }
        let recorder = EventRecorder(
            client,
            controller: ClusterOperator.reportingController,
            instance: configuration.identity
        )
        let host = HostedClusters(
            urgent,
            server: server,
            advertised: configuration.advertised,
            reporter: ClusterReporter(recorder, logger: logger),
            board: board,
            logger: logger
        )
        let leadership = LeadershipKeeper(
            KubernetesLeadershipStore(
                urgent,
                namespace: installationNamespace,
                name: Self.leaseName,
                duration: Self.leadershipDuration
            ),
            address: configuration.advertised,
            duration: Self.leadershipDuration
        )
        server.refuseEverybody(because: LeadershipClaim?.none.standbyReason)
        await leadership.begin()
        let hearing = Task { for await news in leadership.news { await take(news, host, server, authority) } }
        let outcome = await serve(server, host, onListening)
        await stopWorking(host)
        await leadership.release()
        await hearing.value
        if let outcome { throw ControllerError(description: outcome) }
    }

    private var serverConfiguration: ControlServerConfiguration {
        var settings = ControlServerConfiguration(
            cluster: nil,
            host: configuration.listen.host,
            port: Int(configuration.listen.port),
            software: version
        )
        // A thousand clusters come at once when another operator led until now.
        (settings.connectionLimit, settings.pendingLimit) = (20_000, 5_000)
        return settings
    }

    private func serve(
        _ server: ControlServer,
        _ host: HostedClusters,
        _ onListening: @escaping @Sendable (Int) -> Void
    ) async -> String? {
        await withTaskGroup(of: String?.self) { group in
            group.addTask { [logger] in
                do {
                    try await server.run { port in
                        logger.notice("listening", metadata: [LogKey.address: "port \(port)"])
                        onListening(port)
                    }
                    return nil
                } catch {
                    return "\(error)"
                }
            }
            for await event in server.events { await host.take(event) }
            return await group.next() ?? nil
        }
    }

    /// The authority, asked for until the API server gives it; nil if the task is cancelled first.
    private func authority() async throws(ControllerError) -> InstallationAuthority? {
        var backoff = Backoff(first: .milliseconds(200), longest: .seconds(5))
        while !Task.isCancelled {
            do throws(KubernetesError) {
                return try await InstallationAuthority.open(client, namespace: installationNamespace)
            } catch {
                if Task.isCancelled { return nil }
                if error.kind == .credentials { throw ControllerError(description: "\(error)") }
                let wait = backoff.next(random: UInt64.random(in: .min ... .max))
                logger.error(
                    "the certificate authority could not be read; the next attempt is in \(wait.text)",
                    metadata: [LogKey.reason: "\(error)"]
                )
                try? await Task.sleep(for: wait)
            }
        }
        return nil
    }

    /// Leads, or sends everybody to whoever does (R11).
    private func take(
        _ news: LeadershipNews,
        _ host: HostedClusters,
        _ server: ControlServer,
        _ authority: InstallationAuthority
    ) async {
        switch news {
        case .began:
            await host.begin()
            startWorking(host, authority)
            server.refuseEverybody(because: nil)
        case .leading(let until): await host.lead(until: until)
        case .ended: await stopWorking(host)
        case .standsBy(let claim): server.refuseEverybody(because: claim.standbyReason)
        case .explained(let explanation): logger.decided(explanation)
        }
    }

    private func startWorking(_ host: HostedClusters, _ authority: InstallationAuthority) {
        let clusterOperator = ClusterOperator(
            client,
            namespace: configuration.namespace,
            installation: Installation(
                agentImage: configuration.agentImage,
                controllers: configuration.controllers
            ),
            host: host,
            issuer: { instance, _, begun in try authority.issue(instance, begun: begun) },
            identity: configuration.identity,
            logger: logger
        )
        board.whenChanged { cluster in Task { await clusterOperator.look(at: cluster) } }
        work?.cancel()
        work = Task { await clusterOperator.run() }
    }

    private func stopWorking(_ host: HostedClusters) async {
        work?.cancel()
        work = nil
        board.whenChanged(nil)
        await host.end()
    }
}
