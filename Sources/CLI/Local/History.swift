package import ClusterModel
import Foundation

/// What happened to a cluster, as its controller wrote it down.
package struct History: Sendable {
    /// One line of the history.
    package struct Entry: Codable, Hashable, Sendable {
        /// When, in universal time.
        package var at: String
        package var kind: String?
        package var rule: String?
        package var text: String?
        package var evidence: [String]?
        /// A change of primary that is complete.
        package var failover: FailoverSummary?
    }

    /// Oldest first.
    package let entries: [Entry]
    /// Lines as they stand in the file.
    package let lines: [String]
    /// How many lines could not be read, such as the last one after a crash.
    package let unreadable: Int

    private static let tailLimit = 8 << 20

    /// Reads the newest eight megabytes.
    package static func read(in folder: ClusterFolder) throws(CommandFailure) -> History {
        guard let handle = FileHandle(forReadingAtPath: folder.historyFile) else {
            if !FileManager.default.fileExists(atPath: folder.historyFile) { return History("") }
            throw CommandFailure(
                .failed,
                "could not read \(folder.historyFile): run as the user who brought the cluster up"
            )
        }
        defer { try? handle.close() }
        do {
            let end = try handle.seekToEnd()
            let start = end > UInt64(tailLimit) ? end - UInt64(tailLimit) : 0
            try handle.seek(toOffset: start)
            let text = String(decoding: try handle.read(upToCount: tailLimit) ?? Data(), as: UTF8.self)
            // The first line of a tail may be the end of a longer one.
            return History(start == 0 ? text : String(text.drop { $0 != "\n" }))
        } catch {
            throw CommandFailure(.failed, "could not read \(folder.historyFile): \(plain(error))")
        }
    }

    package init(_ text: String) {
        var entries: [Entry] = []
        var lines: [String] = []
        var unreadable = 0
        let decoder = JSONDecoder()
        for line in text.split(separator: "\n") {
            guard let entry = try? decoder.decode(Entry.self, from: Data(line.utf8)) else {
                unreadable += 1
                continue
            }
            entries.append(entry)
            lines.append(String(line))
        }
        self.entries = entries
        self.lines = lines
        self.unreadable = unreadable
    }

    /// Completed changes of primary, oldest first.
    package var failovers: [(at: String, summary: FailoverSummary)] {
        entries.compactMap { entry in entry.failover.map { (entry.at, $0) } }
    }

    /// Each change of primary with its reasons; `all` adds every other decision.
    package func text(last count: Int, all: Bool) -> String {
        let wanted = all ? entries : entries.filter { $0.failover != nil }
        var blocks = wanted.suffix(count).map(Self.block)
        if blocks.isEmpty { blocks = ["No change of primary so far."] }
        if unreadable > 0 { blocks.append("(\(unreadable) unreadable lines left out)") }
        return blocks.joined(separator: all ? "\n" : "\n\n")
    }

    private static func block(_ entry: Entry) -> String {
        if let failover = entry.failover {
            return ([entry.at] + HistoryText.summary(failover).map { "  \($0)" } + HistoryText.evidence(failover))
                .joined(separator: "\n")
        }
        let rule = entry.rule.map { $0.isEmpty ? "" : " [\($0)]" } ?? ""
        let because = (entry.evidence ?? []).map { "\n    - \($0)" }.joined()
        return "\(entry.at) \(entry.kind ?? "note"): \(entry.text ?? "")\(rule)\(because)"
    }
}

/// A change of primary in words.
enum HistoryText {
    static func summary(_ failover: FailoverSummary) -> [String] {
        let phases = failover.phases
        let total = phases.detect + phases.decide + phases.prepare + phases.promote + phases.route
        let from = failover.from.map { "\($0) to " } ?? "nobody to "
        let kind = failover.isPlanned == true ? ", planned" : ""
        return [
            "Term \(failover.term): \(from)\(failover.to), timeline \(failover.timeline), in \(total) ms\(kind)",
            "  why: \(failover.why)",
            "  phases: \(failover.isPlanned == true ? "stop" : "detect") \(phases.detect) ms, decide \(phases.decide) ms, prepare \(phases.prepare) ms, "
                + "promote \(phases.promote) ms, route \(phases.route) ms",
        ]
    }

    static func evidence(_ failover: FailoverSummary) -> [String] { failover.evidence.map { "    - \($0)" } }
}
