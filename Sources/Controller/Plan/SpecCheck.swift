import ClusterModel
import JSON
import KubernetesObjects

/// Why a part of a specification is not followed.
struct SpecFault: Hashable, Sendable {
    /// The parts in whose place those in force stay.
    let paths: [[String]]
    /// Names the field and its mend; as an event, programs look for the field's spelling.
    let text: String
}

/// Reads a specification and finds what cannot be followed.
struct SpecCheck {
    private let spec: JSONValue
    private let names: ClusterNames
    private let seen: Observation
    /// What stands in the cluster, in the same form; null before there is one.
    private let inForce: JSONValue
    private(set) var faults: [SpecFault] = []

    /// Checks a specification with its defaults.
    init(_ spec: JSONValue, inForce: JSONValue, names: ClusterNames, seen: Observation) {
        self.spec = spec
        self.inForce = inForce
        self.names = names
        self.seen = seen
        checkTypes()
        checkImmutables()
        checkBasics()
        checkReferences()
        checkBackup()
        checkVolumes()
        checkFailover()
    }

    private mutating func refuse(_ path: [String], _ text: String) {
        faults.append(SpecFault(paths: [path], text: text))
    }

    /// Two parts that contradict each other go back together.
    private mutating func refuseTogether(_ paths: [[String]], _ text: String) {
        faults.append(SpecFault(paths: paths, text: text))
    }

    private mutating func missing(_ field: String, _ path: [String], _ mend: String) {
        refuse(path, "'\(field)' is undefined: \(mend)")
    }

    private func text(_ path: String...) -> String { spec[path: path]?.string ?? "" }

    /// What the schema refuses too, where it is in place.
    private mutating func checkTypes() {
        let lists = [
            ["imagePullSecrets"], ["env"], ["scheduler", "tolerations"], ["volume", "volumes"],
            ["volume", "volumeMounts"], ["volume", "volumeClaimTemplates"],
        ]
        for path in lists {
            if let value = spec[path: path], value != .null, value.array?.allSatisfy({ $0.object != nil }) != true {
                refuse(path, "'spec.\(path.joined(separator: "."))' must be a list of objects")
            }
        }
        let objects = [
            ["database"], ["failover"], ["backup"], ["scheduler"], ["volume"], ["probe"], ["resources"],
            ["securityContext"], ["containerSecurityContext"], ["probe", "livenessProbe"], ["probe", "readinessProbe"],
            ["service"],
        ]
        for path in objects {
            if let value = spec[path: path], value != .null, value.object == nil {
                refuse(path, "'spec.\(path.joined(separator: "."))' must be an object")
            }
        }
        if let port = spec["port"]?.integer, !(1...65_535).contains(port) {
            refuse(["port"], "'spec.port' is \(port): choose one from 1 to 65535")
        }
        let mount = text("database", "volumeMount")
        if !mount.hasPrefix("/") || mount.hasSuffix("/") || mount.contains("/../") || mount.contains(":") {
            refuse(
                ["database", "volumeMount"],
                "'spec.database.volumeMount' is '\(mount)': give an absolute path without '/' at its end"
            )
        }
    }

    /// What cannot change once there are volumes.
    private mutating func checkImmutables() {
        guard inForce["database"] != nil else { return }
        for name in ["volumeMount", "storageClassName"] {
            let old = inForce[path: ["database", name]]?.string ?? ""
            let new = text("database", name)
            if !old.isEmpty, old != new { unchangeable("spec.database.\(name)", ["database", name], old, new, "") }
        }
        checkSize()
        checkClaimTemplates()
    }

    private mutating func unchangeable(_ field: String, _ path: [String], _ old: String, _ new: String, _ why: String) {
        refuse(
            path,
            "'\(field)' cannot be changed from '\(old)' to '\(new)' once there are pods"
                + (why.isEmpty ? "" : ": \(why)") + "; '\(old)' stays in force until the value is put back"
        )
    }

