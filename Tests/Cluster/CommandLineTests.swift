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
            let down = try await cluster.local("down")
            #expect(down.code == 0 && down.output.contains("its data stays"))
            #expect(try cluster.processes.missing(of: cluster.file).count == 5)
            let status = try await cluster.local("status")
            #expect(status.code == 1 && status.output.contains("does not run"))
            try await cluster.up()
            let again = try await writers.clients[0].readBack(deadline: .seconds(30))
            #expect(again.isSuperset(of: writers.clients[0].acknowledged.map(\.number)))
            try await json(cluster)
            let strange = try await cluster.local("kill", "nine")
            #expect(strange.code == 2 && strange.complaint.contains("could not find an instance 'nine'"))
        }
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
        #expect(down.code == 1 && Self.isOneSentence(down.complaint))
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
        #expect(up.code == 1 && Self.isOneSentence(up.complaint) && up.complaint.contains("/nowhere"))
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
        #expect(up.code == 1 && Self.isOneSentence(up.complaint) && up.complaint.contains("12.22 is too old"))
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

    private static func isOneSentence(_ complaint: String) -> Bool {
        complaint.split(separator: "\n").count == 1 && complaint.hasPrefix("understudy: could not ")
    }
}
