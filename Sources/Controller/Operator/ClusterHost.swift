public import ClusterModel
public import ResourcePlan

/// Which cluster is meant.
public struct ClusterKey: Hashable, Sendable, CustomStringConvertible {
    /// Where its resource lies.
    public let namespace: String
    /// Of the resource.
    public let name: String

    /// Names a cluster.
    public init(namespace: String, name: String) {
        self.namespace = namespace
        self.name = name
    }

    /// For people: logs.
    public var description: String { "\(namespace)/\(name)" }
}

/// Where the cores of clusters run, and their agents are heard.
///
/// Whoever implements it calls ``ClusterOperator/look(at:)`` when a standing has changed.
public protocol ClusterHost: Sendable {
    /// How the servers of a cluster stand; nil before anything is known.
    func standing(of cluster: ClusterKey) async -> ClusterStanding?
    /// Keeps a cluster as described: begins with it if it is new.
    func keep(_ described: PlannedCluster, of cluster: ClusterKey) async
    /// Asks for another primary; nil lets the core choose.
    func switchOver(to instance: InstanceName?, of cluster: ClusterKey) async
    /// Begins a cluster anew, empty, with that instance.
    func startOver(with instance: InstanceName, of cluster: ClusterKey) async
    /// The resource is gone: forget the cluster.
    func forget(_ cluster: ClusterKey) async
    /// Whether this operator leads for certain; if not nothing is changed any more (R11).
    func mayChange() async -> Bool
}

extension ClusterHost {
    /// Yes, where there is only one operator.
    public func mayChange() async -> Bool { true }
}
