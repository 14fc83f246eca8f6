public import ClusterModel
import InstanceDecision
import LauncherClient
import LauncherProtocol

/// WAL that the recorded history does not contain, set aside before a rewind or a new copy destroys it (R14).
extension PostgresAdapter {
    /// How many such folders are kept; the oldest goes first.
    static let keptFolders = 2
    /// How much of one divergence is kept, from the fork on.
    static let keptBytes: UInt64 = 256 << 20

    /// What happened beside the work of procedures since this was asked last.
    public func takeNews() -> [Explanation] {
        defer { news = [] }
        return news
    }

    /// Copies what is on disk beyond the upstream's history.
    ///
    /// What cannot be kept is told and given up: a full disk must not keep a member away for ever (P3).
    func keepDivergentWAL(_ upstream: Upstream) async throws(WorkError) {
        do throws(WorkError) {
            let segments = try await divergentSegments(upstream.lineage)
            guard let first = segments.first else { return }
            activity = "keeping divergent WAL"
            try await keep(segments, from: first.from(upstream.lineage), upstream)
        } catch {
            if Task.isCancelled { throw error }
            tell(.fault, "the WAL here that the recorded history does not contain could not be kept: \(error)")
        }
    }

    /// Folders with divergent WAL, oldest first.
    func readKeptWAL() async {
        let entries = (try? await launcher.list(InstanceLayout.divergent)) ?? []
        let names = entries.filter { $0.kind == .folder && $0.name.hasPrefix("joining-") }.map(\.name)
        keptWAL = names.suffix(Self.keptFolders).map {
            "\(configuration.dataFolder)/\(InstanceLayout.inside(InstanceLayout.divergent, $0))"
        }
    }

    func tell(_ kind: Explanation.Kind, rule: String = "R14", _ text: String) {
        news.append(Explanation(kind, rule: rule, text))
        if news.count > 16 { news.removeFirst() }
    }

    /// Segments in use that hold something beyond the end of the lineage on their timeline: the newest timeline's
    /// first, as it is what was left just now.
    private func divergentSegments(_ lineage: Lineage) async throws(WorkError) -> [WALSegment] {
        let folder = InstanceLayout.inside("pg_wal")
        let entries: [FolderEntry]
        do throws(LauncherError) {
            entries = try await launcher.list(folder)
        } catch {
            // No data directory, no WAL.
            if error.code == .absent { return [] }
            throw WorkError(error)
        }
        var found: [WALSegment] = []
        for segment in entries.compactMap(WALSegment.init) where segment.isBeyond(lineage) {
            let path = "\(folder)/\(segment.name)"
            let header = try await launch { (l) throws(LauncherError) in
                try await l.readStart(path, count: WALSegment.headerBytes)
            }
            // One that waits to be used again has the address of its earlier use, or none.
            if segment.isInUse(header: header ?? []) { found.append(segment) }
        }
        var divergent: [WALSegment] = []
        for timeline in Set(found.map(\.timeline)).sorted(by: >) {
            let segments = found.filter { $0.timeline == timeline }
            if try await holdsRecords(segments, lineage) { divergent += segments }
        }
        return divergent
    }

    /// Whether a record follows the fork: the rest of the segment in which a timeline was left is empty, mostly.
    private func holdsRecords(_ segments: [WALSegment], _ lineage: Lineage) async throws(WorkError) -> Bool {
        guard let first = segments.first else { return false }
        let path = "\(configuration.dataFolder)/\(InstanceLayout.inside("pg_wal"))"
        let result = try await toolResult(
            "pg_waldump",
            [
                "--path=\(path)", "--timeline=\(first.timeline)", "--start=\(first.from(lineage))", "--limit=1",
            ],
            timeout: .seconds(30)
        )
        // Whatever else it stumbles over is no reason to give something up.
        return result.isSuccess || !result.outputTail.contains("could not find a valid record")
    }

