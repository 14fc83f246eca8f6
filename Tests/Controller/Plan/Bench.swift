import ClusterModel
import JSON
import KubernetesObjects
import KubernetesWorld
import ResourcePlan
import Testing

/// One event that a plan told.
struct ToldEvent: Hashable {
    let isWarning: Bool
    let reason: String
    let note: String
}

/// A namespace in memory, with so much of Kubernetes and of the database as a plan needs to come true.
///
/// Like an API server it fills defaults and writes quantities in its own way, so that a plan that compares too strictly
/// never comes to rest.
struct Bench {
    static let settleLimit = 80

    var objects: [APIResource: [String: KubernetesObject]] = [:]
    var planner = ResourcePlanner(
        Installation(agentImage: "understudy:1", controllers: [Endpoint(host: "understudy.system", port: 7432)])
    )
    var now = MonotonicInstant(nanoseconds: 1_000_000_000)
    var told: [ToldEvent] = []
    var deeds: [Deed] = []
    private(set) var plans: [Plan] = []
    var lastPlan: Plan? { plans.last }
    let name: String
    let namespace: String
    var database = DatabaseModel()
    /// Pods whose containers do not start, by why.
    var stuck: [String: String] = [:]
    private var version = 1
    private var identity = 1

    /// Begins with a resource, a default StorageClass and the Secret's names as the upstream tests have them.
    init(_ spec: JSONValue, name: String = "my-kubegres", namespace: String = "default") {
        self.name = name
        self.namespace = namespace
        var storage = KubernetesObject(.storageClasses, name: "standard")
        storage.annotations = ["storageclass.kubernetes.io/is-default-class": "true"]
        put(.storageClasses, storage)
        var resource = KubernetesObject(.kubegres, namespace: namespace, name: name)
        resource.spec = spec
        put(.kubegres, resource)
    }

    // MARK: Objects

    func get(_ resource: APIResource, _ name: String) -> KubernetesObject? { objects[resource]?[name] }

    func all(_ resource: APIResource) -> [KubernetesObject] {
        (objects[resource] ?? [:]).sorted { $0.key < $1.key }.map(\.value)
    }

    mutating func put(_ resource: APIResource, _ given: KubernetesObject) {
        var object = given
        let old = get(resource, object.name)
        if old == nil {
            object["metadata", "uid"] = .string("uid-\(identity)")
            identity += 1
        }
        var before = old
        before?.resourceVersion = ""
        var after = object
        after.resourceVersion = ""
        if before == after { return }
        let generation = (old?.generation ?? 0) + (old?.spec == object.spec ? 0 : 1)
        object["metadata", "generation"] = .number(JSONNumber(generation))
        version += 1
        object.resourceVersion = "\(version)"
        objects[resource, default: [:]][object.name] = Defaulting.applied(to: object)
    }

    mutating func remove(_ resource: APIResource, _ name: String) { objects[resource]?[name] = nil }

    var cluster: KubernetesObject {
        get { get(.kubegres, name) ?? KubernetesObject(.kubegres, name: name) }
        set { put(.kubegres, newValue) }
    }

    /// Changes the specification, as a user would.
    mutating func change(_ path: String..., to value: JSONValue?) {
        var changed = cluster
        changed.content[path: ["spec"] + path] = value
        cluster = changed
    }

    var statefulSets: [KubernetesObject] { all(.statefulSets) }
    var pods: [KubernetesObject] { all(.pods) }

    func pods(role: String) -> [String] { pods.filter { $0.labels["replicationRole"] == role }.map(\.name) }

    /// How many pods are primary and how many replicas.
    var roles: [Int] { [pods(role: "primary").count, pods(role: "replica").count] }

    /// The pod templates of all instances.
    var templates: [JSONValue] { statefulSets.compactMap { $0.spec["template"] } }

    /// The database's container of all instances.
    var containers: [JSONValue] { templates.compactMap { $0[path: ["spec", "containers"]]?.array?.first } }

    /// Events of a reason.
    func events(_ reason: String) -> [String] { told.filter { $0.reason == reason }.map(\.note) }

    // MARK: Planning

    func observation() -> Observation {
        var seen = Observation(of: cluster, moment: "2026-11-22T12:00:00Z")
        seen.statefulSets = all(.statefulSets)
        seen.pods = all(.pods)
        seen.services = all(.services)
        seen.claims = all(.claims)
        seen.configMaps = all(.configMaps)
        seen.secrets = all(.secrets)
        seen.cronJobs = all(.cronJobs)
        seen.budgets = all(.budgets)
        seen.storageClasses = all(.storageClasses)
        seen.nodes = all(.nodes)
        seen.standing = database.standing
        return seen
    }

    /// Plans once and carries it out.
    @discardableResult
    mutating func step() -> Plan {
        let plan = planner.plan(observation(), at: now)
        plans.append(plan)
        for change in plan.changes { apply(change.deed) }
        return plan
    }

