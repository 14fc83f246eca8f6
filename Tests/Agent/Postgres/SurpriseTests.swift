import ClusterModel
import Foundation
import InstanceDecision
import PostgresDriver
import PostgresInstance
import Synchronization
import Testing

/// What PostgreSQL does otherwise than its settings let one think; the protocol is built around it.
@Suite("What PostgreSQL really does", .serialized)
struct SurpriseTests {
    /// An open primary that waits for nobody.
    private func primary(_ one: TestInstance) async throws -> (MemberID, SystemIdentifier) {
        let birth = await one.adapter.initialize()
        guard case .initialized(let incarnation, let identifier) = birth else { throw TimedOut(what: "\(birth)") }
        try await one.lease()
        #expect(await one.adapter.start(.firstPrimary, peers: []) == .started)
        #expect(await one.adapter.openClients() == .opened)
        return (one.member(incarnation), identifier)
    }

    /// A standby of that primary, its receiver streaming through its slot.
    private func standby(
        _ one: TestInstance,
        of source: TestInstance,
        _ identifier: SystemIdentifier
    ) async throws
        -> MemberID
    {
        let copy = await one.adapter.clone(source.upstream(identifier, 1))
        guard case .cloned(let incarnation, _) = copy else { throw TimedOut(what: "\(copy)") }
        #expect(await one.adapter.start(.standby(.upstream(source.upstream(identifier, 1))), peers: []) == .started)
        let member = one.member(incarnation)
        try await eventually("the standby streams through its own slot") {
            try await source.adapter.poll(within: .seconds(2)).senders.contains {
                $0.applicationName == member.applicationName && $0.usesOwnSlot && $0.state == "streaming"
            }
        }
        return member
    }

    private func run(_ instances: [TestInstance], _ body: () async throws -> Void) async {
        do { try await body() } catch {
            Issue.record("\(error)\n\(instances.map { String($0.log().suffix(2000)) }.joined(separator: "\n"))")
        }
        for one in instances { await one.finish() }
    }

    private func number(_ session: PostgresSession, _ query: String) async throws -> Int32 {
        try #require(try await session.query(query, deadline: .seconds(2)).first().flatMap { Int32($0) })
    }

