import Platform
import Synchronization

/// A connection that lives on a thread of its own and is awaited from anywhere.
///
/// Statements run in the order they were asked for. A missed deadline or a broken connection ends the session:
/// connecting anew is the caller's decision. Letting go of the last reference closes it.
public final class PostgresSession: Sendable {
    private let mailbox: SessionMailbox
    private let address: String

    private init(_ mailbox: SessionMailbox, _ address: String) {
        self.mailbox = mailbox
        self.address = address
    }

    deinit { mailbox.close() }

    /// Connects, looking up the host name included.
    public static func connect(
        _ target: ConnectionTarget,
        deadline: Duration
    ) async throws(PostgresError) -> PostgresSession {
        let mailbox = try SessionMailbox()
        let once = Once<Void>()
        let failure = PostgresError(
            "connect to PostgreSQL at \(target.address)",
            .deadline,
            message: "no answer in time"
        )
        // Looking up a name knows no deadline: the thread is left behind then and ends by itself.
        let watch = Task {
            try? await Task.sleep(for: deadline + .milliseconds(200))
            if once.resume(.failure(failure)) { mailbox.close() }
        }
        defer { watch.cancel() }
        let limit = Deadline(after: deadline)
        let outcome = await withCheckedContinuation { continuation in
            once.arm(continuation)
            do {
                try WorkerThread.start("postgres session") {
                    do throws(PostgresError) {
                        let connection = try PostgresConnection(target, deadline: limit)
                        _ = once.resume(.success(()))
                        mailbox.serve(connection)
                    } catch {
                        _ = once.resume(.failure(error))
                    }
                }
            } catch {
                _ = once.resume(.failure(PostgresError("start a thread", .unreachable, message: "\(error)")))
            }
        }
        try outcome.get()
        return PostgresSession(mailbox, target.address)
    }

    /// Whether the session ended: closed, or its connection found broken.
    public var isClosed: Bool { mailbox.isClosed }

    /// Runs one statement: with parameters by the extended protocol, without by the simple one.
    @discardableResult
    public func query(
        _ sql: String,
        _ parameters: [String?] = [],
        deadline: Duration
    ) async throws(PostgresError) -> PostgresResult {
        try await run(deadline) { (connection, limit) throws(PostgresError) in
            try connection.execute(sql, parameters, deadline: limit)
        }
    }

    /// Makes a prepared statement.
    public func prepare(_ name: String, _ sql: String, deadline: Duration) async throws(PostgresError) {
        try await run(deadline) { (connection, limit) throws(PostgresError) in
            try connection.prepare(name, sql, deadline: limit)
        }
    }

    /// Runs a prepared statement.
    public func queryPrepared(
        _ name: String,
        _ parameters: [String?] = [],
        deadline: Duration
    ) async throws(PostgresError) -> PostgresResult {
        try await run(deadline) { (connection, limit) throws(PostgresError) in
            try connection.executePrepared(name, parameters, deadline: limit)
        }
    }

    /// Turns a password into what the server stores, so that its logs never show the password.
    public func encrypt(password: String, of user: String, deadline: Duration) async throws(PostgresError) -> String {
        try await run(deadline) { (connection, _) throws(PostgresError) in
            try connection.encrypt(password: password, of: user)
        }
    }

    /// Ends the session; what waits fails.
    public func close() { mailbox.close() }

    private func run<Value: Sendable>(
        _ deadline: Duration,
        _ body: @escaping @Sendable (PostgresConnection, Deadline) throws(PostgresError) -> Value
    ) async throws(PostgresError) -> Value {
        let limit = Deadline(after: deadline)
        let mailbox = mailbox
        let late = PostgresError(
            "use the session at \(address)",
            .deadline,
            message: "earlier statements took too long"
        )
        let lost = PostgresError("use the session at \(address)", .lost, message: "the connection was closed")
        let outcome: Result<Value, PostgresError> = await withCheckedContinuation { continuation in
            mailbox.post { connection in
                guard let connection else { return continuation.resume(returning: .failure(lost)) }
                // Still in the queue at its deadline: nothing was begun, so the connection is as good as before.
                guard !limit.isOver else { return continuation.resume(returning: .failure(late)) }
                let outcome: Result<Value, PostgresError>
                do throws(PostgresError) {
                    outcome = .success(try body(connection, limit))
                } catch {
                    if error.endsConnection { mailbox.close() }
                    outcome = .failure(error)
                }
                continuation.resume(returning: outcome)
            }
        }
        return try outcome.get()
    }
}

/// A continuation that the first of several answers resumes.
private final class Once<Value: Sendable>: Sendable {
    private struct Content {
        var continuation: CheckedContinuation<Result<Value, PostgresError>, Never>?
        var early: Result<Value, PostgresError>?
        var isDone = false
    }

    private let content = Mutex(Content())

    func arm(_ continuation: CheckedContinuation<Result<Value, PostgresError>, Never>) {
        let early = content.withLock { content in
            if content.early == nil { content.continuation = continuation }
            return content.early
        }
        if let early { continuation.resume(returning: early) }
    }

    /// - Returns: Whether this was the first answer.
    func resume(_ outcome: Result<Value, PostgresError>) -> Bool {
        let (isFirst, continuation) = content.withLock { content in
            if content.isDone { return (false, nil as CheckedContinuation<Result<Value, PostgresError>, Never>?) }
            content.isDone = true
            defer { content.continuation = nil }
            if content.continuation == nil { content.early = outcome }
            return (true, content.continuation)
        }
        continuation?.resume(returning: outcome)
        return isFirst
    }
}
