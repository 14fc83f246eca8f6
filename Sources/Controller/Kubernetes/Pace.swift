/// Spreads requests over time: so many at once after a rest, then so many a second.
struct TokenBucket: Sendable {
    private let interval: Duration
    private let burst: Int
    /// When the bucket will be full; earlier than now means full.
    private var full: Duration

    init(perSecond: Int, burst: Int) {
        interval = .seconds(1) / max(1, perSecond)
        self.burst = max(1, burst)
        full = .zero
    }

    /// How long the next request must wait, having taken its place; nil, with no place taken, if that is too long.
    mutating func take(at now: Duration, within limit: Duration) -> Duration? {
        let start = max(full, now)
        let wait = max(.zero, start + interval - now - interval * burst)
        guard wait <= limit else { return nil }
        full = start + interval
        return wait
    }
}

/// Longer and longer waits while something keeps failing, each partly by chance so that many do not return together.
public struct Backoff: Sendable {
    /// The first wait, before chance.
    public let first: Duration
    /// The longest wait.
    public let longest: Duration
    private var failures = 0

    /// Creates a sequence of waits.
    public init(first: Duration = .milliseconds(200), longest: Duration = .seconds(30)) {
        self.first = first
        self.longest = longest
    }

    /// The next wait: between half and the whole of `first`, doubled at each failure, up to `longest`.
    ///
    /// - Parameter random: Any number, each as likely as the other.
    /// - Returns: How long to wait.
    public mutating func next(random: UInt64) -> Duration {
        let whole = min(longest, first * (1 << min(failures, 20)))
        failures = min(failures + 1, 20)
        return whole / 2 + whole / 2 * Int(random % 1024) / 1024
    }

    /// Begins anew after a success.
    public mutating func reset() { failures = 0 }
}
