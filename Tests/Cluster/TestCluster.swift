import ClusterModel
import Demo
import Foundation
import LocalCluster
import Platform
import Testing

/// A local cluster of a test, driven through the command line that people use.
struct TestCluster: Sendable {
    let folder: ClusterFolder

    struct Answer: Sendable {
        let code: Int32
        let output: String
        let complaint: String
    }

    init() { folder = ClusterFolder(path: "/tmp/understudy-test-\(UInt32.random(in: 0 ... .max))") }

    /// Runs a test's story and leaves neither process nor file behind, however it ends.
    static func with(_ flags: [String] = [], _ story: (TestCluster) async throws -> Void) async throws {
        let cluster = TestCluster()
        do {
            try await cluster.up(flags)
            try await story(cluster)
        } catch {
            await cluster.end(failed: true)
            throw error
        }
        await cluster.end(failed: false)
    }

    /// The programs stand beside the test bundle.
    static func run(_ arguments: [String], deadline: Duration = .seconds(150)) async throws -> Answer {
        try await run(program: "understudy", arguments, deadline: deadline)
    }

    static func run(program: String, _ arguments: [String], deadline: Duration) async throws -> Answer {
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let folder = URL(fileURLWithPath: own).deletingLastPathComponent().path
        let outcome = try await ChildProcess.run(ProcessRequest("\(folder)/\(program)", arguments), deadline: deadline)
        guard case .code(let code) = outcome.exit else {
            throw CommandFailure(.failed, "\(program) \(arguments) ended by \(outcome.exit)")
        }
        return Answer(code: code, output: outcome.outputText, complaint: outcome.errorText)
    }

    func local(_ arguments: String...) async throws -> Answer { try await local(arguments) }

    func local(_ arguments: [String]) async throws -> Answer {
        try await Self.run(["local"] + arguments + ["--directory", folder.path])
    }

    /// Folder of the server's programs to test with; nil for those that are found.
    static var serverPrograms: String? { ProcessInfo.processInfo.environment["UNDERSTUDY_TEST_POSTGRES"] }

    func up(_ flags: [String] = []) async throws {
        let server = Self.serverPrograms.map { ["--postgres-bin", $0] } ?? []
        let answer = try await Self.run(["local", "up", "--directory", folder.path] + server + flags)
        guard answer.code == 0 else { throw CommandFailure(.failed, answer.output + answer.complaint) }
    }

    var file: ClusterFile {
        get throws { try ClusterFile.require(in: folder) }
    }

    var processes: ClusterProcesses {
        get throws { ClusterProcesses(of: try file, in: folder) }
    }

    func view() async throws -> ClusterView { try await ControllerQuestion(of: try file, in: folder).view() }

    func primary() async throws -> InstanceName { try #require(try await view().primary) }

    func port(_ name: InstanceName) throws -> UInt16 {
        try #require(try file.instances.first { $0.name == name }).port
    }

    func standby() async throws -> InstanceName {
        let primary = try await primary()
        return try #require(try file.names.first { $0 != primary })
    }

    /// Waits for a state that the controller must come to show.
    @discardableResult
    func wait(
        _ what: String,
        within limit: Duration = .seconds(60),
        until holds: (ClusterView) throws -> Bool
    ) async throws -> ClusterView {
        let clock = ContinuousClock()
        let end = clock.now + limit
        var last: ClusterView?
        while clock.now < end {
            if let view = try? await view() {
                last = view
                if try holds(view) { return view }
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        let report = await StatusReport.take(of: try file, in: folder)
        throw CommandFailure(.timedOut, "did not see in time: \(what); \(last == nil ? "" : report.text())")
    }

    /// Waits until primary and standbys are all there again.
    @discardableResult
    func healed(after term: Term = .none) async throws -> ClusterView {
        try await wait("the cluster is whole again", within: .seconds(120)) { view in
            view.term > term && LocalCluster.missing(in: view).isEmpty
        }
    }

    /// Waits for something on this machine.
    func eventually(_ what: String, within limit: Duration, _ holds: () async throws -> Bool) async throws {
        let clock = ContinuousClock()
        let end = clock.now + limit
        while !(try await holds()) {
            guard clock.now < end else { throw CommandFailure(.timedOut, "did not happen in time: \(what)") }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    private func end(failed: Bool) async {
        if failed { printLogs() }
        let answer = try? await local("down", "--remove")
        if answer?.code != 0 { try? FileManager.default.removeItem(atPath: folder.path) }
    }

    private func printLogs() {
        let names = (try? file.names.map(\.text)) ?? []
        for log in ["controller/controller.log"] + names.flatMap({ ["\($0)/agent.log", "\($0)/postgres.log"] }) {
            let text = (try? String(contentsOfFile: "\(folder.path)/\(log)", encoding: .utf8)) ?? ""
            print("---- \(log)\n" + text.split(separator: "\n").suffix(25).joined(separator: "\n"))
        }
    }
}

/// Clients that write without pause while a story runs.
struct Writers: Sendable {
    let clients: [WritingClient]
    private let tasks: [Task<Void, Never>]

    init(on cluster: TestCluster, count: Int = 3) async throws {
        let ports = try cluster.file.instances.map(\.port)
        clients = (0..<count).map { WritingClient(ports: ports, after: $0 * 100_000_000) }
        try await clients[0].prepare(deadline: .seconds(20))
        tasks = clients.map { client in Task { await client.run() } }
    }

    func cancel() {
        for task in tasks { task.cancel() }
    }

    var acknowledged: Int { clients.map(\.acknowledged.count).reduce(0, +) }

    /// Waits until each has written some more rows.
    func goOn(_ cluster: TestCluster) async throws {
        let before = clients.map(\.acknowledged.count)
        try await cluster.eventually("every client writes", within: .seconds(60)) {
            zip(clients, before).allSatisfy { $0.acknowledged.count > $1 + 5 }
        }
    }

    /// Stops them and names every acknowledged row that is missing.
    func lost() async throws -> [Int] {
        cancel()
        for task in tasks { await task.value }
        let there = try await clients[0].readBack(deadline: .seconds(60))
        return clients.flatMap(\.acknowledged).map(\.number).filter { !there.contains($0) }
    }
}
