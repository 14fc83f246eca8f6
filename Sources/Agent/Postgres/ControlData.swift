import ClusterModel
import InstanceDecision

/// What `pg_controldata` says about a data directory.
struct ControlData: Hashable, Sendable {
    private let fields: [String: String]

    /// Reads the tool's output in the C locale.
    init(_ output: String) {
        var fields: [String: String] = [:]
        for line in output.split(whereSeparator: \.isNewline) {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            fields[String(parts[0])] = String(parts[1].drop { $0 == " " })
        }
        self.fields = fields
    }

    var systemIdentifier: SystemIdentifier? {
        fields["Database system identifier"].flatMap { UInt64($0) }.map { SystemIdentifier(rawValue: $0) }
    }
    var state: String { fields["Database cluster state"] ?? "" }
    var checkpoint: LSN { lsn("Latest checkpoint location") }
    var checkpointTimeline: Timeline { timeline("Latest checkpoint's TimeLineID") }
    var recoveryEnd: LSN { lsn("Minimum recovery ending location") }
    var recoveryEndTimeline: Timeline { timeline("Min recovery ending loc's timeline") }

    /// Least settings that its WAL demands of a standby (R8).
    var capacity: CapacitySettings? {
        guard let connections = number("max_connections setting"),
            let workers = number("max_worker_processes setting"), let senders = number("max_wal_senders setting"),
            let prepared = number("max_prepared_xacts setting"), let locks = number("max_locks_per_xact setting")
        else { return nil }
        return CapacitySettings(
            maxConnections: connections,
            maxWorkerProcesses: workers,
            maxWALSenders: senders,
            maxPreparedTransactions: prepared,
            maxLocksPerTransaction: locks
        )
    }

    /// The facts of a server that is down.
    var facts: StoppedFacts? {
        guard let systemIdentifier, !state.isEmpty else { return nil }
        let timeline = max(checkpointTimeline, recoveryEndTimeline)
        let isPrimary = !["shut down in recovery", "in archive recovery"].contains(state)
        let end: LSN =
            switch state {
            case "shut down": WALRecord.end(ofShutdownCheckpointAt: checkpoint, segmentSize: segmentSize)
            case "shut down in recovery": recoveryEnd == .zero ? checkpoint : recoveryEnd
            default: .zero
            }
        // Where a shutdown record of unknown length ends cannot be said: such a primary is rewound (D60).
        let isClean = state == "shut down in recovery" || state == "shut down" && WALRecord.isKnown(controlVersion)
        return StoppedFacts(
            systemIdentifier: systemIdentifier,
            timeline: timeline,
            cleanShutdown: isClean,
            wasPrimary: isPrimary,
            end: end
        )
    }

    private var controlVersion: Int { number("pg_control version number") ?? 0 }
    private var segmentSize: UInt64 { fields["Bytes per WAL segment"].flatMap { UInt64($0) } ?? 16 << 20 }

    private func lsn(_ name: String) -> LSN { fields[name].flatMap { LSN($0) } ?? .zero }

    private func timeline(_ name: String) -> Timeline {
        Timeline(rawValue: fields[name].flatMap { UInt32($0) } ?? 0)
    }

    private func number(_ name: String) -> Int? { fields[name].flatMap { Int($0) } }
}

/// Sizes of WAL records, which are laid over pages with a header each.
enum WALRecord {
    /// Layouts of the control file, and so of a checkpoint record, that are known: of versions 13 to 16, 17 and 18.
    static func isKnown(_ controlVersion: Int) -> Bool { [1300, 1700, 1800].contains(controlVersion) }

    /// Where the record of a shutdown checkpoint ends: 114 bytes, rounded up to 8, page headers in between.
    ///
    /// - SeeAlso: PostgreSQL source, xlogrecord.h, `CheckPoint` in pg_control.h, `XLByteToEndRecPtr` in xlog.c.
    static func end(ofShutdownCheckpointAt start: LSN, segmentSize: UInt64) -> LSN {
        let page: UInt64 = 8192
        var position = start.rawValue
        var left: UInt64 = 120
        while true {
            let room = page - position % page
            if left <= room { return LSN(rawValue: position + left) }
            left -= room
            position += room
            position += position % segmentSize == 0 ? 40 : 24
        }
    }
}
