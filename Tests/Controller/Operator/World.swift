import ClusterModel
import Foundation
import HTTPTransport
import JSON
import KubernetesClient
import KubernetesObjects
import KubernetesStandIn
import KubernetesWorld
import Logging
import OperatorRuntime
import ResourcePlan
import Synchronization
import TLSTransport
import Testing

/// Cores of clusters, modelled: who is primary, who follows.
actor ModelledHost: ClusterHost {
    private var databases: [ClusterKey: DatabaseModel] = [:]
    private var members: [ClusterKey: [InstanceName]] = [:]

    func standing(of cluster: ClusterKey) -> ClusterStanding? { databases[cluster]?.standing }

    func keep(_ described: PlannedCluster, of cluster: ClusterKey) {
        members[cluster] = described.members.map(\.name)
        if databases[cluster] == nil { databases[cluster] = DatabaseModel() }
    }

    func switchOver(to instance: InstanceName?, of cluster: ClusterKey) {
        databases[cluster]?.switchOver(to: instance.flatMap { ClusterNames(cluster.name).index(of: $0) })
    }

    func startOver(with instance: InstanceName, of cluster: ClusterKey) { databases[cluster] = DatabaseModel() }

    func forget(_ cluster: ClusterKey) { databases[cluster] = nil }

    /// Lets the servers of the pods that run find their roles.
    ///
    /// - Returns: The clusters that stand differently.
    func follow(running: [ClusterKey: [Int]]) -> [ClusterKey] {
        databases.keys.filter { key in
            let before = databases[key]?.standing
            let known = members[key] ?? []
            databases[key]?.follow(
                members: known.compactMap { ClusterNames(key.name).index(of: $0) },
                running: running[key] ?? [],
                isDisabled: false
            )
            return databases[key]?.standing != before
        }
    }
}

/// A stand-in API server with an operator, and as much of Kubernetes beside it as runs StatefulSets.
struct World: Sendable {
    let api: StandInAPI
    let user: KubernetesClient
    let host: ModelledHost
    let clusterOperator: ClusterOperator

