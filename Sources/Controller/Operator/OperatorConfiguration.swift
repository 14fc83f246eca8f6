public import ClusterModel
public import Configuration
public import Logging

/// Everything an operator is told, checked.
public struct OperatorConfiguration: Sendable {
    /// Where resources are looked for; nil means everywhere.
    public var namespace: String?
    /// Where agents and command lines connect.
    public var listen: Endpoint
    /// Where peers of another operator are sent when this one leads; `listen` unless given (R11).
    public var advertised: Endpoint
    /// What pods are told to connect to; `advertised` unless given.
    public var controllers: [Endpoint]
    /// The image with agent and launcher, for the pods.
    public var agentImage: String
    /// Where authority and Lease lie; nil means the namespace of the credentials.
    public var installationNamespace: String?
    /// Which of several this one is, such as its pod's name.
    public var identity: String
    /// Names the API server and who we are to it; nil means the service account of the pod.
    public var kubeconfig: String?
    /// Which context of that file; nil means the present one.
    public var context: String?
    /// From which level on lines are written.
    public var logLevel: Logger.Level

    /// Keys, each of which is also a flag and an environment variable.
    public static let scalarKeys = [
        "namespace", "listen", "advertise", "controllers", "agentImage", "installationNamespace", "identity",
        "kubeconfig", "context", "logLevel",
    ]

    /// Where it listens unless the configuration says so.
    public static let defaultListen = Endpoint(host: "0.0.0.0", port: 7432)

    /// Reads and checks a configuration.
    ///
    /// - Throws: `ConfigurationError` with every fault found.
    public init(_ given: ConfigurationReader) throws(ConfigurationError) {
        var reader = given
        func text(_ key: String) -> String? { reader.text(key).flatMap { $0.isEmpty ? nil : $0 } }
        func endpoint(_ key: String) -> Endpoint? { text(key) == nil ? nil : reader.endpoint(key) }
        namespace = text("namespace")
        listen = endpoint("listen") ?? Self.defaultListen
        let given = endpoint("advertise")
        advertised = given ?? listen
        controllers = text("controllers") == nil ? [] : reader.endpoints("controllers")
        agentImage = reader.requiredText("agentImage")
        installationNamespace = text("installationNamespace")
        identity = text("identity") ?? ""
        kubeconfig = text("kubeconfig")
        context = text("context")
        logLevel = reader.logLevel()
        if given == nil, ["0.0.0.0", "::"].contains(listen.host) {
            reader.fault(
                "'advertise' is missing: '\(listen.host)' says on which addresses to listen, not where others come"
            )
        }
        if context != nil, kubeconfig == nil {
            reader.fault("context", "names a part of a kubeconfig, which is not given")
        }
        for (key, name) in [("namespace", namespace), ("installationNamespace", installationNamespace)] {
            guard let name, !Self.isNamespace(name) else { continue }
            reader.fault(key, "is '\(name)': only a-z, 0-9 and inner hyphens, at most 63")
        }
        if controllers.isEmpty { controllers = [advertised] }
        if identity.isEmpty { identity = "\(advertised)" }
        reader.refuseUnknownKeys()
        try reader.check()
    }

    private static func isNamespace(_ text: String) -> Bool {
        let isAllowed = text.utf8.allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d }
        return isAllowed && (1...63).contains(text.utf8.count) && !text.hasPrefix("-") && !text.hasSuffix("-")
    }
}