    private mutating func checkSize() {
        let path = ["database", "size"]
        let old = inForce[path: path]?.string ?? ""
        let new = text("database", "size")
        guard !old.isEmpty, !new.isEmpty, let before = Quantity(old), let after = Quantity(new) else { return }
        if after < before {
            unchangeable("spec.database.size", path, old, new, "a volume cannot shrink")
        } else if after > before {
            let name = inForce[path: ["database", "storageClassName"]]?.string ?? ""
            let storageClass = seen.storageClasses.first { $0.name == name }
            if storageClass?.content["allowVolumeExpansion"]?.bool != true {
                unchangeable("spec.database.size", path, old, new, "StorageClass '\(name)' does not let volumes grow")
            }
        }
    }

    private mutating func checkClaimTemplates() {
        let path = ["volume", "volumeClaimTemplates"]
        guard let old = inForce[path: path]?.array else { return }
        let new = spec[path: path]?.array ?? []
        let isSame =
            old.count == new.count
            && new.allSatisfy { template in
                let storage = template["spec"]?["storageClassName"] ?? .null
                return old.contains { other in
                    other["name"] == template["name"]
                        && covers(other["spec"]?["resources"], template["spec"]?["resources"] ?? .null)
                        && (storage == .null || other["spec"]?["storageClassName"] == storage)
                }
            }
        if !isSame {
            refuse(
                ["volume"],
                "'spec.Volume.VolumeClaimTemplates' has changed, which StatefulSets do not allow: "
                    + "put it back; until then the volumes in force stay"
            )
        }
    }

    private mutating func checkBasics() {
        let replicas = spec["replicas"]?.integer ?? 0
        if replicas <= 0 { missing("spec.replicas", ["replicas"], "say how many instances there shall be, 1 or more") }
        if replicas > Int64(ClusterSpec.largestCount) {
            refuse(["replicas"], "'spec.replicas' is \(replicas): at most \(ClusterSpec.largestCount) are possible")
        }
        if text("image").isEmpty { missing("spec.image", ["image"], "name an image of PostgreSQL") }
        let size = text("database", "size")
        if size.isEmpty {
            missing("spec.database.size", ["database", "size"], "say how large the volumes shall be, such as 10Gi")
        } else if Quantity(size)?.isZero != false {
            refuse(["database", "size"], "'spec.database.size' is '\(size)', which is no size: write one such as 10Gi")
        }
        let variables = (spec["env"]?.array ?? []).compactMap { $0["name"]?.string }
        for name in ["POSTGRES_PASSWORD", "POSTGRES_REPLICATION_PASSWORD"] where !variables.contains(name) {
            missing("spec.env.\(name)", ["env"], "take it from a Secret by valueFrom")
        }
    }

    private mutating func checkReferences() {
        let name = text("database", "storageClassName")
        if !name.isEmpty, !seen.storageClasses.contains(where: { $0.name == name }) {
            refuse(
                ["database", "storageClassName"],
                "'spec.database.storageClassName' names StorageClass '\(name)', which is not deployed: "
                    + "deploy it or name another"
            )
        }
        let map = text("customConfig")
        if !map.isEmpty, map != ClusterNames.baseConfiguration, !seen.configMaps.contains(where: { $0.name == map }) {
            refuse(
                ["customConfig"],
                "'spec.customConfig' names ConfigMap '\(map)', which is not deployed: deploy it or name another"
            )
        }
    }

    private mutating func checkBackup() {
        guard !text("backup", "schedule").isEmpty else { return }
        if text("backup", "volumeMount").isEmpty {
            missing("spec.Backup.VolumeMount", ["backup"], "say where the dumps shall be written")
        }
        let claim = text("backup", "pvcName")
        if claim.isEmpty {
            missing("spec.Backup.PvcName", ["backup"], "name the PersistentVolumeClaim for the dumps")
        } else if !seen.claims.contains(where: { $0.name == claim }) {
            refuse(
                ["backup"],
                "'spec.Backup.PvcName' names PersistentVolumeClaim '\(claim)', which is not deployed: "
                    + "deploy it or name another"
            )
        }
        if let kept = spec[path: ["backup", "retention"]], (kept.integer ?? 0) < 1 {
            refuse(["backup"], "'spec.backup.retention' must be a whole number of dumps, 1 or more")
        }
    }

