import ClusterModel
import JSON
import KubernetesObjects

/// What a StatefulSet should be, kept so that it is not made anew as long as nothing changes.
struct Drawing: Sendable {
    let blueprints: Blueprints
    let isPrimary: Bool
    let object: KubernetesObject
    let mark: String
}

/// Makes the objects of a cluster as they should be.
struct Blueprints: Hashable, Sendable {
    let spec: KubegresSpec
    let names: ClusterNames
    /// Of the resource only what objects are made from: names, identity and annotations.
    let resource: KubernetesObject
    let installation: Installation
    let configuration: ConfigurationSource

    /// How the controller and the certificates call the cluster.
    ///
    /// Names are unique in a namespace only; the object's own identity is unique for ever.
    static func clusterName(of resource: KubernetesObject) -> String {
        ClusterName(resource.uid) == nil ? resource.name : resource.uid
    }

    /// The user's annotations, without what kubectl keeps for itself.
    private var annotations: [String: String] { resource.annotations.filter { $0.key != Marks.lastApplied } }

    private func made(_ resource: APIResource, _ name: String, labels: [String: String]) -> KubernetesObject {
        var object = KubernetesObject(resource, namespace: self.resource.namespace, name: name)
        object.labels = labels
        object.ownerReferences = [owner]
        return object
    }

    private var owner: OwnerReference {
        OwnerReference(
            apiVersion: APIResource.kubegres.apiVersion,
            kind: APIResource.kubegres.kind,
            name: resource.name,
            uid: resource.uid,
            isController: true
        )
    }

    // MARK: Instances

    /// A StatefulSet as it should be, with the mark of it.
    func drawing(of index: Int, isPrimary: Bool) -> Drawing {
        let object = statefulSet(index, isPrimary: isPrimary)
        return Drawing(blueprints: self, isPrimary: isPrimary, object: object, mark: mark(of: object.content))
    }

    func statefulSet(_ index: Int, isPrimary: Bool) -> KubernetesObject {
        let marks = [Marks.app: names.cluster, Marks.index: "\(index)"]
        let role = isPrimary ? Marks.primary : Marks.replica
        var object = made(
            .statefulSets,
            names.statefulSet(index),
            labels: marks.merging([Marks.role: role]) { $1 }
        )
        object.annotations = annotations
        let template = PodTemplate(
            spec: spec,
            names: names,
            cluster: Self.clusterName(of: resource),
            installation: installation,
            configuration: configuration,
            annotations: annotations,
            index: index
        )
        object.spec = [
            "replicas": 1,
            "serviceName": .string(names.replicaService),
            "selector": ["matchLabels": .object(marks.mapValues { .string($0) })],
            // Pods are restarted in an order of our own: standbys first, the primary last.
            "updateStrategy": ["type": "OnDelete"],
            "template": template.content(),
            "volumeClaimTemplates": .array(claimTemplates()),
        ]
        return object
    }

    private func claimTemplates() -> [JSONValue] {
        let size = JSONValue.string(spec.database.size)
        var data: JSONValue = [
            "accessModes": ["ReadWriteOnce"], "resources": ["requests": ["storage": size]],
        ]
        data["storageClassName"] = spec.database.storageClassName.map { .string($0) }
        let member: JSONValue = [
            "metadata": ["name": .string(ClusterNames.dataVolume), "labels": [Marks.member: "true"]]
        ]
        return [member.merged(with: ["spec": data])]
            + spec.volume.claimTemplates.map { ["metadata": ["name": $0["name"] ?? ""], "spec": $0["spec"] ?? [:]] }
    }

    // MARK: Services

    func service(isPrimary: Bool) -> KubernetesObject {
        let role = isPrimary ? Marks.primary : Marks.replica
        let labels = [Marks.app: names.cluster, Marks.role: role]
        var object = made(
            .services,
            isPrimary ? names.primaryService : names.replicaService,
            labels: labels
        )
        let port = JSONValue.number(JSONNumber(Int64(spec.port)))
        object.spec = [
            "type": .string(spec.serviceType),
            "selector": .object(labels.mapValues { .string($0) }),
            "ports": [["protocol": "TCP", "port": port, "targetPort": port]],
        ]
        return object
    }

    // MARK: Evictions

    /// The primary is never evicted: it hands over first, and is a standby then.
    func budget(isPrimary: Bool) -> KubernetesObject {
        let role = isPrimary ? Marks.primary : Marks.replica
        let labels = [Marks.app: names.cluster, Marks.role: role]
        var object = made(.budgets, "\(names.cluster)-\(role)", labels: labels)
        object.spec = [
            "maxUnavailable": isPrimary ? 0 : 1,
            "selector": ["matchLabels": .object(labels.mapValues { .string($0) })],
        ]
        return object
    }

    // MARK: Dumps

    func backupJob() -> KubernetesObject {
        var object = made(.cronJobs, names.backup, labels: [:])
        object.content["metadata"]?["labels"] = nil
        var pod: JSONValue = [
            "restartPolicy": "OnFailure",
            "containers": [backupContainer()],
            "volumes": [
                [
                    "name": "backup-volume",
                    "persistentVolumeClaim": ["claimName": .string(spec.backup.claimName)],
                ],
                [
                    "name": "postgres-config",
                    "configMap": ["name": .string(configuration.backupMap), "defaultMode": 0o777],
                ],
            ],
        ]
        if !spec.imagePullSecrets.isEmpty { pod["imagePullSecrets"] = .array(spec.imagePullSecrets) }
        if !spec.serviceAccountName.isEmpty { pod["serviceAccountName"] = .string(spec.serviceAccountName) }
        if !spec.tolerations.isEmpty { pod["tolerations"] = .array(spec.tolerations) }
        pod["securityContext"] = spec.securityContext
        let marks = annotations.mapValues { JSONValue.string($0) }
        object.spec = [
            "schedule": .string(spec.backup.schedule),
            "concurrencyPolicy": "Forbid",
            "jobTemplate": [
                "spec": ["template": ["metadata": ["annotations": .object(marks)], "spec": pod]]
            ],
        ]
        return object
    }

    private func backupContainer() -> JSONValue {
        func variable(_ name: String, _ value: String) -> JSONValue {
            ["name": .string(name), "value": .string(value)]
        }
        // A dump reads for long: a standby, where there is one.
        let source = spec.replicas > 1 ? names.replicaService : names.primaryService
        var variables = [
            variable("KUBEGRES_RESOURCE_NAME", names.cluster),
            variable("BACKUP_DESTINATION_FOLDER", spec.backup.volumeMount),
            variable("BACKUP_SOURCE_DB_HOST_NAME", source), variable("PGPORT", "\(spec.port)"),
        ]
        if var password = spec.variable("POSTGRES_PASSWORD") {
            password["name"] = "PGPASSWORD"
            variables.insert(password, at: 0)
        }
        if let kept = spec.backup.retention { variables.append(variable("BACKUP_RETENTION", "\(kept)")) }
        let script = "/tmp/" + ConfigurationSource.backup
        var container: JSONValue = [
            "name": "backup-postgres",
            "image": .string(spec.image),
            "imagePullPolicy": "IfNotPresent",
            "args": ["sh", "-c", .string(script)],
            "env": .array(variables + spec.environment),
            "volumeMounts": [
                ["name": "backup-volume", "mountPath": .string(spec.backup.volumeMount)],
                [
                    "name": "postgres-config", "mountPath": .string(script),
                    "subPath": .string(ConfigurationSource.backup),
                ],
            ],
        ]
        container["securityContext"] = spec.containerSecurityContext
        return container
    }
}
