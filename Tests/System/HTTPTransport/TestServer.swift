import Foundation
import HTTPTransport
import KubernetesStandIn
import TLSTransport
import Testing

/// A server with its authority, and a client that trusts it.
struct TestServer: Sendable {
    /// The authority's certificate and key.
    let issuer: CertificateAuthority.Issued
    let server: HTTPSServer
    let client: HTTPClient

    func authority() throws -> CertificateAuthority {
        try CertificateAuthority(certificate: issuer.certificate, key: issuer.key)
    }

    var url: String { "https://127.0.0.1:\(server.port)" }

    /// Runs a server for the body's time.
    static func run(
        hosts: [String] = ["127.0.0.1"],
        configure: (inout HTTPConfiguration) -> Void = { _ in },
        handler: @escaping HTTPSServer.Handler,
        body: (TestServer) async throws -> Void
    ) async throws {
        let authority = try CertificateAuthority(named: "test")
        let issued = try authority.issue(hosts: hosts, name: "server")
        let credentials = TLSCredentials(
            authorities: authority.pem.certificate,
            certificate: issued.certificate,
            key: issued.key
        )
        let server = try await HTTPSServer(credentials: credentials, handler: handler)
        var configuration = HTTPConfiguration(authorities: .pem(authority.pem.certificate))
        configure(&configuration)
        do {
            let client = try HTTPClient(configuration)
            try await body(TestServer(issuer: authority.pem, server: server, client: client))
            client.close()
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }
}

/// Polls until the condition holds; fails after ten seconds.
func eventually(_ what: Comment, _ location: SourceLocation = #_sourceLocation, _ condition: () -> Bool) async throws {
    let end = ContinuousClock.now + .seconds(10)
    while !condition(), ContinuousClock.now < end { try await Task.sleep(for: .milliseconds(5)) }
    #expect(condition(), what, sourceLocation: location)
}

/// The kind of error that a request ends with; nil if it gets an answer.
func failure(_ body: () async throws(HTTPError) -> Void) async -> HTTPError? {
    do throws(HTTPError) {
        try await body()
        return nil
    } catch {
        return error
    }
}
