import Foundation
import PostgresDriver
import Testing

@Suite("PostgreSQL driver", .serialized)
struct DriverTests {
    @Test("statements, parameters, nulls, errors and prepared statements come through")
    func statements() async throws {
        try await withServer { target in
            let session = try await PostgresSession.connect(target, deadline: .seconds(3))
            let row = try await session.query("SELECT $1::text, NULL, 'é'", ["it's"], deadline: .seconds(2))
            #expect(row.rows == [["it's", nil, "é"]])
            #expect(
                try await session.query("SELECT 1 AS one; SELECT 2 AS two", deadline: .seconds(2)).columns == ["two"]
            )
            try await session.prepare("twice", "SELECT $1::int * 2", deadline: .seconds(2))
            #expect(try await session.queryPrepared("twice", ["21"], deadline: .seconds(2)).first() == "42")
            await #expect { try await session.query("SELECT * FROM nowhere", deadline: .seconds(2)) } throws: { error in
                let error = error as? PostgresError
                return error?.state?.errorClass == "42" && error?.kind == .refused && error?.isRetryable == false
            }
            #expect(try await session.query("SELECT 'alive'", deadline: .seconds(2)).first() == "alive")
            let verifier = try await session.encrypt(password: "p", of: "u", deadline: .seconds(1))
            #expect(verifier.hasPrefix("SCRAM-SHA-256$"))
            var replication = target
            replication.purpose = .replication
            let walsender = try await PostgresSession.connect(replication, deadline: .seconds(3))
            #expect(try await walsender.query("IDENTIFY_SYSTEM", deadline: .seconds(2)).columns.first == "systemid")
            try await deadlines(target)
            try await queue(target)
            try await lostSessions(target, session)
            try await manyAtOnce(target)
        }
    }

    private func deadlines(_ target: ConnectionTarget) async throws {
        let session = try await PostgresSession.connect(target, deadline: .seconds(3))
        let begin = ContinuousClock.now
        await #expect { try await session.query("SELECT pg_sleep(10)", deadline: .milliseconds(200)) } throws: {
            error in
            (error as? PostgresError)?.kind == .deadline
        }
        #expect(ContinuousClock.now - begin < .seconds(3))
        #expect(session.isClosed)
        await #expect { try await session.query("SELECT 1", deadline: .seconds(1)) } throws: { error in
            (error as? PostgresError)?.kind == .lost
        }
    }

    /// A statement that never left the queue spoils nothing.
    private func queue(_ target: ConnectionTarget) async throws {
        let session = try await PostgresSession.connect(target, deadline: .seconds(3))
        async let slow = session.query("SELECT pg_sleep(0.5)", deadline: .seconds(5))
        try await Task.sleep(for: .milliseconds(50))
        await #expect(throws: PostgresError.self) { try await session.query("SELECT 1", deadline: .milliseconds(50)) }
        _ = try await slow
        #expect(try await session.query("SELECT 2", deadline: .seconds(2)).first() == "2")
    }

    private func lostSessions(_ target: ConnectionTarget, _ other: PostgresSession) async throws {
        let session = try await PostgresSession.connect(target, deadline: .seconds(3))
        let processID = try await session.query("SELECT pg_backend_pid()", deadline: .seconds(2)).first() ?? ""
        try await other.query("SELECT pg_terminate_backend(\(processID))", deadline: .seconds(2))
        let end = ContinuousClock.now + .seconds(5)
        while !session.isClosed, ContinuousClock.now < end { try await Task.sleep(for: .milliseconds(5)) }
        #expect(session.isClosed)
        session.close()
    }

    private func manyAtOnce(_ target: ConnectionTarget) async throws {
        let session = try await PostgresSession.connect(target, deadline: .seconds(3))
        let sum = try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 1...50 {
                group.addTask {
                    let row = try await session.query("SELECT $1::int", ["\(number)"], deadline: .seconds(5))
                    return row.first().flatMap { Int($0) } ?? 0
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(sum == 1275)
    }

    @Test("a refused port, an unknown host and a silent server each end in time, with words")
    func unreachable() async throws {
        var target = ConnectionTarget(host: "127.0.0.1", port: 1, user: "u", applicationName: "test")
        await #expect { try await PostgresSession.connect(target, deadline: .seconds(2)) } throws: { error in
            let error = error as? PostgresError
            return error?.kind == .unreachable && error?.isRetryable == true
                && error?.description.contains("127.0.0.1:1") == true
        }
        target.host = "no-such-host.invalid"
        await #expect(throws: PostgresError.self) { try await PostgresSession.connect(target, deadline: .seconds(3)) }
        let listener = try Listener()
        target.host = "127.0.0.1"
        target.port = listener.port
        let begin = ContinuousClock.now
        await #expect { try await PostgresSession.connect(target, deadline: .milliseconds(300)) } throws: { error in
            (error as? PostgresError)?.kind == .deadline
        }
        #expect(ContinuousClock.now - begin < .seconds(3))
    }

    /// Accepts connections in the kernel's queue and never says a word.
    private final class Listener {
        let number: Int32
        let port: UInt16

        init() throws {
            number = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let descriptor = number
            let result = unsafe withUnsafeMutablePointer(to: &address) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                    unsafe bind(descriptor, pointer, size) == 0 && listen(descriptor, 8) == 0
                        ? getsockname(descriptor, pointer, &size) : -1
                }
            }
            try #require(result == 0)
            port = UInt16(bigEndian: address.sin_port)
        }

        deinit { close(number) }
    }

    /// A server of its own behind a Unix socket; gone afterwards.
    private func withServer(_ body: (ConnectionTarget) async throws -> Void) async throws {
        let folder = "/tmp/understudy-test-\(UUID().uuidString.prefix(8).lowercased())"
        try FileManager.default.createDirectory(
            atPath: folder,
            withIntermediateDirectories: false,
            attributes: [.posixPermissions: 0o755]
        )
        defer { try? FileManager.default.removeItem(atPath: folder) }
        if geteuid() == 0 {
            let give = try process("/bin/chown", ["postgres:postgres", folder], asServer: false)
            give.waitUntilExit()
        }
        let programs =
            ProcessInfo.processInfo.environment["UNDERSTUDY_TEST_POSTGRES"] ?? "/usr/lib/postgresql/15/bin"
        let make = try process(
            programs + "/initdb",
            ["-D", folder + "/data", "-U", "postgres", "--auth=trust", "--no-sync"],
            asServer: true
        )
        make.waitUntilExit()
        try #require(make.terminationStatus == 0)
        let server = try process(
            programs + "/postgres",
            [
                "-D", folder + "/data", "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off", "-c",
                "shared_buffers=16MB",
            ],
            asServer: true
        )
        let target = ConnectionTarget(host: folder, port: 5432, user: "postgres", applicationName: "test")
        do {
            let end = ContinuousClock.now + .seconds(15)
            while (try? await PostgresSession.connect(target, deadline: .seconds(1))) == nil {
                try #require(ContinuousClock.now < end)
                try await Task.sleep(for: .milliseconds(20))
            }
            try await body(target)
        } catch {
            Issue.record("\(error)")
        }
        // The postmaster itself is signalled: what starts it as another user may not pass signals on.
        let file = try? String(contentsOfFile: folder + "/data/postmaster.pid", encoding: .utf8)
        if let processID = file?.split(separator: "\n").first.flatMap({ Int32($0) }) { kill(processID, SIGQUIT) }
        server.waitUntilExit()
    }

    private func process(_ program: String, _ arguments: [String], asServer: Bool) throws -> Process {
        let process = Process()
        let drops = asServer && geteuid() == 0
        process.executableURL = URL(fileURLWithPath: drops ? "/usr/sbin/runuser" : program)
        process.arguments = drops ? ["-u", "postgres", "--", program] + arguments : arguments
        process.currentDirectoryURL = URL(fileURLWithPath: "/tmp")
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        return process
    }
}
