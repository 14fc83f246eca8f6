import JSON
import KubernetesObjects

/// Leads clients, and restarts pods in an order that they hardly notice.
extension PlanPass {
    /// The primary's Service selects a pod only after it admits clients, and the old one leaves it no later (R20).
    mutating func route() {
        guard let standing else { return }
        var marks: [(index: Int, role: String)] = []
        for index in pods.keys.sorted() where index != standing.primary { marks.append((index, Marks.replica)) }
        if let primary = standing.primary, standing.isOpen { marks.append((primary, Marks.primary)) }
        for (index, role) in marks {
            guard let pod = pods[index], pod.labels[Marks.role] != role else { continue }
            let patch: JSONValue = [
                "metadata": [
                    "labels": [Marks.role: .string(role)], "resourceVersion": .string(pod.resourceVersion),
                ]
            ]
            plan.add(.patch(.pods, name: pod.name, patch), "instance \(index) is \(role) now")
        }
        if standing.isOpen, let primary = standing.primary {
            if let before = memory.primary, before != primary {
                plan.tell("FailOver", "'\(names.pod(primary))' is primary now in place of '\(names.pod(before))'")
            }
            memory.primary = primary
        }
    }

    // MARK: By hand

    /// Does what `promotePod` says, and clears it when that is done or cannot be.
    mutating func followPromotion() {
        let pod = spec.failover.promotePod
        guard !pod.isEmpty, let standing else {
            if pod.isEmpty { memory.asked = nil }
            return
        }
        let target = names.index(ofPod: pod).flatMap { members.contains($0) ? $0 : nil }
        guard let target, let name = names.instance(target) else {
            refusePromotion("'spec.failover.promotePod' names '\(pod)', which is no pod of this cluster")
            return
        }
        if target == standing.primary {
            clearsPromotion = standing.isOpen
        } else if memory.asked == target {
            if standing.isChanging { memory.isAskedUnderWay = true }
            if memory.isAskedUnderWay, !standing.isChanging {
                refusePromotion("'\(pod)' was to be promoted, which was given up: see the history for the reason")
            }
        } else if standing[target]?.isStreaming == true, !standing.isChanging {
            memory.asked = target
            memory.isAskedUnderWay = false
            plan.add(.switchover(to: name), "'spec.failover.promotePod' asks for it")
            plan.tell("ManualFailover", "'\(pod)' is promoted, as 'spec.failover.promotePod' says")
        } else if !standing.isChanging {
            warn(
                "ManualFailoverCannotHappenAsConfigErr",
                "'spec.failover.promotePod' names '\(pod)', which does not follow the primary at present: it is promoted "
                    + "when it does"
            )
        }
    }

    private mutating func refusePromotion(_ why: String) {
        warn("ManualFailoverCannotHappenAsConfigErr", why)
        memory.asked = nil
        memory.isAskedUnderWay = false
        clearsPromotion = true
    }

    // MARK: Before a pod goes

    /// Whether the instance serves, and its machine is to stay.
    private func canTakeOver(_ index: Int) -> Bool {
        guard let pod = pods[index], pod.isReady, standing?[index]?.isStreaming == true else { return false }
        return !isCordoned(pod)
    }

    private func isCordoned(_ pod: KubernetesObject) -> Bool {
        let node = seen.nodes.first { $0.name == pod.spec["nodeName"]?.string }
        return node?.spec["unschedulable"]?.bool == true
    }

    /// Moves the primary away from a pod or a machine that is about to go.
    mutating func evacuate() {
        guard let standing, standing.isOpen, !standing.isChanging, !spec.failover.isDisabled else { return }
        guard spec.failover.promotePod.isEmpty, let primary = standing.primary, let pod = pods[primary] else { return }
        let isEnding = pod.deletionTimestamp != nil
        guard isEnding || isCordoned(pod) else { return }
        guard let next = members.first(where: { $0 != primary && canTakeOver($0) }) else { return }
        plan.add(
            .switchover(to: names.instance(next)),
            isEnding ? "the primary's pod is about to end" : "the primary's machine takes no pods any more"
        )
    }

    // MARK: New templates

    /// The mark of the template that a pod should be from; nil while its StatefulSet does not say so.
    private func currentTemplate(_ index: Int) -> String? {
        guard let found = statefulSets[index], found.deletionTimestamp == nil, replacements[index] == nil else {
            return nil
        }
        return found.spec[path: ["template", "metadata", "annotations", Marks.template]]?.string
    }

    private func isOutdated(_ index: Int) -> Bool {
        guard let pod = pods[index], pod.deletionTimestamp == nil, let current = currentTemplate(index) else {
            return false
        }
        return pod.annotations[Marks.template] != current
    }

    /// Whether a pod cannot start, so that nothing is lost by making it anew.
    private func isStuck(_ pod: KubernetesObject) -> Bool {
        let reasons = [
            "CrashLoopBackOff", "Error", "ErrImagePull", "ImagePullBackOff", "InvalidImageName",
            "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
        ]
        let lists = [pod.status["initContainerStatuses"], pod.status["containerStatuses"]]
        let waiting = lists.flatMap { $0?.array ?? [] }.compactMap { $0[path: ["state", "waiting", "reason"]]?.string }
        return waiting.contains { reasons.contains($0) } || pod.condition("PodScheduled") == "False"
    }

    /// Restarts pods that are from an old template, one at a time: stuck ones, then standbys from the highest number
    /// down, the primary last and only as a standby if it can be helped.
    mutating func rollOut() {
        let outdated = members.filter { isOutdated($0) }
        guard !outdated.isEmpty else { return }
        if let stuck = outdated.first(where: { index in pods[index].map { isStuck($0) } == true }) {
            restart(stuck, "it cannot start, and the specification has changed")
            return
        }
        // Whoever is not there, or not well, has precedence.
        guard members.allSatisfy({ pods[$0]?.isReady == true }) else { return }
        if let standing {
            guard !standing.isChanging, isOpen || members.count == 1 else { return }
            guard members.allSatisfy({ $0 == standing.primary || standing[$0]?.isStreaming == true }) else { return }
        }
        if let standby = outdated.last(where: { $0 != primary }) {
            restart(standby, "it is brought up to date")
        } else if let primary, members.count > 1, standing != nil, !spec.failover.isDisabled {
            let next = members.first { $0 != primary && canTakeOver($0) } ?? members.first { $0 != primary }
            plan.add(
                .switchover(to: next.flatMap { names.instance($0) }),
                "the standbys are up to date, and the primary is restarted as one of them"
            )
        } else if let last = outdated.first {
            restart(last, "it is brought up to date")
        }
    }

    private mutating func restart(_ index: Int, _ why: String) {
        guard let pod = pods[index] else { return }
        plan.add(.delete(.pods, name: pod.name, uid: pod.uid), why)
        plan.tell("PodSpecEnforcement", "restarts pod '\(pod.name)': \(why)")
    }
}
