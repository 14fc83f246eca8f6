import JSON
import KubernetesObjects

/// Makes and keeps what instances are made of.
extension PlanPass {
    /// What the cluster as a whole has.
    mutating func keepShared() {
        if !seen.configMaps.contains(where: { $0.name == ClusterNames.baseConfiguration }) {
            let object = BaseConfiguration.object(namespace: seen.resource.namespace)
            plan.add(.create(.configMaps, object), "no ConfigMap '\(object.name)' is in the namespace")
            plan.tell("BaseConfigMapDeployment", "made ConfigMap '\(object.name)'")
        }
        let blueprints = blueprints()
        for isPrimary in [true, false] {
            keepService(blueprints.service(isPrimary: isPrimary))
            keepBudget(blueprints.budget(isPrimary: isPrimary))
        }
    }

    private mutating func keepService(_ desired: KubernetesObject) {
        guard let found = seen.services.first(where: { $0.name == desired.name }) else {
            plan.add(.create(.services, marked(desired)), "Service '\(desired.name)' is missing")
            plan.tell("ServiceDeployment", "made Service '\(desired.name)'")
            return
        }
        guard isOurs(found, "Service") else { return }
        var new = found
        new.labels = found.labels.merging(desired.labels) { $1 }
        new["spec", "selector"] = desired.spec["selector"]
        // Of the port only its number is ours: a node port and a name stay.
        var ports = found.spec["ports"]?.array ?? []
        if let port = desired.spec["ports"]?.array?.first {
            ports = [(ports.first ?? [:]).merged(with: port)] + ports.dropFirst()
        }
        new["spec", "ports"] = .array(ports)
        if new != found {
            plan.add(.replace(.services, new), "Service '\(found.name)' leads to another port or other pods")
            plan.tell("ServiceDeployment", "changed Service '\(found.name)' to port \(spec.port)")
        }
    }

    private mutating func keepBudget(_ desired: KubernetesObject) {
        let found = seen.budgets.first { $0.name == desired.name }
        if let found, !isOurs(found, "PodDisruptionBudget") { return }
        // One instance has nobody to hand over to: it may be evicted.
        if spec.replicas < 2 {
            if let found {
                plan.add(.delete(.budgets, name: found.name, uid: found.uid), "one instance needs no limit")
            }
        } else if let found {
            var new = found
            new["spec", "maxUnavailable"] = desired.spec["maxUnavailable"]
            new["spec", "selector"] = desired.spec["selector"]
            if new != found { plan.add(.replace(.budgets, new), "'\(found.name)' limits evictions otherwise") }
        } else {
            plan.add(.create(.budgets, desired), "evictions are to be limited by '\(desired.name)'")
        }
    }

    /// Whether an object with one of our names is ours; if not it is told of, and neither changed nor deleted.
    mutating func isOurs(_ object: KubernetesObject, _ kind: String) -> Bool {
        if object.isOwned(by: seen.resource.uid) { return true }
        warn(
            "ForeignObject",
            "\(kind) '\(object.name)' is not of this cluster, but has a name that it needs: it is left alone; delete or "
                + "rename it"
        )
        return false
    }

    /// Says on the object what was meant, so that leaving a field out is noticed, too.
    func marked(_ object: KubernetesObject) -> KubernetesObject {
        var marked = object
        marked.annotations[Marks.applied] = mark(of: object.content)
        return marked
    }

    // MARK: Instances

    mutating func keepInstances() {
        for index in members {
            if let found = statefulSets[index] {
                if found.deletionTimestamp == nil { keep(index, found) }
            } else {
                make(index)
            }
        }
    }

    private mutating func make(_ index: Int) {
        let name = names.statefulSet(index)
        if let foreign = seen.statefulSets.first(where: { $0.name == name }) {
            _ = isOurs(foreign, "StatefulSet")
            return
        }
        let isReturning = known.contains(index)
        if isReturning, spec.failover.isDisabled, spec.replicas > 1 {
            warn(
                "AutomaticFailoverIsDisabled",
                "'\(name)' is missing and is not made again, as 'spec.failover.isDisabled' says",
                isWarning: false
            )
            return
        }
        let isPrimary = index == primary || members.count == 1
        keepCertificate(index)
        let object = marked(blueprints().statefulSet(index, isPrimary: isPrimary))
        plan.add(
            .create(.statefulSets, object),
            isReturning ? "instance \(index) is missing: it comes back to its volume" : "instance \(index) is new"
        )
        if isReturning, members.count == 1 {
            plan.tell("RecreatingPrimaryStatefulSet", "made StatefulSet '\(name)' again, on the volume that it had")
        } else {
            let reason = isPrimary ? "PrimaryStatefulSetDeployment" : "ReplicaStatefulSetDeployment"
            plan.tell(reason, "made StatefulSet '\(name)'")
        }
    }

    private mutating func keepCertificate(_ index: Int) {
        let name = names.certificate(index)
        guard !seen.secrets.contains(where: { $0.name == name }), let instance = names.instance(index) else { return }
        var secret = KubernetesObject(.secrets, namespace: seen.resource.namespace, name: name)
        secret.labels = [Marks.app: names.cluster, Marks.index: "\(index)"]
        secret.ownerReferences = [
            OwnerReference(
                apiVersion: APIResource.kubegres.apiVersion,
                kind: APIResource.kubegres.kind,
                name: seen.resource.name,
                uid: seen.resource.uid,
                isController: true
            )
        ]
        secret.content["type"] = "kubernetes.io/tls"
        plan.add(.issueCertificate(instance: instance, secret), "instance \(index) has no certificate")
    }

