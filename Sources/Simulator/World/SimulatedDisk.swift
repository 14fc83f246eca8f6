import ClusterModel

/// One WAL record.
///
/// Its id is unique in the world, so that a record stands for all that comes before it.
struct WALRecord: Hashable {
    var id: UInt64
    var timeline: UInt32
    /// Position of its end.
    var end: UInt64
}

/// A data directory: what outlives every process.
final class DataFolder {
    let systemIdentifier: SystemIdentifier
    var incarnation: Incarnation
    var records: [WALRecord]
    /// How many records are safe on disk; the others go with the processes.
    var flushed: Int
    var standbySignal = false
    /// Host that `primary_conninfo` points at; nil while it is cut.
    var upstream: Int?
    /// `synchronous_standby_names`.
    var names = standbySynchronousNames
    /// Whether the `pg_hba` file admits clients.
    var gateIsOpen = false
    /// Highest timeline of a server that a receiver connected to.
    var connectedTimeline: UInt32 = 0
    /// How often settings were written: a late write knows by it that it was overtaken.
    var writes = 0
    /// Highest timeline of which there is only a comment: no way leads to it.
    var commentedTimeline: UInt32 = 0
    /// Highest timeline of which there is a history file, comment-only ones included.
    var highestHistoryFile: UInt32 = 0
    /// A rewind was begun and is not done: no server starts from this.
    var isDamaged = false
    /// Copied or restored since it was marked: its control file was born another time.
    var isCopy = false
    var shutDownCleanly = false
    /// Last ran outside recovery.
    var wasPrimary = false
    /// The control file shows the present timeline, so that others can rewind from here.
    var isCheckpointed = true

    init(systemIdentifier: SystemIdentifier, incarnation: Incarnation, records: [WALRecord]) {
        self.systemIdentifier = systemIdentifier
        self.incarnation = incarnation
        self.records = records
        flushed = records.count
    }

    var timeline: UInt32 { flushed > 0 ? records[flushed - 1].timeline : 1 }
    var flushedEnd: UInt64 { flushed > 0 ? records[flushed - 1].end : 0 }
    var insertEnd: UInt64 { records.last?.end ?? 0 }

    /// Timeline and end of the last record that is safe.
    var position: WALPosition {
        WALPosition(timeline: Timeline(rawValue: timeline), lsn: LSN(rawValue: flushedEnd))
    }

    /// What the history file of a timeline says, as its records tell.
    func lineage(of timeline: Timeline) -> Lineage {
        var forks: [Lineage.Fork] = []
        for (earlier, later) in zip(records, records.dropFirst()) where earlier.timeline != later.timeline {
            if later.timeline > timeline.rawValue { break }
            let parent = Timeline(rawValue: earlier.timeline)
            forks.append(Lineage.Fork(parent: parent, lsn: LSN(rawValue: earlier.end)))
        }
        return Lineage(timeline: timeline, forks: forks)
    }

    /// What a crash leaves.
    func loseUnflushed() { records.removeLast(records.count - flushed) }

    /// Whether what is safe here is a beginning of what is safe there.
    func isPrefix(of other: DataFolder) -> Bool {
        guard flushed <= other.flushed, flushed > 0 else { return false }
        return records[flushed - 1].id == other.records[flushed - 1].id
    }

    /// An independent copy, as a lingering process of a dead server sees it.
    func copy() -> DataFolder {
        let copy = DataFolder(systemIdentifier: systemIdentifier, incarnation: incarnation, records: records)
        copy.flushed = flushed
        copy.names = names
        copy.gateIsOpen = gateIsOpen
        copy.wasPrimary = wasPrimary
        return copy
    }

    /// A restored backup of what is safe here.
    func snapshot() -> DataFolder {
        let copy = copy()
        copy.loseUnflushed()
        copy.isCopy = true
        copy.standbySignal = standbySignal
        copy.upstream = upstream
        copy.connectedTimeline = connectedTimeline
        copy.writes = writes
        copy.commentedTimeline = commentedTimeline
        copy.highestHistoryFile = highestHistoryFile
        copy.shutDownCleanly = shutDownCleanly
        copy.isCheckpointed = isCheckpointed
        return copy
    }
}

/// What a host keeps while it is off.
struct Disk {
    var state: InstanceState?
    var folder: DataFolder?
    /// Of the record, as a controller last gave it.
    var copy: ClusterRecord?
    /// Something that is not this cluster's lies where the data should be.
    var isForeign = false
    /// No write succeeds.
    var isFull = false
    /// No write ends.
    var isHung = false
    /// Flushes are said to be done and are not: the loss shows when the machine loses power.
    var lies = false

    /// Nothing is written.
    var isStill: Bool { isFull || isHung }
}
