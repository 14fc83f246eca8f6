import ClusterModel
import InstanceDecision
import Testing

@testable import PostgresInstance

@Suite("Files of an instance")
struct FileTests {
    @Test("a state survives writing and reading")
    func stateRoundTrip() throws {
        var state = InstanceState()
        #expect(try StateFile.parse(StateFile.compose(state)) == state)
        state.incarnation = Incarnation(number: 0xBEEF)
        state.promised = Stamp(term: Term(rawValue: .max), version: RecordVersion(rawValue: 7))
        state.role = .rewinding
        state.primaryOfTerm = Term(rawValue: 4)
        state.releasedTerm = Term(rawValue: 3)
        state.tainted = true
        state.copyOf = Incarnation(number: 0xCAFE)
        #expect(try StateFile.parse(StateFile.compose(state)) == state)
        state.grantedTerm = Term(rawValue: 4)
        state.agents = try [("one", "10.0.0.1"), ("two", "::1"), ("three", "b.example.org")].map { name, host in
            AgentAddress(
                name: try #require(InstanceName(name)),
                endpoint: Endpoint(host: host, port: 7431)
            )
        }
        #expect(try StateFile.parse(StateFile.compose(state)) == state)
        // What no file could hold, and what no file may: hostile names end nothing.
        let known = state.agents
        let name = try #require(InstanceName("four"))
        for host in ["", "a b", "a\"b", "a\\b", "a\nb"] {
            state.agents = known + [AgentAddress(name: name, endpoint: Endpoint(host: host, port: 1))]
            #expect(try StateFile.parse(StateFile.compose(state)).agents == known)
        }
    }

    @Test("a state file of an earlier version has granted nothing and knows no agents (R10)")
    func earlierState() throws {
        let text = StateFile.compose(InstanceState())
        let earlier = text.replacing("\"\",\n  \"grantedTerm\": 0,\n  \"agents\": \"\"", with: "\"\"")
        #expect(earlier.count < text.count)
        #expect(try StateFile.parse(earlier) == InstanceState())
        for garbled in ["one", "one=x", "one=:1", "=x:1", "one=x:99999", "one=x:1 two"] {
            let file = text.replacing("\"agents\": \"\"", with: "\"agents\": \"\(garbled)\"")
            #expect(throws: StateFile.Unreadable.self, "\(garbled)") { try StateFile.parse(file) }
        }
    }

    @Test("a state file of an earlier version was never a copy; whose copy one is must be readable (R5)")
    func stateWithoutCopy() throws {
        let text = StateFile.compose(InstanceState())
        let earlier = text.replacing("  \"copyOf\": null,\n", with: "")
        #expect(earlier.count < text.count)
        #expect(try StateFile.parse(earlier) == InstanceState())
        for garbled in ["\"x\"", "1", "true"] {
            let file = text.replacing("\"copyOf\": null", with: "\"copyOf\": \(garbled)")
            #expect(throws: StateFile.Unreadable.self, "\(garbled)") { try StateFile.parse(file) }
        }
    }

    @Test("a state file that is cut off anywhere is not read")
    func tornState() {
        let text = StateFile.compose(InstanceState())
        let whole = text.split(omittingEmptySubsequences: true) { $0.isNewline }.joined(separator: "\n")
        for count in 0..<whole.count {
            #expect(throws: StateFile.Unreadable.self) { try StateFile.parse(String(whole.prefix(count))) }
        }
    }

    @Test(
        "a state file that makes no sense is not read",
        arguments: [
            "", "{}", "[]", "{\"version\": 2}", "{\"version\": -1}", "{\"version\": 1, \"version\": 1}",
            "{\"version\": \"1\"}",
        ]
    )
    func garbledState(_ text: String) {
        #expect(throws: StateFile.Unreadable.self) { try StateFile.parse(text) }
    }

