import ClusterModel
import JSON

/// What the specification of a Kubegres resource asks for, read from what was checked.
///
/// What is passed on to Kubernetes as it is stays JSON.
struct KubegresSpec: Hashable, Sendable {
    struct Database: Hashable, Sendable {
        var size = ""
        var volumeMount = ""
        /// Nil leaves the choice to the cluster's default.
        var storageClassName: String?
    }

    struct Failover: Hashable, Sendable {
        var isDisabled = false
        var promotePod = ""
        /// Nil: as many instances suggest.
        var durability: Durability?
        var synchronousStandbys = 1
        var maximumLag: UInt64 = ClusterSpec.defaultMaximumLag
        var leaseDuration: Duration?
        /// How long an instance is gone before another takes its place (R15).
        var recreateAfter = Duration.seconds(30)
        /// Whether a crashed primary is restarted in place rather than replaced (R17).
        var restartsOnCrash = false
        /// By pod name; the higher is promoted first.
        var priorities: [String: Int] = [:]
    }

    struct Backup: Hashable, Sendable {
        var schedule = ""
        var volumeMount = ""
        var claimName = ""
        /// How many dumps are kept; nil keeps all.
        var retention: Int?
    }

    struct Volume: Hashable, Sendable {
        var volumes: [JSONValue] = []
        var mounts: [JSONValue] = []
        var claimTemplates: [JSONValue] = []
    }

    var replicas = 0
    var image = ""
    var port = Self.defaultPort
    var imagePullSecrets: [JSONValue] = []
    var customConfig = ClusterNames.baseConfiguration
    var database = Database()
    var failover = Failover()
    var backup = Backup()
    var environment: [JSONValue] = []
    var affinity: JSONValue?
    var tolerations: [JSONValue] = []
    var resources: JSONValue?
    var volume = Volume()
    var securityContext: JSONValue?
    var containerSecurityContext: JSONValue?
    var livenessProbe: JSONValue?
    var readinessProbe: JSONValue?
    var serviceAccountName = ""
    /// Of Services that are made; those that are there keep theirs.
    var serviceType = "ClusterIP"
    /// Whether the volumes of replaced instances are deleted.
    var deletesVolumes = false
    /// Nothing is made, changed or deleted but what routes clients.
    var isPaused = false

    static let defaultPort = 5432
    static let defaultVolumeMount = "/var/lib/postgresql/data"

    /// Reads a specification with its defaults; what has another type than it should counts as absent.
    init(_ value: JSONValue) {
        func text(_ path: String...) -> String { value[path: path]?.string ?? "" }
        func list(_ path: String...) -> [JSONValue] { value[path: path]?.array ?? [] }
        func whole(_ path: String...) -> Int? { value[path: path]?.integer.map { Int($0) } }
        replicas = whole("replicas") ?? 0
        image = text("image")
        port = whole("port") ?? Self.defaultPort
        imagePullSecrets = list("imagePullSecrets")
        customConfig = text("customConfig")
        database.size = text("database", "size")
        database.volumeMount = text("database", "volumeMount")
        database.storageClassName = value[path: ["database", "storageClassName"]]?.string
        backup.schedule = text("backup", "schedule")
        backup.volumeMount = text("backup", "volumeMount")
        backup.claimName = text("backup", "pvcName")
        backup.retention = whole("backup", "retention")
        environment = list("env")
        affinity = value[path: ["scheduler", "affinity"]].flatMap { $0 == .null ? nil : $0 }
        tolerations = list("scheduler", "tolerations")
        volume.volumes = list("volume", "volumes")
        volume.mounts = list("volume", "volumeMounts")
        volume.claimTemplates = list("volume", "volumeClaimTemplates")
        resources = value["resources"]?.object.map { .object($0) }
        securityContext = value["securityContext"]?.object.map { .object($0) }
        containerSecurityContext = value["containerSecurityContext"]?.object.map { .object($0) }
        livenessProbe = value[path: ["probe", "livenessProbe"]]?.object.map { .object($0) }
        readinessProbe = value[path: ["probe", "readinessProbe"]]?.object.map { .object($0) }
        serviceAccountName = text("serviceAccountName")
        let type = text("service", "type")
        if !type.isEmpty { serviceType = type }
        deletesVolumes = text("volumeRetention") == "delete"
        isPaused = value["paused"]?.bool ?? false
        readFailover(value["failover"] ?? .null)
    }

    private mutating func readFailover(_ value: JSONValue) {
        failover.isDisabled = value["isDisabled"]?.bool ?? false
        failover.promotePod = value["promotePod"]?.string ?? ""
        failover.durability = value["durability"]?.string.flatMap { Durability(rawValue: $0) }
        failover.synchronousStandbys = value["synchronousStandbys"]?.integer.map { Int($0) } ?? 1
        if let bytes = value["maximumLag"]?.integer, bytes >= 0 { failover.maximumLag = UInt64(bytes) }
        failover.leaseDuration = value["leaseDuration"]?.string.flatMap(Self.duration)
        failover.restartsOnCrash = value["onCrash"]?.string == "restart"
        if let text = value["recreateAfter"]?.string, let duration = Self.duration(text) {
            failover.recreateAfter = duration
        }
        let priorities = value["priorities"]?.object ?? [:]
        failover.priorities = priorities.compactMapValues { $0.integer.map { Int($0) } }
    }

    /// A time as `500ms`, `3s`, `2m` or `1h`; nil if it is none, or longer than a day.
    static func duration(_ text: String) -> Duration? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let count = Int64(digits), count <= 86_400_000 else { return nil }
        let found: Duration? =
            switch text.dropFirst(digits.count) {
            case "ms": .milliseconds(count)
            case "s": .seconds(count)
            case "m": .seconds(count * 60)
            case "h": .seconds(count * 3600)
            default: nil
            }
        return found.flatMap { $0 <= .seconds(86_400) ? $0 : nil }
    }

    /// The durability in force.
    var durability: Durability { failover.durability ?? ClusterSpec.defaultDurability(instances: replicas) }

    /// Whether dumps are to be made.
    var hasBackup: Bool { !backup.schedule.isEmpty }

    /// Whether the user brings a ConfigMap of their own.
    var hasCustomConfig: Bool { customConfig != ClusterNames.baseConfiguration }

    /// One variable of the user's.
    func variable(_ name: String) -> JSONValue? { environment.last { $0["name"]?.string == name } }
}
