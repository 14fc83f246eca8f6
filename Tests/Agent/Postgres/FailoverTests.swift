import ClusterModel
import Foundation
import InstanceDecision
import LauncherClient
import LauncherProtocol
import PostgresDriver
import Testing

@testable import PostgresInstance

@Suite("Failover of real servers", .serialized)
struct FailoverTests {
    @Test("a primary dies, a cut standby takes exactly the assigned timeline, the others come after it")
    func failover() async throws {
        let (a, b, c) = (try await TestInstance("a"), try await TestInstance("b"), try await TestInstance("c"))
        do {
            let world = try await threeServers(a, b, c)
            try await cutAndPromote(world)
            try await rejoin(world)
        } catch {
            let logs = [a, b, c].map { "\($0.configuration.name):\n" + String($0.log().suffix(2500)) }
            Issue.record("\(error)\n\(logs.joined(separator: "\n"))")
        }
        for one in [a, b, c] { await one.finish() }
    }

    @Test("a cut standby catches up from another cut one, and their positions are the same (R8)")
    func catchUp() async throws {
        let (a, b, c) = (try await TestInstance("a"), try await TestInstance("b"), try await TestInstance("c"))
        do {
            let world = try await threeServers(a, b, c)
            let session = try await a.connect()
            try await session.query("CREATE TABLE early (n int)", deadline: .seconds(5))
            // What comes now reaches b alone, and is acknowledged by it.
            let behind = try await position(ofCut: c)
            try await session.query("CREATE TABLE late AS SELECT generate_series(1, 5000) AS n", deadline: .seconds(5))
            let ahead = try await position(ofCut: b)
            #expect(behind < ahead)
            try crash(a)
            try await a.awaitDown()
            let source = b.upstream(world.identifier, 1)
            #expect(await c.adapter.follow(source, peers: [world.first, world.second]) == .following)
            try await eventually("everything has come") { try await c.adapter.poll().position >= ahead }
            #expect(try await position(ofCut: c) == ahead)
            #expect(try await position(ofCut: b) == ahead)
            let rows = try await c.connect().query("SELECT count(*) FROM late", deadline: .seconds(5))
            #expect(rows.first() == "5000")
        } catch {
            Issue.record("\(error)\n\(b.log().suffix(2500))\n\(c.log().suffix(2500))")
        }
        for one in [a, b, c] { await one.finish() }
    }

    private func position(ofCut one: TestInstance) async throws -> WALPosition {
        let cut = await one.adapter.cutReceiver(waitForReplay: false)
        guard case .cut(let position) = cut else { throw TimedOut(what: "\(cut)") }
        return position
    }

    private struct World {
        let a: TestInstance, b: TestInstance, c: TestInstance
        let identifier: SystemIdentifier
        let first: MemberID, second: MemberID, third: MemberID
    }

