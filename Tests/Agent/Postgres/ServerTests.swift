import ClusterModel
import Foundation
import InstanceDecision
import LauncherClient
import PostgresDriver
import PostgresInstance
import Testing

/// Times of procedures, printed so that a person sees what they cost.
func timed<Value>(_ what: String, _ body: () async throws -> Value) async rethrows -> Value {
    let begin = ContinuousClock.now
    let value = try await body()
    print("measured: \(what) took \((ContinuousClock.now - begin).wholeMilliseconds) ms")
    return value
}

@Suite("PostgreSQL instance", .serialized)
struct ServerTests {
    @Test("a first primary is born shut, with its role and slots, and opens only when told")
    func birth() async throws {
        let one = try await TestInstance("one")
        do {
            let nothing = try await one.adapter.attach()
            #expect(nothing.state == nil && nothing.directory == .empty && nothing.server == .down)
            let (_, identifier) = try await born(one)
            let peer = try #require(Incarnation("0000abcd"))
            let two = MemberID(name: try #require(InstanceName("two-x")), incarnation: peer)
            try await one.lease()
            let started = await timed("start of a first primary") {
                await one.adapter.start(.firstPrimary, peers: [two])
            }
            #expect(started == .started)
            await #expect(throws: PostgresError.self) { try await one.connect() }
            var status = try await one.adapter.poll()
            #expect(!status.inRecovery && !status.clientsAdmitted && status.synchronousNames == "")
            #expect(status.systemIdentifier == identifier && status.position.timeline == .first)
            #expect(status.capacity.maxConnections == 40 && status.serverVersion >= 150_000)
            #expect(await timed("opening") { await one.adapter.openClients() } == .opened)
            let session = try await one.connect()
            let slots = try await session.query(
                "SELECT slot_name, restart_lsn IS NOT NULL FROM pg_replication_slots",
                deadline: .seconds(2)
            )
            #expect(slots.rows == [["two_x_0000abcd", "t"]])
            let role = try await session.query(
                "SELECT rolreplication, rolpassword LIKE 'SCRAM%' FROM pg_authid WHERE rolname = 'understudy_replication'",
                deadline: .seconds(2)
            )
            #expect(role.rows == [["t", "t"]])
            _ = try await timed("a heartbeat") { try await one.adapter.heartbeat() }
            status = try await timed("a poll") { try await one.adapter.poll() }
            #expect(status.clientsAdmitted && (status.heartbeatAge ?? .seconds(9)) < .seconds(2))
            #expect(await one.adapter.isReady() == 0)
            #expect(await one.adapter.freeSpace() ?? 0 > 0)
            try await eventually("the demanded capacity is read") {
                try await one.adapter.poll().demandedCapacity?.maxConnections == 40
            }
            #expect(!one.log().contains("secret"))
            try await namesInForce(one, two, session)
            try await overrides(one)
            try await cleanStop(one)
        } catch {
            Issue.record("\(error)\n\(one.log().suffix(3000))")
        }
        await one.finish()
    }

    private func born(_ one: TestInstance) async throws -> (Incarnation, SystemIdentifier) {
        // What somebody puts there between the look and the birth is left alone (R5).
        #expect(try await one.adapter.attach().directory == .empty)
        try await one.client.makeDirectory("pgdata")
        try await one.client.place("pgdata/backup", Array("mine".utf8))
        let refused = await one.adapter.initialize()
        guard case .failed(let reason) = refused, reason.contains("not empty any more") else {
            throw TimedOut(what: "a refusal instead of \(refused)")
        }
        #expect(try await one.client.remove("pgdata/backup"))
        let outcome = await timed("initdb") { await one.adapter.initialize() }
        guard case .initialized(let incarnation, let identifier) = outcome else {
            throw TimedOut(what: "\(outcome)")
        }
        var state = InstanceState()
        state.incarnation = incarnation
        state.role = .primary
        try await one.adapter.persist(state)
        let found = try await one.adapter.attach()
        #expect(found.matches && found.state == state && found.directory == .present(identifier))
        return (incarnation, identifier)
    }

    /// Names that nobody answers to: a commit waits, until they are empty again.
    private func namesInForce(_ one: TestInstance, _ two: MemberID, _ session: PostgresSession) async throws {
        let names = "ANY 1 (\(two.applicationName))"
        let applied = await timed("putting names in force") {
            await one.adapter.applyRules(RulesWork(synchronousNames: names, leavesZero: true, peers: [two]))
        }
        guard case .rulesApplied(let barrier) = applied else { throw TimedOut(what: "\(applied)") }
        #expect(barrier > .zero)
        #expect(try await one.adapter.poll().synchronousNames == names)
        await #expect(throws: PostgresError.self) {
            try await session.query("CREATE TABLE waits (n int)", deadline: .milliseconds(300))
        }
        let empty = await one.adapter.applyRules(RulesWork(synchronousNames: "", leavesZero: false, peers: [two]))
        guard case .rulesApplied = empty else { throw TimedOut(what: "\(empty)") }
        let again = try await one.connect()
        try await again.query("CREATE TABLE goes (n int)", deadline: .seconds(2))
    }