    static func run(_ body: @escaping @Sendable (World) async throws -> Void) async throws {
        let authority = try CertificateAuthority(named: "kubernetes")
        let issued = try authority.issue(hosts: ["127.0.0.1"], name: "kube-apiserver")
        let api = try await StandInAPI.start(
            credentials: TLSCredentials(
                authorities: authority.pem.certificate,
                certificate: issued.certificate,
                key: issued.key
            ),
            tokens: ["secret"],
            kinds: kinds
        )
        let credentials = KubernetesCredentials(
            server: "https://127.0.0.1:\(api.port)",
            authorities: .pem(authority.pem.certificate),
            token: .fixed("secret")
        )
        var limits = KubernetesLimits()
        limits.requestsPerSecond = 10_000
        limits.burst = 10_000
        let clients = try (0..<3).map { _ in try KubernetesClient(credentials, limits: limits) }
        let host = ModelledHost()
        let clusterOperator = ClusterOperator(
            clients[0],
            namespace: nil,
            installation: Installation(agentImage: "understudy:1", controllers: []),
            host: host,
            issuer: { _, _, begun in
                var secret = begun
                secret.content["data"] = ["tls.crt": "eA=="]
                return secret
            },
            identity: "operator-0",
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        let world = World(api: api, user: clients[1], host: host, clusterOperator: clusterOperator)
        let kubelet = Kubelet(client: clients[2], host: host, clusterOperator: clusterOperator)
        do {
            try await world.prepare()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await clusterOperator.run() }
                group.addTask { await kubelet.run() }
                defer { group.cancelAll() }
                try await body(world)
            }
        } catch {
            clients.forEach { $0.close() }
            await api.stop()
            throw error
        }
        clients.forEach { $0.close() }
        await api.stop()
    }

    static let kinds = [
        KeptKind(group: "kubegres.reactive-tech.io", plural: "kubegres", kind: "Kubegres", hasStatus: true),
        KeptKind(group: "apps", plural: "statefulsets", kind: "StatefulSet"),
        KeptKind(plural: "pods", kind: "Pod"), KeptKind(plural: "services", kind: "Service"),
        KeptKind(plural: "persistentvolumeclaims", kind: "PersistentVolumeClaim"),
        KeptKind(plural: "configmaps", kind: "ConfigMap"), KeptKind(plural: "secrets", kind: "Secret"),
        KeptKind(group: "batch", plural: "cronjobs", kind: "CronJob"),
        KeptKind(group: "policy", plural: "poddisruptionbudgets", kind: "PodDisruptionBudget"),
        KeptKind(group: "storage.k8s.io", plural: "storageclasses", kind: "StorageClass", isNamespaced: false),
        KeptKind(plural: "nodes", kind: "Node", isNamespaced: false),
        KeptKind(group: "events.k8s.io", plural: "events", kind: "Event"),
        KeptKind(group: "coordination.k8s.io", plural: "leases", kind: "Lease"),
    ]

    private func prepare() async throws {
        var storage = KubernetesObject(.storageClasses, name: "standard")
        storage.annotations = ["storageclass.kubernetes.io/is-default-class": "true"]
        _ = try await user.create(storage, of: .storageClasses, fieldManager: "test")
    }

    func create(_ name: String, _ spec: JSONValue) async throws {
        var resource = KubernetesObject(.kubegres, namespace: "default", name: name)
        resource.spec = spec
        _ = try await user.create(resource, of: .kubegres, fieldManager: "test")
    }

    func change(_ name: String, _ spec: JSONValue) async throws {
        _ = try await user.mergePatch(
            ["spec": spec],
            .kubegres,
            namespace: "default",
            name: name,
            fieldManager: "test"
        )
    }

    func all(_ resource: APIResource) async throws -> [KubernetesObject] {
        try await user.list(ObjectCollection(resource, namespace: resource.isNamespaced ? "default" : nil)).items
    }

    /// How many pods of a cluster are primary and how many replicas.
    func roles(_ name: String) async throws -> [Int] {
        let pods = try await all(.pods).filter { $0.labels["app"] == name }
        return ["primary", "replica"].map { role in pods.filter { $0.labels["replicationRole"] == role }.count }
    }

    /// Polls until the condition holds; fails after half a minute.
    func eventually(
        _ what: Comment,
        _ location: SourceLocation = #_sourceLocation,
        _ condition: () async throws -> Bool
    ) async throws {
        let end = ContinuousClock.now + .seconds(120)
        while ContinuousClock.now < end {
            if try await condition() { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        Issue.record(what, sourceLocation: location)
    }
}

/// Makes pods and claims of StatefulSets, and has them run.
struct Kubelet: Sendable {
    let client: KubernetesClient
    let host: ModelledHost
    let clusterOperator: ClusterOperator

    func run() async {
        while !Task.isCancelled {
            // Whatever fails is tried again in the next round, as controllers do.
            try? await round()
            try? await Task.sleep(for: .milliseconds(10))
        }
    }

    private func round() async throws {
        let sets = try await client.list(ObjectCollection(.statefulSets, namespace: nil)).items
        let pods = try await client.list(ObjectCollection(.pods, namespace: nil)).items
        for set in sets where !pods.contains(where: { $0.name == set.name + "-0" }) { try await start(set) }
        for pod in pods where pod.status["podIP"] == nil {
            var running = pod
            running.status = [
                "phase": "Running", "podIP": "10.0.0.1", "conditions": [["type": "Ready", "status": "True"]],
            ]
            _ = try await client.replace(running, of: .pods, fieldManager: "kubelet")
        }
        var running: [ClusterKey: [Int]] = [:]
        for pod in pods where pod.status["podIP"] != nil {
            let app = pod.labels["app"] ?? ""
            let key = ClusterKey(namespace: pod.namespace, name: app)
            if let index = ClusterNames(app).index(ofPod: pod.name) { running[key, default: []].append(index) }
        }
        for key in await host.follow(running: running.mapValues { $0.sorted() }) { await clusterOperator.look(at: key) }
    }

    private func start(_ set: KubernetesObject) async throws {
        let name = set.name + "-0"
        for template in set.spec["volumeClaimTemplates"]?.array ?? [] {
            let volume = template[path: ["metadata", "name"]]?.string ?? ""
            var claim = KubernetesObject(.claims, namespace: set.namespace, name: volume + "-" + name)
            claim["metadata", "labels"] = template[path: ["metadata", "labels"]]
            claim.spec = template["spec"] ?? [:]
            do throws(KubernetesError) {
                _ = try await client.create(claim, of: .claims, fieldManager: "kubelet")
            } catch {
                if !error.isAlreadyExists { throw error }
            }
        }
        var pod = KubernetesObject(.pods, namespace: set.namespace, name: name)
        pod["metadata", "labels"] = set.spec[path: ["template", "metadata", "labels"]]
        pod["metadata", "annotations"] = set.spec[path: ["template", "metadata", "annotations"]]
        pod.spec = set.spec[path: ["template", "spec"]] ?? [:]
        pod.ownerReferences = [
            OwnerReference(
                apiVersion: "apps/v1",
                kind: "StatefulSet",
                name: set.name,
                uid: set.uid,
                isController: true
            )
        ]
        _ = try await client.create(pod, of: .pods, fieldManager: "kubelet")
    }
}
