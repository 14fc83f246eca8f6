import ClusterModel
import Foundation
import InstanceDecision
import LauncherClient
import LauncherProtocol
import PostgresDriver
import PostgresInstance
import Synchronization
import Testing

/// One real launcher with an adapter; everything is gone after `finish`.
final class TestInstance: Sendable {
    let adapter: PostgresAdapter
    let configuration: PostgresConfiguration
    let client: LauncherClient
    private let process = Mutex<Process?>(nil)

    init(
        _ name: String,
        accessRules: [String] = ["host all all 127.0.0.0/8 trust"],
        settings: [String: String] = [:],
        programs: String = TestInstance.programs
    ) async throws {
        let folder = "/tmp/understudy-test-\(UUID().uuidString.prefix(8).lowercased())"
        try FileManager.default.createDirectory(
            atPath: folder,
            withIntermediateDirectories: false,
            attributes: [.posixPermissions: 0o700]
        )
        if geteuid() == 0 { try Self.run("/bin/chown", ["postgres:postgres", folder]) }
        configuration = PostgresConfiguration(
            name: try #require(InstanceName(name)),
            server: Endpoint(host: "127.0.0.1", port: try Self.freePort()),
            listenAddresses: "127.0.0.1",
            socketFolder: folder,
            dataFolder: folder,
            agentUser: NSUserName(),
            replicationPassword: "test: \\secret",
            settings: ["shared_buffers": "16MB", "max_connections": "40"].merging(settings) { $1 },
            accessRules: accessRules
        )
        client = LauncherClient(socketPath: folder + "/launcher.sock")
        adapter = PostgresAdapter(configuration: configuration, launcher: client)
        try await launch(programs)
    }

    /// Folder of the server's programs: the one under test, or Debian's.
    static let programs =
        ProcessInfo.processInfo.environment["UNDERSTUDY_TEST_POSTGRES"] ?? "/usr/lib/postgresql/15/bin"

    private static var launcherPath: String {
        let environment = ProcessInfo.processInfo.environment
        if let path = environment["UNDERSTUDY_TEST_LAUNCHER"] { return path }
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(fileURLWithPath: own).deletingLastPathComponent().appendingPathComponent("understudy-launcher").path
    }

    private func launch(_ programs: String) async throws {
        let launcher = Process()
        let folder = configuration.dataFolder
        launcher.executableURL = URL(fileURLWithPath: Self.launcherPath)
        launcher.arguments = [
            "--data-folder", folder, "--socket", folder + "/launcher.sock", "--postgres-bin", programs,
            "--log-file", folder + "/server.log", "--stop-timeout", "5",
        ]
        launcher.standardInput = FileHandle.nullDevice
        try launcher.run()
        process.withLock { $0 = launcher }
        try await eventually("the launcher answers") { (try? await self.client.connect()) != nil }
    }

    /// A session of a client, through TCP as clients come.
    func connect(_ user: String = "postgres", options: String = "") async throws -> PostgresSession {
        try await PostgresSession.connect(
            ConnectionTarget(
                host: "127.0.0.1",
                port: configuration.server.port,
                user: user,
                applicationName: "test",
                options: options
            ),
            deadline: .seconds(3)
        )
    }

    func member(_ incarnation: Incarnation) -> MemberID {
        MemberID(name: configuration.name, incarnation: incarnation)
    }

    func upstream(
        _ identifier: SystemIdentifier,
        _ timeline: UInt32,
        _ forks: [Lineage.Fork] = []
    ) -> Upstream {
        Upstream(
            primary: configuration.name,
            server: configuration.server,
            systemIdentifier: identifier,
            lineage: Lineage(timeline: Timeline(rawValue: timeline), forks: forks)
        )
    }

    func lease() async throws {
        try await client.armLease(remaining: .seconds(600), fenceBudget: .milliseconds(500))
    }

    func stop(_ mode: InstanceDecision.StopMode) async throws {
        #expect(await adapter.stop(mode) == nil)
        try await awaitDown()
    }

    func awaitDown() async throws {
        try await eventually("the server is down") {
            guard let status = try? await self.client.status() else { return false }
            if case .down(_) = status.server { return true }
            return false
        }
        await adapter.forgetServer()
    }

    func log() -> String {
        let text = FileManager.default.contents(atPath: configuration.dataFolder + "/server.log") ?? Data()
        return String(decoding: text, as: UTF8.self)
    }

    func file(_ path: String) -> String { configuration.dataFolder + "/" + path }

    func finish() async {
        await adapter.forgetServer()
        client.disconnect()
        let process = process.withLock { $0 }
        if let process, process.isRunning { process.terminate() }
        process?.waitUntilExit()
        try? FileManager.default.removeItem(atPath: configuration.dataFolder)
    }

    static func output(_ program: String, _ arguments: [String]) throws -> String {
        let (process, output) = (Process(), Pipe())
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.standardOutput = output
        try process.run()
        let bytes = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: bytes, as: UTF8.self)
    }

    static func run(_ program: String, _ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw TimedOut(what: "\(program) succeeds") }
    }

    /// A port that nobody listens on at the moment.
    static func freePort() throws -> UInt16 {
        let number = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(number) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                unsafe bind(number, pointer, size) == 0 ? getsockname(number, pointer, &size) : -1
            }
        }
        guard result == 0 else { throw TimedOut(what: "a port is free") }
        return UInt16(bigEndian: address.sin_port)
    }
}

/// Polls until the condition holds.
func eventually(
    _ what: String,
    within limit: Duration = .seconds(15),
    _ condition: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + limit
    while try await !condition() {
        if ContinuousClock.now > end { throw TimedOut(what: what) }
        try await Task.sleep(for: .milliseconds(10))
    }
}

struct TimedOut: Error, CustomStringConvertible {
    let what: String
    var description: String { "not in time: \(what)" }
}
