public import ClusterModel
public import Configuration
import ControlChannel
public import Logging
import Platform
public import PostgresInstance
public import TLSTransport

/// Everything an agent is told, checked.
public struct AgentConfiguration: Sendable {
    /// The cluster it belongs to.
    public var cluster: ClusterName
    /// Its own name; the certificate must say the same.
    public var instance: InstanceName
    /// Tried in turn: only one of them leads.
    public var controllers: [Endpoint]
    /// Where the agents of other instances ask it (R10); nil if it is not to listen.
    public var listen: Endpoint?
    /// Where it answers probes over HTTP; nil if it does not.
    public var http: Endpoint?
    /// Bytes of WAL that a standby may not have replayed yet and be ready all the same.
    public var readyLag: UInt64
    /// What it shows to the controller, and whom it trusts; read again on SIGHUP.
    public var certificates: TLSFiles
    /// Unix socket of the launcher beside it.
    public var launcherSocket: String
    /// The same as its controller's.
    public var timings: Timings
    /// What its server is run with.
    public var postgres: PostgresConfiguration
    /// From which level on lines are written.
    public var logLevel: Logger.Level

    /// Superuser of the database unless the configuration names another.
    public static let defaultSuperuser = "postgres"
    /// Lag of a ready standby unless the configuration says how much: four segments of WAL.
    public static let defaultReadyLag: UInt64 = 64 << 20
    /// WAL kept for rewinding unless the configuration says how much.
    public static let defaultWALKeepSize = "256MB"

    /// Reads and checks a configuration.
    ///
    /// - Throws: `ConfigurationError` with every fault found.
    public init(_ given: ConfigurationReader) throws(ConfigurationError) {
        var reader = given
        let cluster = reader.clusterName()
        let instance = reader.instanceName("instance")
        controllers = reader.endpoints("controllers")
        listen = reader.text("listen") == nil ? nil : reader.endpoint("listen")
        http = reader.text("http") == nil ? nil : reader.endpoint("http")
        readyLag = reader.number("readyLag", within: 0...ClusterSpec.largestMaximumLag) ?? Self.defaultReadyLag
        certificates = TLSFiles(inFolder: reader.requiredText("certificates"))
        launcherSocket = reader.requiredText("launcherSocket")
        timings = reader.timings()
        for fault in timings.faults { reader.fault("timings", fault) }
        let postgres = instance.map { Self.postgres($0, &reader) }
        logLevel = reader.logLevel()
        reader.refuseUnknownKeys()
        try reader.check()
        guard let cluster, let instance, let postgres else {
            throw ConfigurationError(faults: ["'cluster' and 'instance' must be given"])
        }
        self.cluster = cluster
        self.instance = instance
        self.postgres = postgres
    }

    private static func postgres(_ name: InstanceName, _ reader: inout ConfigurationReader) -> PostgresConfiguration {
        let folder = reader.requiredText("dataFolder")
        let server = reader.endpoint("postgres.server") ?? Endpoint(host: "", port: 0)
        let listen = reader.text("postgres.listenAddresses") ?? server.host
        let sockets = reader.requiredText("postgres.socketFolder")
        let own = UserAccount.withID(UserAccount.currentUserID)?.name ?? "\(UserAccount.currentUserID)"
        let superuser = reader.text("postgres.superuser") ?? Self.defaultSuperuser
        let passwordFile = reader.requiredText("postgres.replicationPasswordFile")
        var password = ""
        if !passwordFile.isEmpty {
            do {
                let bytes = try DurableFile.read(passwordFile, limit: 4096)
                password = String(decoding: bytes ?? [], as: UTF8.self).filter { !$0.isNewline }
                if bytes == nil { reader.fault("postgres.replicationPasswordFile", "names a file that is not there") }
            } catch {
                reader.fault("postgres.replicationPasswordFile", "cannot be used: \(error)")
            }
        }
        let configuration = PostgresConfiguration(
            name: name,
            server: server,
            listenAddresses: listen,
            socketFolder: sockets,
            dataFolder: folder,
            superuser: superuser,
            agentUser: own,
            replicationPassword: password,
            settings: reader.mapping("postgres.settings"),
            accessRules: reader.list("postgres.accessRules"),
            walKeepSize: reader.text("postgres.walKeepSize") ?? Self.defaultWALKeepSize,
            volume: reader.text("volume")
        )
        // What is missing has been said already, in the words of the configuration.
        if !folder.isEmpty, !sockets.isEmpty, server.port > 0, !password.isEmpty {
            for fault in configuration.faults { reader.fault("postgres", fault) }
        }
        return configuration
    }
}
