import ClusterModel
import ControlChannel
import ControllerRuntime
import KubernetesClient
import KubernetesObjects
import Logging
import Platform
import ResourcePlan
import Telemetry

/// Runs one core for each cluster, and hears all their agents on one port.
///
/// It keeps clusters only while its controller leads (R11). The certificate of a peer says of which cluster it is, and
/// no other core ever hears of it.
actor HostedClusters: ClusterHost {
    /// Where the agents of pods answer each other (R10).
    static let agentPort: UInt16 = 7431

    private struct Hosted {
        let key: ClusterKey
        let runner: ClusterRunner
        var members: [InstanceSpec]
        var complaint = ""
    }

    private let client: KubernetesClient
    private let server: ControlServer
    private let advertised: Endpoint
    private let reporter: ClusterReporter
    private let board: StandingBoard
    private let logger: Logger
    private var hosted: [ClusterName: Hosted] = [:]
    private var names: [ClusterKey: ClusterName] = [:]
    private var isLeading = false
    private var certainUntil: MonotonicInstant?

    /// Makes a host of no clusters.
    ///
    /// - Parameters:
    ///   - client: Keeps the records.
    ///   - server: Hears the agents; it admits those clusters that are kept.
    ///   - advertised: Where this controller is found.
    ///   - reporter: Tells people on the resources.
    ///   - board: Where it is shown how clusters stand.
    ///   - logger: Is told, too.
    init(
        _ client: KubernetesClient,
        server: ControlServer,
        advertised: Endpoint,
        reporter: ClusterReporter,
        board: StandingBoard,
        logger: Logger
    ) {
        self.client = client
        self.server = server
        self.advertised = advertised
        self.reporter = reporter
        self.board = board
        self.logger = logger
    }

    // MARK: Leadership

    /// Clusters may be kept from now on.
    func begin() {
        isLeading = true
        certainUntil = nil
    }

    /// Nobody else leads before then.
    func lead(until moment: MonotonicInstant) async {
        certainUntil = moment
        for one in hosted.values { await one.runner.lead(until: moment) }
    }

    /// Keeps no cluster any more.
    func end() async {
        isLeading = false
        certainUntil = nil
        for name in Array(hosted.keys) { await drop(name, because: "this controller leads no more") }
    }

    func mayChange() -> Bool { isLeading && (certainUntil.map { .now < $0 } ?? false) }

    // MARK: What plans say

    func standing(of cluster: ClusterKey) -> ClusterStanding? { board[cluster] }

    func keep(_ described: PlannedCluster, of cluster: ClusterKey) async {
        guard isLeading else { return }
        // Another resource of the same name is another cluster.
        if let old = names[cluster], old != described.name { await drop(old, because: "its resource is gone") }
        let spec = spec(of: described, known: hosted[described.name]?.members ?? [])
        if let faults = spec.faults.isEmpty ? nil : spec.faults.joined(separator: "; ") {
            // What is in force stays in force.
            guard hosted[described.name]?.complaint != faults else { return }
            hosted[described.name]?.complaint = faults
            logger.error("a cluster cannot be kept as described", metadata: metadata(cluster, faults))
            return
        }
        hosted[described.name]?.members = spec.instances
        if let known = hosted[described.name] {
            await known.runner.change(to: spec)
        } else {
            await begin(spec, cluster)
        }
    }

    private func begin(_ spec: ClusterSpec, _ key: ClusterKey) async {
        var logger = logger
        logger[metadataKey: LogKey.cluster] = "\(key)"
        let names = ClusterNames(key.name)
        let runner = ClusterRunner(
            spec,
            store: KubernetesRecordStore(client, of: key, cluster: spec.name),
            server: server,
            advertised: advertised,
            listeners: ClusterRunner.Listeners(
                explained: { [reporter] in reporter.tell($0, of: key, spec.name) },
                concluded: { [reporter] in reporter.tell($0, of: key, spec.name) },
                seen: { [board] in board.show(ClusterStanding($0, names: names), of: key) }
            ),
            logger: logger
        )
        hosted[spec.name] = Hosted(key: key, runner: runner, members: spec.instances)
        self.names[key] = spec.name
        await runner.begin()
        if let certainUntil { await runner.lead(until: certainUntil) }
        // It may have been forgotten meanwhile.
        if hosted[spec.name]?.runner === runner { server.admit(spec.name) }
    }

    func switchOver(to instance: InstanceName?, of cluster: ClusterKey) async {
        guard let runner = runner(of: cluster) else { return }
        let command = ClusterCommand.switchover(to: instance, by: "the operator", isDryRun: false)
        let answer = await runner.ask(command)
        if answer.ending != .done {
            logger.warning("a switchover was not begun", metadata: metadata(cluster, answer.text))
        }
    }

    func startOver(with instance: InstanceName, of cluster: ClusterKey) async {
        guard let runner = runner(of: cluster) else { return }
        // Not waited for: whoever plans the next change does not depend on it.
        Task { await runner.startOver() }
    }

    func forget(_ cluster: ClusterKey) async {
        guard let name = names[cluster] else { return }
        await drop(name, because: "its resource is gone")
    }

    // MARK: Agents

    /// Hands an event to the core that it concerns.
    func take(_ event: ServerEvent) async {
        let connection =
            switch event {
            case .connected(_, _, let connection), .disconnected(_, let connection, _), .message(_, let connection, _),
                .request(let connection, _, _):
                connection
            }
        await hosted[connection.cluster]?.runner.take(event)
    }

    // MARK: Parts

    private func runner(of cluster: ClusterKey) -> ClusterRunner? { names[cluster].flatMap { hosted[$0]?.runner } }

    private func drop(_ name: ClusterName, because reason: String) async {
        guard let gone = hosted.removeValue(forKey: name) else { return }
        if names[gone.key] == name { names[gone.key] = nil }
        server.dismiss(name, because: "cluster '\(name)' is kept no more: \(reason)")
        await gone.runner.end()
        board.remove(gone.key)
    }

    private func metadata(_ cluster: ClusterKey, _ reason: String) -> Logger.Metadata {
        [LogKey.cluster: "\(cluster)", LogKey.reason: "\(reason)"]
    }

    private func spec(of described: PlannedCluster, known: [InstanceSpec]) -> ClusterSpec {
        let instances = described.members.map { member in
            var one = InstanceSpec(
                name: member.name,
                server: Endpoint(host: "\(member.name).invalid", port: UInt16(clamping: described.port)),
                failoverPriority: member.failoverPriority,
                zone: member.zone
            )
            // A pod that is gone for a moment leaves its member in the cluster, at the place where it was.
            let last = known.first { $0.name == member.name }
            let lastHost = last.flatMap { $0.agent == nil ? nil : $0.server.host }
            if let host = member.address ?? lastHost {
                one.server.host = host
                one.agent = Endpoint(host: host, port: Self.agentPort)
            }
            return one
        }
        var timings = Timings()
        if let lease = described.leaseDuration { timings.leaseDuration = lease }
        let isAlone = instances.count < 2 && described.durability == .required
        return ClusterSpec(
            name: described.name,
            // It begins with one, which has nobody to wait for; the rule is stricter as soon as others are there.
            durability: isAlone ? .preferred : described.durability,
            synchronousStandbys: max(1, min(described.synchronousStandbys, instances.count - 1)),
            instances: instances,
            timings: timings,
            maximumLagOnFailover: described.maximumLagOnFailover,
            failoverDisabled: described.failoverDisabled
        )
    }
}

extension MonotonicInstant {
    /// The machine's present moment.
    static var now: MonotonicInstant { MonotonicInstant(nanoseconds: MonotonicClock.nanoseconds()) }
}