    private func keep(_ segments: [WALSegment], from start: LSN, _ upstream: Upstream) async throws(WorkError) {
        var bytes: UInt64 = 0
        let kept = segments.prefix { segment in
            bytes += segment.bytes
            return bytes <= Self.keptBytes
        }
        guard let first = kept.first else { throw WorkError("a segment is larger than \(Self.keptBytes >> 20) MB") }
        let size = kept.map(\.bytes).reduce(0, +)
        let (joined, left) = (WALSegment.digits(upstream.timeline), WALSegment.digits(first.timeline))
        let name = "joining-\(joined)-left-\(left)-at-\(start.description.replacingSlash)"
        let folder = InstanceLayout.inside(InstanceLayout.divergent, name)
        // Kept before an attempt that did not come to its end.
        if try await exists(folder) { return }
        let room = try await launch { (l) throws(LauncherError) in try await l.space("") }.availableBytes
        guard room >= 2 * size else { throw WorkError("\(size >> 20) MB are needed, \(room >> 20) MB are free") }
        let unfinished = InstanceLayout.inside(InstanceLayout.divergent, "unfinished")
        try await launch { (l) throws(LauncherError) in
            try await l.makeDirectory(InstanceLayout.divergent)
            try await l.removeTree(unfinished)
            try await l.makeDirectory(unfinished)
        }
        let path = "\(configuration.dataFolder)/\(folder)"
        let command = "pg_waldump --path=\(path) --timeline=\(first.timeline) --start=\(start)"
        for segment in kept {
            let source = InstanceLayout.inside("pg_wal/\(segment.name)")
            try await launch { (l) throws(LauncherError) in
                try await l.copy(source, to: "\(unfinished)/\(segment.name)", limit: segment.bytes)
            }
        }
        let others = segments.count - kept.count
        let rest = others == 0 ? "" : "; the \(others) segments after them are not kept"
        let text =
            "\(kept.count) segments of WAL from timeline \(first.timeline) at \(start) on, which the history of "
            + "timeline \(upstream.timeline) does not contain\(rest)"
        let advice = "Delete this folder when you have looked; the \(Self.keptFolders) newest are kept."
        try await place("\(unfinished)/about.txt", "\(text)\nTo look at them: \(command)\n\(advice)\n")
        try await launch { (l) throws(LauncherError) in try await l.rename(unfinished, to: folder) }
        tell(.rejoin, "\(text), are kept in \(path); to look at them: \(command)")
        try await dropOldest()
        await readKeptWAL()
    }

    private func dropOldest() async throws(WorkError) {
        let entries = try await launch { (l) throws(LauncherError) in try await l.list(InstanceLayout.divergent) }
        // The timeline joined comes first in the name, and grows: the order of the names is that of their making.
        let names = entries.filter { $0.name.hasPrefix("joining-") }.map(\.name)
        for name in names.dropLast(Self.keptFolders) {
            let path = InstanceLayout.inside(InstanceLayout.divergent, name)
            _ = try await launch { (l) throws(LauncherError) in try await l.removeTree(path) }
            tell(.rejoin, "divergent WAL kept earlier is removed: \(name)")
        }
    }
}

/// One file of `pg_wal`, as its name tells.
struct WALSegment: Hashable, Sendable {
    /// Beginning of a page header, up to the page's address.
    static let headerBytes = 16

    let name: String
    let timeline: Timeline
    let start: LSN
    let bytes: UInt64

    /// Nil for anything but a whole segment.
    init?(_ entry: FolderEntry) {
        let name = entry.name
        guard entry.kind == .file, name.utf8.count == 24, entry.size >= 1 << 20, entry.size <= 1 << 30,
            entry.size.nonzeroBitCount == 1, let timeline = UInt32(name.prefix(8), radix: 16),
            let high = UInt64(name.dropFirst(8).prefix(8), radix: 16), let number = UInt64(name.suffix(8), radix: 16),
            // No segment has another number; and nothing computed from it can overflow.
            number < (1 << 32) / entry.size, high < UInt64(UInt32.max)
        else { return nil }
        self.name = name
        self.timeline = Timeline(rawValue: timeline)
        start = LSN(rawValue: high << 32 | (number * entry.size) & 0xFFFF_FFFF)
        bytes = entry.size
    }

    /// Whether it goes further than the lineage does on its timeline.
    func isBeyond(_ lineage: Lineage) -> Bool {
        guard let end = lineage.end(on: timeline) else { return false }
        return start.rawValue + bytes > end.rawValue
    }

    /// Where in it that begins.
    func from(_ lineage: Lineage) -> LSN { max(start, lineage.end(on: timeline) ?? start) }

    /// Whether its first page says that it lies here.
    ///
    /// - SeeAlso: PostgreSQL source, xlog_internal.h, XLogPageHeaderData.
    func isInUse(header: [UInt8]) -> Bool {
        guard header.count >= Self.headerBytes else { return false }
        let address = header[8..<16].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return address == start.rawValue
    }

    /// Eight hexadecimal digits, as PostgreSQL names timelines in its files.
    static func digits(_ timeline: Timeline) -> String {
        let digits = String(timeline.rawValue, radix: 16, uppercase: true)
        return String(repeating: "0", count: 8 - digits.utf8.count) + digits
    }
}

extension String {
    fileprivate var replacingSlash: String { String(map { $0 == "/" ? "-" : $0 }) }
}
