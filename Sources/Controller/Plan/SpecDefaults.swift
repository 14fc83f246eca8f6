import JSON
import KubernetesObjects

/// One value that the user left out and we filled in.
struct FilledDefault: Hashable, Sendable {
    /// As events name the field; programs look for these spellings.
    let field: String
    let path: [String]
    let value: JSONValue
}

/// The specification with its defaults, and which they were.
struct DefaultedSpec: Hashable, Sendable {
    var value: JSONValue
    var filled: [FilledDefault] = []
    /// No class is named and none is the default.
    var lacksStorageClass = false

    init(_ spec: JSONValue, names: ClusterNames, storageClasses: [KubernetesObject]) {
        value = spec
        if (spec["port"]?.integer ?? 0) <= 0 { fill("spec.port", ["port"], .number(JSONNumber(5432))) }
        if isMissing(["database", "volumeMount"]) {
            fill("spec.database.volumeMount", ["database", "volumeMount"], .string(KubegresSpec.defaultVolumeMount))
        }
        if isMissing(["customConfig"]) {
            fill("spec.customConfig", ["customConfig"], .string(ClusterNames.baseConfiguration))
        }
        if isMissing(["database", "storageClassName"]) {
            let annotation = "storageclass.kubernetes.io/is-default-class"
            // Of several, the newest is what Kubernetes itself would take; by name where we cannot tell.
            let found = storageClasses.filter { $0.annotations[annotation] == "true" }
                .sorted { ($0.created, $1.name) > ($1.created, $0.name) }
            if let found = found.first {
                let path = ["database", "storageClassName"]
                fill("spec.Database.StorageClassName", path, .string(found.name))
            } else {
                lacksStorageClass = true
            }
        }
        if spec[path: ["scheduler", "affinity"]]?.object == nil {
            fill("spec.Affinity", ["scheduler", "affinity"], Self.apart(names))
        }
    }

    private func isMissing(_ path: [String]) -> Bool { (value[path: path]?.string ?? "").isEmpty }

    private mutating func fill(_ field: String, _ path: [String], _ new: JSONValue) {
        value[path: path] = new
        filled.append(FilledDefault(field: field, path: path, value: new))
    }

    /// Rather on machines of their own.
    private static func apart(_ names: ClusterNames) -> JSONValue {
        let term: JSONValue = [
            "labelSelector": [
                "matchExpressions": [["key": "app", "operator": "In", "values": [.string(names.cluster)]]]
            ],
            "topologyKey": "kubernetes.io/hostname",
        ]
        return [
            "podAntiAffinity": [
                "preferredDuringSchedulingIgnoredDuringExecution": [["weight": 100, "podAffinityTerm": term]]
            ]
        ]
    }
}

extension KubernetesObject {
    var created: String { content[path: ["metadata", "creationTimestamp"]]?.string ?? "" }
}
