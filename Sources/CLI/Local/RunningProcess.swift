import Foundation
import Platform

/// A process of this machine as `/proc` shows it.
package struct RunningProcess: Hashable, Sendable {
    package let processID: Int32
    package let parent: Int32
    /// Clock ticks after the machine's start: number and start together name one process for ever.
    package let startTicks: UInt64
    /// Clock ticks of processor time spent so far.
    package let processorTicks: UInt64
    package let arguments: [String]

    /// The file name of the program, as it was called.
    package var program: String { arguments.first.map { String($0.split(separator: "/").last ?? "") } ?? "" }

    /// Looks up one process; nil if there is none, or only its zombie.
    package init?(_ processID: Int32) {
        guard let stat = Self.contents(processID, "stat"), let end = stat.lastIndex(of: ")") else { return nil }
        // The program's name stands in parentheses and may hold anything: fields count from the last one.
        let fields = stat[stat.index(after: end)...].split(separator: " ")
        guard fields.count > 19, fields[0] != "Z", fields[0] != "X", let parent = Int32(fields[1]),
            let user = UInt64(fields[11]), let system = UInt64(fields[12]), let start = UInt64(fields[19])
        else { return nil }
        self.processID = processID
        self.parent = parent
        startTicks = start
        processorTicks = user + system
        arguments = (Self.contents(processID, "cmdline") ?? "").split(separator: "\0").map(String.init)
    }

    /// A process as it was at some moment.
    init(processID: Int32, parent: Int32, startTicks: UInt64, processorTicks: UInt64, arguments: [String]) {
        self.processID = processID
        self.parent = parent
        self.startTicks = startTicks
        self.processorTicks = processorTicks
        self.arguments = arguments
    }

    /// Every process that may be seen.
    package static func all() -> [RunningProcess] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { Int32($0) }.sorted().compactMap { RunningProcess($0) }
    }

    /// Whether this very process still runs.
    package var isAlive: Bool { RunningProcess(processID)?.startTicks == startTicks }

    /// Where it works; nil if that may not be seen.
    package var workingDirectory: String? {
        try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(processID)/cwd")
    }

    /// Bytes of memory that it holds at the moment.
    package var residentBytes: UInt64? {
        let lines = Self.contents(processID, "status")?.split(separator: "\n") ?? []
        let fields = lines.first { $0.hasPrefix("VmRSS:") }?.split(whereSeparator: \.isWhitespace)
        guard let fields, fields.count > 1, let kilobytes = UInt64(fields[1]) else { return nil }
        return kilobytes * 1024
    }

    /// Sends a signal to this very process, never to a later one of its number.
    ///
    /// - Returns: Whether it was there to be signalled.
    @discardableResult
    package func signal(_ number: Int32) -> Bool { isAlive && kill(processID, number) == 0 }

    private static func contents(_ processID: Int32, _ name: String) -> String? {
        guard let file = FileHandle(forReadingAtPath: "/proc/\(processID)/\(name)") else { return nil }
        defer { try? file.close() }
        return (try? file.read(upToCount: 65536)).flatMap { $0 }.map { String(decoding: $0, as: UTF8.self) }
    }
}
