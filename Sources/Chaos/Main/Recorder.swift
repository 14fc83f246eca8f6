import ChaosChecker
import Foundation
import Platform
import PostgresDriver
import Synchronization

/// The log of all clients, in memory for the judges and in a file for people.
final class Recorder: Sendable {
    private struct State {
        var entries: [LogEntry] = []
        var written = 0
        var next = 0
        /// Moments of acknowledged commits, in order.
        var acknowledged: [Int64] = []
        var counts: [LogEntry.Kind: Int] = [:]
    }

    private let state = Mutex(State())
    private let path: String

    init(path: String) { self.path = path }

    /// Notes the beginning of an operation.
    func invoke(_ kind: LogEntry.Kind, client: Int, key: Int? = nil) -> LogEntry {
        state.withLock { state in
            state.next += 1
            let now = Int64(MonotonicClock.nanoseconds())
            let entry = LogEntry(kind, number: state.next, client: client, at: now, key: key)
            state.entries.append(entry)
            return entry
        }
    }

    /// Notes what became of it.
    func complete(_ entry: LogEntry) {
        state.withLock { state in
            var entry = entry
            entry.at = Int64(MonotonicClock.nanoseconds())
            state.entries.append(entry)
            guard entry.event == .ok else { return }
            state.counts[entry.kind, default: 0] += 1
            if entry.kind != .total { state.acknowledged.append(entry.at) }
        }
    }

    /// Acknowledged operations so far, by kind.
    var counts: [LogEntry.Kind: Int] { state.withLock { $0.counts } }

    /// Operations begun so far.
    var operations: Int { state.withLock { $0.next } }

    /// Moments of acknowledged commits, in order.
    var acknowledged: [Int64] { state.withLock { $0.acknowledged } }

    /// Everything so far.
    var entries: [LogEntry] { state.withLock { $0.entries } }

    /// Writes what is new to the file, one JSON object a line.
    func flush() throws {
        let fresh = state.withLock { state in
            defer { state.written = state.entries.count }
            return Array(state.entries[state.written...])
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        var bytes: [UInt8] = []
        for entry in fresh { bytes += Array(try encoder.encode(entry)) + [0x0A] }
        if !bytes.isEmpty { try AppendFile.append(bytes, to: path, sizeLimit: .max) }
    }

    /// Writes every now and then until the task is cancelled.
    func run() async {
        while !Task.isCancelled {
            try? flush()
            try? await Task.sleep(for: .milliseconds(500))
        }
    }
}
