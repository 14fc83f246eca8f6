import ClusterModel
import Foundation
import Platform
import Testing

@testable import ControllerRuntime

@Suite("Controller: the history in a file")
struct HistoryFileTests {
    /// Lines that come through the pipe until one holds the last word, or none comes for ten seconds.
    private func read(_ descriptor: Int32, until last: String) async -> [String] {
        await onThread {
            var bytes: [UInt8] = []
            while !String(decoding: bytes.suffix(400), as: UTF8.self).contains(last) {
                var question = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                guard unsafe poll(&question, 1, 10_000) == 1 else { break }
                var part = [UInt8](repeating: 0, count: 1 << 16)
                let count = unsafe part.withUnsafeMutableBytes { room in
                    unsafe Glibc.read(descriptor, room.baseAddress, room.count)
                }
                guard count > 0 else { break }
                bytes += part.prefix(count)
            }
            return String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).map(String.init)
        }
    }

    @Test("a disk that hangs holds up nobody, and drops the oldest of what waits for it")
    func hanging() async throws {
        let path = NSTemporaryDirectory() + "understudy-test-history-\(UUID().uuidString)"
        // A pipe that nobody reads: to open it for writing takes as long as a disk that hangs.
        try #require(unsafe mkfifo(path, 0o600) == 0)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let history = HistoryFile(path: path) { Issue.record("\($0)") }
        let count = HistoryFile.backlogLimit + 100
        for number in 1...count { history.append(Explanation(.waiting, rule: "R19", "line \(number)."), at: 0) }
        let descriptor = unsafe open(path, O_RDWR)
        try #require(descriptor >= 0)
        let lines = await read(descriptor, until: "line \(count).")
        close(descriptor)
        #expect(lines.last?.contains("\"line \(count).\"") == true)
        // One may have been on its way to the disk already.
        #expect((HistoryFile.backlogLimit...HistoryFile.backlogLimit + 1).contains(lines.count))
        withExtendedLifetime(history) {}
    }
}
