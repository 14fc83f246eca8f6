import ClusterModel
import JSON
import KubernetesObjects

/// Which instances the cluster should have.
extension PlanPass {
    private var status: JSONValue { seen.resource.status }
    var lastIndex: Int { max(status["lastCreatedInstanceIndex"]?.integer.map { Int($0) } ?? 0, 0) }

    mutating func decideMembers() {
        known = recordedMembers()
        members = known
        noteGone()
        guard !inForce.isUnusable, !spec.isPaused else { return }
        if startOver() { return }
        let lost = lostMembers()
        grow(replacing: lost)
        shrink(beside: lost)
    }

    /// As the status says; else what is there: of an older operator, or of a resource of the same name before this one.
    private func recordedMembers() -> [Int] {
        if let list = status["instances"]?.array {
            return Array(Set(list.compactMap { $0.integer.map { Int($0) } })).filter { $0 > 0 }.sorted()
        }
        if !statefulSets.isEmpty { return statefulSets.keys.sorted() }
        return claims.keys.sorted().filter { index in
            guard let claim = claims[index], claim.deletionTimestamp == nil else { return false }
            return claim.labels[Marks.member] == "true" && claim.labels[Marks.retired] == nil
        }
    }

    /// A number that no object of the cluster has, or had.
    private var nextIndex: Int {
        let taken = seen.statefulSets.compactMap { names.index(ofStatefulSet: $0.name) }
        return max(lastIndex, taken.max() ?? 0, claims.keys.max() ?? 0, members.max() ?? 0) + 1
    }

    // MARK: Gone

    private func hasVolume(_ index: Int) -> Bool {
        guard let claim = claims[index] else { return false }
        return claim.deletionTimestamp == nil && claim.status["phase"]?.string != "Lost"
    }

    private func hadVolume(_ index: Int) -> Bool {
        (status["volumes"]?.array ?? []).contains { $0.integer == Int64(index) }
    }

    /// The members that have, or had, a volume: one that never had any has lost nothing.
    var withVolume: [Int] { members.filter { claims[$0] != nil || hadVolume($0) } }

    /// Whether the instance's volume is gone, so that it cannot come back.
    private func isLost(_ index: Int) -> Bool {
        hadVolume(index) && !hasVolume(index) && (statefulSets[index] == nil || pods[index] == nil)
    }

    /// Whether its place is empty: no pod that could run, and nothing heard of it.
    private func isGone(_ index: Int) -> Bool {
        guard let standing, standing[index]?.isConnected != true else { return false }
        if isLost(index) { return true }
        guard let pod = pods[index] else { return true }
        if pod.status["phase"]?.string == "Pending", pod.condition("PodScheduled") == "False" { return true }
        guard let name = pod.spec["nodeName"]?.string else { return false }
        guard let node = seen.nodes.first(where: { $0.name == name }) else { return true }
        return node.condition("Ready") != "True"
    }

    private mutating func noteGone() {
        var since: [Int: MonotonicInstant] = [:]
        for index in members where isGone(index) { since[index] = memory.goneSince[index] ?? now }
        memory.goneSince = since
    }

    /// Those in whose place another is due (R15): never the primary, and only while a healthy copy is there.
    private mutating func lostMembers() -> [Int] {
        guard isOpen, !spec.failover.isDisabled else { return [] }
        return members.filter { index in
            guard index != primary, let since = memory.goneSince[index] else { return false }
            if isLost(index) { return true }
            let due = since + spec.failover.recreateAfter
            if now < due { lookAgain(at: due) }
            return now >= due
        }
    }

    // MARK: Changes

    /// A single instance whose volume somebody deleted has nothing left to wait for.
    private mutating func startOver() -> Bool {
        guard members.count == 1, let only = members.first, isLost(only), statefulSets[only] == nil else {
            return false
        }
        let new = nextIndex
        members = [new]
        if let name = names.instance(new) {
            plan.add(
                .startOver(with: name),
                "instance \(only) has neither a StatefulSet nor a volume: the cluster begins anew, empty"
            )
        }
        plan.tell(
            "RecreatingPrimaryStatefulSet",
            "the volume of '\(names.statefulSet(only))' is gone: '\(names.statefulSet(new))' begins with an empty one"
        )
        return true
    }

    private mutating func grow(replacing lost: [Int]) {
        if members.isEmpty {
            warnOfOldVolumes()
            members = [nextIndex]
        }
        // The primary first: whoever comes later copies from it.
        while isOpen, members.count - lost.count < spec.replicas { members.append(nextIndex) }
    }

    private mutating func warnOfOldVolumes() {
        let old = claims.keys.sorted().map { names.claim($0) }
        guard let first = old.first else { return }
        warn(
            "OldVolumesLeftAlone",
            "\(old.count) volumes of an earlier cluster of this name are left alone, such as '\(first)': delete them, or "
                + "label those with the newest data \(Marks.member)=true before the cluster is made"
        )
    }

    private mutating func shrink(beside lost: [Int]) {
        guard let primary, isOpen, spec.replicas > 0 else { return }
        let staying = members.filter { !lost.contains($0) }
        let serving = staying.filter { $0 == primary || standing?[$0]?.isStreaming == true }
        // Whoever was replaced goes when as many serve as are asked for.
        if serving.count >= spec.replicas { members = staying }
        // Whoever is missing may come back, or be replaced: then it is known who is one too many.
        let isDecided = members.allSatisfy { memory.goneSince[$0] == nil || lost.contains($0) }
        guard isDecided || spec.failover.isDisabled else { return }
        let surplus = max(0, staying.count - spec.replicas)
        let going = staying.filter { $0 != primary }.sorted { rank($0) > rank($1) }.prefix(surplus)
        members = members.filter { !going.contains($0) }
    }

    /// Who goes first when there are too many: the missing, then the highest number.
    private func rank(_ index: Int) -> (Int, Int) {
        (known.contains(index) && statefulSets[index] == nil ? 1 : 0, index)
    }

    /// Those that have objects and should not.
    var retiring: [Int] { statefulSets.keys.sorted().filter { !members.contains($0) } }
}
