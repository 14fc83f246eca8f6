import ClusterModel
import JSON
import KubernetesObjects

/// What the resource's status says.
extension PlanPass {
    /// Written before anything that rests on it: which instances there are, and the highest number ever given.
    mutating func reportStatus() {
        let old = seen.resource.status
        var new = old
        let last = max(lastIndex, members.max() ?? 0)
        new["lastCreatedInstanceIndex"] = .number(JSONNumber(Int64(last)))
        new["instances"] = .array(members.map { .number(JSONNumber(Int64($0))) })
        new["volumes"] = .array(withVolume.map { .number(JSONNumber(Int64($0))) })
        new["enforcedReplicas"] = .number(JSONNumber(Int64(statefulSets.count)))
        new["observedGeneration"] = .number(JSONNumber(seen.resource.generation))
        if !inForce.isUnusable { new["specInForce"] = inForce.value.withoutNulls }
        new["primary"] = .string(isOpen ? primary.map { names.pod($0) } ?? "" : "")
        new["ready"] = .string("\(readyCount)/\(spec.replicas)")
        new["durability"] = .string(spec.durability.rawValue)
        let kept = claims.keys.sorted().filter { !members.contains($0) && statefulSets[$0] == nil }
        new["keptVolumes"] = .array(kept.map { .string(names.claim($0)) })
        new["conditions"] = conditions(old["conditions"]?.array ?? [])
        guard new != old else { return }
        var patch: JSONValue = [:]
        patch["status"] = changes(from: old, to: new)
        patch[path: ["metadata", "resourceVersion"]] = .string(seen.resource.resourceVersion)
        plan.add(.status(patch), "the status says what is so")
    }

    /// A merge patch of the fields that differ; within the specification in force, what went is taken out.
    private func changes(from old: JSONValue, to new: JSONValue) -> JSONValue {
        var changes: JSONValue = [:]
        for name in (new.object ?? [:]).keys.sorted() where old[name] != new[name] {
            guard let value = new[name] else { continue }
            changes[name] = name == "specInForce" ? Self.patch(from: old[name], to: value) : value
        }
        return changes
    }

    private static func patch(from old: JSONValue?, to new: JSONValue) -> JSONValue {
        guard let before = old?.object, let after = new.object else { return new }
        var patch: JSONValue = [:]
        for name in Set(before.keys).union(after.keys).sorted() where before[name] != after[name] {
            patch[name] = after[name].map { Self.patch(from: before[name], to: $0) } ?? .null
        }
        return patch
    }

    private var readyCount: Int { members.filter { pods[$0]?.isReady == true }.count }

    // MARK: Conditions

    private func conditions(_ old: [JSONValue]) -> JSONValue {
        let isValid = inForce.faults.isEmpty && !inForce.lacksStorageClass
        let isReady = isOpen && readyCount >= spec.replicas && members.count == spec.replicas
        let followers = standing?.instances.filter { $0.isStreaming && $0.index != primary }.count ?? 0
        let isProgressing = !isReady || members != statefulSets.keys.sorted() || standing?.isChanging == true
        let words = inForce.faults.map(\.text).joined(separator: "; ")
        let ready = "\(readyCount) of \(spec.replicas) instances are ready"
        let found = [
            condition(
                "Ready",
                isReady,
                isReady ? "AllReady" : "NotAllReady",
                isOpen ? ready : "no primary serves; \(ready)"
            ),
            condition(
                "Progressing",
                isProgressing,
                isProgressing ? "Changing" : "Settled",
                isProgressing ? "the cluster is on its way to what is asked for" : "nothing is under way"
            ),
            condition(
                "SpecValid",
                isValid,
                isValid ? "Valid" : "SpecCheckErr",
                isValid
                    ? "the whole specification is followed" : words.isEmpty ? "no StorageClass is the default" : words
            ),
            condition(
                "Degraded",
                isOpen && !isReady,
                isOpen && !isReady ? "InstancesMissing" : "None",
                isOpen && !isReady ? ready : "nothing is known to be wrong"
            ),
            condition(
                "FailoverPossible",
                followers > 0 && !spec.failover.isDisabled && !spec.isPaused,
                followers == 0 ? "NoStandby" : spec.failover.isDisabled || spec.isPaused ? "Disabled" : "Standbys",
                followers == 0
                    ? "no standby follows the primary"
                    : spec.failover.isDisabled ? "'spec.failover.isDisabled' is set" : "\(followers) standbys follow"
            ),
        ]
        let foreign = old.filter { one in !found.contains { $0["type"] == one["type"] } }
        return .array(foreign + found.map { dated($0, old) })
    }

    private func condition(_ type: String, _ holds: Bool, _ reason: String, _ message: String) -> JSONValue {
        [
            "type": .string(type), "status": .string(holds ? "True" : "False"), "reason": .string(reason),
            "message": .string(String(message.prefix(2000))),
            "observedGeneration": .number(JSONNumber(seen.resource.generation)),
        ]
    }

    /// The moment changes with the state only.
    private func dated(_ condition: JSONValue, _ old: [JSONValue]) -> JSONValue {
        let before = old.first { $0["type"] == condition["type"] }
        let isSame = before?["status"] == condition["status"]
        var dated = condition
        dated["lastTransitionTime"] = isSame ? before?["lastTransitionTime"] : .string(seen.moment)
        return dated
    }
}

extension JSONValue {
    /// Without what merge patches cannot say, and what API servers drop.
    fileprivate var withoutNulls: JSONValue {
        switch self {
        case .array(let values): .array(values.filter { $0 != .null }.map(\.withoutNulls))
        case .object(let values): .object(values.filter { $0.value != .null }.mapValues(\.withoutNulls))
        default: self
        }
    }
}
