import Foundation
import HTTPTransport
import JSON
import KubernetesClient
import KubernetesObjects
import KubernetesStandIn
import Synchronization
import TLSTransport
import Testing

/// A stand-in of an API server, and how to get at it.
struct Fixture: Sendable {
    static let widgets = APIResource(group: "test.dev", version: "v1", plural: "widgets", kind: "Widget")
    static let maps = APIResource(version: "v1", plural: "configmaps", kind: "ConfigMap")

    let api: StandInAPI
    /// The authority's certificate and key.
    let issuer: CertificateAuthority.Issued
    let credentials: KubernetesCredentials
    let client: KubernetesClient

    /// Runs a stand-in for the body's time, and checks that nothing stays connected.
    static func run(
        limits: KubernetesLimits = quick,
        bodyLimit: Int = 3 << 20,
        body: (Fixture) async throws -> Void
    ) async throws {
        let authority = try CertificateAuthority(named: "kubernetes")
        let issued = try authority.issue(hosts: ["127.0.0.1", "kubernetes.default.svc"], name: "kube-apiserver")
        let api = try await StandInAPI.start(
            credentials: TLSCredentials(
                authorities: authority.pem.certificate,
                certificate: issued.certificate,
                key: issued.key
            ),
            tokens: ["secret"],
            kinds: [
                KeptKind(group: "test.dev", plural: "widgets", kind: "Widget", hasStatus: true),
                KeptKind(plural: "configmaps", kind: "ConfigMap"),
                KeptKind(group: "coordination.k8s.io", plural: "leases", kind: "Lease"),
                KeptKind(group: "events.k8s.io", plural: "events", kind: "Event"),
            ],
            bodyLimit: bodyLimit
        )
        let credentials = KubernetesCredentials(
            server: "https://127.0.0.1:\(api.port)",
            authorities: .pem(authority.pem.certificate),
            token: .fixed("secret")
        )
        do {
            let client = try KubernetesClient(credentials, limits: limits)
            try await body(Fixture(api: api, issuer: authority.pem, credentials: credentials, client: client))
            client.close()
            try await eventually("every connection is closed") { api.counts.open == 0 && api.openWatches == 0 }
        } catch {
            await api.stop()
            throw error
        }
        await api.stop()
    }

    /// Limits that do not slow tests down.
    static var quick: KubernetesLimits {
        var limits = KubernetesLimits()
        limits.requestsPerSecond = 10_000
        limits.burst = 10_000
        return limits
    }

    func authority() throws -> CertificateAuthority {
        try CertificateAuthority(certificate: issuer.certificate, key: issuer.key)
    }

    /// A widget that is not there yet.
    func widget(_ name: String, size: Int64 = 1) -> KubernetesObject {
        KubernetesObject(Self.widgets, namespace: "default", name: name, ["spec": ["size": .number(JSONNumber(size))]])
    }

    @discardableResult
    func create(_ name: String, size: Int64 = 1) async throws -> KubernetesObject {
        try await client.create(widget(name, size: size), of: Self.widgets, fieldManager: "test")
    }

    func get(_ name: String) async throws -> KubernetesObject {
        try await client.get(Self.widgets, namespace: "default", name: name)
    }

    var collection: ObjectCollection { ObjectCollection(Self.widgets, namespace: "default") }
}

/// Polls until the condition holds; fails after ten seconds.
func eventually(_ what: Comment, _ location: SourceLocation = #_sourceLocation, _ condition: () -> Bool) async throws {
    let end = ContinuousClock.now + .seconds(10)
    while !condition(), ContinuousClock.now < end { try await Task.sleep(for: .milliseconds(5)) }
    #expect(condition(), what, sourceLocation: location)
}

/// The error that something ends with; nil if it succeeds.
func failure(_ body: () async throws -> Void) async -> KubernetesError? {
    do {
        try await body()
        return nil
    } catch let error as KubernetesError {
        return error
    } catch {
        Issue.record("an error of another type: \(error)")
        return nil
    }
}
