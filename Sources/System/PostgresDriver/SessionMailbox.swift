import Glibc
import Synchronization

/// Work for a session's thread, and the bell that wakes it.
final class SessionMailbox: Sendable {
    /// Runs on the session's thread; without a connection it must fail.
    typealias Job = @Sendable (PostgresConnection?) -> Void

    private struct Content: ~Copyable {
        var jobs: [Job] = []
        var isClosed = false
    }

    /// More waiting jobs than this mean that the server hangs; each has a deadline anyway.
    private static let limit = 64

    private let content = Mutex(Content())
    private let reading: Int32
    private let writing: Int32

    init() throws(PostgresError) {
        var ends: [Int32] = [-1, -1]
        // Safe: the array holds the two numbers that the call fills in.
        guard unsafe pipe(&ends) == 0 else {
            throw PostgresError("make a pipe", .unreachable, message: "error \(errno)")
        }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        (reading, writing) = (ends[0], ends[1])
    }

    deinit {
        _ = Glibc.close(reading)
        _ = Glibc.close(writing)
    }

    var isClosed: Bool { content.withLock { $0.isClosed } }

    /// Hands over a job; runs it here, without a connection, if nobody will take it.
    func post(_ job: @escaping Job) {
        let isTaken = content.withLock { content in
            if content.isClosed || content.jobs.count >= Self.limit { return false }
            content.jobs.append(job)
            return true
        }
        if isTaken { ring() } else { job(nil) }
    }

    /// No more jobs are taken; the thread ends once it hears the bell.
    func close() {
        content.withLock { $0.isClosed = true }
        ring()
    }

    /// The thread's loop: jobs in turn until closed or the connection is lost.
    func serve(_ connection: PostgresConnection) {
        while !isClosed {
            if let job = next() {
                job(connection)
            } else if !waitForBell(connection) {
                break
            }
        }
        let left = content.withLock { content in
            content.isClosed = true
            defer { content.jobs = [] }
            return content.jobs
        }
        for job in left { job(nil) }
    }

    private func next() -> Job? {
        content.withLock { $0.jobs.isEmpty ? nil : $0.jobs.removeFirst() }
    }

    private func ring() {
        var byte: UInt8 = 1
        // Safe: one byte that outlives the call. A full pipe rings well enough.
        _ = unsafe write(writing, &byte, 1)
    }

    /// - Returns: Whether the connection still lives.
    private func waitForBell(_ connection: PostgresConnection) -> Bool {
        var entries = [
            pollfd(fd: reading, events: Int16(POLLIN), revents: 0),
            pollfd(fd: connection.socket, events: Int16(POLLIN), revents: 0),
        ]
        // Safe: the array holds as many entries as the call is told.
        let ready = unsafe poll(&entries, 2, -1)
        if ready < 0 { return errno == EINTR }
        if entries[0].revents != 0 {
            var bytes = [UInt8](repeating: 0, count: 64)
            _ = unsafe read(reading, &bytes, bytes.count)
        }
        return entries[1].revents == 0 || connection.drain()
    }
}
