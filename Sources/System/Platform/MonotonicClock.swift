import Glibc

/// The machine's clock that never jumps and also counts the time a machine was suspended.
public enum MonotonicClock {
    /// The time since the machine was started, suspension included (`CLOCK_BOOTTIME`).
    ///
    /// Comparable within one boot of one machine only; the wall clock has no influence on it.
    public static func now() -> Duration { .nanoseconds(Int64(clamping: nanoseconds())) }

    /// The same moment in whole nanoseconds.
    public static func nanoseconds() -> UInt64 {
        var time = timespec()
        // Safe: the structure outlives the call, which cannot fail for this clock on Linux.
        _ = unsafe clock_gettime(CLOCK_BOOTTIME, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// The wall clock, for people's eyes only: log lines, history, file names.
///
/// Never for a decision.
public enum WallClock {
    /// Milliseconds since 1970 in universal time.
    public static func milliseconds() -> Int64 {
        var time = timespec()
        // Safe: the structure outlives the call, which cannot fail for this clock on Linux.
        _ = unsafe clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}

extension Duration {
    /// The whole milliseconds of this duration, rounded down and held within 32 bits, as `poll` wants them.
    var pollMilliseconds: Int32 {
        let (seconds, attoseconds) = components
        if seconds < 0 || attoseconds < 0 { return 0 }
        if seconds > 2_000_000 { return 2_000_000_000 }
        return Int32(seconds) * 1000 + Int32(attoseconds / 1_000_000_000_000_000)
    }
}
