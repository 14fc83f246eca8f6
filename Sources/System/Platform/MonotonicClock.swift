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

    /// A moment as people and parsers read it, such as `2026-11-22T12:58:51.549Z`; not before 1970.
    public static func text(_ milliseconds: Int64) -> String {
        // Days since 1970 to a date, by counting years from March so that the leap day comes last.
        let (day, inDay) = (Int(milliseconds) / 86_400_000, Int(milliseconds) % 86_400_000)
        let shifted = day + 719_468
        let (era, ofEra) = (shifted / 146_097, shifted % 146_097)
        let yearOfEra = (ofEra - ofEra / 1460 + ofEra / 36524 - ofEra / 146_096) / 365
        let ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * ofYear + 2) / 153
        func digits(_ number: Int, _ count: Int = 2) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, count - text.utf8.count)) + text
        }
        let year = yearOfEra + era * 400 + (month >= 10 ? 1 : 0)
        let date = [
            digits(year, 4), digits(month < 10 ? month + 3 : month - 9), digits(ofYear - (153 * month + 2) / 5 + 1),
        ]
        let time = [digits(inDay / 3_600_000), digits(inDay / 60_000 % 60), digits(inDay / 1000 % 60)]
        return date.joined(separator: "-") + "T" + time.joined(separator: ":") + "." + digits(inDay % 1000, 3) + "Z"
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
