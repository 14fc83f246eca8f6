public import ClusterModel

/// What the objects of one cluster are called.
public struct ClusterNames: Hashable, Sendable {
    /// Of the resource, and so of the primary's Service.
    public let cluster: String

    /// Takes the name of the resource.
    public init(_ cluster: String) { self.cluster = cluster }

    /// The ConfigMap that all clusters of a namespace share.
    public static let baseConfiguration = "base-kubegres-config"
    /// The claim template of the data.
    public static let dataVolume = "postgres-db"

    /// Of an instance.
    public func statefulSet(_ index: Int) -> String { "\(cluster)-\(index)" }
    /// Of an instance's pod.
    public func pod(_ index: Int) -> String { "\(cluster)-\(index)-0" }
    /// Of the claim on an instance's data.
    public func claim(_ index: Int) -> String { "\(Self.dataVolume)-\(pod(index))" }
    /// Of the Secret with an instance's certificate.
    public func certificate(_ index: Int) -> String { "\(cluster)-\(index)-understudy" }
    /// Of the Service that leads to the primary.
    public var primaryService: String { cluster }
    /// Of the Service that leads to the standbys.
    public var replicaService: String { cluster + "-replica" }
    /// Of the job that makes dumps.
    public var backup: String { "backup-" + cluster }

    /// How the controller and the agents call an instance: as its StatefulSet, where every such name is short enough.
    public func instance(_ index: Int) -> InstanceName? { InstanceName("\(instancePrefix)-\(index)") }

    /// The number of an instance by that name; nil if it is none of this cluster.
    public func index(of instance: InstanceName) -> Int? { Self.index(in: instance.text, after: instancePrefix) }

    /// The number in the name of a StatefulSet; nil if it is none of this cluster.
    public func index(ofStatefulSet name: String) -> Int? { Self.index(in: name, after: cluster) }

    /// The number in the name of a pod; nil if it is none of this cluster.
    public func index(ofPod name: String) -> Int? {
        name.hasSuffix("-0") ? index(ofStatefulSet: String(name.dropLast(2))) : nil
    }

    /// The number in the name of a claim on a data volume; nil if it is none of this cluster.
    public func index(ofClaim name: String) -> Int? {
        let prefix = Self.dataVolume + "-"
        return name.hasPrefix(prefix) ? index(ofPod: String(name.dropFirst(prefix.count))) : nil
    }

    private var instancePrefix: String { InstanceName(cluster + "-999999") == nil ? "instance" : cluster }

    private static func index(in name: String, after prefix: String) -> Int? {
        guard name.hasPrefix(prefix + "-") else { return nil }
        let digits = name.dropFirst(prefix.count + 1)
        guard let first = digits.utf8.first, (0x31...0x39).contains(first), digits.utf8.count <= 6 else { return nil }
        return Int(digits)
    }
}

/// Labels and annotations.
enum Marks {
    /// On all objects of a cluster: its name.
    static let app = "app"
    /// The instance's number.
    static let index = "index"
    /// What the instance is: ``primary`` or ``replica``.
    static let role = "replicationRole"
    static let primary = "primary"
    static let replica = "replica"
    /// On claims: this volume holds, or held, data of a cluster of ours.
    static let member = "understudy.dev/member"
    /// On claims: the instance was replaced or is not asked for any more.
    static let retired = "understudy.dev/retired"
    /// On what we write: a mark of what was meant.
    static let applied = "understudy.dev/applied"
    /// On pods: a mark of the template that they were made from, annotations apart.
    static let template = "understudy.dev/template"
    /// Where kubectl asks for a restart.
    static let restartedAt = "kubectl.kubernetes.io/restartedAt"
    /// What kubectl writes for itself.
    static let lastApplied = "kubectl.kubernetes.io/last-applied-configuration"
}
