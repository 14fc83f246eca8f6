/// Where an instance's server and agent are reached.
public struct Endpoint: Hashable, Sendable, Codable, CustomStringConvertible {
    /// Host name or address.
    public var host: String
    /// 1 to 65535.
    public var port: UInt16

    /// Creates an endpoint from its parts.
    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// For people: logs, history and command line.
    public var description: String { "\(host):\(port)" }
}

/// One instance that the cluster should have.
public struct InstanceSpec: Hashable, Sendable, Codable {
    /// Unique in the cluster.
    public var name: InstanceName
    /// Where its PostgreSQL server listens: its own address, never a Service name (R14).
    public var server: Endpoint
    /// Among equals the higher is promoted first.
    public var failoverPriority: Int
    /// Never takes another's place on its own; it goes on if it was primary itself.
    public var noFailover: Bool
    /// Name of what fails as a whole, such as a building; nil if not known.
    ///
    /// Controllers alone ask for it: agents are not told.
    public var zone: String?
    /// Where its agent answers other agents (R10); nil if it does not.
    public var agent: Endpoint?

    /// Creates an instance spec from its parts.
    public init(
        name: InstanceName,
        server: Endpoint,
        failoverPriority: Int = 0,
        noFailover: Bool = false,
        zone: String? = nil,
        agent: Endpoint? = nil
    ) {
        self.name = name
        self.server = server
        self.failoverPriority = failoverPriority
        self.noFailover = noFailover
        self.zone = zone
        self.agent = agent
    }
}

/// Durations of the protocol.
public struct Timings: Hashable, Sendable, Codable {
    /// Longest time between two reports of an agent.
    public var reportInterval: Duration = .milliseconds(500)
    /// How long a primary may run on one grant, counted from the moment its agent sent the report (R2).
    public var leaseDuration: Duration = .seconds(3)
    /// Part of the lease kept for stopping: immediate shutdown begins this long before its end (R3).
    public var fenceBudget: Duration = .milliseconds(500)
    /// A promotion that is not done by then is given up for another candidate.
    public var promotionTimeout: Duration = .seconds(30)
    /// How long a standby may fail to receive before it is rebuilt from the primary (R14).
    public var rebuildAfter: Duration = .seconds(30)
    /// How long a voter may be missing, its stream or its agent, before the rule goes on without it (R12).
    public var voterPatience: Duration = .seconds(5)
    /// First delay of a failover that follows three others within five minutes; doubles up to sixteen times (R17).
    public var repeatedFailoverDelay: Duration = .milliseconds(500)
    /// How long a primary may live without serving, its disk hanging or its postmaster frozen, before it is replaced.
    public var hangTimeout: Duration = .seconds(10)

    /// Creates a timings from its parts.
    public init() {}

    /// When the holder of a lease may still be writing, seen from whoever granted it: clock rates differ by
    /// less than 5 % (R3).
    public var leaseHorizon: Duration { leaseDuration * 105 / 100 + .milliseconds(100) }

    /// How long a controller leads without renewing (R11).
    public var leadershipDuration: Duration { leaseDuration }

    /// What is wrong with these durations; empty if nothing is.
    public var faults: [String] {
        var found: [String] = []
        if reportInterval < .milliseconds(50) || reportInterval > .seconds(15) {
            found.append("reportInterval must be between 50 ms and 15 s")
        }
        if leaseDuration < .seconds(1) || leaseDuration > .seconds(60) {
            found.append("leaseDuration must be between 1 s and 60 s")
        }
        if leaseDuration < reportInterval * 4 {
            found.append("leaseDuration must be at least 4 times reportInterval")
        }
        if fenceBudget < .milliseconds(100) || fenceBudget * 4 > leaseDuration {
            found.append("fenceBudget must be at least 100 ms and at most a quarter of leaseDuration")
        }
        if promotionTimeout < .seconds(1) { found.append("promotionTimeout must be at least 1 s") }
        if rebuildAfter < .seconds(5) { found.append("rebuildAfter must be at least 5 s") }
        if hangTimeout < .seconds(5) { found.append("hangTimeout must be at least 5 s") }
        if voterPatience < .seconds(1) || voterPatience > .seconds(3600) {
            found.append("voterPatience must be between 1 s and 1 h")
        }
        if repeatedFailoverDelay < .zero { found.append("repeatedFailoverDelay must not be negative") }
        return found
    }
}

/// What a cluster should be.
public struct ClusterSpec: Hashable, Sendable, Codable {
    /// Stands in every certificate.
    public var name: ClusterName
    /// What a commit waits for.
    public var durability: Durability
    /// How many standbys a commit waits for (k) in `required` and, while that many are there, in `preferred`.
    public var synchronousStandbys: Int
    /// Sorted by rank: the first is the first primary, and wins ties.
    public var instances: [InstanceSpec]
    /// Durations of leases, reports and patience.
    public var timings: Timings
    /// In `async`: how many bytes a candidate may miss of what the primary last reported.
    public var maximumLagOnFailover: UInt64
    /// No automatic promotion; leases and fencing go on (R18).
    public var failoverDisabled: Bool

    /// Creates a cluster spec from its parts.
    public init(
        name: ClusterName,
        durability: Durability,
        synchronousStandbys: Int = 1,
        instances: [InstanceSpec],
        timings: Timings = Timings(),
        maximumLagOnFailover: UInt64 = 1 << 20,
        failoverDisabled: Bool = false
    ) {
        self.name = name
        self.durability = durability
        self.synchronousStandbys = synchronousStandbys
        self.instances = instances
        self.timings = timings
        self.maximumLagOnFailover = maximumLagOnFailover
        self.failoverDisabled = failoverDisabled
    }

    /// What a cluster of so many instances is given where nobody chose.
    public static func defaultDurability(instances: Int) -> Durability { instances > 1 ? .preferred : .async }

    /// Where the agents of its instances answer each other, as far as that is configured (R10).
    public var agents: [AgentAddress] {
        instances.compactMap { one in one.agent.map { AgentAddress(name: one.name, endpoint: $0) } }
    }

    /// The instance of that name, if the cluster should have one.
    public func instance(_ name: InstanceName) -> InstanceSpec? { instances.first { $0.name == name } }

    /// What is wrong with this specification; empty if nothing is.
    public var faults: [String] {
        var found = timings.faults
        if instances.isEmpty { found.append("instances must name at least one instance") }
        if instances.count > 32 { found.append("instances must name at most 32 instances") }
        let names = instances.map(\.name).sorted()
        for (one, next) in zip(names, names.dropFirst()) where one == next {
            found.append("instances names '\(one)' twice")
        }
        for name in names where name.text == "controller" || name.text == "operator" {
            found.append("instances names '\(name)', which certificates use for another role; choose another name")
        }
        if durability == .required && instances.count < 2 {
            found.append("durability 'required' needs at least 2 instances; use 'async' for a single one")
        }
        if synchronousStandbys < 1 {
            found.append("synchronousStandbys must be at least 1; use durability 'async' to wait for nobody")
        } else if durability.isSynchronous && instances.count > 1 && synchronousStandbys >= instances.count {
            found.append(
                "synchronousStandbys is \(synchronousStandbys), but of \(instances.count) instances at most "
                    + "\(instances.count - 1) can be waited for"
            )
        }
        return found
    }
}
