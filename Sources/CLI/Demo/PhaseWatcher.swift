import ClusterModel
import LocalCluster
import Platform

/// Tells each step of a failover as the controller's view shows it.
struct PhaseWatcher: Sendable {
    let question: ControllerQuestion
    /// The moment that the told times count from.
    let origin: Duration
    let report: @Sendable (String) -> Void

    private static let interval = Duration.milliseconds(40)

    /// Watches until `isOver` holds for a view.
    ///
    /// - Returns: The last view; nil if the deadline came first.
    func watch(
        from first: ClusterView,
        deadline: Duration,
        until isOver: (ClusterView) -> Bool
    ) async throws -> ClusterView? {
        var last = first
        let end = MonotonicClock.now() + deadline
        while MonotonicClock.now() < end {
            try Task.checkCancellation()
            if let view = try? await question.view(deadline: .seconds(1)) {
                for line in Self.changes(from: last, to: view) { say(line) }
                last = view
                if isOver(view) { return view }
            }
            try await Task.sleep(for: Self.interval)
        }
        return nil
    }

    /// Prints a line with the time since the origin.
    func say(_ line: String) {
        let elapsed = "\((MonotonicClock.now() - origin).wholeMilliseconds)"
        let room = String(repeating: " ", count: max(0, 7 - elapsed.count))
        report("  +\(room)\(elapsed) ms  \(line)")
    }

    /// What is new between two views, in words.
    static func changes(from old: ClusterView, to new: ClusterView) -> [String] {
        var lines: [String] = []
        if new.term != old.term { lines.append("term \(new.term) is open: no order of an older one counts any more") }
        if new.phase != old.phase || (new.phase != .steady && new.term != old.term) {
            switch new.phase {
            case .preparing: lines.append("preparing: the members promise, cut their receivers, tell their positions")
            case .promoting:
                lines.append("promoting: \(new.primary?.text ?? "a candidate") is in the record as primary")
            case .steady: lines.append("steady: \(new.primary?.text ?? "nobody") is in office")
            case .forming, .initializing: lines.append("the cluster is being made")
            }
        }
        for instance in new.instances {
            guard let before = old.instances.first(where: { $0.name == instance.name }) else { continue }
            lines += changes(of: instance, before: before)
        }
        return lines
    }

    private static func changes(of instance: ClusterView.Instance, before: ClusterView.Instance) -> [String] {
        var lines: [String] = []
        let name = instance.name
        if instance.connected != before.connected {
            lines.append("\(name): its agent is \(instance.connected ? "connected" : "gone")")
        }
        if instance.role != before.role { lines.append("\(name): \(before.role) → \(instance.role)") }
        if let position = instance.position, position.timeline != before.position?.timeline {
            lines.append("\(name): on timeline \(position.timeline)")
        }
        if instance.opened != before.opened {
            lines.append("\(name): \(instance.opened ? "admits clients" : "does not admit clients any more")")
        }
        if instance.streaming && !before.streaming { lines.append("\(name): streams from the primary") }
        if instance.work != before.work && !instance.work.isEmpty { lines.append("\(name): \(instance.work)") }
        if instance.fault != before.fault && !instance.fault.isEmpty {
            lines.append("\(name): fault: \(instance.fault)")
        }
        return lines
    }
}
