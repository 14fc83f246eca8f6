public import ClusterModel
public import KubernetesObjects

/// Everything that a plan rests on, as it was seen at one moment.
public struct Observation: Sendable {
    /// The Kubegres resource.
    public var resource: KubernetesObject
    /// Of the namespace with our label or one of our names, ours or not.
    public var statefulSets: [KubernetesObject] = []
    /// The same of pods.
    public var pods: [KubernetesObject] = []
    /// The same of Services.
    public var services: [KubernetesObject] = []
    /// The same of claims, and the one that a backup names.
    public var claims: [KubernetesObject] = []
    /// The ConfigMaps that the specification names, and the shared one.
    public var configMaps: [KubernetesObject] = []
    /// Secrets with certificates of our instances; their metadata suffice.
    public var secrets: [KubernetesObject] = []
    /// The job that makes dumps.
    public var cronJobs: [KubernetesObject] = []
    /// Limits on evictions.
    public var budgets: [KubernetesObject] = []
    /// All of the installation.
    public var storageClasses: [KubernetesObject] = []
    /// Machines on which our pods are.
    public var nodes: [KubernetesObject] = []
    /// What the controller's core knows of the servers; nil before it knows anything.
    public var standing: ClusterStanding?
    /// The moment in universal time as objects carry it, such as `2026-11-22T12:58:51Z`.
    public var moment: String

    /// Begins an observation of a cluster.
    public init(of resource: KubernetesObject, moment: String) {
        self.resource = resource
        self.moment = moment
    }
}

/// How the servers of a cluster stand, by the number of their instance.
public struct ClusterStanding: Hashable, Sendable {
    /// One instance.
    public struct Instance: Hashable, Sendable {
        /// Its number.
        public var index: Int
        /// Its agent answers.
        public var isConnected: Bool
        /// Receives from this term's primary, on its timeline.
        public var isStreaming: Bool
        /// Some recorded rule counts on it (R12).
        public var votes: Bool

        /// Describes an instance.
        public init(index: Int, isConnected: Bool, isStreaming: Bool, votes: Bool) {
            self.index = index
            self.isConnected = isConnected
            self.isStreaming = isStreaming
            self.votes = votes
        }
    }

    /// The recorded primary, or the candidate.
    public var primary: Int?
    /// The recorded primary admits clients (R23).
    public var isOpen: Bool
    /// Somebody asked for another primary, and it is under way.
    public var isChanging: Bool
    /// Those known to the controller.
    public var instances: [Instance]

    /// Describes the servers of a cluster.
    public init(primary: Int?, isOpen: Bool, isChanging: Bool, instances: [Instance]) {
        self.primary = primary
        self.isOpen = isOpen
        self.isChanging = isChanging
        self.instances = instances
    }

    /// Takes what the controller's core tells people.
    public init(_ view: ClusterView, names: ClusterNames) {
        primary = view.primary.flatMap { names.index(of: $0) }
        isOpen = view.instances.contains { $0.name == view.primary && $0.opened }
        isChanging = view.request != nil || view.phase == .preparing || view.phase == .promoting
        let voters = view.rules.flatMap(\.voters).map(\.name)
        instances = view.instances.compactMap { seen in
            names.index(of: seen.name).map { index in
                Instance(
                    index: index,
                    isConnected: seen.connected,
                    isStreaming: seen.streaming,
                    votes: voters.contains(seen.name)
                )
            }
        }
    }

    /// An instance by its number.
    public subscript(index: Int) -> Instance? { instances.first { $0.index == index } }
}

/// How the operator itself was installed.
public struct Installation: Hashable, Sendable {
    /// The agent's image, which brings the launcher.
    public var agentImage: String
    /// Where the agents find controllers.
    public var controllers: [Endpoint]

    /// Describes an installation.
    public init(agentImage: String, controllers: [Endpoint]) {
        self.agentImage = agentImage
        self.controllers = controllers
    }
}