    private mutating func keep(_ index: Int, _ found: KubernetesObject) {
        keepCertificate(index)
        guard let new = replacements[index] else { return }
        plan.add(.replace(.statefulSets, new), "StatefulSet '\(found.name)' differs from what the specification says")
        plan.tell("StatefulSetOperation", "changed StatefulSet '\(found.name)' to what the specification says")
    }

    /// Finds what is to stand in the place of StatefulSets that are not as they should be.
    mutating func compareStatefulSets() {
        memory.drawings = memory.drawings.filter { members.contains($0.key) }
        for index in members {
            guard let found = statefulSets[index], found.deletionTimestamp == nil else { continue }
            let drawing = drawing(of: index, found)
            memory.drawings[index] = drawing
            replacements[index] = replacement(of: found, by: drawing)
        }
    }

    private func replacement(of found: KubernetesObject, by drawing: Drawing) -> KubernetesObject? {
        let desired = drawing.object
        var new = found
        new.labels = found.labels.merging(desired.labels) { $1 }
        new.annotations = found.annotations.merging(desired.annotations) { $1 }
        new.annotations[Marks.applied] = drawing.mark
        // What cannot change stays as it was made: selector, claims, and the Service's name.
        for part in ["replicas", "updateStrategy", "template"] { new["spec", part] = desired.spec[part] }
        let isMeant = found.annotations[Marks.applied] == drawing.mark
        return isMeant && covers(found.content, new.content) ? nil : new
    }

    private func drawing(of index: Int, _ found: KubernetesObject) -> Drawing {
        let restart = found.spec[path: ["template", "metadata", "annotations", Marks.restartedAt]]?.string
        let isPrimary = standing == nil ? found.labels[Marks.role] == Marks.primary : index == primary
        let blueprints = blueprints(restartedAt: restart)
        if let known = memory.drawings[index], known.isPrimary == isPrimary, known.blueprints == blueprints {
            return known
        }
        return blueprints.drawing(of: index, isPrimary: isPrimary)
    }

    // MARK: Volumes

    /// Grows volumes, marks whose they are, and what becomes of those that nobody needs.
    mutating func keepVolumes() {
        for index in claims.keys.sorted() {
            guard let claim = claims[index], claim.deletionTimestamp == nil else { continue }
            if members.contains(index) {
                keepVolume(claim)
            } else if claim.labels[Marks.member] == "true", statefulSets[index] == nil {
                retireVolume(claim)
            }
        }
    }

    private mutating func keepVolume(_ claim: KubernetesObject) {
        var patch: JSONValue = [:]
        let path = ["resources", "requests", "storage"]
        if let now = claim.spec[path: path]?.string.flatMap({ Quantity($0) }),
            let desired = Quantity(spec.database.size), desired > now
        {
            patch[path: ["spec"] + path] = .string(spec.database.size)
            plan.tell("VolumeGrowth", "'\(claim.name)' grows to \(spec.database.size)")
        }
        if claim.labels[Marks.member] != "true" { patch[path: ["metadata", "labels", Marks.member]] = "true" }
        guard patch != [:] else { return }
        patch[path: ["metadata", "resourceVersion"]] = .string(claim.resourceVersion)
        plan.add(.patch(.claims, name: claim.name, patch), "the volume is a member's and has a size")
    }

    private mutating func retireVolume(_ claim: KubernetesObject) {
        if spec.deletesVolumes, isOpen {
            plan.add(
                .delete(.claims, name: claim.name, uid: claim.uid),
                "its instance is not needed any more, and 'spec.volumeRetention' is delete"
            )
        } else if claim.labels[Marks.retired] != "true" {
            let patch: JSONValue = [
                "metadata": [
                    "labels": [Marks.retired: "true"], "resourceVersion": .string(claim.resourceVersion),
                ]
            ]
            plan.add(.patch(.claims, name: claim.name, patch), "its instance is not needed any more; the data stay")
        }
    }

    // MARK: Dumps

    mutating func keepBackup() {
        let found = seen.cronJobs.first { $0.name == names.backup }
        if let found, !isOurs(found, "CronJob") { return }
        guard spec.hasBackup else {
            if let found {
                plan.add(.delete(.cronJobs, name: found.name, uid: found.uid), "no dumps are asked for")
                plan.tell("BackUpCronJobDeletion", "deleted CronJob '\(found.name)'")
            }
            return
        }
        let desired = blueprints().backupJob()
        guard let found else {
            plan.add(.create(.cronJobs, marked(desired)), "dumps are asked for")
            plan.tell("BackUpCronJobDeployment", "made CronJob '\(desired.name)'")
            return
        }
        var new = found
        new.annotations[Marks.applied] = mark(of: desired.content)
        for part in ["schedule", "concurrencyPolicy", "jobTemplate"] { new["spec", part] = desired.spec[part] }
        if new.annotations != found.annotations || !covers(found.content, new.content) {
            plan.add(.replace(.cronJobs, new), "CronJob '\(found.name)' differs from what the specification says")
            plan.tell("BackUpCronJobDeployment", "changed CronJob '\(found.name)'")
        }
    }

    // MARK: Ends

    /// Deletes instances that should not be, once no commit counts on them (R12).
    mutating func removeRetired() {
        for index in retiring {
            guard let found = statefulSets[index], found.deletionTimestamp == nil else { continue }
            guard let standing, isOpen, index != standing.primary, standing[index]?.votes != true else { continue }
            plan.add(
                .delete(.statefulSets, name: found.name, uid: found.uid),
                "instance \(index) is not needed any more and votes no longer"
            )
            plan.tell(
                "ReplicaStatefulSetDeletion",
                "deleted StatefulSet '\(found.name)'; its volume is kept"
                    + (spec.deletesVolumes ? " until it is not used any more" : "")
            )
        }
    }
}
