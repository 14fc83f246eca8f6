import ClusterModel
import Foundation
import InstanceDecision
import PostgresDriver
import Testing

@testable import PostgresInstance

@Suite("PostgreSQL versions", .serialized)
struct VersionTests {
    /// The release under test, as its own program names it.
    private static func release() throws -> PostgresRelease {
        let output = try TestInstance.output("\(TestInstance.programs)/postgres", ["--version"])
        return try #require(PostgresRelease(programOutput: output))
    }

    /// The real programs, with a server that says it is of another version.
    private static func programs(saying version: String) throws -> String {
        let folder = "/tmp/understudy-test-\(UUID().uuidString.prefix(8).lowercased())"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        let names = try FileManager.default.contentsOfDirectory(atPath: TestInstance.programs)
        for name in names where name != "postgres" {
            try FileManager.default.createSymbolicLink(
                atPath: "\(folder)/\(name)",
                withDestinationPath: "\(TestInstance.programs)/\(name)"
            )
        }
        let script = """
            #!/bin/sh
            [ "$1" != --version ] || { echo "postgres (PostgreSQL) \(version)"; exit; }
            exec \(TestInstance.programs)/postgres "$@"

            """
        try Data(script.utf8).write(to: URL(fileURLWithPath: "\(folder)/postgres"))
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: "\(folder)/postgres")
        return folder
    }

    private func with(
        _ names: [(name: String, programs: String)],
        settings: [String: String] = [:],
        _ body: ([TestInstance]) async throws -> Void
    ) async throws {
        var instances: [TestInstance] = []
        do {
            for one in names {
                instances.append(try await TestInstance(one.name, settings: settings, programs: one.programs))
            }
            try await body(instances)
        } catch {
            Issue.record("\(error)\n\(instances.map { $0.log().suffix(2000) }.joined(separator: "\n"))")
        }
        for one in instances { await one.finish() }
    }

    private func born(_ one: TestInstance) async throws -> (Incarnation, SystemIdentifier) {
        guard case .initialized(let incarnation, let identifier) = await one.adapter.initialize() else {
            throw TimedOut(what: "a data directory")
        }
        try await one.lease()
        #expect(await one.adapter.start(.firstPrimary, peers: []) == .started)
        #expect(await one.adapter.openClients() == .opened)
        return (incarnation, identifier)
    }

    @Test("programs before 13 are refused with the mend; newer than 18 runs, with a warning")
    func limits() async throws {
        let (old, new) = (try Self.programs(saying: "12.22"), try Self.programs(saying: "19.1"))
        defer { for folder in [old, new] { try? FileManager.default.removeItem(atPath: folder) } }
        try await with([("old", old), ("new", new)]) { instances in
            guard case .failed(let reason) = await instances[0].adapter.initialize() else {
                throw TimedOut(what: "a refusal")
            }
            #expect(reason.contains("12.22 is too old") && reason.contains("install 13 to 18"))
            #expect(!FileManager.default.fileExists(atPath: instances[0].file("clone")))
            guard case .initialized = await instances[1].adapter.initialize() else { throw TimedOut(what: "a birth") }
            #expect(await instances[1].adapter.warning.contains("19.1 is newer"))
        }
    }

    @Test("programs that cannot run the data directory are refused before the server is started")
    func otherDirectory() async throws {
        try await with([("one", TestInstance.programs)]) { instances in
            let one = instances[0]
            _ = try await born(one)
            #expect(await one.adapter.warning == "")
            try await one.stop(.fast)
            let release = try Self.release()
            let version = URL(fileURLWithPath: one.file("pgdata/PG_VERSION"))
            try Data("\(release.major + 1)\n".utf8).write(to: version)
            _ = try await one.adapter.attach()
            guard case .failed(let reason) = await one.adapter.start(.standby(.nobody), peers: []) else {
                throw TimedOut(what: "a refusal")
            }
            #expect(reason.contains("is of PostgreSQL \(release.major + 1), the launcher's programs are \(release)"))
        }
    }

    @Test("nothing is copied from a server of another major version, and both versions are named")
    func otherUpstream() async throws {
        let release = try Self.release()
        let strange = release.major == 13 ? "14.9" : "13.9"
        let other = try Self.programs(saying: strange)
        defer { try? FileManager.default.removeItem(atPath: other) }
        try await with([("one", TestInstance.programs), ("two", other)]) { instances in
            let (_, identifier) = try await born(instances[0])
            let copied = await instances[1].adapter.clone(instances[0].upstream(identifier, 1))
            guard case .failed(let reason) = copied else { throw TimedOut(what: "a refusal") }
            #expect(reason.contains("is PostgreSQL \(release.major).") && reason.contains("here are \(strange)"))
            let slots = try await instances[0].connect().query(
                "SELECT count(*) FROM pg_replication_slots",
                deadline: .seconds(2)
            )
            #expect(slots.first() == "0")
        }
    }

    @Test("time limits for sessions, which newer versions have, do not end the agent's own")
    func timeLimits() async throws {
        let major = try Self.release().major
        var settings: [String: String] = [:]
        if major >= 14 { settings["idle_session_timeout"] = "100ms" }
        if major >= 17 { settings["transaction_timeout"] = "250ms" }
        try await with([("one", TestInstance.programs)], settings: settings) { instances in
            let one = instances[0]
            _ = try await born(one)
            func sessions() async throws -> [[String?]] {
                try await one.connect().query(
                    "SELECT pid FROM pg_stat_activity WHERE application_name = 'understudy_agent' ORDER BY pid",
                    deadline: .seconds(2)
                ).rows
            }
            _ = try await one.adapter.poll(within: .seconds(2))
            let before = try await sessions()
            #expect(!before.isEmpty)
            let client = try await one.connect()
            if major >= 14 {
                let processID = try await client.query("SELECT pg_backend_pid()", deadline: .seconds(2)).first()
                try await eventually("an idle client is sent away") {
                    let found = try await one.connect().query(
                        "SELECT count(*) FROM pg_stat_activity WHERE pid = $1::int",
                        [processID],
                        deadline: .seconds(2)
                    )
                    return found.first() == "0"
                }
            }
            #expect(try await sessions() == before)
            let long = "SELECT pg_sleep(0.4)"
            if major >= 17 {
                let hurried = try await one.connect()
                await #expect(throws: PostgresError.self) { try await hurried.query(long, deadline: .seconds(5)) }
            }
            try await one.adapter.sql(long)
            #expect(try await sessions() == before)
        }
    }

    @Test("slots of members that are away are not given up for being idle")
    func idleSlots() async throws {
        guard try Self.release().major >= 18 else { return }
        try await with([("one", TestInstance.programs)]) { instances in
            _ = try await born(instances[0])
            let session = try await instances[0].connect()
            try await session.query("ALTER SYSTEM SET idle_replication_slot_timeout = '1s'", deadline: .seconds(2))
            try await session.query("SELECT pg_reload_conf()", deadline: .seconds(2))
            let shown = try await instances[0].connect().query(
                "SHOW idle_replication_slot_timeout",
                deadline: .seconds(2)
            )
            #expect(shown.first() == "0")
        }
    }

    @Test("a logical slot that a standby keeps in step is there, and of use, after its promotion")
    func logicalSlots() async throws {
        guard try Self.release().major >= 17 else { return }
        let settings = ["wal_level": "logical", "sync_replication_slots": "on", "hot_standby_feedback": "on"]
        let names = [("one", TestInstance.programs), ("two", TestInstance.programs)]
        try await with(names, settings: settings) { instances in
            let (one, two) = (instances[0], instances[1])
            let (incarnation, identifier) = try await born(one)
            let upstream = one.upstream(identifier, 1)
            guard case .cloned = await two.adapter.clone(upstream) else { throw TimedOut(what: "a copy") }
            let peers = [one.member(incarnation)]
            #expect(await two.adapter.start(.standby(.upstream(upstream)), peers: peers) == .started)
            let session = try await one.connect()
            let create = "SELECT pg_create_logical_replication_slot('kept', 'pgoutput', false, false, true)"
            try await session.query(create, deadline: .seconds(10))
            try await eventually("the standby has the slot", within: .seconds(60)) {
                // A quiet primary logs no snapshot, from which alone the standby's slot can begin.
                try await session.query("SELECT pg_log_standby_snapshot()", deadline: .seconds(5))
                try await session.query(
                    "SELECT pg_replication_slot_advance('kept', pg_current_wal_flush_lsn())",
                    deadline: .seconds(5)
                )
                let found = try await two.connect().query(
                    "SELECT synced AND NOT temporary FROM pg_replication_slots WHERE slot_name = 'kept'",
                    deadline: .seconds(2)
                )
                return found.first() == "t"
            }
            guard case .cut = await two.adapter.cutReceiver(waitForReplay: false) else { throw TimedOut(what: "a cut") }
            try await one.stop(.immediate)
            try await two.lease()
            let work = PromotionWork(
                term: Term(rawValue: 2),
                timeline: Timeline(rawValue: 2),
                foreignTimelines: [],
                synchronousNames: "",
                emptiesNames: true,
                peers: peers
            )
            let promoted = await timed("a promotion with a logical slot") { await two.adapter.promote(work) }
            guard case .promoted = promoted else { throw TimedOut(what: "\(promoted)") }
            #expect(await two.adapter.openClients() == .opened)
            try await two.connect().query(
                "SELECT pg_replication_slot_advance('kept', pg_current_wal_flush_lsn())",
                deadline: .seconds(5)
            )
        }
    }
}
