import Platform

/// A moment of the machine's own clock by which a wait ends.
struct Deadline: Sendable {
    private let moment: Duration

    init(after duration: Duration) { moment = MonotonicClock.now() + duration }

    var remaining: Duration { moment - MonotonicClock.now() }
    var isOver: Bool { remaining <= .zero }

    /// Whole milliseconds left, rounded up, for `poll`.
    var pollMilliseconds: Int32 {
        let (seconds, attoseconds) = remaining.components
        if seconds < 0 || attoseconds < 0 { return 0 }
        if seconds > 2_000_000 { return 2_000_000_000 }
        return Int32(seconds) * 1000 + Int32(attoseconds / 1_000_000_000_000_000) + 1
    }
}
