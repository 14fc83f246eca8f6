import ClusterModel
import Demo
import Foundation
import LocalCluster
import Platform
import Testing

/// The command line as people meet it: what it does, and what it says to input that is wrong.
@Suite("The command line", .serialized, .timeLimit(.minutes(5)))
struct CommandLineTests {
    @Test("up, down and up again keeps the data; what differs from the first time is refused")
    func dataStays() async throws {
        try await TestCluster.with(["--instances", "2", "--name", "kept"]) { cluster in
            let writers = try await Writers(on: cluster, count: 1)
            defer { writers.cancel() }
            try await writers.goOn(cluster)
            #expect(try await writers.lost() == [])
            let different = try await cluster.local("up", "--instances", "3")
            #expect(different.code == 3 && different.complaint.contains("--instances is 2 there, not 3"))
            #expect(try await cluster.local("up", "--durability", "async").code == 3)
            #expect(try await cluster.local("pause", "--reason", "a test").code == 0)
            #expect(try await cluster.local("pause", "--reason", "a test").output.hasPrefix("Paused already: a test."))
            let down = try await cluster.local("down")
            #expect(down.code == 0 && down.output.contains("its data stays"))
            #expect(down.output.contains("It is paused: ") && down.output.contains("nobody becomes primary"))
            #expect(try cluster.processes.missing(of: cluster.file).count == 5)
            let status = try await cluster.local("status")
            #expect(status.code == 1 && status.output.contains("does not run"))
            // Nobody becomes primary while it is paused (R18): that is said at once, and what was started waits.
            let paused = try await cluster.local("up")
            #expect(paused.code == 3 && Self.isOneSentence(paused.complaint), "\(paused)")
            #expect(paused.complaint.contains("a test") && paused.complaint.contains("understudy local resume"))
            #expect(try await cluster.local("resume").code == 0)
            try await cluster.up()
            let again = try await writers.clients[0].readBack(deadline: .seconds(30))
            #expect(again.isSuperset(of: writers.clients[0].acknowledged.map(\.number)))
            try await json(cluster)
            let strange = try await cluster.local("kill", "nine")
            #expect(strange.code == 2 && strange.complaint.contains("could not find 'nine'"))
            #expect(strange.complaint.contains("one, two, primary, controller"), "\(strange)")
            try await withoutController(cluster)
            try await takenAway(cluster)
        }
    }

    private func withoutController(_ cluster: TestCluster) async throws {
        #expect(try await cluster.local("kill", "controller").code == 0)
        let blind = try await cluster.local("kill", "primary")
        #expect(blind.code == 1 && blind.complaint.contains("or name the instance"), "\(blind)")
        #expect(blind.complaint.contains("`understudy local up --directory \(cluster.folder.path)`"), "\(blind)")
    }

    /// The directory is gone under agents, launchers and servers.
    private func takenAway(_ cluster: TestCluster) async throws {
        let path = cluster.folder.path
        // What runs there writes while it is removed.
        try await cluster.eventually("the directory is gone", within: .seconds(20)) {
            try? FileManager.default.removeItem(atPath: path)
            return !FileManager.default.fileExists(atPath: path)
        }
        let up = try await cluster.local("up")
        #expect(up.code == 3 && Self.isOneSentence(up.complaint), "\(up)")
        #expect(up.complaint.contains("understudy local down"), "\(up)")
        let down = try await cluster.local("down")
        #expect(down.code == 0 && down.output.contains("is down"), "\(down)")
        let nothing = try await cluster.local("down")
        #expect(nothing.code == 2, "\(nothing)")
    }

    private func json(_ cluster: TestCluster) async throws {
        struct Answer: Decodable {
            let connection: String
            let view: ClusterView
            let missing: [String]
        }
        let text = try await cluster.local("status", "--json").output
        let answer = try JSONDecoder().decode(Answer.self, from: Data(text.utf8))
        #expect(answer.view.phase == .steady && answer.missing.isEmpty)
        #expect(answer.connection.contains("target_session_attrs=read-write"))
    }

    @Test("a directory that holds something else is refused, and left as it is")
    func foreignDirectory() async throws {
        let path = "/tmp/understudy-test-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data("mine".utf8).write(to: URL(fileURLWithPath: "\(path)/letter"))
        let up = try await TestCluster.run(["local", "up", "--directory", path])
        #expect(up.code == 3 && Self.isOneSentence(up.complaint) && up.complaint.contains("not empty"))
        let down = try await TestCluster.run(["local", "down", "--remove", "--directory", path])
        #expect(down.code == 2 && Self.isOneSentence(down.complaint))
        #expect(try FileManager.default.contentsOfDirectory(atPath: path) == ["letter"])
    }

