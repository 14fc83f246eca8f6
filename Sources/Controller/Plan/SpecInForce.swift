import JSON
import KubernetesObjects

/// What a cluster is planned by: the specification, where it can be followed, and what was in force, where not.
struct SpecInForce: Hashable, Sendable {
    /// With its defaults; what cannot be followed is replaced.
    let value: JSONValue
    let spec: KubegresSpec
    let filled: [FilledDefault]
    let faults: [SpecFault]
    /// No class is named and none is the default.
    let lacksStorageClass: Bool
    /// Some part cannot be followed and nothing stands in its place: nothing can be made.
    let isUnusable: Bool

    init(names: ClusterNames, seen: Observation, statefulSets: [Int: KubernetesObject]) {
        let defaulted = DefaultedSpec(seen.resource.spec, names: names, storageClasses: seen.storageClasses)
        let kept = Self.kept(names: names, seen: seen, statefulSets: statefulSets)
        let check = SpecCheck(defaulted.value, inForce: kept, names: names, seen: seen)
        var value = defaulted.value
        var lacking: [[String]] = []
        for path in check.faults.flatMap(\.paths) {
            // Dumps are made only where all is known that they need; nothing else waits for that.
            let isOptional = path.first == "backup" || path.first == "failover"
            if let old = kept[path: path] {
                value[path: path] = old
            } else if isOptional || kept.isKept {
                value[path: path] = nil
            } else {
                lacking.append(path)
            }
        }
        let lacksClass = defaulted.lacksStorageClass && kept[path: ["database", "storageClassName"]] == nil
        self.value = value
        spec = KubegresSpec(value)
        filled = defaulted.filled
        faults = check.faults
        lacksStorageClass = lacksClass
        isUnusable = !lacking.isEmpty || lacksClass
    }

    /// What was last in force, as the status says; what cannot change as the objects themselves say.
    private static func kept(
        names: ClusterNames,
        seen: Observation,
        statefulSets: [Int: KubernetesObject]
    ) -> JSONValue {
        var kept = seen.resource.status["specInForce"] ?? .null
        let indices = statefulSets.keys.sorted()
        let first = seen.standing?.primary.flatMap { statefulSets[$0] == nil ? nil : $0 } ?? indices.first
        guard let first, let object = statefulSets[first] else { return kept }
        let templates = object.spec["volumeClaimTemplates"]?.array ?? []
        func name(_ template: JSONValue) -> String { template[path: ["metadata", "name"]]?.string ?? "" }
        if let data = templates.first(where: { name($0) == ClusterNames.dataVolume }) {
            let claim = seen.claims.first { $0.name == names.claim(first) }
            // A volume that has grown is larger than its template says.
            let size = ["resources", "requests", "storage"]
            kept[path: ["database", "size"]] = claim?.spec[path: size] ?? data["spec"]?[path: size]
            if let storageClass = data[path: ["spec", "storageClassName"]] {
                kept[path: ["database", "storageClassName"]] = storageClass
            }
        }
        let containers = object.spec[path: ["template", "spec", "containers"]]?.array ?? []
        if let mount = containers.first?["volumeMounts"]?.array?.first?["mountPath"] {
            kept[path: ["database", "volumeMount"]] = mount
        }
        let others = templates.filter { name($0) != ClusterNames.dataVolume }
        kept[path: ["volume", "volumeClaimTemplates"]] = .array(
            others.map { ["name": .string(name($0)), "spec": $0["spec"] ?? [:]] }
        )
        return kept
    }
}

extension JSONValue {
    /// Whether a whole specification was in force before.
    fileprivate var isKept: Bool { self["image"] != nil }
}
