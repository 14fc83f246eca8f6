import ClusterModel
import ClusterProtocol
import Configuration
import ControlChannel
import ControllerRuntime
import Foundation
import JSON
import KubernetesClient
import KubernetesObjects
import KubernetesWorld
import Logging
import Platform
import Synchronization
import TLSTransport
import Testing

@testable import OperatorRuntime

/// Real operators on a stand-in API server; instances are agents without servers.
struct Installed: Sendable {
    let server: APIServer
    let ports: [Int]
    private let running: [Task<Void, any Error>]

    static func run(operators: Int = 1, _ body: (Installed) async throws -> Void) async throws {
        try await APIServer.run { server in try await run(operators: operators, on: server, body) }
    }

    static func run(
        operators: Int = 1,
        on server: APIServer,
        _ body: (Installed) async throws -> Void
    ) async throws {
        var storage = KubernetesObject(.storageClasses, name: "standard")
        storage.annotations = ["storageclass.kubernetes.io/is-default-class": "true"]
        _ = try await server.client.create(storage, of: .storageClasses, fieldManager: "test")
        var ports: [Int] = []
        var running: [Task<Void, any Error>] = []
        for number in 0..<operators {
            let port = try NetworkPort.findFree()
            let shell = try OperatorShell(
                try OperatorConfiguration.forTest(port: port, identity: "operator-\(number)"),
                credentials: server.credentials,
                version: "test",
                logger: APIServer.silent
            )
            ports.append(port)
            running.append(Task { try await shell.run() })
        }
        let installed = Installed(server: server, ports: ports, running: running)
        var failure: (any Error)?
        do {
            try await body(installed)
        } catch {
            failure = error
        }
        for task in running {
            task.cancel()
            if case .failure(let error) = await task.result { failure = failure ?? error }
        }
        if let failure { throw failure }
    }

    /// Tells an operator to stop, and waits until it has.
    func stop(_ number: Int) async {
        running[number].cancel()
        _ = await running[number].result
    }

    /// Which operator leads, by the Lease; nil if none does.
    func leader() async throws -> Int? {
        let lease = try await server.client.lease(namespace: "default", name: OperatorShell.leaseName)
        guard let lease, !lease.holder.isEmpty else { return nil }
        return ports.firstIndex { lease.holder.hasPrefix("127.0.0.1:\($0) ") }
    }

    /// Makes a resource, and waits until its first instance has a certificate.
    func cluster(_ name: String, isKept: Bool = true) async throws -> String {
        _ = try await server.cluster(name, manifest(replicas: 1))
        if isKept {
            try await eventually("instance 1 of \(name) has a certificate of this cluster") {
                let uid = try await self.uid(name)
                let found = try? await self.secret("\(name)-1-understudy")
                return found?.ownerReferences.first?.uid == uid
            }
        }
        return name
    }

    func uid(_ name: String) async throws -> String {
        try await server.client.get(.kubegres, namespace: "default", name: name).uid
    }

    func secret(_ name: String) async throws -> KubernetesObject {
        try await server.client.get(.secrets, namespace: "default", name: name)
    }

    func authority() async throws -> InstallationAuthority {
        try await InstallationAuthority.open(server.client, namespace: "default")
    }

    /// A Secret as a plan begins it.
    func begun(_ name: String) async throws -> KubernetesObject {
        var secret = KubernetesObject(.secrets, namespace: "default", name: "\(name)-1-understudy")
        let kind = APIResource.kubegres
        secret.ownerReferences = [
            OwnerReference(
                apiVersion: kind.apiVersion,
                kind: kind.kind,
                name: name,
                uid: try await uid(name),
                isController: true
            )
        ]
        return secret
    }

    /// The record as it lies in the status.
    func record(_ name: String) async throws -> ClusterRecord {
        let cluster = try #require(ClusterName(try await uid(name)))
        let key = ClusterKey(namespace: "default", name: name)
        return try #require(try await KubernetesRecordStore(server.client, of: key, cluster: cluster).load())
    }

    /// An agent of an instance, with the certificate from its Secret unless another is given.
    func agent(_ name: String, _ index: Int, certificates: KubernetesObject? = nil) async throws -> ModelledAgent {
        let secret: KubernetesObject
        if let certificates {
            secret = certificates
        } else {
            secret = try await self.secret("\(name)-\(index)-understudy")
        }
        func bytes(_ key: String) throws -> [UInt8] {
            Array(try #require(Data(base64Encoded: secret.content["data"]?[key]?.string ?? "")))
        }
        let credentials = TLSCredentials(
            authorities: try bytes("ca.crt"),
            certificate: try bytes("tls.crt"),
            key: try bytes("tls.key")
        )
        return try ModelledAgent(
            cluster: try await uid(name),
            instance: "\(name)-\(index)",
            ports: ports,
            try TLSContext(credentials: credentials)
        )
    }

    /// Runs agents while the body lasts.
    func with(_ agents: [ModelledAgent], _ body: () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for agent in agents { group.addTask { await agent.run() } }
            defer { group.cancelAll() }
            try await body()
        }
    }
}

extension OperatorConfiguration {
    static func forTest(port: Int, identity: String) throws -> OperatorConfiguration {
        try OperatorConfiguration(
            ConfigurationReader(
                yaml: nil,
                source: "test",
                flags: [
                    "listen": "127.0.0.1:\(port)", "agentImage": "understudy-agent:test",
                    "installationNamespace": "default", "identity": identity,
                ],
                environment: [:]
            )
        )
    }
}

/// An agent of an empty instance: reports, and notes what it is told.
final class ModelledAgent: Sendable {
    private struct Heard {
        var orders: [Order] = []
        var words: [String] = []
    }

    let cluster: String
    let instance: InstanceName
    private let client: ControlClient
    private let heard = Mutex(Heard())

    init(cluster: String, instance: String, ports: [Int], _ tls: TLSContext) throws {
        self.cluster = cluster
        self.instance = try #require(InstanceName(instance))
        client = ControlClient(
            ControlClientConfiguration(
                cluster: try #require(ClusterName(cluster)),
                instance: self.instance,
                endpoints: ports.map { Endpoint(host: "127.0.0.1", port: UInt16($0)) },
                software: "test"
            ),
            tls: tls,
            logger: APIServer.silent
        )
    }

    var orders: [String] { heard.withLock { $0.orders.map(\.name) } }
    var stamps: [Stamp] { heard.withLock { $0.orders.map(\.stamp) } }

    func forgetOrders() { heard.withLock { $0.orders = [] } }

    /// Whether it was refused or let go with such words.
    func said(_ words: String) -> Bool { heard.withLock { $0.words.contains { $0.contains(words) } } }

    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.client.run() }
            group.addTask { await self.read() }
            group.addTask { await self.report() }
        }
    }

    private func read() async {
        for await event in client.events {
            heard.withLock { heard in
                switch event {
                case .message(.order(let order)): heard.orders.append(order)
                case .disconnected(let reason), .unreachable(let reason): heard.words.append(reason)
                case .message, .connected: break
                }
            }
        }
    }

    private func report() async {
        var sequence: UInt64 = 0
        while !Task.isCancelled {
            sequence += 1
            let report = InstanceReport(sequence: sequence, state: InstanceState(), directory: .empty, server: .down)
            client.send(.report(report))
            try? await Task.sleep(for: .milliseconds(200))
        }
    }
}