    @Test("a port in use is named, and nothing is started")
    func portInUse() async throws {
        let port = try NetworkPort.findFree()
        let python = try ChildProcess.start(
            ProcessRequest("/bin/bash", ["-c", "exec -a listener perl -MIO::Socket::INET -e '\(Self.listener(port))'"])
        )
        defer { python.signal(SIGKILL) }
        let cluster = TestCluster()
        try await cluster.eventually("the port is taken", within: .seconds(10)) { !NetworkPort.isFree(port) }
        let up = try await cluster.local("up", "--port", "\(port)")
        #expect(up.code == 1 && Self.isOneSentence(up.complaint) && up.complaint.contains("port \(port)"))
        #expect(!FileManager.default.fileExists(atPath: cluster.folder.path))
    }

    private static func listener(_ port: Int) -> String {
        "my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => \"127.0.0.1\", LocalPort => \(port)) or die; sleep 60"
    }

    @Test("a folder without PostgreSQL's programs is named, with the mend")
    func missingServer() async throws {
        let cluster = TestCluster()
        let up = try await cluster.local("up", "--postgres-bin", "/nowhere")
        #expect(up.code == 2 && Self.isOneSentence(up.complaint) && up.complaint.contains("/nowhere"))
        #expect(!FileManager.default.fileExists(atPath: cluster.folder.path))
    }

    @Test("programs of a version that is too old are refused, with the versions that would do")
    func oldServer() async throws {
        let path = "/tmp/understudy-test-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: path) }
        for name in ["postgres", "initdb", "pg_basebackup", "pg_rewind", "pg_controldata", "pg_isready"] {
            let script = "#!/bin/sh\necho '\(name) (PostgreSQL) 12.22'\n"
            try Data(script.utf8).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: "\(path)/\(name)")
        }
        let cluster = TestCluster()
        let up = try await cluster.local("up", "--postgres-bin", path)
        #expect(up.code == 2 && Self.isOneSentence(up.complaint) && up.complaint.contains("12.22 is too old"))
        #expect(!FileManager.default.fileExists(atPath: cluster.folder.path))
    }

    @Test(
        "wrong usage ends with code 2 and says what was wrong",
        arguments: [
            ["local", "up", "--instance", "3"], ["local", "up", "--instances", "many"],
            ["local", "up", "--instances", "10"], ["local", "up", "--durability", "sometimes"],
            ["local", "up", "--instances", "1", "--durability", "required"], ["local", "up", "--name", "No Name"],
            ["local", "kill"], ["local", "kill", "primary", "--signal", "HELLO"], ["local", "history", "--last", "0"],
            ["frobnicate"],
        ]
    )
    func wrongUsage(arguments: [String]) async throws {
        let path = "/tmp/understudy-test-\(UInt32.random(in: 0 ... .max))"
        let place = arguments.first == "local" ? ["--directory", path] : []
        let answer = try await TestCluster.run(arguments + place)
        #expect(answer.code == 2 && !answer.complaint.isEmpty, "\(answer)")
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test(
        "help teaches and the version is told, with code 0",
        arguments: [["--help"], ["local", "up", "--help"], ["--version"]]
    )
    func help(arguments: [String]) async throws {
        let answer = try await TestCluster.run(arguments)
        #expect(answer.code == 0 && answer.output.contains("understudy") && answer.complaint.isEmpty)
    }

    @Test(
        "agent and controller refuse a configuration that is missing, no YAML or not theirs, with code 2",
        arguments: ["understudy-agent", "understudy-controller"]
    )
    func badConfiguration(program: String) async throws {
        let path = "/tmp/understudy-test-\(UInt32.random(in: 0 ... .max)).yaml"
        defer { try? FileManager.default.removeItem(atPath: path) }
        for text in [nil, "cluster: [", "cluster: demo\nsurprise: 1\n"] as [String?] {
            if let text { try Data(text.utf8).write(to: URL(fileURLWithPath: path)) }
            let answer = try await TestCluster.run(program: program, ["--config", path], deadline: .seconds(20))
            #expect(answer.code == 2 && answer.complaint.contains(program), "\(answer)")
        }
    }

    @Test(
        "each option of agent and controller tells its default, or that it must be given",
        arguments: ["understudy-agent", "understudy-controller"]
    )
    func optionsTellDefaults(program: String) async throws {
        let answer = try await TestCluster.run(program: program, ["--help"], deadline: .seconds(20))
        let words = answer.output.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        let listed = words.components(separatedBy: "OPTIONS: ").last?.components(separatedBy: " SUBCOMMANDS: ").first
        let options = (listed ?? "").components(separatedBy: " --").dropFirst()
        #expect(answer.code == 0 && options.count > 10)
        for option in options where option.contains(" <") && !option.hasPrefix("config ") {
            #expect(option.contains("(default") || option.contains("Must be given"), "\(option)")
        }
        #expect(words.contains("(default 3s; 1s to 1m)"))
    }

    private static func isOneSentence(_ complaint: String) -> Bool {
        complaint.split(separator: "\n").count == 1 && complaint.hasPrefix("understudy: could not ")
    }
}