    /// Whatever beats our settings is found and named.
    private func overrides(_ one: TestInstance) async throws {
        let session = try await one.connect()
        try await session.query("ALTER SYSTEM SET synchronous_standby_names = ''", deadline: .seconds(2))
        let refused = await one.adapter.applyRules(
            RulesWork(synchronousNames: "ANY 1 (nobody)", leavesZero: false, peers: [])
        )
        guard case .failed(let reason) = refused else { throw TimedOut(what: "\(refused)") }
        #expect(reason.contains("ALTER SYSTEM RESET synchronous_standby_names"))
        try await session.query("ALTER SYSTEM RESET synchronous_standby_names", deadline: .seconds(2))
        // Settings that the server is started with cannot be overridden at all.
        try await session.query("ALTER SYSTEM SET restart_after_crash = on", deadline: .seconds(2))
        try await session.query("SELECT pg_reload_conf()", deadline: .seconds(2))
        let shown = try await one.connect().query("SHOW restart_after_crash", deadline: .seconds(2))
        #expect(shown.first() == "off")
        try await session.query("ALTER SYSTEM SET synchronous_commit = off", deadline: .seconds(2))
        try await session.query("SELECT pg_reload_conf()", deadline: .seconds(2))
        let commit = try await one.connect().query("SHOW synchronous_commit", deadline: .seconds(2))
        #expect(commit.first() == "on")
        try await weakenedCommits(one)
        // Left standing, it would keep the standby from being cut: the next start takes it out.
        try await session.query("ALTER SYSTEM SET primary_conninfo = 'host=nowhere'", deadline: .seconds(2))
        try await session.query("ALTER SYSTEM SET work_mem = '5MB'", deadline: .seconds(2))
    }