    @Test("a state file of a newer version says which")
    func newerState() throws {
        let newer = StateFile.compose(InstanceState()).replacing("\"version\": 1", with: "\"version\": 2")
        #expect { try StateFile.parse(newer) } throws: { error in
            (error as? StateFile.Unreadable)?.reason.contains("version is 2") == true
        }
    }

    private func configuration() throws -> PostgresConfiguration {
        PostgresConfiguration(
            name: try #require(InstanceName("a-1")),
            server: Endpoint(host: "10.0.0.1", port: 5432),
            listenAddresses: "*",
            socketFolder: "/run/one",
            dataFolder: "/srv/one's",
            agentUser: "agent",
            replicationPassword: "secret",
            settings: ["work_mem": "4MB", "log_line_prefix": "it's \\ %p"]
        )
    }

    @Test("settings that steer are read back from the file as they were written")
    func settingsRoundTrip() throws {
        let member = MemberID(name: try #require(InstanceName("a-1")), incarnation: Incarnation(number: 1))
        var steering = Steering()
        steering.connection = UpstreamConnection.receiving(
            from: Endpoint(host: "10.0.0.2", port: 5433),
            as: member,
            passwords: "/srv/one's/pass file"
        )
        steering.names = "ANY 1 (b_00000001)"
        steering.gate = Gate(isOpen: true, mark: "mark")
        let text = SettingsFile.compose(steering, configuration: try configuration(), member: member)
        #expect(SettingsFile.parse(text) == steering)
        #expect(text.contains("\nsynchronous_commit = 'on'\n"))
        #expect(text.contains("log_line_prefix = 'it''s \\\\ %p'"))
        #expect(!text.contains("secret"))
        #expect(UpstreamConnection.server(in: steering.connection) == Endpoint(host: "10.0.0.2", port: 5433))
        #expect(SettingsFile.parse("shared_buffers = '1GB'\n") == nil)
    }

    @Test("every fault of a configuration is named")
    func faults() throws {
        var configuration = try configuration()
        #expect(configuration.faults.isEmpty)
        configuration.settings["port"] = "1"
        configuration.settings["Work-mem"] = "1"
        configuration.settings["work_mem"] = "1\n2"
        configuration.accessRules = ["everybody", "host all"]
        configuration.dataFolder = "here"
        configuration.socketFolder = "/" + String(repeating: "x", count: 100)
        configuration.replicationPassword = ""
        #expect(configuration.faults.count == 8)
    }

    @Test("a shut access file refuses everybody but agent and standbys")
    func accessFile() throws {
        var configuration = try configuration()
        configuration.accessRules = ["host all all all trust"]
        let shut = AccessFile.compose(open: false, configuration: configuration)
        let open = AccessFile.compose(open: true, configuration: configuration)
        #expect(!shut.contains("trust") && shut.hasSuffix("host all all all reject\n"))
        #expect(open.hasSuffix("host all all all trust\n") && !open.contains("reject"))
    }

    @Test(
        "a shutdown record ends 120 bytes on, and page headers in between count",
        arguments: [
            ("0/2000028", "0/20000A0"), ("0/2001F88", "0/2002000"), ("0/2001F90", "0/2002020"),
            ("0/2FFFFA0", "0/3000040"),
        ]
    )
    func endOfShutdownRecord(_ start: String, _ end: String) throws {
        let start = try #require(LSN(start))
        #expect(WALRecord.end(ofShutdownCheckpointAt: start, segmentSize: 16 << 20) == LSN(end))
    }

    @Test("control data tell a clean standby from a crashed primary")
    func controlData() {
        let text = """
            pg_control version number:            1300
            Database system identifier:           7710979039323260708
            Database cluster state:               %
            Latest checkpoint location:           0/2000028
            Latest checkpoint's TimeLineID:       1
            Minimum recovery ending location:     0/3000060
            Min recovery ending loc's timeline:   2
            Bytes per WAL segment:                16777216
            """
        func facts(_ state: String) -> StoppedFacts? { ControlData(text.replacing("%", with: state)).facts }
        let standby = facts("shut down in recovery")
        #expect(standby?.cleanShutdown == true && standby?.wasPrimary == false && standby?.end == LSN("0/3000060"))
        #expect(standby?.timeline.rawValue == 2)
        let crashed = facts("in production")
        #expect(crashed?.cleanShutdown == false && crashed?.wasPrimary == true)
        #expect(facts("shut down")?.end == LSN("0/20000A0") && facts("shut down")?.cleanShutdown == true)
        // The length of the shutdown record is known up to 18: of a newer server its end is nobody's guess.
        let newer = ControlData(text.replacing("%", with: "shut down").replacing("1300", with: "1900"))
        #expect(newer.facts?.cleanShutdown == false && newer.facts?.wasPrimary == true)
        #expect(ControlData("nonsense").facts == nil)
    }

    @Test("progress of a copy is read from whole lines only")
    func progress() {
        let progress = CopyProgress()
        progress.take(Array("  2457/30214 kB (8%), 0/1 tablespace\n 245".utf8))
        #expect(progress.kilobytes == (2457, 30214))
        progress.take(Array("76/30214 kB (81%), 0/1 tablespace\r".utf8))
        #expect(progress.kilobytes == (24576, 30214) && !progress.isStalled)
    }
}
