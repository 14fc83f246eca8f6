import ClusterModel
import Foundation
import Testing

@testable import LocalCluster

@Suite("Local cluster: files, folders and processes")
struct LocalClusterTests {
    private static let folder = ClusterFolder(path: "/tmp/understudy-test-none")

    static func file(instances: Int = 3) throws -> ClusterFile {
        let names = LocalCluster.instanceNames.prefix(instances)
        return ClusterFile(
            format: ClusterFile.currentFormat,
            name: try #require(ClusterName("demo")),
            durability: .required,
            postgresBin: "/usr/lib/postgresql/15/bin",
            account: "postgres",
            controllerPort: 15435,
            furtherControllerPorts: nil,
            instances: try names.enumerated().map { index, name in
                ClusterFile.Instance(name: try #require(InstanceName(name)), port: UInt16(15432 + index))
            },
            timings: ["leaseDuration": "3s"],
            processes: []
        )
    }

    @Test("a description is read as it was written")
    func descriptionSurvives() throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder.path) }
        #expect(try ClusterFile.read(in: folder) == nil)
        let file = try Self.file()
        try file.write(in: folder)
        #expect(try ClusterFile.read(in: folder) == file)
    }

    @Test("a description that is no description, or of a newer format, is refused", arguments: ["{", "[]", "newer"])
    func badDescription(text: String) throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder.path) }
        var newer = try Self.file()
        newer.format = "understudy local cluster 2"
        let bytes = text == "newer" ? try JSONEncoder().encode(newer) : Data(text.utf8)
        try bytes.write(to: URL(fileURLWithPath: folder.clusterFile))
        let failure = #expect(throws: CommandFailure.self) { try ClusterFile.read(in: folder) }
        #expect(failure?.kind == .refused)
    }

    @Test("the connection string names every server and asks for the one that takes writes")
    func connectionString() throws {
        let expected =
            "postgresql://postgres@/postgres?host=127.0.0.1,127.0.0.1,127.0.0.1&port=15432,15433,15434"
            + "&target_session_attrs=read-write"
        #expect(try Self.file().connectionString == expected)
    }

    @Test("a directory whose sockets would not fit is wrong usage")
    func longDirectory() {
        let failure = #expect(throws: CommandFailure.self) {
            try ClusterFolder(named: "/tmp/" + String(repeating: "x", count: 80))
        }
        #expect(failure?.kind == .usage)
    }

    @Test("paths with quotes and line breaks, which configuration files could misread, are refused")
    func oddDirectory() {
        for name in ["/tmp/a\"b", "/tmp/a\nb", "/"] {
            let failure = #expect(throws: CommandFailure.self) { try ClusterFolder(named: name) }
            #expect(failure?.kind == .usage)
        }
    }

    @Test("this very process is found with its start, its arguments and its memory")
    func ownProcess() throws {
        let own = try #require(RunningProcess(ProcessInfo.processInfo.processIdentifier))
        #expect(own.isAlive && own.startTicks > 0)
        #expect(own.arguments == CommandLine.arguments)
        #expect(try #require(own.residentBytes) > 1 << 20)
        #expect(own.workingDirectory == FileManager.default.currentDirectoryPath)
    }

    @Test("a process number that passed on to another process is not signalled")
    func stranger() throws {
        let child = Process()
        child.executableURL = URL(fileURLWithPath: "/bin/sleep")
        child.arguments = ["60"]
        try child.run()
        defer { child.terminate() }
        let found = try #require(RunningProcess(child.processIdentifier))
        let earlier = RunningProcess(
            processID: found.processID,
            parent: 1,
            startTicks: found.startTicks - 1,
            processorTicks: 0,
            arguments: []
        )
        #expect(!earlier.isAlive)
        #expect(!earlier.signal(SIGKILL))
        #expect(found.isAlive && child.isRunning)
    }

    @Test("nothing of a cluster that was never started is found")
    func nothingRuns() throws {
        let processes = ClusterProcesses(of: try Self.file(), in: Self.folder)
        #expect(processes.isEmpty)
        #expect(processes.missing(of: try Self.file()).count == 7)
    }

    @Test("the agent's configuration names its server, its launcher and the controller")
    func configuration() throws {
        let file = try Self.file()
        let text = Configurations(file: file, folder: Self.folder).agent(of: file.instances[1])
        for line in [
            "cluster: demo", "instance: two", "controllers: [\"127.0.0.1:15435\"]", "  server: \"127.0.0.1:15433\"",
            "timings: {leaseDuration: 3s}", "launcherSocket: \"/tmp/understudy-test-none/two/launcher.sock\"",
        ] {
            #expect(text.split(separator: "\n").contains(Substring(line)), "\(line)")
        }
    }

    @Test("a directory that is a file is wrong usage, with the mend")
    func fileAsDirectory() {
        let failure = #expect(throws: CommandFailure.self) { try ClusterFolder(named: "/etc/passwd") }
        #expect(failure?.kind == .usage && failure?.description.contains("it is a file") == true)
    }

    @Test("what no cluster can be is said before anything else, also where there is one already")
    func ranges() async throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder.path) }
        try Self.file().write(in: folder)
        var cases: [(LocalCluster.Options, String)] = []
        func add(_ words: String, _ change: (inout LocalCluster.Options) -> Void) {
            var options = LocalCluster.Options(directory: folder.path)
            change(&options)
            cases.append((options, words))
        }
        add("choose 1 to 9") { $0.instances = 10 }
        add("choose 1 to 5") { $0.controllers = 0 }
        add("choose one between 1024 and 65529") { $0.port = 80000 }
        add("choose one between 1024 and 65529") { $0.port = .min }
        add("choose 1 to 8") { $0.synchronousStandbys = 0 }
        for (options, words) in cases {
            let failure = await #expect(throws: CommandFailure.self) {
                _ = try await LocalCluster.bringUp(options) { _ in }
            }
            #expect(failure?.kind == .usage && failure?.description.contains(words) == true, "\(words)")
        }
    }

    @Test("a durability that differs is said with the command that changes it, another difference without")
    func differences() async throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder.path) }
        try Self.file().write(in: folder)
        var options = LocalCluster.Options(directory: folder.path)
        options.durability = .async
        let durability = await #expect(throws: CommandFailure.self) {
            _ = try await LocalCluster.bringUp(options) { _ in }
        }
        #expect(durability?.kind == .refused)
        #expect(durability?.description.contains("`understudy local durability async --directory") == true)
        #expect(durability?.description.contains("--remove") == false)
        options.durability = nil
        options.instances = 5
        let instances = await #expect(throws: CommandFailure.self) {
            _ = try await LocalCluster.bringUp(options) { _ in }
        }
        #expect(instances?.description.contains("local durability") == false)
        #expect(instances?.description.contains("down --remove") == true)
    }

    @Test("what runs where a cluster's directory was taken away is found, ended, and no stranger's")
    func strays() async throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder.path) }
        #expect(Teardown(ofStraysIn: folder) == nil)
        // Named as an agent of the third instance is.
        let script = "exec -a understudy-agent bash -c 'read -r line; true' \(folder.path)/three/agent.yaml"
        let child = Process()
        child.executableURL = URL(fileURLWithPath: "/bin/bash")
        child.arguments = ["-c", script]
        let silence = Pipe()
        child.standardInput = silence
        try child.run()
        defer { child.terminate() }
        let end = ContinuousClock.now + .seconds(20)
        while Teardown(ofStraysIn: folder) == nil, ContinuousClock.now < end {
            try await Task.sleep(for: .milliseconds(10))
        }
        let strays = try #require(Teardown(ofStraysIn: folder))
        #expect(strays.processNumbers == "\(child.processIdentifier)")
        #expect(Teardown(ofStraysIn: ClusterFolder(path: folder.path + "-other")) == nil)
        let refused = await #expect(throws: CommandFailure.self) {
            _ = try await LocalCluster.bringUp(LocalCluster.Options(directory: folder.path)) { _ in }
        }
        #expect(refused?.kind == .refused && refused?.description.contains("processes of an earlier one") == true)
        try await strays.stop { _ in }
        #expect(Teardown(ofStraysIn: folder) == nil)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }

    private func temporaryFolder() throws -> ClusterFolder {
        let path = "/tmp/understudy-test-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        return ClusterFolder(path: path)
    }
}