    /// What beats the server's own settings is at least found (R12).
    private func weakenedCommits(_ one: TestInstance) async throws {
        // Nobody acknowledges here, and what a session sets for itself beats what the server was started with.
        let session = try await one.connect(options: "-c synchronous_commit=local")
        #expect(await one.adapter.weakenedCommits() == [])
        for text in [
            "CREATE ROLE \"The App\"", "ALTER ROLE \"The App\" SET synchronous_commit = 'LOCAL'",
            "ALTER ROLE \"The App\" IN DATABASE postgres SET synchronous_commit = remote_write",
            "ALTER DATABASE template1 SET synchronous_commit = off", "ALTER ROLE ALL SET synchronous_commit = no",
            "CREATE ROLE fine", "ALTER ROLE fine SET synchronous_commit = remote_apply",
        ] {
            try await session.query(text, deadline: .seconds(2))
        }
        let found = try #require(await one.adapter.weakenedCommits())
        let mends = [
            "ALTER ROLE \"The App\" RESET", "ALTER ROLE \"The App\" IN DATABASE postgres RESET",
            "ALTER DATABASE template1 RESET", "ALTER ROLE ALL RESET",
        ]
        #expect(found.count == mends.count, "\(found)")
        for mend in mends { #expect(found.contains { $0.contains(mend) }, "\(mend): \(found)") }
        for mend in mends { try await session.query(mend + " synchronous_commit", deadline: .seconds(2)) }
        #expect(await one.adapter.weakenedCommits() == [])
    }

    private func cleanStop(_ one: TestInstance) async throws {
        let last = try await one.adapter.poll().position.lsn
        try await one.stop(.fast)
        let outcome = await one.adapter.inspect()
        guard case .inspected(let facts) = outcome else { throw TimedOut(what: "\(outcome)") }
        #expect(facts.cleanShutdown && facts.wasPrimary && facts.timeline == .first && facts.end > last)
        // The end of the shutdown record is where the next record of a standby will begin.
        #expect(await one.adapter.start(.standby(.nobody), peers: []) == .started)
        let cut = await one.adapter.cutReceiver(waitForReplay: true)
        #expect(cut == .cut(WALPosition(timeline: .first, lsn: facts.end)))
        let kept = try await one.connect().query("SHOW work_mem", deadline: .seconds(2))
        #expect(kept.first() == "5MB")
        try await stopsByHand(one)
        let again = await one.adapter.inspect()
        guard case .inspected(let standby) = again else { throw TimedOut(what: "\(again)") }
        #expect(standby.cleanShutdown && !standby.wasPrimary && standby.end == facts.end)
    }

    /// A smart shutdown waits for the sessions that are left: an agent that comes meanwhile sees it (D117).
    private func stopsByHand(_ one: TestInstance) async throws {
        let session = try await one.connect()
        guard case .running = try await one.adapter.attach().server else { throw TimedOut(what: "a running server") }
        try await one.client.signal(SIGTERM)
        try await eventually("the shutdown is seen") {
            guard case .stopping = try await one.adapter.attach().server else { return false }
            return true
        }
        _ = try await session.query("SELECT 1", deadline: .seconds(2))
        try await one.stop(.fast)
    }

    @Test("an access rule that PostgreSQL refuses keeps clients out and is named; the server runs on")
    func brokenAccessRule() async throws {
        let one = try await TestInstance(
            "one",
            accessRules: ["host all all 127.0.0.0/8 trust", "host all all 10.0.0.0/77 md5"]
        )
        do {
            _ = try await born(one)
            try await one.lease()
            #expect(await one.adapter.start(.firstPrimary, peers: []) == .started)
            let refused = await one.adapter.openClients()
            guard case .failed(let reason) = refused else { throw TimedOut(what: "\(refused)") }
            #expect(reason.contains("10.0.0.0/77"))
            await #expect(throws: PostgresError.self) { try await one.connect() }
            try await one.stop(.immediate)
            #expect(await one.adapter.start(.standby(.nobody), peers: []) == .started)
            #expect(await one.adapter.fault.contains("10.0.0.0/77"))
            await #expect(throws: PostgresError.self) { try await one.connect() }
        } catch {
            Issue.record("\(error)\n\(one.log().suffix(3000))")
        }
        await one.finish()
    }

    @Test("what is no data directory is called foreign and left alone")
    func foreignDirectory() async throws {
        let one = try await TestInstance("one")
        do {
            try FileManager.default.createDirectory(atPath: one.file("pgdata"), withIntermediateDirectories: false)
            try Data("precious".utf8).write(to: URL(fileURLWithPath: one.file("pgdata/letter")))
            if geteuid() == 0 { try TestInstance.run("/bin/chown", ["-R", "postgres:postgres", one.file("pgdata")]) }
            guard case .foreign = try await one.adapter.attach().directory else { throw TimedOut(what: "foreign") }
            try Data("15\n".utf8).write(to: URL(fileURLWithPath: one.file("pgdata/PG_VERSION")))
            guard case .foreign = try await one.adapter.attach().directory else { throw TimedOut(what: "foreign") }
            for text in ["{\"version\": 1,", "{\"version\": 2}", "nonsense"] {
                try Data(text.utf8).write(to: URL(fileURLWithPath: one.file("state")))
                // It is named with the mend, is neither taken for missing nor overwritten, and removing it is what mends.
                let error = await #expect(throws: AdapterError.self) { try await one.adapter.attach() }
                #expect(error?.text.contains(one.file("state")) == true && error?.text.contains("remove it") == true)
                #expect(FileManager.default.contents(atPath: one.file("state")) == Data(text.utf8))
            }
            try FileManager.default.removeItem(atPath: one.file("state"))
            #expect(try await one.adapter.attach().state == nil)
        } catch {
            Issue.record("\(error)")
        }
        await one.finish()
    }
}
