import ClusterModel
import ClusterProtocol
import ControlChannel
import TLSTransport
import Testing

@Suite("One controller for many clusters")
struct ManyClustersTests {
    private let credentials: Credentials
    private let controller: Controller

    init() throws {
        credentials = try Credentials()
        let issued = try CertificateAuthority(
            certificate: credentials.authority.certificate,
            key: credentials.authority.key
        )
        .issue(uri: PeerIdentity.controllerOfEveryCluster, name: "controller")
        let tls = try TLSContext(
            credentials: TLSCredentials(
                authorities: credentials.authority.certificate,
                certificate: issued.certificate,
                key: issued.key
            )
        )
        controller = Controller(tls) { $0.cluster = nil }
    }

    private func run(_ body: (inout ThrowingTaskGroup<Void, any Error>) async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await controller.run() }
            defer { group.cancelAll() }
            try await eventually("it listens") { controller.port.current != 0 }
            try await body(&group)
        }
    }

    private func agent(_ instance: String, of cluster: String, certified: String? = nil) throws -> Reporter {
        let tls = try credentials.context("\(certified ?? cluster)/\(instance)")
        return Reporter(instance, port: controller.port.current, tls, cluster: cluster)
    }

    @Test("instances of the same name in two clusters are served side by side, each heard as its own cluster's")
    func sideBySide() async throws {
        for name in ["red", "blue"] { controller.server.admit(clusterName(name)) }
        try await run { group in
            let (red, blue) = (try agent("one", of: "red"), try agent("one", of: "blue"))
            group.addTask { await red.run() }
            group.addTask { await blue.run() }
            try await eventually("both are answered") { red.answers.current > 2 && blue.answers.current > 2 }
            #expect(controller.clusters.current == ["red", "blue"])
            #expect(red.events.current == ["connected"] && blue.events.current == ["connected"])
            controller.server.dismiss(clusterName("red"), because: "its resource is gone")
            try await eventually("one is told to go and not taken again") {
                red.events.current.contains { $0.contains("keeps no cluster 'red'") }
            }
            let before = blue.answers.current
            try await eventually("the other goes on") { blue.answers.current > before + 2 }
            #expect(blue.events.current == ["connected"])
        }
    }

    @Test(
        "a cluster that is not kept is told so, and no certificate speaks for another cluster, whatever the hello says"
    )
    func refused() async throws {
        controller.server.admit(clusterName("red"))
        try await run { group in
            let unknown = try agent("one", of: "green")
            let forger = try agent("one", of: "red", certified: "blue")
            group.addTask { await unknown.run() }
            group.addTask { await forger.run() }
            try await eventually("both are told why") {
                unknown.events.current.contains { $0.contains("this controller keeps no cluster 'green', or not yet") }
                    && forger.events.current.contains {
                        $0.contains("the peer says it is red/one, its certificate speaks for blue/one")
                    }
            }
            #expect(controller.events.current.isEmpty)
            controller.server.admit(clusterName("green"))
            try await eventually("once it is kept it is taken") { unknown.answers.current > 2 }
        }
    }

    @Test("a certificate that speaks for the controllers of all clusters is nobody's among agents")
    func notAnAgent() async throws {
        controller.server.admit(clusterName("red"))
        try await run { _ in
            let signer = try CertificateAuthority(
                certificate: credentials.authority.certificate,
                key: credentials.authority.key
            )
            let issued = try signer.issue(uri: PeerIdentity.controllerOfEveryCluster, name: "controller")
            let tls = try TLSContext(
                credentials: TLSCredentials(
                    authorities: credentials.authority.certificate,
                    certificate: issued.certificate,
                    key: issued.key
                )
            )
            let peer = try await RawPeer.connect(controller.port.current, tls)
            try peer.hello("red/one")
            try await eventually("it is told and closed") { peer.rejection != nil && peer.isClosed.current }
            #expect(peer.rejection?.contains("no understudy:// identity") == true)
        }
    }
}