    /// A primary and two standbys that stream through their own slots.
    private func threeServers(_ a: TestInstance, _ b: TestInstance, _ c: TestInstance) async throws -> World {
        let birth = await a.adapter.initialize()
        guard case .initialized(let incarnation, let identifier) = birth else { throw TimedOut(what: "\(birth)") }
        try await a.lease()
        #expect(await a.adapter.start(.firstPrimary, peers: []) == .started)
        #expect(await a.adapter.openClients() == .opened)
        var members: [MemberID] = []
        for one in [b, c] {
            let copy = await timed("a clone") { await one.adapter.clone(a.upstream(identifier, 1)) }
            guard case .cloned(let new, let same) = copy else { throw TimedOut(what: "\(copy)") }
            #expect(same == identifier)
            members.append(one.member(new))
            #expect(try await isMarked(one))
            #expect(
                await one.adapter.start(.standby(.upstream(a.upstream(identifier, 1))), peers: [a.member(incarnation)])
                    == .started
            )
        }
        try await eventually("both stream through their own slots") {
            let senders = try await a.adapter.poll(within: .seconds(2)).senders
            return senders.count == 2 && senders.allSatisfy { $0.usesOwnSlot && $0.state == "streaming" }
        }
        let names = "ANY 1 (\(members.map(\.applicationName).joined(separator: ", ")))"
        let applied = await a.adapter.applyRules(RulesWork(synchronousNames: names, leavesZero: true, peers: members))
        guard case .rulesApplied = applied else { throw TimedOut(what: "\(applied)") }
        let again = await timed("changing names with two senders") {
            await a.adapter.applyRules(
                RulesWork(
                    synchronousNames: "ANY 1 (\(members.reversed().map(\.applicationName).joined(separator: ", ")))",
                    leavesZero: false,
                    peers: members
                )
            )
        }
        guard case .rulesApplied = again else { throw TimedOut(what: "\(again)") }
        return World(
            a: a,
            b: b,
            c: c,
            identifier: identifier,
            first: a.member(incarnation),
            second: members[0],
            third: members[1]
        )
    }

    /// Its data say when their control file was born (R5).
    private func isMarked(_ one: TestInstance) async throws -> Bool {
        let born = try #require(try await one.client.inspect("pgdata/global/pg_control")?.bornNanoseconds)
        let mark = try String(contentsOfFile: one.file("pgdata/understudy.incarnation"), encoding: .utf8)
        return mark.contains("control-file-born \(born)\n")
    }

    private func cutAndPromote(_ world: World) async throws {
        let (a, b, c) = (world.a, world.b, world.c)
        let session = try await a.connect()
        try await eventually("both receive again, their senders having been ended") {
            let senders = try await a.adapter.poll(within: .seconds(2)).senders
            return senders.filter { $0.state == "streaming" }.count == 2
        }
        // The candidate has received what it has not replayed: neither cut nor promotion may trip over that.
        try await b.connect().query("SELECT pg_wal_replay_pause()", deadline: .seconds(2))
        try await session.query("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n", deadline: .seconds(5))
        try await statusOfStandby(world)
        // Both cut while the primary lives: it cannot acknowledge any more.
        var positions: [WALPosition] = []
        for one in [b, c] {
            let cut = await timed("cutting a live receiver") { await one.adapter.cutReceiver(waitForReplay: false) }
            guard case .cut(let position) = cut else { throw TimedOut(what: "\(cut)") }
            positions.append(position)
        }
        #expect(positions[0].timeline == .first)
        #expect(positions.max()?.lsn ?? .zero >= (try await a.adapter.poll().position.lsn))
        await #expect(throws: PostgresError.self) {
            try await session.query("INSERT INTO kept VALUES (0)", deadline: .milliseconds(400))
        }
        let again = await timed("cutting again") { await b.adapter.cutReceiver(waitForReplay: false) }
        #expect(again == .cut(positions[0]))
        try crash(a)
        try await a.awaitDown()
        try await b.lease()
        let visitor = try await b.connect()
        let work = PromotionWork(
            term: Term(rawValue: 2),
            timeline: Timeline(rawValue: 5),
            foreignTimelines: [2, 3, 4].map { Timeline(rawValue: $0) },
            synchronousNames: "ANY 1 (\(world.third.applicationName), \(world.first.applicationName))",
            emptiesNames: false,
            peers: [world.first, world.third]
        )
        let promoted = await timed("a promotion") { await b.adapter.promote(work) }
        guard case .promoted(let timeline, let switched, let fork) = promoted else {
            throw TimedOut(what: "\(promoted)")
        }
        #expect(timeline.rawValue == 5 && fork.lsn == positions[0].lsn && switched > fork.lsn)
        #expect(fork.parent == .first)
        #expect(await b.adapter.promote(work) != .failed(""))
        await #expect(throws: PostgresError.self) { try await visitor.query("SELECT 1", deadline: .seconds(1)) }
        await #expect(throws: PostgresError.self) { try await b.connect() }
    }

    private func statusOfStandby(_ world: World) async throws {
        let status = try await world.b.adapter.poll(within: .seconds(2))
        let receiver = try #require(status.receiver)
        #expect(status.inRecovery && status.clientsAdmitted && status.synchronousNames == standbySynchronousNames)
        #expect(receiver.status == "streaming" && receiver.timeline == .first)
        #expect(receiver.sender == world.a.configuration.server)
        #expect((receiver.sinceLastMessage ?? .seconds(99)) < .seconds(3))
        #expect(status.systemIdentifier == world.identifier && status.position.timeline == .first)
        let standby = try await world.b.connect().query("SELECT 1", deadline: .seconds(2))
        #expect(standby.first() == "1")
    }

    /// SIGKILL to the postmaster.
    private func crash(_ one: TestInstance) throws {
        let file = try String(contentsOfFile: one.file("pgdata/postmaster.pid"), encoding: .utf8)
        let processID = try #require(file.split(separator: "\n").first.flatMap { Int32($0) })
        #expect(kill(processID, SIGKILL) == 0)
    }

    private func rejoin(_ world: World) async throws {
        let (a, b, c) = (world.a, world.b, world.c)
        let found = await b.adapter.readLineage(Timeline(rawValue: 5))
        guard case .lineage(let lineage) = found, lineage.forks.count == 1 else { throw TimedOut(what: "\(found)") }
        #expect(lineage.forks[0].parent == .first)
        let upstream = b.upstream(world.identifier, 5, lineage.forks)
        // Paused by somebody, it would never ask for a receiver.
        try await c.connect().query("SELECT pg_wal_replay_pause()", deadline: .seconds(2))
        let followed = await timed("following") {
            await c.adapter.follow(upstream, peers: [world.first, world.second])
        }
        #expect(followed == .following)
        try await timed("streaming after follow") {
            try await eventually("the other standby streams", within: .seconds(3)) {
                try await b.adapter.poll(within: .seconds(2)).senders.contains {
                    $0.applicationName == world.third.applicationName && $0.usesOwnSlot && $0.state == "streaming"
                }
            }
        }
        #expect(await b.adapter.openClients() == .opened)
        let session = try await b.connect()
        try await session.query("INSERT INTO kept VALUES (2000)", deadline: .seconds(5))
        guard case .cut(let end) = await c.adapter.cutReceiver(waitForReplay: false) else {
            throw TimedOut(what: "a cut on the new timeline")
        }
        #expect(end.timeline.rawValue == 5)
        #expect(await c.adapter.follow(upstream, peers: [world.first, world.second]) == .following)
        // Its segment of the fork goes on with nothing: it left the timeline where the history does.
        try await c.adapter.keepDivergentWAL(upstream)
        #expect(await c.adapter.keptWAL.isEmpty)
        try placeStandbySignal(a)
        try await refusedSource(a, upstream)
        // Waits for the checkpoint that it needs, here begun at the same time.
        async let checkpoint = b.adapter.checkpoint()
        let born = try await a.client.inspect("pgdata/global/pg_control")?.bornNanoseconds
        let ready = await timed("making ready for a rewind") { await a.adapter.makeReadyToRewind(upstream) }
        #expect(ready == .readyToRewind)
        let rewound = await timed("rewinding a crashed primary") { await a.adapter.rewind(upstream) }
        #expect(rewound == .rewound)
        // Written in place: the data are no copy after it (R5).
        #expect(try await a.client.inspect("pgdata/global/pg_control")?.bornNanoseconds == born)
        #expect(try await isMarked(a))
        try await keptWAL(a, from: lineage.forks[0])
        #expect(await checkpoint == nil)
        try await streamsAgain(world, upstream)
        let row = try await session.query("INSERT INTO kept VALUES (2001) RETURNING n", deadline: .seconds(5))
        #expect(row.first() == "2001")
        try await eventually("the old primary holds the new rows, and not its own") {
            let found = try await a.connect().query(
                "SELECT count(*) FILTER (WHERE n >= 2000), count(*) FILTER (WHERE n = 0) FROM kept",
                deadline: .seconds(2)
            )
            return found.rows == [["2", "0"]]
        }
        let status = try await a.adapter.poll(within: .seconds(2))
        #expect(status.position.timeline.rawValue == 5)
        let attached = try await a.adapter.attach()
        #expect(attached.directory == .present(world.identifier))
        let cut = await timed("cutting a standby whose upstream lives") {
            await a.adapter.cutReceiver(waitForReplay: true)
        }
        guard case .cut(let position) = cut else { throw TimedOut(what: "\(cut)") }
        #expect(position.timeline.rawValue == 5)
        try await crashedStandby(world)
    }

    /// As every server that is not to start as primary it carries this, with which it cannot be recovered alone.
    private func placeStandbySignal(_ a: TestInstance) throws {
        let signal = a.file("pgdata/standby.signal")
        try Data().write(to: URL(fileURLWithPath: signal))
        if geteuid() == 0 { try TestInstance.run("/bin/chown", ["postgres:postgres", signal]) }
    }

    /// A source that refuses connections says nothing of what is here, and changes nothing of it (D105).
    private func refusedSource(_ a: TestInstance, _ upstream: Upstream) async throws {
        let before = await a.adapter.inspect()
        guard case .inspected(let facts) = before, !facts.cleanShutdown else { throw TimedOut(what: "\(before)") }
        var nobody = upstream
        nobody.server.port = try TestInstance.freePort()
        for _ in 0..<3 {
            let ready = await a.adapter.makeReadyToRewind(nobody)
            guard case .failed(let reason) = ready else { throw TimedOut(what: "\(ready)") }
            #expect(reason.contains("\(nobody.server.port)"))
            let rewound = await a.adapter.rewind(nobody)
            guard case .sourceLost = rewound else { throw TimedOut(what: "\(rewound)") }
        }
        #expect(await a.adapter.inspect() == before)
        #expect(FileManager.default.fileExists(atPath: a.file("pgdata/standby.signal")))
    }

    private func streamsAgain(_ world: World, _ upstream: Upstream) async throws {
        #expect(
            await world.a.adapter.start(.standby(.upstream(upstream)), peers: [world.second, world.third]) == .started
        )
        try await eventually("the old primary streams", within: .seconds(10)) {
            try await world.b.adapter.poll(within: .seconds(2)).senders.count == 2
        }
    }

    /// What the old primary wrote past the fork can be read yet; PostgreSQL's own tool says so.
    private func keptWAL(_ a: TestInstance, from fork: Lineage.Fork) async throws {
        let kept = await a.adapter.keptWAL
        let folder = try #require(kept.first)
        let place = fork.lsn.description.split(separator: "/").joined(separator: "-")
        #expect(folder.hasSuffix("divergent-wal/joining-00000005-left-00000001-at-\(place)") && kept.count == 1)
        let news = await a.adapter.takeNews()
        #expect(news.contains { $0.text.contains("pg_waldump --path=\(folder) --timeline=1 --start=\(fork.lsn)") })
        let records = try TestInstance.output(
            TestInstance.programs + "/pg_waldump",
            ["--path=\(folder)", "--timeline=1", "--start=\(fork.lsn)", "--rmgr=Heap"]
        )
        #expect(records.contains("INSERT"))
        // A second attempt keeps nothing twice, and a directory without divergent WAL keeps nothing.
        #expect(await a.adapter.takeNews().isEmpty)
    }

    /// After a crash the receiver's own position says little: replay goes to the end of the disk first.
    private func crashedStandby(_ world: World) async throws {
        let (b, c) = (world.b, world.c)
        let session = try await b.connect()
        try await session.query("INSERT INTO kept SELECT generate_series(3000, 9000)", deadline: .seconds(5))
        let flushed = try await b.adapter.poll(within: .seconds(2)).position
        try await eventually("the standby holds it all") {
            try await c.adapter.poll(within: .seconds(2)).position >= flushed
        }
        try crash(c)
        try await c.awaitDown()
        let outcome = await c.adapter.inspect()
        guard case .inspected(let facts) = outcome else { throw TimedOut(what: "\(outcome)") }
        #expect(!facts.cleanShutdown && !facts.wasPrimary)
        // A promotion that did not come to its end left this; with it as the newest timeline the server never starts.
        let leftover = c.file("pgdata/pg_wal/00000006.history")
        try Data("# Taken by another instance.\n".utf8).write(to: URL(fileURLWithPath: leftover))
        if geteuid() == 0 { try TestInstance.run("/bin/chown", ["postgres:postgres", leftover]) }
        #expect(await c.adapter.start(.standby(.nobody), peers: []) == .started)
        #expect(!FileManager.default.fileExists(atPath: leftover))
        #expect(FileManager.default.fileExists(atPath: c.file("pgdata/pg_wal/00000004.history")))
        let cut = await timed("cutting after a crash") { await c.adapter.cutReceiver(waitForReplay: true) }
        guard case .cut(let position) = cut else { throw TimedOut(what: "\(cut)") }
        #expect(position >= flushed)
    }
}