    private mutating func checkVolumes() {
        let parts = [
            ("VolumeClaimTemplates", "volumeClaimTemplates"), ("Volumes", "volumes"), ("VolumeMounts", "volumeMounts"),
        ]
        for (shown, part) in parts {
            for entry in spec[path: ["volume", part]]?.array ?? [] {
                let name = entry["name"]?.string ?? ""
                if name.isEmpty {
                    refuse(["volume"], "'spec.Volume.\(shown)' has an entry without a name: give it one")
                }
                if Self.isReserved(name) {
                    refuse(
                        ["volume"],
                        "'spec.Volume.\(shown)' uses the name '\(name)', which is reserved: choose another"
                    )
                }
            }
        }
        let data = text("database", "volumeMount")
        for mount in spec[path: ["volume", "volumeMounts"]]?.array ?? [] {
            let path = mount["mountPath"]?.string ?? ""
            if path == data || path == PodFolders.root || path.hasPrefix(PodFolders.root + "/") {
                refuse(
                    ["volume"],
                    "'spec.Volume.VolumeMounts' uses the mountPath '\(path)', which is reserved: choose another"
                )
            }
        }
    }

    static func isReserved(_ name: String) -> Bool {
        [ClusterNames.dataVolume, "base-config", "custom-config"].contains(name) || name.contains("kube-api")
            || name.hasPrefix("understudy-")
    }

    private mutating func checkFailover() {
        if let value = text(at: ["failover", "durability"]), Durability(rawValue: value) == nil {
            refuse(
                ["failover", "durability"],
                "'spec.failover.durability' is '\(value)': use preferred, required or async"
            )
        }
        for name in ["leaseDuration", "recreateAfter"] {
            if let value = text(at: ["failover", name]), KubegresSpec.duration(value) == nil {
                refuse(
                    ["failover", name],
                    "'spec.failover.\(name)' is '\(value)': write a time such as 500ms, 3s or 2m"
                )
            }
        }
        let bounds = Timings.Bounds.leaseDuration
        if let lease = text(at: ["failover", "leaseDuration"]).flatMap(KubegresSpec.duration), !bounds.contains(lease) {
            refuse(
                ["failover", "leaseDuration"],
                "'spec.failover.leaseDuration' must be between \(bounds.lowerBound.text) and \(bounds.upperBound.text)"
            )
        }
        if let value = text(at: ["failover", "onCrash"]), value != "failover", value != "restart" {
            refuse(["failover", "onCrash"], "'spec.failover.onCrash' is '\(value)': use failover or restart")
        }
        checkDurability(KubegresSpec(spec))
        if let value = text(at: ["volumeRetention"]), value != "retain", value != "delete" {
            refuse(["volumeRetention"], "'spec.volumeRetention' is '\(value)': use retain or delete")
        }
        if let value = text(at: ["service", "type"]), !["ClusterIP", "NodePort", "LoadBalancer"].contains(value) {
            refuse(["service"], "'spec.service.type' is '\(value)': use ClusterIP, NodePort or LoadBalancer")
        }
    }

    private mutating func checkDurability(_ read: KubegresSpec) {
        let waitedFor = read.failover.synchronousStandbys
        if waitedFor < 1 {
            refuse(
                ["failover", "synchronousStandbys"],
                "'spec.failover.synchronousStandbys' is \(waitedFor): it must be 1 or more"
            )
        } else if read.failover.durability == .required, read.replicas >= 1, waitedFor >= read.replicas {
            refuseTogether(
                [["replicas"], ["failover", "durability"], ["failover", "synchronousStandbys"]],
                "'spec.failover.synchronousStandbys' is \(waitedFor) and 'spec.failover.durability' required: that needs "
                    + "'spec.replicas' to be \(waitedFor + 1) or more"
            )
        }
    }

    /// A text that is given and not empty; what is no text counts as one that nobody knows.
    private func text(at path: [String]) -> String? {
        guard let value = spec[path: path], value != .null, value != .string("") else { return nil }
        return value.string ?? value.text
    }
}
