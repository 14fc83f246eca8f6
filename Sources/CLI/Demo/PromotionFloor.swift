import ClusterModel
import Foundation
import LocalCluster
import Platform
import PostgresDriver

/// What PostgreSQL alone needs: a standby whose primary is dead, from trigger file and signal to the first commit.
///
/// Each round clones the last primary, kills that with SIGKILL, and promotes the clone. Where commits wait for a
/// standby, a second one is pointed at the clone in the same moment, so that the first commit is one that both hold.
struct PromotionFloor: Sendable {
    let bin: String
    let folder: String
    let rounds: Int
    /// Whether a commit waits for another standby.
    let isAcknowledged: Bool

    private static let settings = [
        "shared_buffers=32MB", "wal_retrieve_retry_interval=100ms", "wal_log_hints=on", "wal_keep_size=256MB",
        "max_wal_senders=10", "restart_after_crash=off",
    ]

    /// Milliseconds of each round.
    func measure() async throws -> [Double] {
        try ServerAccount.makeFolder(folder)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var samples: [Double] = []
        var primary = try await first()
        defer { primary.process.signal(SIGKILL) }
        let follower = isAcknowledged ? try await clone(of: primary, number: rounds + 1) : nil
        defer { follower?.process.signal(SIGKILL) }
        for round in 1...rounds {
            let standby = try await clone(of: primary, number: round)
            // Until the round is over both have to be ended if anything fails.
            var survivor = standby
            defer { if survivor.process.processID != primary.process.processID { survivor.process.signal(SIGKILL) } }
            samples.append(try await promote(standby, after: primary, followedBy: follower))
            try? FileManager.default.removeItem(atPath: primary.data)
            primary = standby
            survivor = primary
        }
        return samples
    }

    private struct Server {
        let data: String
        let port: Int
        let process: ChildProcess
    }

    private func first() async throws -> Server {
        let data = "\(folder)/0"
        try await run(
            "initdb",
            ["-D", data, "-U", "postgres", "--auth=trust", "--data-checksums", "-E", "UTF8", "--locale=C"]
        )
        let server = try start(data)
        let session = try await connect(server)
        defer { session.close() }
        try await session.query("SET synchronous_commit = local", deadline: .seconds(10))
        try await session.query("CREATE TABLE floor (number int)", deadline: .seconds(10))
        return server
    }

    private func clone(of primary: Server, number: Int) async throws -> Server {
        let data = "\(folder)/\(number)"
        try await run(
            "pg_basebackup",
            [
                "-D", data, "-h", "127.0.0.1", "-p", "\(primary.port)", "-U", "postgres", "-R", "-c", "fast", "-X",
                "stream",
            ]
        )
        let server = try start(data)
        let session = try await connect(primary)
        defer { session.close() }
        try await wait("the standby streams") {
            let result = try? await session.query(
                "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'",
                deadline: .seconds(2)
            )
            return result?.first() == "\(isAcknowledged && number <= rounds ? 2 : 1)"
        }
        return server
    }

    private func promote(
        _ standby: Server,
        after primary: Server,
        followedBy follower: Server?
    ) async throws -> Double {
        let session = try await connect(standby)
        defer { session.close() }
        primary.process.signal(SIGKILL)
        _ = await primary.process.waitForExit()
        try await waitForEndOfReceiver(session)
        if let follower {
            let other = try await connect(follower)
            defer { other.close() }
            try await waitForEndOfReceiver(other)
            // In force with the reload that comes with the trigger.
            let upstream = "host=127.0.0.1 port=\(standby.port) user=postgres"
            try await other.query("ALTER SYSTEM SET primary_conninfo = '\(upstream)'", deadline: .seconds(5))
        }
        // The signal of any child has the server take the file: it must be whole, and its owner's, when it appears.
        let trigger = "\(standby.data)/promote"
        try ServerAccount.write("", to: trigger + ".new")
        let start = MonotonicClock.nanoseconds()
        try FileManager.default.moveItem(atPath: trigger + ".new", toPath: trigger)
        guard kill(standby.process.processID, SIGUSR1) == 0 else {
            throw CommandFailure(.failed, "could not signal the server in \(standby.data)")
        }
        follower?.process.signal(SIGHUP)
        let end = MonotonicClock.now() + .seconds(30)
        while true {
            do throws(PostgresError) {
                try await session.query("INSERT INTO floor VALUES (1)", deadline: .seconds(5))
                return Double(MonotonicClock.nanoseconds() - start) / 1_000_000
            } catch {
                guard error.state == .readOnlyTransaction, MonotonicClock.now() < end else { throw error }
                try await Task.sleep(for: .milliseconds(1))
            }
        }
    }

    private func waitForEndOfReceiver(_ session: PostgresSession) async throws {
        try await wait("the receiver of the standby ends") {
            let result = try? await session.query("SELECT count(*) FROM pg_stat_wal_receiver", deadline: .seconds(2))
            return result?.first() == "0"
        }
    }

    private func start(_ data: String) throws -> Server {
        let port = try NetworkPort.findFree()
        var arguments = [
            "-D", data, "-p", "\(port)", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
        ]
        arguments += Self.settings.flatMap { ["-c", $0] }
        if isAcknowledged { arguments += ["-c", "synchronous_standby_names=ANY 1 (*)"] }
        let request = try ServerAccount.request("\(bin)/postgres", arguments, logFile: "\(folder)/postgres.log")
        return Server(data: data, port: port, process: try ChildProcess.start(request))
    }

    private func connect(_ server: Server) async throws -> PostgresSession {
        let end = MonotonicClock.now() + .seconds(30)
        let target = ConnectionTarget(
            host: "127.0.0.1",
            port: UInt16(server.port),
            user: "postgres",
            applicationName: "understudy floor"
        )
        while true {
            do throws(PostgresError) {
                return try await PostgresSession.connect(target, deadline: .seconds(2))
            } catch {
                guard MonotonicClock.now() < end, server.process.exit == nil else { throw error }
                try await Task.sleep(for: .milliseconds(20))
            }
        }
    }

    private func run(_ tool: String, _ arguments: [String]) async throws {
        let outcome = try await ChildProcess.run(
            try ServerAccount.request("\(bin)/\(tool)", arguments),
            deadline: .seconds(60)
        )
        guard outcome.exit.isSuccess else {
            let words = outcome.errorText.split(separator: "\n").last.map(String.init) ?? "\(outcome.exit)"
            throw CommandFailure(.failed, "could not run \(tool) for the floor: \(words)")
        }
    }

    private func wait(_ what: String, until holds: () async -> Bool) async throws {
        let end = MonotonicClock.now() + .seconds(30)
        while !(await holds()) {
            guard MonotonicClock.now() < end else {
                throw CommandFailure(.timedOut, "could not see in time that \(what)")
            }
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}
