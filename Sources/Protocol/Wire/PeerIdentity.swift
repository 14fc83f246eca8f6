public import ClusterModel

/// Who a certificate speaks for.
///
/// Written as the certificate's only URI: `understudy://<cluster>/<instance>`, or `controller` or `operator` in the
/// instance's place; no instance may have one of these two names.
public struct PeerIdentity: Sendable, Hashable, CustomStringConvertible {
    /// The parts that a peer can have.
    public enum Role: Sendable, Hashable {
        /// The agent of this instance.
        case agent(InstanceName)
        /// The cluster's controller.
        case controller
        /// A person, by the command line.
        case `operator`
    }

    /// The cluster it belongs to; it is nobody in any other.
    public let cluster: ClusterName
    /// Its part in that cluster.
    public let role: Role

    /// Names an identity; `nil` for an instance whose name stands for another part.
    public init?(cluster: ClusterName, role: Role) {
        if case .agent(let name) = role, name.text == "controller" || name.text == "operator" { return nil }
        self.cluster = cluster
        self.role = role
    }

    /// The identity of a cluster's controller.
    public static func controller(of cluster: ClusterName) -> PeerIdentity {
        PeerIdentity(cluster, .controller)
    }

    /// The one URI of a certificate that speaks for the controllers of every cluster of its authority.
    ///
    /// It names no cluster, and so is nobody where agents and command lines are expected.
    public static let controllerOfEveryCluster = "understudy:///controller"

    /// The identity of whoever operates a cluster.
    public static func `operator`(of cluster: ClusterName) -> PeerIdentity {
        PeerIdentity(cluster, .operator)
    }

    private init(_ cluster: ClusterName, _ role: Role) {
        self.cluster = cluster
        self.role = role
    }

    /// Reads the URI of a certificate; `nil` unless it has exactly the form above.
    public init?(uri: String) {
        let scheme = "understudy://"
        guard uri.hasPrefix(scheme) else { return nil }
        let parts = uri.dropFirst(scheme.count).split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let cluster = ClusterName(String(parts[0])) else { return nil }
        switch parts[1] {
        case "controller": self.init(cluster, .controller)
        case "operator": self.init(cluster, .operator)
        default:
            guard let name = InstanceName(String(parts[1])) else { return nil }
            self.init(cluster, .agent(name))
        }
    }

    /// Reads the names of a certificate: exactly one, of the form above.
    ///
    /// - Throws: `WireError` saying what the certificate names instead.
    public static func sole(among uris: [String]) throws(WireError) -> PeerIdentity {
        guard uris.count == 1, let uri = uris.first else {
            throw WireError("its certificate names \(uris.count) URIs instead of one understudy:// identity")
        }
        guard let identity = PeerIdentity(uri: uri) else {
            throw WireError("its certificate names '\(uri.prefix(120))', which is no understudy:// identity")
        }
        return identity
    }

    /// The URI for the certificate.
    public var uri: String { "understudy://\(cluster)/\(name)" }

    /// The last part of the URI.
    public var name: String {
        switch role {
        case .agent(let name): name.text
        case .controller: "controller"
        case .operator: "operator"
        }
    }

    /// `cluster/instance`.
    public var description: String { "\(cluster)/\(name)" }
}
