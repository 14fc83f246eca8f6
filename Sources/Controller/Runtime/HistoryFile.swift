import ClusterModel
import FoundationEssentials
import Platform

/// Decisions and changes of primary as JSON lines, for people and `history`; never read by a decision.
actor HistoryFile {
    private struct Line: Encodable {
        var at: String
        var kind: String?
        var rule: String?
        var text: String?
        var evidence: [String]?
        var failover: FailoverSummary?
    }

    /// At this size the file is kept once under another name and begun anew.
    static let sizeLimit = 16 << 20

    private let path: String
    private let encoder = JSONEncoder()

    init(path: String) {
        self.path = path
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    }

    func append(_ explanation: Explanation, at milliseconds: Int64) throws {
        try write(
            Line(
                at: WallClock.text(milliseconds),
                kind: explanation.kind.rawValue,
                rule: explanation.rule,
                text: explanation.text,
                evidence: explanation.evidence,
                failover: nil
            )
        )
    }

    func append(_ summary: FailoverSummary, at milliseconds: Int64) throws {
        try write(Line(at: WallClock.text(milliseconds), failover: summary))
    }

    private func write(_ line: Line) throws {
        var bytes = Array(try encoder.encode(line))
        bytes.append(UInt8(ascii: "\n"))
        try AppendFile.append(bytes, to: path, sizeLimit: Self.sizeLimit)
    }
}
