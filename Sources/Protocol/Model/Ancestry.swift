/// How an instance's own WAL relates to the recorded history.
public enum Ancestry: Hashable, Sendable {
    /// Its WAL is a beginning of the primary's.
    case prefix
    /// It goes past a fork, or lies on a branch that was left.
    case diverged(String)
    /// It took a timeline that the record never gave.
    case unknown(String)
}

/// Judges a position by the whole recorded chain, never by (timeline, LSN) alone (R14).
public func ancestry(of position: WALPosition, in history: [Primacy]) -> Ancestry {
    guard let last = history.last else { return .unknown("the record has no history") }
    if position.timeline == last.timeline { return .prefix }
    var child = last
    while child.parent != .none {
        if child.parent == position.timeline {
            if position.lsn <= child.forkLSN { return .prefix }
            return .diverged(
                "its WAL goes to \(position.lsn), timeline \(child.timeline) left timeline \(child.parent) at "
                    + "\(child.forkLSN)"
            )
        }
        guard let parent = history.last(where: { $0.timeline == child.parent && $0.timeline < child.timeline }) else {
            break
        }
        child = parent
    }
    if history.contains(where: { $0.timeline == position.timeline }) {
        return .diverged("timeline \(position.timeline) was left by the recorded history")
    }
    return .unknown("timeline \(position.timeline) is not in the recorded history")
}
