/// A moment on one machine's clock that never goes back and counts suspended time (`CLOCK_BOOTTIME`).
///
/// Never compared with another machine's.
public struct MonotonicInstant: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Since the clock's start.
    public let nanoseconds: UInt64

    /// Creates a monotonic instant from its parts.
    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// By number.
    public static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }

    /// The moment `duration` later; before the clock's start becomes its start.
    public static func + (instant: Self, duration: Duration) -> Self {
        let sum = Int64(clamping: instant.nanoseconds).addingReportingOverflow(duration.wholeNanoseconds)
        return Self(nanoseconds: sum.overflow ? UInt64(Int64.max) : UInt64(max(0, sum.partialValue)))
    }

    /// The moment `duration` earlier.
    public static func - (instant: Self, duration: Duration) -> Self {
        // The smallest number has no negative.
        instant + .nanoseconds(-max(duration.wholeNanoseconds, -.max))
    }

    /// Time from `earlier` to `later`; negative if they are the other way round.
    public static func - (later: Self, earlier: Self) -> Duration {
        .nanoseconds(Int64(clamping: later.nanoseconds) - Int64(clamping: earlier.nanoseconds))
    }

    /// For people: logs, history and command line.
    public var description: String { "\(nanoseconds / 1_000_000) ms" }
}

extension Duration {
    /// Whole nanoseconds, at most what 63 bits hold.
    public var wholeNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let product = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        guard !product.overflow else { return seconds < 0 ? .min : .max }
        let sum = product.partialValue.addingReportingOverflow(attoseconds / 1_000_000_000)
        return sum.overflow ? (seconds < 0 ? .min : .max) : sum.partialValue
    }

    /// Whole milliseconds, rounded towards zero.
    public var wholeMilliseconds: Int64 { wholeNanoseconds / 1_000_000 }

    /// As configurations spell it: `500ms`, `3s`, `2m` or `24h`, in the largest unit that is exact.
    public var text: String {
        let count = wholeMilliseconds
        if count == 0 { return "0s" }
        for (suffix, unit) in [("h", Int64(3_600_000)), ("m", 60_000), ("s", 1000)] where count % unit == 0 {
            return "\(count / unit)\(suffix)"
        }
        return "\(count)ms"
    }
}
