public import ClusterModel
public import Configuration
import ControlChannel
public import Logging
public import TLSTransport

/// Everything a controller is told, checked.
public struct ControllerConfiguration: Sendable {
    /// What the cluster should be.
    public var spec: ClusterSpec
    /// Where agents and command lines connect.
    public var listen: Endpoint
    /// Where peers of another controller are sent when this one leads; `listen` unless given (R11).
    public var advertised: Endpoint
    /// What it shows to its peers, and whom it trusts.
    public var certificates: TLSFiles
    /// Where the cluster record is kept; its lock file stands beside it.
    public var recordFile: String
    /// Where decisions and changes of primary are written down, one JSON object a line.
    public var historyFile: String
    /// From which level on lines are written.
    public var logLevel: Logger.Level

    /// Scalar keys, each of which is also a flag and an environment variable.
    public static let scalarKeys = [
        "cluster", "durability", "synchronousStandbys", "listen", "advertise", "certificates", "recordFile",
        "historyFile", "maximumLagOnFailover", "failover.isDisabled", "logLevel", "timings.reportInterval",
        "timings.leaseDuration", "timings.fenceBudget", "timings.promotionTimeout", "timings.rebuildAfter",
        "timings.voterPatience", "timings.repeatedFailoverDelay", "timings.hangTimeout",
    ]

    /// How many standbys a commit may wait for, as far as there are so many instances.
    public static let standbys: ClosedRange<UInt64> = 1...UInt64(ClusterSpec.largestCount - 1)
    /// How many it waits for unless the configuration says so.
    public static let defaultStandbys = 1

    /// Reads and checks a configuration.
    ///
    /// - Throws: `ConfigurationError` with every fault found.
    public init(_ given: ConfigurationReader) throws(ConfigurationError) {
        var reader = given
        let name = reader.clusterName()
        let chosen = Self.durability(&reader)
        let standbys = reader.number("synchronousStandbys", within: Self.standbys) ?? UInt64(Self.defaultStandbys)
        let listen = reader.endpoint("listen")
        let advertised = reader.text("advertise") == nil ? nil : reader.endpoint("advertise")
        let folder = reader.requiredText("certificates")
        recordFile = reader.requiredText("recordFile")
        historyFile = reader.requiredText("historyFile")
        var instances: [InstanceSpec] = []
        reader.entries("instances") { entry in
            let name = entry.instanceName("name")
            let server = entry.endpoint("server")
            let priority = entry.number("failoverPriority", within: 0...1000) ?? 0
            let noFailover = entry.flag("noFailover") ?? false
            let agent = entry.text("agent") == nil ? nil : entry.endpoint("agent")
            let zone = entry.text("zone")
            guard let name, let server else { return }
            var instance = InstanceSpec(name: name, server: server)
            instance.failoverPriority = Int(priority)
            instance.noFailover = noFailover
            instance.zone = zone
            instance.agent = agent
            instances.append(instance)
        }
        let timings = reader.timings()
        let lag = reader.number("maximumLagOnFailover", within: 0...ClusterSpec.largestMaximumLag)
        let disabled = reader.flag("failover.isDisabled") ?? false
        logLevel = reader.logLevel()
        reader.refuseUnknownKeys()
        certificates = TLSFiles(inFolder: folder)
        self.listen = listen ?? Endpoint(host: "", port: 0)
        self.advertised = advertised ?? self.listen
        guard let name else {
            try reader.check()
            throw ConfigurationError(faults: ["'cluster' is missing"])
        }
        spec = ClusterSpec(
            name: name,
            durability: chosen ?? ClusterSpec.defaultDurability(instances: instances.count),
            synchronousStandbys: Int(standbys),
            instances: instances,
            timings: timings,
            maximumLagOnFailover: lag ?? ClusterSpec.defaultMaximumLag,
            failoverDisabled: disabled
        )
        for fault in spec.faults { reader.fault(fault) }
        try reader.check()
    }

    private static func durability(_ reader: inout ConfigurationReader) -> Durability? {
        guard let text = reader.text("durability") else { return nil }
        if let found = Durability(rawValue: text) { return found }
        reader.fault("durability", "is '\(text)'; known are preferred, required and async")
        return nil
    }
}