    @Test("names that a session shows are not in force before the checkpointer has read them; that is waited for (R12)")
    func checkpointerDecides() async throws {
        let a = try await TestInstance("a")
        await run([a]) {
            _ = try await primary(a)
            let session = try await a.connect()
            let query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
            let checkpointer = try await number(session, query)
            #expect(kill(checkpointer, SIGSTOP) == 0)
            let isDone = Mutex(false)
            let work = Task {
                let work = RulesWork(synchronousNames: "ANY 1 (nobody)", leavesZero: true, peers: [])
                let outcome = await a.adapter.applyRules(work)
                isDone.withLock { $0 = true }
                return outcome
            }
            try await eventually("a new session shows the names") {
                let shown = try await a.connect().query("SHOW synchronous_standby_names", deadline: .seconds(2))
                return shown.first() == "ANY 1 (nobody)"
            }
            // Shown, and yet nobody waits.
            try await a.connect().query("CREATE TABLE early (n int)", deadline: .seconds(3))
            #expect(isDone.withLock { !$0 })
            #expect(kill(checkpointer, SIGCONT) == 0)
            guard case .rulesApplied = await work.value else { throw TimedOut(what: "the names are in force") }
            await #expect(throws: PostgresError.self) {
                try await a.connect().query("CREATE TABLE late (n int)", deadline: .milliseconds(400))
            }
        }
    }

    @Test("after the crash of one session the whole server goes down, instead of recovering by itself (R17)")
    func noRecoveryOfItsOwn() async throws {
        let a = try await TestInstance("a")
        await run([a]) {
            _ = try await primary(a)
            let session = try await a.connect()
            try await session.query("CREATE TABLE kept (n int)", deadline: .seconds(2))
            #expect(kill(try await number(session, "SELECT pg_backend_pid()"), SIGKILL) == 0)
            try await a.awaitDown()
            guard case .inspected(let facts) = await a.adapter.inspect() else { throw TimedOut(what: "inspect") }
            #expect(facts.wasPrimary && !facts.cleanShutdown)
        }
    }

    @Test("a second connection of a voter, which PostgreSQL would count as another, finds the slot taken (R12)")
    func oneSenderForEachVoter() async throws {
        let (a, b) = (try await TestInstance("a"), try await TestInstance("b"))
        await run([a, b]) {
            let (_, identifier) = try await primary(a)
            let member = try await standby(b, of: a, identifier)
            let names = "ANY 2 (\(member.applicationName), c_0000abcd)"
            let work = RulesWork(synchronousNames: names, leavesZero: true, voters: [member], peers: [member])
            guard case .rulesApplied = await a.adapter.applyRules(work) else { throw TimedOut(what: "names") }
            try await eventually("it streams again") {
                try await a.adapter.poll(within: .seconds(2)).senders.contains { $0.state == "streaming" }
            }
            let folder = a.file("second")
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
            let server = a.configuration.server
            let connection =
                "host=\(server.host) port=\(server.port) user=understudy_replication "
                + "password='test: \\\\secret' application_name=\(member.applicationName)"
            let arguments = [
                "--no-loop", "--synchronous", "--no-password", "-D", folder, "-S", member.applicationName, "-d",
                connection,
            ]
            let complaint = try complaint(of: TestInstance.programs + "/pg_receivewal", arguments)
            #expect(complaint.contains("is active"), "\(complaint)")
            await #expect(throws: PostgresError.self) {
                try await a.connect().query("CREATE TABLE waits (n int)", deadline: .milliseconds(500))
            }
        }
    }

    private func complaint(of program: String, _ arguments: [String]) throws -> String {
        let (process, errors) = (Process(), Pipe())
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.standardError = errors
        try process.run()
        let bytes = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationStatus != 0)
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test("a delay of replay hides nothing: a standby that was killed answers with all that it had flushed (R6)")
    func delayedReplay() async throws {
        let a = try await TestInstance("a")
        let b = try await TestInstance("b", settings: ["recovery_min_apply_delay": "1h"])
        await run([a, b]) {
            let (_, identifier) = try await primary(a)
            _ = try await standby(b, of: a, identifier)
            let session = try await a.connect()
            try await session.query("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n", deadline: .seconds(5))
            let end = try await a.adapter.poll(within: .seconds(2)).position.lsn
            try await eventually("it has flushed what it has not replayed") {
                let status = try await b.adapter.poll(within: .seconds(2))
                return status.position.lsn >= end && status.replayLSN < end
            }
            let file = try String(contentsOfFile: b.file("pgdata/postmaster.pid"), encoding: .utf8)
            #expect(kill(try #require(file.split(separator: "\n").first.flatMap { Int32($0) }), SIGKILL) == 0)
            try await b.awaitDown()
            #expect(await b.adapter.start(.standby(.nobody), peers: []) == .started)
            guard case .cut(let position) = await b.adapter.cutReceiver(waitForReplay: true) else {
                throw TimedOut(what: "a cut")
            }
            #expect(position.lsn >= end)
        }
    }

    @Test("a standby that somebody promoted does not answer as one: its timeline was given by nobody (R6, D111)")
    func promotedByHand() async throws {
        let (a, b) = (try await TestInstance("a"), try await TestInstance("b"))
        await run([a, b]) {
            let (_, identifier) = try await primary(a)
            _ = try await standby(b, of: a, identifier)
            let before = await b.adapter.cutReceiver(waitForReplay: false)
            guard case .cut = before else { throw TimedOut(what: "a cut: \(before)") }
            let promoted = try await b.connect().query("SELECT pg_promote()", deadline: .seconds(30))
            #expect(promoted.first() == "t")
            for waits in [false, true] {
                let after = await b.adapter.cutReceiver(waitForReplay: waits)
                guard case .failed(let reason) = after else { throw TimedOut(what: "a failure, not \(after)") }
                #expect(reason.contains("recovery"))
            }
        }
    }

    @Test("a heartbeat is on disk when it counts, and takes no transaction id (R22)")
    func heartbeat() async throws {
        let a = try await TestInstance("a", settings: ["autovacuum": "off"])
        await run([a]) {
            _ = try await primary(a)
            let session = try await a.connect()
            let next = "SELECT pg_snapshot_xmax(pg_current_snapshot())"
            let before = try await session.query(next, deadline: .seconds(2)).first()
            for _ in 0..<3 {
                let written = Mutex(LSN.zero)
                try await a.adapter.heartbeat { end in written.withLock { $0 = end } }
                let flushed = try await session.query("SELECT pg_current_wal_flush_lsn()", deadline: .seconds(2))
                let end = written.withLock { $0 }
                #expect(end > .zero && flushed.first().flatMap { LSN($0) } ?? .zero >= end)
            }
            #expect(try await session.query(next, deadline: .seconds(2)).first() == before)
        }
    }

    @Test("settings that the protocol rests on are those of every server, whoever sets others (R9, R14, R17)")
    func settings() async throws {
        let a = try await TestInstance("a")
        await run([a]) {
            _ = try await primary(a)
            let wanted = [
                ("wal_log_hints", "on"), ("restart_after_crash", "off"), ("wal_receiver_status_interval", "1s"),
                ("wal_receiver_timeout", "2s"), ("wal_sender_timeout", "2s"), ("restore_command", ""),
            ]
            let session = try await a.connect()
            for (name, _) in wanted where name != "restore_command" {
                let other =
                    name.hasSuffix("timeout") || name.hasSuffix("interval")
                    ? "30s" : name == "wal_log_hints" ? "off" : "on"
                try await session.query("ALTER SYSTEM SET \(name) = '\(other)'", deadline: .seconds(2))
            }
            try await session.query("SELECT pg_reload_conf()", deadline: .seconds(2))
            let again = try await a.connect()
            for (name, value) in wanted {
                #expect(try await again.query("SHOW \(name)", deadline: .seconds(2)).first() ?? "" == value, "\(name)")
            }
        }
    }
}
