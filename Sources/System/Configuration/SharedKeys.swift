public import ClusterModel
public import Logging
import Platform

extension ConfigurationReader {
    /// Reads a configuration file that must exist if it is named.
    ///
    /// - Throws: `ConfigurationError` if it cannot be read, or is larger than the limit.
    public static func open(
        file: String?,
        flags: [String: String],
        environment: [String: String]
    ) throws(ConfigurationError) -> ConfigurationReader {
        guard let file else {
            return ConfigurationReader(
                yaml: nil,
                source: "a file named by --config",
                flags: flags,
                environment: environment
            )
        }
        do {
            guard let bytes = try DurableFile.read(file, limit: sizeLimit) else {
                throw ConfigurationError(faults: ["could not read \(file): there is no such file; name another"])
            }
            let text = String(decoding: bytes, as: UTF8.self)
            return ConfigurationReader(yaml: text, source: file, flags: flags, environment: environment)
        } catch let error as PlatformError {
            throw ConfigurationError(faults: ["\(error)"])
        } catch let error as ConfigurationError {
            throw error
        } catch {
            throw ConfigurationError(faults: ["could not read \(file): \(error)"])
        }
    }

    /// `cluster`: the cluster's name.
    public mutating func clusterName() -> ClusterName? {
        let text = requiredText("cluster")
        if let name = ClusterName(text) { return name }
        if !text.isEmpty { fault("cluster", "is '\(text)': only a-z, 0-9 and inner hyphens, at most 50") }
        return nil
    }

    /// An instance's name.
    public mutating func instanceName(_ key: String) -> InstanceName? {
        let text = requiredText(key)
        if let name = InstanceName(text) { return name }
        if !text.isEmpty { fault(key, "is '\(text)': only a-z, 0-9 and inner hyphens, at most 40") }
        return nil
    }

    /// `host:port`.
    public mutating func endpoint(_ key: String) -> Endpoint? {
        let text = requiredText(key)
        if let endpoint = Self.parseEndpoint(text) { return endpoint }
        if !text.isEmpty { fault(key, "is '\(text)', not host:port") }
        return nil
    }

    /// A list of `host:port`, at least one.
    public mutating func endpoints(_ key: String) -> [Endpoint] {
        let texts = list(key)
        if texts.isEmpty { fault(key, "must name at least one host:port") }
        return texts.compactMap { text in
            if let endpoint = Self.parseEndpoint(text) { return endpoint }
            fault(key, "holds '\(text)', which is not host:port")
            return nil
        }
    }

    /// `timings.…`, each with its default.
    public mutating func timings() -> Timings {
        var timings = Timings()
        timings.reportInterval = duration("timings.reportInterval") ?? timings.reportInterval
        timings.leaseDuration = duration("timings.leaseDuration") ?? timings.leaseDuration
        timings.fenceBudget = duration("timings.fenceBudget") ?? timings.fenceBudget
        timings.promotionTimeout = duration("timings.promotionTimeout") ?? timings.promotionTimeout
        timings.rebuildAfter = duration("timings.rebuildAfter") ?? timings.rebuildAfter
        timings.voterPatience = duration("timings.voterPatience") ?? timings.voterPatience
        timings.repeatedFailoverDelay = duration("timings.repeatedFailoverDelay") ?? timings.repeatedFailoverDelay
        timings.hangTimeout = duration("timings.hangTimeout") ?? timings.hangTimeout
        return timings
    }

    /// From which level on lines are written unless the configuration says so.
    public static let defaultLogLevel = Logger.Level.info

    /// The level's names with the default, for the help of a program.
    public static var logLevelHelp: String {
        let known = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
        return "From which level on lines are written: \(known) (default \(defaultLogLevel.rawValue))"
    }

    /// A duration's default and bounds, for the help of a program: `(default 3s; 1s to 1m)`.
    public static func help(_ key: KeyPath<Timings, Duration>, _ bounds: ClosedRange<Duration>) -> String {
        "(default \(Timings()[keyPath: key].text); \(bounds.lowerBound.text) to \(bounds.upperBound.text))"
    }

    /// `logLevel`: `info` if it is not given.
    public mutating func logLevel() -> Logger.Level {
        guard let found = text("logLevel") else { return Self.defaultLogLevel }
        if let level = Logger.Level(rawValue: found) { return level }
        let known = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
        fault("logLevel", "is '\(found)'; known are \(known)")
        return .info
    }

    /// Reads `host:port`; an IPv6 address stands in brackets.
    public static func parseEndpoint(_ text: String) -> Endpoint? {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        return host.isEmpty || host.contains(where: \.isWhitespace) ? nil : Endpoint(host: String(host), port: port)
    }
}
