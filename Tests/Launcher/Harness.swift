import CPlatform
import Foundation
import Glibc
import LauncherClient
import LauncherProtocol
import Synchronization
import Testing

/// A launcher under test in a folder of its own; everything is gone after `finish`.
final class Harness {
    let folder: String
    let client: LauncherClient
    let events = EventLog()
    var process: ChildProcess?
    private var reader: Task<Void, Never>?

    var socketPath: String { folder + "/launcher.sock" }

    init() throws {
        folder = try TestFolder.make()
        client = LauncherClient(socketPath: folder + "/launcher.sock")
        let (stream, log) = (client.events, events)
        reader = Task { for await event in stream { log.add(event) } }
    }

    static var launcherPath: String {
        if let path = ProcessInfo.processInfo.environment["UNDERSTUDY_TEST_LAUNCHER"] { return path }
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(fileURLWithPath: own).deletingLastPathComponent().appendingPathComponent("understudy-launcher").path
    }

    static func launcher(_ arguments: [String], keepingOutput: Bool = false) throws -> ChildProcess {
        try ChildProcess(launcherPath, arguments, keepingOutput: keepingOutput)
    }

    var launcherArguments: [String] {
        [
            "--data-folder", folder, "--socket", socketPath, "--postgres-bin", TestFolder.toolFolder, "--log-file",
            folder + "/server.log", "--stop-timeout", "5",
        ]
    }

    /// Starts the launcher and connects to it.
    @discardableResult
    func launch() async throws -> LauncherStatus {
        process = try Harness.launcher(launcherArguments)
        var status: LauncherStatus?
        try await eventually("the launcher answers") {
            status = try? await client.connect()
            return status != nil
        }
        return try #require(status)
    }

    /// Starts a server on a fresh copy of the template and waits until it answers.
    @discardableResult
    func startServer(leaseRequired: Bool = false, settings: [String] = []) async throws -> Int32 {
        try TestFolder.copyTemplate(to: folder)
        return try await startAgain(leaseRequired: leaseRequired, settings: settings)
    }

    @discardableResult
    func startAgain(leaseRequired: Bool = false, settings: [String] = []) async throws -> Int32 {
        let processID = try await client.start(arguments: serverArguments(settings), leaseRequired: leaseRequired)
        try await eventually("the server answers") { (try? query("select 1")) == "1" }
        return processID
    }

    func serverArguments(_ settings: [String] = []) -> [String] {
        ["-D", folder + "/pgdata", "-k", folder]
            + (["listen_addresses=", "fsync=off", "max_connections=100", "shared_buffers=16MB"] + settings)
            .flatMap { ["-c", $0] }
    }

    private func sql(_ text: String, keepingOutput: Bool) throws -> ChildProcess {
        try ChildProcess(
            TestFolder.toolFolder + "/psql",
            ["-XqAt", "-h", folder, "-U", "postgres", "-d", "postgres", "-c", text],
            keepingOutput: keepingOutput
        )
    }