    /// Plans, and lets the world follow, until nothing is left to do.
    mutating func settle(_ location: SourceLocation = #_sourceLocation) {
        for _ in 0..<Self.settleLimit {
            let before = (version, database.standing)
            let plan = step()
            runControllers()
            now = now + .seconds(1)
            if plan.changes.isEmpty, version == before.0, database.standing == before.1 { return }
        }
        let open = lastPlan?.changes.map(\.why) ?? []
        Issue.record("the plan never comes to rest: \(open)", sourceLocation: location)
    }

    private mutating func apply(_ deed: Deed) {
        deeds.append(deed)
        switch deed {
        case .create(let resource, let object):
            #expect(get(resource, object.name) == nil, "\(object.name) is there already")
            put(resource, object)
        case .replace(let resource, let object):
            #expect(get(resource, object.name)?.resourceVersion == object.resourceVersion)
            put(resource, object)
        case .patch(let resource, let name, let patch): merge(patch, into: resource, name)
        case .delete(let resource, let name, let uid):
            #expect(get(resource, name)?.uid == uid)
            remove(resource, name)
        case .status(let patch): merge(patch, into: .kubegres, name)
        case .event(let isWarning, let reason, let note):
            told.append(ToldEvent(isWarning: isWarning, reason: reason, note: note))
        case .issueCertificate(_, let secret): put(.secrets, secret)
        case .switchover(let instance):
            database.switchOver(to: instance.flatMap { ClusterNames(name).index(of: $0) })
        case .startOver: database = DatabaseModel()
        }
    }

    /// A patch that rests on an older version is a conflict: it is left for the next plan.
    private mutating func merge(_ patch: JSONValue, into resource: APIResource, _ name: String) {
        guard let object = get(resource, name) else { return }
        let wanted = patch[path: ["metadata", "resourceVersion"]]?.string
        guard wanted == object.resourceVersion else { return }
        put(resource, KubernetesObject(object.content.merged(with: patch)))
    }

    // MARK: Kubernetes

    mutating func runControllers() {
        for object in statefulSets { follow(object) }
        let owners = statefulSets.map(\.uid)
        for pod in pods where !owners.contains(pod.ownerReferences.first?.uid ?? "") { remove(.pods, pod.name) }
        for claim in all(.claims) where claim.deletionTimestamp != nil {
            let user = pods.contains { claim.name.hasSuffix($0.name) }
            if !user { remove(.claims, claim.name) }
        }
        let running = pods.filter(\.runs)
        database.follow(
            members: lastPlan?.cluster?.members.compactMap { ClusterNames(name).index(of: $0.name) } ?? [],
            running: running.compactMap { ClusterNames(name).index(ofPod: $0.name) },
            isDisabled: lastPlan?.cluster?.failoverDisabled ?? false
        )
    }

    private mutating func follow(_ object: KubernetesObject) {
        let pod = object.name + "-0"
        for template in object.spec["volumeClaimTemplates"]?.array ?? [] {
            let name = (template[path: ["metadata", "name"]]?.string ?? "") + "-" + pod
            guard get(.claims, name) == nil else { continue }
            var claim = KubernetesObject(.claims, namespace: namespace, name: name)
            claim.labels = ["app": self.name]
            for (label, value) in template[path: ["metadata", "labels"]]?.object ?? [:] {
                claim["metadata", "labels", label] = value
            }
            claim.spec = template["spec"] ?? [:]
            claim["status", "phase"] = "Bound"
            put(.claims, claim)
        }
        if get(.pods, pod) == nil {
            var new = KubernetesObject(object.spec["template"] ?? [:])
            new["apiVersion"] = "v1"
            new["kind"] = "Pod"
            new.name = pod
            new.namespace = namespace
            new.ownerReferences = [
                OwnerReference(
                    apiVersion: "apps/v1",
                    kind: "StatefulSet",
                    name: object.name,
                    uid: object.uid,
                    isController: true
                )
            ]
            new["spec", "nodeName"] = .string("node-" + pod)
            put(.pods, new)
            return
        }
        guard var running = get(.pods, pod) else { return }
        let node = get(.nodes, running.spec["nodeName"]?.string ?? "")
        let isUp = stuck[pod] == nil && (node == nil || node?.isUp == true)
        running.status = [
            "phase": .string(isUp ? "Running" : "Pending"), "podIP": .string("10.0.0.\(pod.count)"),
            "conditions": [["type": "Ready", "status": .string(isUp ? "True" : "False")]],
        ]
        if let reason = stuck[pod] {
            running["status", "containerStatuses"] = [["state": ["waiting": ["reason": .string(reason)]]]]
        }
        put(.pods, running)
    }
}

extension KubernetesObject {
    fileprivate var isUp: Bool { status["conditions"]?.array?.first?["status"] == "True" }
    fileprivate var runs: Bool { isUp }
}
