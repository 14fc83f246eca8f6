public import ClusterModel
import JSON
import KubernetesObjects

/// Decides what to do about the objects of one Kubegres resource: the third core.
///
/// Level-triggered: each plan follows from one observation alone, but for how long something has lasted and what was
/// told already. A settled cluster yields no change.
public struct ResourcePlanner: Sendable {
    private let installation: Installation
    private var memory = PlanMemory()

    /// Creates a planner for one resource.
    public init(_ installation: Installation) { self.installation = installation }

    /// Plans from what was seen; the observation must be whole, or what is missing in it is taken for gone.
    public mutating func plan(_ seen: Observation, at now: MonotonicInstant) -> Plan {
        var pass = PlanPass(seen, installation: installation, memory: memory, at: now)
        pass.run()
        memory = pass.memory
        return pass.plan
    }
}

/// What a plan knows from those before it; losing it costs patience and repeats events, nothing else.
struct PlanMemory: Sendable {
    /// Warnings that hold and were told.
    var told: [String] = []
    /// Since when an instance is gone (R15), by its number.
    var goneSince: [Int: MonotonicInstant] = [:]
    /// What StatefulSets should be, by the number of their instance.
    var drawings: [Int: Drawing] = [:]
    /// The primary of the last plan, once it admitted clients.
    var primary: Int?
    /// Of whom a promotion was asked.
    var asked: Int?
    /// The promotion was seen to be under way.
    var isAskedUnderWay = false
}

/// One plan in the making.
struct PlanPass {
    let seen: Observation
    let names: ClusterNames
    let installation: Installation
    let now: MonotonicInstant
    let inForce: SpecInForce
    /// Ours, by number.
    let statefulSets: [Int: KubernetesObject]
    /// By the number of their instance; of a StatefulSet of ours.
    let pods: [Int: KubernetesObject]
    /// On the data of an instance, by its number.
    let claims: [Int: KubernetesObject]
    var memory: PlanMemory
    var plan = Plan()
    /// What is to stand in the place of StatefulSets that are not as they should be, by their number.
    var replacements: [Int: KubernetesObject] = [:]
    /// The instances that the cluster should have, sorted.
    var members: [Int] = []
    /// Those of them that were recorded before this plan.
    var known: [Int] = []
    /// Warnings that hold now.
    private(set) var warnings: [String] = []

    init(_ seen: Observation, installation: Installation, memory: PlanMemory, at now: MonotonicInstant) {
        let names = ClusterNames(seen.resource.name)
        let owner = seen.resource.uid
        let statefulSets = Self.byIndex(seen.statefulSets.filter { $0.isOwned(by: owner) }) {
            names.index(ofStatefulSet: $0)
        }
        self.seen = seen
        self.names = names
        self.installation = installation
        self.now = now
        self.memory = memory
        self.statefulSets = statefulSets
        pods = Self.byIndex(seen.pods) { names.index(ofPod: $0) }
            .filter { index, pod in statefulSets[index].map { pod.isOwned(by: $0.uid) } ?? false }
        claims = Self.byIndex(seen.claims) { names.index(ofClaim: $0) }
        inForce = SpecInForce(names: names, seen: seen, statefulSets: statefulSets)
    }

    private static func byIndex(
        _ objects: [KubernetesObject],
        _ index: (String) -> Int?
    ) -> [Int: KubernetesObject] {
        let pairs = objects.compactMap { object in index(object.name).map { ($0, object) } }
        return Dictionary(pairs) { first, _ in first }
    }

    var spec: KubegresSpec { inForce.spec }
    var standing: ClusterStanding? { seen.standing }

    /// The primary as recorded; before anything is, the one that the objects of an older operator name.
    var primary: Int? {
        if let standing { return standing.primary }
        return statefulSets.keys.sorted().first { statefulSets[$0]?.labels[Marks.role] == Marks.primary }
    }

    /// Whether there is a primary that admits clients.
    var isOpen: Bool { standing?.isOpen == true }