    /// Runs one statement in a session of its own and returns what it prints.
    func query(_ text: String) throws -> String {
        let process = try sql(text, keepingOutput: true)
        let output = process.text()
        guard process.waitHere() == 0 else { throw QueryFailed(text: output) }
        return output.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Starts a statement and leaves it running.
    func background(_ text: String) throws -> ChildProcess {
        try sql(text, keepingOutput: false)
    }

    /// Backends that commit in a loop on the server's side: they need no client to go on.
    func startCommitting(sessions: Int) async throws -> [ChildProcess] {
        _ = try query(
            """
            create table written (n bigint); create procedure forever() language plpgsql as
            $$ begin loop insert into written values (1); commit; end loop; end $$
            """
        )
        let processes = try (0..<sessions).map { _ in try background("call forever()") }
        try await eventually("all sessions commit") {
            let active = "select count(*) from pg_stat_activity where query like 'call%'"
            return (try? query(active)) == String(sessions) && (try? query("select count(*) > 50 from written")) == "t"
        }
        return processes
    }

    /// Processes that work inside the folder: the server's, whoever their parent is now.
    func residents() -> [Int32] {
        TestFolder.processes(inside: folder).filter { $0 != process?.processID }
    }

    func title(_ processID: Int32) -> String {
        let bytes = FileManager.default.contents(atPath: "/proc/\(processID)/cmdline") ?? Data()
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Ends everything and removes the folder.
    func finish() async {
        client.disconnect()
        reader?.cancel()
        process?.terminate()
        _ = try? await process?.waitForEnd()
        // One that does not end is killed with its handle.
        process = nil
        for processID in TestFolder.processes(inside: folder) { _ = kill(processID, SIGKILL) }
        try? FileManager.default.removeItem(atPath: folder)
    }
}

struct QueryFailed: Error {
    let text: String
}

/// Runs a body with a harness that is cleaned up afterwards.
func withHarness(_ body: (Harness) async throws -> Void) async throws {
    let harness = try Harness()
    do {
        try await body(harness)
        await harness.finish()
    } catch {
        let log = (try? String(contentsOfFile: harness.folder + "/server.log", encoding: .utf8)) ?? ""
        print("the server's log ends so:\n\(log.suffix(3000))")
        await harness.finish()
        throw error
    }
}

/// What the launcher told, each with its time.
final class EventLog: Sendable {
    private let entries = Mutex<[(time: Int64, event: LauncherEvent)]>([])

    func add(_ event: LauncherEvent) {
        entries.withLock { $0.append((CPlatform_boot_time(), event)) }
    }

    var all: [LauncherEvent] { entries.withLock { $0.map(\.event) } }

    /// When the first matching event came, in boot-time nanoseconds.
    func time(_ matches: (LauncherEvent) -> Bool) -> Int64? {
        entries.withLock { $0.first { matches($0.event) }?.time }
    }

    var downTime: Int64? {
        time { event in
            if case .serverDown = event { true } else { false }
        }
    }

    func waitForDown() async throws -> Int64 {
        try await eventually("the server is down") { downTime != nil }
        return try #require(downTime)
    }
}

/// Polls until a condition holds; fails with its name after the limit.
func eventually(
    _ what: String,
    within limit: Duration = .seconds(15),
    _ condition: () async throws -> Bool
) async throws {
    let clock = ContinuousClock()
    let deadline = clock.now + limit
    while clock.now < deadline {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(2))
    }
    throw TimedOut(what: what)
}

struct TimedOut: Error, CustomStringConvertible {
    let what: String
    var description: String { "not in time: \(what)" }
}

/// Folders of the tests and the server's programs.
enum TestFolder {
    static let toolFolder =
        ProcessInfo.processInfo.environment["UNDERSTUDY_TEST_POSTGRES"] ?? "/usr/lib/postgresql/15/bin"

    private static let template: Result<String, any Error> = Result {
        let folder = try make()
        atexit { TestFolder.removeTemplate() }
        try run(
            toolFolder + "/initdb",
            ["-D", folder + "/pgdata", "-U", "postgres", "--auth=trust", "--no-sync", "--no-instructions"]
        )
        return folder
    }

    private static func removeTemplate() {
        if case .success(let folder) = template { try? FileManager.default.removeItem(atPath: folder) }
    }

    /// A new folder that belongs to the user the server runs as.
    static func make() throws -> String {
        let path = "/tmp/understudy-test-\(UUID().uuidString.prefix(8).lowercased())"
        try FileManager.default.createDirectory(
            atPath: path,
            withIntermediateDirectories: false,
            attributes: [.posixPermissions: 0o700]
        )
        try giveToServer(path)
        return path
    }

    static func giveToServer(_ path: String) throws {
        guard geteuid() == 0 else { return }
        try run("/bin/chown", ["-R", "-h", "postgres:postgres", path], asServer: false)
    }

    static func copyTemplate(to folder: String, makingParent: Bool = false) throws {
        if makingParent {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
            try giveToServer(folder)
        }
        try run("/bin/cp", ["-a", try template.get() + "/pgdata", folder + "/pgdata"], asServer: false)
    }

    static func run(_ program: String, _ arguments: [String], asServer: Bool = true) throws {
        let drops = asServer && geteuid() == 0
        let process = try ChildProcess(
            drops ? "/usr/sbin/runuser" : program,
            drops ? ["-u", "postgres", "--", program] + arguments : arguments
        )
        guard process.waitHere() == 0 else { throw TimedOut(what: "\(program) succeeds") }
    }

    /// Processes whose working folder lies inside; zombies have none.
    static func processes(inside folder: String) -> [Int32] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap(Int32.init).filter { processID in
            let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(processID)/cwd")
            return target == folder || target?.hasPrefix(folder + "/") == true
        }
    }
}
