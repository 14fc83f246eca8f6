/// Timelines that a data directory's WAL went through: what its own history file says (R14).
///
/// - SeeAlso: PostgreSQL manual, 26.3.5 Timelines.
public struct Lineage: Hashable, Sendable, Codable {
    /// Where a timeline was left for the next one.
    public struct Fork: Hashable, Sendable, Codable {
        /// The timeline that was left.
        public var parent: Timeline
        /// Its end in this lineage.
        public var lsn: LSN

        /// Creates a fork from its parts.
        public init(parent: Timeline, lsn: LSN) {
            self.parent = parent
            self.lsn = lsn
        }
    }

    /// The youngest.
    public var timeline: Timeline
    /// Oldest first; empty for the first timeline, and where no history is known.
    public var forks: [Fork]

    /// How many forks a history file may name.
    public static let forkLimit = 4096

    /// Creates a lineage from its parts.
    public init(timeline: Timeline, forks: [Fork]) {
        self.timeline = timeline
        self.forks = forks
    }

    /// Reads a history file of PostgreSQL; lines that say nothing of a fork are left out.
    public init(timeline: Timeline, historyFile: String) {
        var forks: [Fork] = []
        for line in historyFile.split(whereSeparator: \.isNewline).prefix(Self.forkLimit) {
            let words = line.split(maxSplits: 2, whereSeparator: \.isWhitespace)
            guard words.count >= 2, let parent = UInt32(words[0]), let lsn = LSN(words[1]) else { continue }
            forks.append(Fork(parent: Timeline(rawValue: parent), lsn: lsn))
        }
        self.init(timeline: timeline, forks: forks)
    }

    /// The lineage of the last primacy of a recorded history.
    public init(of history: [Primacy]) {
        var forks: [Fork] = []
        var child = history.last
        while let current = child, current.parent != .none {
            forks.append(Fork(parent: current.parent, lsn: current.forkLSN))
            child = history.last { $0.timeline == current.parent && $0.timeline < current.timeline }
        }
        self.init(timeline: history.last?.timeline ?? .none, forks: forks.reversed())
    }

    /// Each timeline that came from another one, with the fork, oldest first.
    public var steps: [(child: Timeline, fork: Fork)] {
        forks.indices.map { index in
            (index + 1 < forks.count ? forks[index + 1].parent : timeline, forks[index])
        }
    }

    /// Where this lineage ends on a timeline: nil on its youngest, zero on one that it never was on.
    public func end(on timeline: Timeline) -> LSN? {
        if timeline == self.timeline { return nil }
        return forks.last { $0.parent == timeline }?.lsn ?? .zero
    }
}
