import ClusterModel
import FoundationEssentials
import Platform

/// Decisions and changes of primary as JSON lines, for people and `history`; never read by a decision.
///
/// Written one after another on a thread of their own: a volume that hangs holds up nothing but the history. What more
/// than ``backlogLimit`` lines wait for is dropped, the oldest first.
final class HistoryFile: Sendable {
    private struct Line: Encodable, Sendable {
        var at: String
        var kind: String?
        var rule: String?
        var text: String?
        var evidence: [String]?
        var failover: FailoverSummary?
    }

    /// At this size the file is kept once under another name and begun anew.
    static let sizeLimit = 16 << 20
    /// Lines that may wait for the disk.
    static let backlogLimit = 1000

    private let lines: AsyncStream<Line>.Continuation
    private let writer: Task<Void, Never>

    /// - failed: told why a line could not be written.
    init(path: String, failed: @escaping @Sendable (String) -> Void) {
        let (stream, continuation) = AsyncStream.makeStream(
            of: Line.self,
            bufferingPolicy: .bufferingNewest(Self.backlogLimit)
        )
        lines = continuation
        writer = Task {
            for await line in stream {
                let reason = await onThread { Self.write(line, to: path) }
                if let reason { failed(reason) }
            }
        }
    }

    deinit { writer.cancel() }

    func append(_ explanation: Explanation, at milliseconds: Int64) {
        lines.yield(
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

    func append(_ summary: FailoverSummary, at milliseconds: Int64) {
        lines.yield(Line(at: WallClock.text(milliseconds), failover: summary))
    }

    /// Returns why it could not be written.
    private static func write(_ line: Line, to path: String) -> String? {
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            var bytes = Array(try encoder.encode(line))
            bytes.append(UInt8(ascii: "\n"))
            try AppendFile.append(bytes, to: path, sizeLimit: sizeLimit)
            return nil
        } catch {
            return "\(error)"
        }
    }
}
