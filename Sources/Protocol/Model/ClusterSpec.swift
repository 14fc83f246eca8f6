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

    /// The least and the most that each duration may be.
    public enum Bounds {
        /// A day: no configuration takes more.
        public static let longest = Duration.seconds(86_400)
        /// Of `reportInterval`.
        public static let reportInterval = Duration.milliseconds(50)...Duration.seconds(15)
        /// Of `leaseDuration`.
        public static let leaseDuration = Duration.seconds(1)...Duration.seconds(60)
        /// Of `fenceBudget`, at the longest lease.
        public static let fenceBudget = Duration.milliseconds(100)...Duration.seconds(15)
        /// Of `promotionTimeout`.
        public static let promotionTimeout = Duration.seconds(1)...longest
        /// Of `rebuildAfter`.
        public static let rebuildAfter = Duration.seconds(5)...longest
        /// Of `voterPatience`.
        public static let voterPatience = Duration.seconds(1)...Duration.seconds(3600)
        /// Of `repeatedFailoverDelay`.
        public static let repeatedFailoverDelay = Duration.zero...longest
        /// Of `hangTimeout`.
        public static let hangTimeout = Duration.seconds(5)...longest
    }

    /// What is wrong with these durations; empty if nothing is.
    public var faults: [String] {
        var found: [String] = []
        func check(_ name: String, _ duration: Duration, _ bounds: ClosedRange<Duration>) {
            if bounds.contains(duration) { return }
            found.append("\(name) must be between \(bounds.lowerBound.text) and \(bounds.upperBound.text)")
        }
        check("reportInterval", reportInterval, Bounds.reportInterval)
        check("leaseDuration", leaseDuration, Bounds.leaseDuration)
        if leaseDuration < reportInterval * 4 {
            found.append("leaseDuration must be at least 4 times reportInterval")
        }
        let leastFenceBudget = Bounds.fenceBudget.lowerBound
        if fenceBudget < leastFenceBudget || fenceBudget * 4 > leaseDuration {
            found.append("fenceBudget must be at least \(leastFenceBudget.text) and at most a quarter of leaseDuration")
        }
        check("promotionTimeout", promotionTimeout, Bounds.promotionTimeout)
        check("rebuildAfter", rebuildAfter, Bounds.rebuildAfter)
        check("hangTimeout", hangTimeout, Bounds.hangTimeout)
        check("voterPatience", voterPatience, Bounds.voterPatience)
        check("repeatedFailoverDelay", repeatedFailoverDelay, Bounds.repeatedFailoverDelay)
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
        maximumLagOnFailover: UInt64 = Self.defaultMaximumLag,
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

    /// How much a candidate may miss in `async` where nobody chose: 1 MiB.
    public static let defaultMaximumLag: UInt64 = 1 << 20
    /// The most that may be chosen for that.
    public static let largestMaximumLag: UInt64 = 1 << 50
    /// The most instances.
    public static let largestCount = 32

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
        if instances.count > Self.largestCount {
            found.append("instances must name at most \(Self.largestCount) instances")
        }
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
