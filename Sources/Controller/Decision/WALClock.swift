import ClusterModel

/// When the primary's WAL reached which place, on this controller's own clock (R22).
///
/// The heartbeat moves the WAL once per report interval, also on an idle cluster. So the first mark that a standby has
/// not replayed tells how far it is behind in time; no two machines' clocks are compared, and a quiet hour is no lag.
struct WALClock: Hashable, Sendable {
    private struct Mark: Hashable, Sendable {
        var lsn: LSN
        var at: MonotonicInstant
    }

    /// How many marks are kept: the older half is thinned beyond that.
    static let limit = 256

    private var timeline: Timeline = .none
    private var marks: [Mark] = []

    /// The primary's WAL was seen to end there at that moment.
    mutating func note(_ position: WALPosition, at moment: MonotonicInstant) {
        if position.timeline != timeline {
            marks = []
            timeline = position.timeline
        }
        if let last = marks.last, position.lsn <= last.lsn || moment < last.at { return }
        marks.append(Mark(lsn: position.lsn, at: moment))
        guard marks.count > Self.limit else { return }
        let half = Self.limit / 2
        marks = marks[..<half].enumerated().filter { $0.offset.isMultiple(of: 2) }.map(\.element) + marks[half...]
    }

    /// For how long the primary had WAL that was not replayed there at that moment; nil if it cannot be said.
    func lag(of replayed: LSN, on timeline: Timeline, at moment: MonotonicInstant) -> Duration? {
        guard timeline == self.timeline, !marks.isEmpty else { return nil }
        guard let missed = marks.first(where: { $0.lsn > replayed }) else { return .zero }
        return max(.zero, moment - missed.at)
    }
}
