import ChaosChecker
import ChaosHosts
import ClusterModel
import LocalCluster
import Platform
import PostgresDriver

/// The tables that clients work on, and how they are reached.
struct Database: Sendable {
    static let accounts = 8
    static let accountSum = 8000
    static let registers = 4
    private static let role = "chaos"

    /// The servers: address and port of each.
    let servers: [(name: String, host: String, port: UInt16)]

    init(of file: ClusterFile) {
        servers = file.instances.map { ($0.name.text, $0.address, $0.port) }
    }

    /// What each statement tells of its server: the file of the WAL, whose name begins with the timeline, and its end.
    static let mark = "pg_walfile_name(pg_current_wal_insert_lsn()), pg_current_wal_insert_lsn()"

    private static let schema = [
        "DO $$ BEGIN CREATE ROLE \(role) LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        "CREATE TABLE IF NOT EXISTS chaos_set (number bigint PRIMARY KEY)",
        "CREATE TABLE IF NOT EXISTS chaos_transfer (number bigint PRIMARY KEY)",
        "CREATE TABLE IF NOT EXISTS chaos_account (number int PRIMARY KEY, balance bigint NOT NULL)",
        "CREATE TABLE IF NOT EXISTS chaos_register (key int PRIMARY KEY, value bigint NOT NULL, reads bigint NOT NULL)",
        "INSERT INTO chaos_account SELECT n, \(accountSum / accounts) FROM generate_series(1, \(accounts)) n "
            + "ON CONFLICT DO NOTHING",
        "INSERT INTO chaos_register SELECT n, 0, 0 FROM generate_series(1, \(registers)) n ON CONFLICT DO NOTHING",
        "GRANT ALL ON chaos_set, chaos_transfer, chaos_account, chaos_register TO \(role)",
    ]

    /// Makes the tables.
    ///
    /// With `weakened` the clients' commits wait for nobody, which a role may ask for behind everybody's back.
    func prepare(weakened: Bool, deadline: Duration) async throws {
        let weaker = weakened ? ["ALTER ROLE \(Self.role) SET synchronous_commit = local"] : []
        try await retrying(deadline) { () async throws(PostgresError) in
            let session = try await self.connect(as: "postgres", deadline: .seconds(2)).session
            defer { session.close() }
            for statement in Self.schema + weaker { try await session.query(statement, deadline: .seconds(10)) }
        }
    }

    /// Has the primary begin new WAL segments, as time and load would: those that lie ready are soon used up.
    func useUpSegments() async {
        for _ in 0..<Self.segments where !Task.isCancelled {
            do throws(PostgresError) {
                let session = try await connect(as: "postgres").session
                defer { session.close() }
                let filler = "pg_logical_emit_message(false, 'chaos', repeat('x', 1000))"
                try await session.query("SELECT \(filler), pg_switch_wal()", deadline: .seconds(2))
            } catch {
                // The next try comes soon enough.
            }
            // Each segment has to reach the standbys whole: more at once would be a load of its own.
            try? await Task.sleep(for: .milliseconds(500))
        }
    }

    /// A young server keeps one or two ready.
    private static let segments = 4

    /// What is there in the end, read behind a commit so that no fenced primary can answer.
    func finalState(deadline: Duration) async throws -> FinalState {
        try await retrying(deadline) { () async throws(PostgresError) in
            let session = try await self.connect(as: "postgres", deadline: .seconds(2)).session
            defer { session.close() }
            try await session.query("UPDATE chaos_register SET reads = reads + 1", deadline: .seconds(5))
            let elements = try await session.query("SELECT number FROM chaos_set", deadline: .seconds(30))
            let transfers = try await session.query("SELECT number FROM chaos_transfer", deadline: .seconds(30))
            return FinalState(elements: Self.numbers(elements), transfers: Self.numbers(transfers))
        }
    }

    /// The first server that takes writes, as `target_session_attrs=read-write` finds it, beginning with `first`.
    func connect(
        as user: String = role,
        from first: Int = 0,
        only: String? = nil,
        deadline: Duration = .seconds(1)
    ) async throws(PostgresError) -> (session: PostgresSession, index: Int) {
        var failure = PostgresError("connect", .unreachable, message: "there is no server")
        for offset in servers.indices {
            let index = (first + offset) % servers.count
            let server = servers[index]
            if let only, only != server.name { continue }
            do throws(PostgresError) {
                let target = ConnectionTarget(
                    host: server.host,
                    port: server.port,
                    user: user,
                    database: "postgres",
                    applicationName: "understudy chaos"
                )
                let session = try await PostgresSession.connect(target, deadline: deadline)
                do throws(PostgresError) {
                    let answer = try await session.query("SHOW transaction_read_only", deadline: deadline)
                    if answer.first() == "off" { return (session, index) }
                    failure = PostgresError("write at \(server.name)", .refused, message: "it is a standby")
                } catch {
                    failure = error
                }
                session.close()
            } catch {
                failure = error
            }
        }
        throw failure
    }

    private func retrying<Value>(
        _ deadline: Duration,
        _ body: () async throws(PostgresError) -> Value
    ) async throws -> Value {
        let end = MonotonicClock.now() + deadline
        while true {
            do throws(PostgresError) {
                return try await body()
            } catch {
                try Task.checkCancellation()
                if MonotonicClock.now() > end { throw error }
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }

    private static func numbers(_ result: PostgresResult) -> [Int] {
        result.rows.compactMap { row in row.first.flatMap { $0 }.flatMap { Int($0) } }
    }
}