    func blueprints(restartedAt: String? = nil) -> Blueprints {
        var resource = KubernetesObject(.kubegres, namespace: seen.resource.namespace, name: seen.resource.name)
        resource["metadata", "uid"] = .string(seen.resource.uid)
        resource["metadata", "annotations"] = seen.resource["metadata", "annotations"]
        if let restartedAt, restartedAt > resource.annotations[Marks.restartedAt] ?? "" {
            resource.annotations[Marks.restartedAt] = restartedAt
        }
        return Blueprints(
            spec: spec,
            names: names,
            resource: resource,
            installation: installation,
            configuration: ConfigurationSource(
                spec,
                configMaps: seen.configMaps,
                usedBy: statefulSets.keys.sorted().compactMap { statefulSets[$0] } + seen.cronJobs
            )
        )
    }

    mutating func run() {
        // What the resource owns goes with it.
        guard seen.resource.deletionTimestamp == nil else { return }
        // Clients wait for nothing else.
        route()
        tellDefaults()
        for fault in inForce.faults { warn("SpecCheckErr", fault.text) }
        if inForce.lacksStorageClass {
            warn(
                "DefaultStorageClassNameErr",
                "'spec.database.storageClassName' is undefined and no StorageClass is the default: name one"
            )
        }
        decideMembers()
        reportStatus()
        if !inForce.isUnusable {
            followPromotion()
            if !spec.isPaused {
                compareStatefulSets()
                keepShared()
                keepInstances()
                keepVolumes()
                keepBackup()
                evacuate()
                rollOut()
                removeRetired()
            }
            describeCluster()
        }
        writeBack()
        memory.told = warnings
    }

    /// Tells people of a state that should not last: once, as long as it lasts.
    mutating func warn(_ reason: String, _ note: String, isWarning: Bool = true) {
        let key = reason + ": " + note
        guard !warnings.contains(key) else { return }
        warnings.append(key)
        if !memory.told.contains(key) {
            plan.add(.event(isWarning: isWarning, reason: reason, note: note), note)
        }
    }

    mutating func lookAgain(at moment: MonotonicInstant) {
        plan.lookAgainAt = min(plan.lookAgainAt ?? moment, moment)
    }

    // MARK: The resource itself

    private mutating func tellDefaults() {
        for filled in inForce.filled {
            let value = filled.value.string ?? filled.value.text
            warn("DefaultSpecValue", "'\(filled.field)' was undefined and is now '\(value)'", isWarning: false)
        }
    }

    /// What the resource itself is to show: defaults, and a promotion that is done with.
    private mutating func writeBack() {
        var patch: JSONValue = [:]
        for filled in inForce.filled { patch[path: ["spec"] + filled.path] = filled.value }
        if clearsPromotion { patch[path: ["spec", "failover", "promotePod"]] = "" }
        guard patch != [:] else { return }
        patch[path: ["metadata", "resourceVersion"]] = .string(seen.resource.resourceVersion)
        plan.add(.patch(.kubegres, name: seen.resource.name, patch), "show the defaults and what is done with")
    }

    var clearsPromotion = false

    private mutating func describeCluster() {
        guard let name = ClusterName(Blueprints.clusterName(of: seen.resource)) else { return }
        let members = members.compactMap { index -> PlannedCluster.Member? in
            guard let name = names.instance(index) else { return nil }
            let pod = pods[index]
            let node = seen.nodes.first { $0.name == pod?.spec["nodeName"]?.string }
            return PlannedCluster.Member(
                name: name,
                address: pod?.status["podIP"]?.string,
                failoverPriority: spec.failover.priorities[names.pod(index)] ?? 0,
                zone: node?.labels["topology.kubernetes.io/zone"]
            )
        }
        let most = max(1, spec.replicas - 1)
        plan.cluster = PlannedCluster(
            name: name,
            members: members,
            port: spec.port,
            durability: spec.durability,
            synchronousStandbys: min(spec.failover.synchronousStandbys, most),
            maximumLagOnFailover: spec.failover.maximumLag,
            leaseDuration: spec.failover.leaseDuration,
            failoverDisabled: spec.failover.isDisabled || spec.isPaused,
            restartsOnCrash: spec.failover.restartsOnCrash
        )
    }
}

extension KubernetesObject {
    /// Whether that object manages this one.
    func isOwned(by uid: String) -> Bool { ownerReferences.contains { $0.isController && $0.uid == uid } }

    /// Whether a pod is ready and means to stay.
    var isReady: Bool { deletionTimestamp == nil && condition("Ready") == "True" }

    /// The state of one condition; nil if it is not there.
    func condition(_ type: String) -> String? {
        (status["conditions"]?.array ?? []).first { $0["type"]?.string == type }?["status"]?.string
    }
}
