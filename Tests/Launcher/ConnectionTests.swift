import CPlatform
import Foundation
import Glibc
import LauncherClient
import LauncherProtocol
import Synchronization
import Testing

extension LauncherProcessTests {
    @Suite("Launcher and its agents")
    struct ConnectionTests {
        @Test("the socket is open to its user alone, and a newer agent takes over from an older one")
        func takeOver() async throws {
            try await withHarness { harness in
                try await harness.launch()
                let attributes = try FileManager.default.attributesOfItem(atPath: harness.socketPath)
                #expect((attributes[.posixPermissions] as? Int) == 0o600)
                let second = LauncherClient(socketPath: harness.socketPath)
                try await second.connect()
                try await eventually("the first agent is told") {
                    harness.events.all.contains { event in
                        if case .disconnected(let reason) = event { reason.contains("taken over") } else { false }
                    }
                }
                await #expect(throws: LauncherError.self) { try await harness.client.status() }
                #expect(try await second.status().server == .down(nil))
            }
        }

        @Test(
            "garbage closes its own connection and nobody else's",
            arguments: [
                [UInt8](repeating: 0xFF, count: 64), LauncherFrame.wrap([]), LauncherFrame.wrap([0, 0, 0, 1, 99]),
                [0, 0x20, 0, 1], LauncherFrame.wrap(LauncherRequest.processes.encoded(id: 1)),
                LauncherFrame.wrap(LauncherRequest.hello(version: 99).encoded(id: 1)),
                LauncherFrame.wrap(LauncherRequest.hello(version: 1).encoded(id: 1) + [0]),
            ]
        )
        func garbage(bytes: [UInt8]) async throws {
            try await withHarness { harness in
                try await harness.launch()
                let raw = try RawConnection(harness.socketPath)
                raw.send(bytes)
                try await eventually("the connection is closed") { raw.isClosedByPeer() }
                #expect(try await harness.client.status().server == .down(nil))
            }
        }

        @Test("garbage from the commanding agent closes its connection; the server runs on")
        func garbageFromCommander() async throws {
            try await withHarness { harness in
                try await harness.launch()
                try await harness.startServer()
                let raw = try RawConnection(harness.socketPath)
                raw.send(LauncherFrame.wrap(LauncherRequest.hello(version: 1).encoded(id: 1)))
                raw.send([0xFF, 0xFF, 0xFF, 0xFF])
                try await eventually("the connection is closed") { raw.isClosedByPeer() }
                try await harness.client.connect()
                #expect(try harness.query("select 1") == "1")
            }
        }

        @Test("a second launcher on the same folder is refused, one with a wrong command line is told how")
        func secondLauncher() async throws {
            try await withHarness { harness in
                try await harness.launch()
                let (status, text) = try run(["--data-folder", harness.folder, "--socket", harness.folder + "/second"])
                #expect(status == 1)
                #expect(text.contains("works on it"), "\(text)")
                #expect(try await harness.client.status().server == .down(nil))
                for wrong in [[], ["--data-folder", "/nowhere", "--socket", "/tmp/x"], ["--frob"], ["--socket"]] {
                    let (status, text) = try run(wrong)
                    #expect(status == 2)
                    #expect(text.contains("--help"))
                }
                #expect(try run(["--help"]).status == 0)
            }
        }

        @Test("a starting launcher replaces a stale socket and spares processes that are none of the server's")
        func staleSocket() async throws {
            try await withHarness { harness in
                let status = try await harness.launch()
                _ = kill(status.guardProcessID, SIGKILL)
                _ = kill(status.processID, SIGKILL)
                try await harness.process?.waitForEnd()
                let bystander = try ChildProcess("/usr/bin/env", ["-C", harness.folder, "/bin/sleep", "600"])
                try await eventually("the bystander works in the folder") {
                    harness.residents().contains(bystander.processID)
                }
                try await harness.launch()
                #expect(bystander.isRunning)
            }
        }

        private func run(_ arguments: [String]) throws -> (status: Int32, text: String) {
            let process = try Harness.launcher(arguments, keepingOutput: true)
            let text = process.text()
            return (process.waitHere(), text)
        }
    }
}

/// A connection that says whatever it is given.
final class RawConnection {
    private let descriptor: Int32

    init(_ path: String) throws {
        descriptor = CPlatform_unix_socket()
        guard unsafe CPlatform_unix_connect(descriptor, path) == 0 else { throw TimedOut(what: "connected to \(path)") }
    }

    deinit { close(descriptor) }

    func send(_ bytes: [UInt8]) {
        _ = unsafe bytes.withUnsafeBytes { unsafe CPlatform_send(descriptor, $0.baseAddress, $0.count) }
    }

    func isClosedByPeer() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = unsafe read(descriptor, &buffer, buffer.count)
        return count == 0 || (count < 0 && errno == ECONNRESET)
    }
}

/// Accepts connections on port 9's socket and never says a word.
final class SilentServer {
    private let descriptor = CPlatform_unix_socket()

    init(_ folder: String) throws {
        let path = folder + "/.s.PGSQL.9"
        guard unsafe CPlatform_unix_bind(descriptor, path) == 0, listen(descriptor, 16) == 0 else {
            throw TimedOut(what: "listens on \(path)")
        }
        try TestFolder.giveToServer(path)
    }

    func close() {
        _ = Glibc.close(descriptor)
    }
}

/// Counts bytes from any thread.
final class ByteCount: Sendable {
    private let count = Mutex(0)

    var value: Int { count.withLock { $0 } }

    func add(_ number: Int) {
        count.withLock { $0 += number }
    }
}
