public import ClusterModel
public import Configuration
public import Logging
import Platform
public import PostgresInstance
import ControlChannel
public import TLSTransport

/// Everything an agent is told, checked.
public struct AgentConfiguration: Sendable {
    public var cluster: ClusterName
    public var instance: InstanceName
    public var controllers: [Endpoint]
    public var certificates: TLSFiles
    public var launcherSocket: String
    public var timings: Timings
    public var postgres: PostgresConfiguration
    public var logLevel: Logger.Level

    /// Reads and checks a configuration.
    ///
    /// - Throws: `ConfigurationError` with every fault found.
    public init(_ given: ConfigurationReader) throws(ConfigurationError) {
        var reader = given
        let cluster = reader.clusterName()
        let instance = reader.instanceName("instance")
        controllers = reader.endpoints("controllers")
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
        let superuser = reader.text("postgres.superuser") ?? "postgres"
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
            name: name, server: server, listenAddresses: listen, socketFolder: sockets, dataFolder: folder,
            superuser: superuser, agentUser: own, replicationPassword: password,
            settings: reader.mapping("postgres.settings"), accessRules: reader.list("postgres.accessRules"),
            walKeepSize: reader.text("postgres.walKeepSize") ?? "256MB")
        // What is missing has been said already, in the words of the configuration.
        if !folder.isEmpty, !sockets.isEmpty, server.port > 0, !password.isEmpty {
            for fault in configuration.faults { reader.fault("postgres", fault) }
        }
        return configuration
    }
}
