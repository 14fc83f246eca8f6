import JSON
import KubernetesClient
import KubernetesObjects
import ResourcePlan

/// What was last told of the watched collections, trimmed to what plans rest on.
struct ObjectCache: Sendable {
    /// Every kind that is watched, and by which condition on labels.
    static let watched: [(resource: APIResource, selector: String)] = [
        (.kubegres, ""), (.statefulSets, ""), (.pods, "replicationRole"), (.services, ""), (.claims, ""),
        (.configMaps, ""), (.secrets, "app,index"), (.cronJobs, ""), (.budgets, ""), (.storageClasses, ""),
        (.nodes, ""),
    ]

    private var objects: [APIResource: [String: [String: KubernetesObject]]] = [:]
    private var heard: Set<APIResource> = []

    /// Whether every collection was listed, so that what is missing is not there.
    var isWhole: Bool { heard.count == Self.watched.count }

    /// The objects of a kind in a namespace, by name; kinds that lie in none have the empty one.
    subscript(resource: APIResource, namespace: String) -> [String: KubernetesObject] {
        objects[resource]?[namespace] ?? [:]
    }

    /// One object, in the namespace of a cluster.
    struct Place: Hashable {
        let resource: APIResource
        let name: String
    }

    /// Versions by place; what is missing is not there.
    typealias Versions = [Place: String]

    /// The version of an object as it was last told; nil if there is none.
    func version(of place: Place, in namespace: String) -> String? {
        self[place.resource, namespace][place.name]?.resourceVersion
    }

    /// The versions that a plan is about to replace.
    func versions(of plan: Plan, for cluster: ClusterKey) -> Versions {
        let own = Place(resource: .kubegres, name: cluster.name)
        var found: Versions = [:]
        found[own] = version(of: own, in: cluster.namespace)
        for change in plan.changes {
            let place: Place? =
                switch change.deed {
                case .create(let kind, let object), .replace(let kind, let object):
                    Place(resource: kind, name: object.name)
                case .patch(let kind, let name, _): Place(resource: kind, name: name)
                default: nil
                }
            if let place { found[place] = version(of: place, in: cluster.namespace) }
        }
        return found
    }

    /// Every cluster's resource.
    var clusters: [ClusterKey] {
        (objects[.kubegres] ?? [:]).flatMap { namespace, named in
            named.keys.map { ClusterKey(namespace: namespace, name: $0) }
        }
    }

    /// Takes a change.
    ///
    /// - Returns: The objects that differ from what was known, as they are or last were.
    mutating func take(_ change: CollectionChange, of resource: APIResource) -> [KubernetesObject] {
        switch change {
        case .listed(let found):
            heard.insert(resource)
            let before = objects[resource] ?? [:]
            var after: [String: [String: KubernetesObject]] = [:]
            for object in found { after[object.namespace, default: [:]][object.name] = Self.trimmed(object, resource) }
            objects[resource] = after
            let all = Set(before.values.flatMap(\.values)).symmetricDifference(after.values.flatMap(\.values))
            return Array(all)
        case .updated(let object):
            let trimmed = Self.trimmed(object, resource)
            if self[resource, object.namespace][object.name] == trimmed { return [] }
            objects[resource, default: [:]][object.namespace, default: [:]][object.name] = trimmed
            return [trimmed]
        case .removed(let object):
            objects[resource]?[object.namespace]?[object.name] = nil
            return [object]
        case .interrupted: return []
        }
    }

    /// Drops what no plan looks at, and much of it changes or is secret.
    private static func trimmed(_ object: KubernetesObject, _ resource: APIResource) -> KubernetesObject {
        var trimmed = object
        trimmed["metadata", "managedFields"] = nil
        switch resource {
        case .secrets:
            trimmed.content["data"] = nil
            trimmed.resourceVersion = ""
        case .configMaps:
            let data = object.content["data"]?.object ?? [:]
            trimmed.content["data"] = .object(data.mapValues { $0 == "" ? "" : "given" })
            trimmed.content["binaryData"] = nil
            trimmed.resourceVersion = ""
        case .nodes:
            var node = KubernetesObject(.nodes, name: object.name)
            node.labels = object.labels
            node.spec = ["unschedulable": object.spec["unschedulable"] ?? false]
            let ready = (object.status["conditions"]?.array ?? []).filter { $0["type"] == "Ready" }
            node.status = [
                "conditions": .array(ready.map { ["type": "Ready", "status": $0["status"] ?? "Unknown"] })
            ]
            return node
        default: break
        }
        return trimmed
    }

    // MARK: Clusters

    /// Which clusters a changed object may matter to.
    func clusters(concernedBy object: KubernetesObject, of resource: APIResource) -> [ClusterKey] {
        switch resource {
        case .kubegres: return [ClusterKey(namespace: object.namespace, name: object.name)]
        case .storageClasses: return clusters
        case .nodes:
            return clusters.filter { key in
                self[.pods, key.namespace].values.contains { pod in
                    pod.labels["app"] == key.name && pod.spec["nodeName"]?.string == object.name
                }
            }
        default: break
        }
        let here = self[.kubegres, object.namespace]
        return here.values.filter { Self.mentions($0, object, resource) }.map {
            ClusterKey(namespace: $0.namespace, name: $0.name)
        }
    }

    private static func mentions(
        _ cluster: KubernetesObject,
        _ object: KubernetesObject,
        _ resource: APIResource
    ) -> Bool {
        switch resource {
        case .configMaps:
            let custom = cluster.spec["customConfig"]?.string
            return object.name == custom || object.name == ClusterNames.baseConfiguration
        case .claims:
            if object.name == cluster.spec[path: ["backup", "pvcName"]]?.string { return true }
            return ClusterNames(cluster.name).index(ofClaim: object.name) != nil
        case .cronJobs: return object.name == ClusterNames(cluster.name).backup
        default: return object.name == cluster.name || object.name.hasPrefix(cluster.name + "-")
        }
    }

    /// All that a plan for one cluster rests on; nil if there is no such resource.
    func observation(of key: ClusterKey, standing: ClusterStanding?, moment: String) -> Observation? {
        guard let cluster = self[.kubegres, key.namespace][key.name] else { return nil }
        func found(_ resource: APIResource) -> [KubernetesObject] {
            self[resource, key.namespace].values.filter { Self.mentions(cluster, $0, resource) }
                .sorted { $0.name < $1.name }
        }
        var seen = Observation(of: cluster, moment: moment)
        seen.statefulSets = found(.statefulSets)
        seen.pods = found(.pods)
        seen.services = found(.services)
        seen.claims = found(.claims)
        seen.configMaps = found(.configMaps)
        seen.secrets = found(.secrets)
        seen.cronJobs = found(.cronJobs)
        seen.budgets = found(.budgets)
        seen.storageClasses = self[.storageClasses, ""].values.sorted { $0.name < $1.name }
        let machines = Set(seen.pods.compactMap { $0.spec["nodeName"]?.string })
        seen.nodes = self[.nodes, ""].values.filter { machines.contains($0.name) }.sorted { $0.name < $1.name }
        seen.standing = standing
        return seen
    }
}
