import ClusterModel
import Foundation
import HTTPTransport
import JSON
import KubernetesClient
import KubernetesObjects
import KubernetesStandIn
import KubernetesWorld
import Logging
import TLSTransport
import Testing

/// A stand-in API server for a test's time, and clients to it.
struct APIServer: Sendable {
    let api: StandInAPI
    let credentials: KubernetesCredentials
    let client: KubernetesClient

    static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    static func run(_ body: (APIServer) async throws -> Void) async throws {
        let authority = try CertificateAuthority(named: "kubernetes")
        let issued = try authority.issue(hosts: ["127.0.0.1"], name: "kube-apiserver")
        let api = try await StandInAPI.start(
            credentials: TLSCredentials(
                authorities: authority.pem.certificate,
                certificate: issued.certificate,
                key: issued.key
            ),
            tokens: ["secret"],
            kinds: World.kinds
        )
        let credentials = KubernetesCredentials(
            server: "https://127.0.0.1:\(api.port)",
            authorities: .pem(authority.pem.certificate),
            token: .fixed("secret")
        )
        do {
            let client = try Self.client(credentials)
            defer { client.close() }
            try await body(APIServer(api: api, credentials: credentials, client: client))
        } catch {
            await api.stop()
            throw error
        }
        await api.stop()
    }

    /// A client that tests do not slow down.
    static func client(_ credentials: KubernetesCredentials) throws -> KubernetesClient {
        var limits = KubernetesLimits()
        (limits.requestsPerSecond, limits.burst) = (10_000, 10_000)
        return try KubernetesClient(credentials, limits: limits)
    }

    /// Makes a resource, and gives what the cluster is called by.
    func cluster(_ name: String, _ spec: JSONValue = [:]) async throws -> ClusterName {
        var resource = KubernetesObject(.kubegres, namespace: "default", name: name)
        resource.spec = spec
        let made = try await client.create(resource, of: .kubegres, fieldManager: "test")
        return try #require(ClusterName(made.uid))
    }

    func status(_ name: String) async throws -> JSONValue {
        try await client.get(.kubegres, namespace: "default", name: name).status
    }

    func setStatus(_ name: String, _ status: JSONValue) async throws {
        _ = try await client.mergePatch(
            ["status": status],
            .kubegres,
            namespace: "default",
            name: name,
            part: .status,
            fieldManager: "test"
        )
    }
}

/// Polls until the condition holds; fails after a minute.
func eventually(
    _ what: Comment,
    _ location: SourceLocation = #_sourceLocation,
    _ condition: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + .seconds(60)
    while ContinuousClock.now < end {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(20))
    }
    Issue.record(what, sourceLocation: location)
}
