import CLibPQ
import Glibc

/// One connection of libpq, used by one thread only; no wait without a deadline.
@safe
final class PostgresConnection {
    private let handle: OpaquePointer
    private let address: String

    /// Connects.
    init(_ target: ConnectionTarget, deadline: Deadline) throws(PostgresError) {
        address = target.address
        let operation = "connect to PostgreSQL at \(target.address)"
        let parameters = target.parameters
        let keywords = CStringList(parameters.map(\.0))
        let values = CStringList(parameters.map(\.1))
        // Safe: both lists outlive the call, end with a null pointer and are as long as each other.
        let started = unsafe keywords.withPointers { keywords in
            unsafe values.withPointers { values in unsafe PQconnectStartParams(keywords, values, 0) }
        }
        guard let handle = unsafe started else {
            throw PostgresError(operation, .unreachable, message: "out of memory")
        }
        unsafe self.handle = handle
        unsafe CLibPQ_silence_notices(handle)
        try establish(operation, deadline)
        _ = unsafe PQsetnonblocking(handle, 1)
    }

    deinit {
        // Safe: the handle was made once, and this is its last use.
        unsafe PQfinish(handle)
    }

    /// The socket, to be watched while nothing is asked; negative if there is none.
    var socket: Int32 { unsafe PQsocket(handle) }

    /// Takes in what came unasked.
    ///
    /// - Returns: Whether the connection still lives.
    func drain() -> Bool {
        unsafe PQconsumeInput(handle) == 1 && PQstatus(handle) == CONNECTION_OK
    }

    /// Runs one statement: with parameters by the extended protocol, without by the simple one.
    func execute(_ sql: String, _ parameters: [String?], deadline: Deadline) throws(PostgresError) -> PostgresResult {
        let operation = "run '\(sql.prefix(60))' at \(address)"
        let sent: Int32
        if parameters.isEmpty {
            sent = unsafe PQsendQuery(handle, sql)
        } else {
            let values = CStringList(parameters)
            // Safe: the list outlives the call, which copies what it needs.
            sent = unsafe values.withPointers { values in
                unsafe PQsendQueryParams(handle, sql, Int32(parameters.count), nil, values, nil, nil, 0)
            }
        }
        return try finish(sent, operation, deadline)
    }

    /// Makes a prepared statement.
    func prepare(_ name: String, _ sql: String, deadline: Deadline) throws(PostgresError) {
        let sent = unsafe PQsendPrepare(handle, name, sql, 0, nil)
        _ = try finish(sent, "prepare '\(sql.prefix(60))' at \(address)", deadline)
    }

    /// Runs a prepared statement.
    func executePrepared(
        _ name: String,
        _ parameters: [String?],
        deadline: Deadline
    ) throws(PostgresError) -> PostgresResult {
        let values = CStringList(parameters)
        // Safe: the list outlives the call, which copies what it needs.
        let sent = unsafe values.withPointers { values in
            unsafe PQsendQueryPrepared(handle, name, Int32(parameters.count), values, nil, nil, 0)
        }
        return try finish(sent, "run prepared '\(name)' at \(address)", deadline)
    }

    /// Turns a password into what the server stores, so that its logs never show the password.
    func encrypt(password: String, of user: String) throws(PostgresError) -> String {
        guard let text = unsafe PQencryptPasswordConn(handle, password, user, "scram-sha-256") else {
            throw PostgresError("encrypt the password of '\(user)'", .unexpected, message: errorMessage)
        }
        defer { unsafe PQfreemem(text) }
        return unsafe String(cString: text)
    }

    private var errorMessage: String {
        guard let text = unsafe PQerrorMessage(handle) else { return "unknown cause" }
        return unsafe tidied(String(cString: text))
    }

    private func establish(_ operation: String, _ deadline: Deadline) throws(PostgresError) {
        var wanted = Int16(POLLOUT)
        if unsafe PQstatus(handle) == CONNECTION_BAD {
            throw PostgresError(operation, .unreachable, message: errorMessage)
        }
        while true {
            try wait(wanted, operation, deadline)
            let status = unsafe PQconnectPoll(handle)
            switch status {
            case PGRES_POLLING_OK: return
            case PGRES_POLLING_READING: wanted = Int16(POLLIN)
            case PGRES_POLLING_WRITING: wanted = Int16(POLLOUT)
            default: throw refusal(operation)
            }
        }
    }

    /// libpq keeps no code for a refused connection; the server's words tell the ones that matter.
    private func refusal(_ operation: String) -> PostgresError {
        let message = errorMessage
        let words: [(String, SQLState)] = [
            ("the database system is", .cannotConnectNow), ("too many clients", .tooManyConnections),
            ("remaining connection slots", .tooManyConnections), ("pg_hba.conf", .invalidAuthorization),
            ("authentication failed", .invalidPassword),
        ]
        let state = words.first { message.contains($0.0) }?.1
        return PostgresError(operation, .unreachable, state: state, message: message)
    }

    private func finish(
        _ sent: Int32,
        _ operation: String,
        _ deadline: Deadline
    ) throws(PostgresError) -> PostgresResult {
        guard sent == 1 else { throw PostgresError(operation, .lost, message: errorMessage) }
        try flush(operation, deadline)
        var last: PostgresResult?
        var failure: PostgresError?
        while let result = unsafe try nextResult(operation, deadline) {
            defer { unsafe PQclear(result) }
            switch unsafe PQresultStatus(result) {
            case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY: last = unsafe read(result)
            case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
                throw PostgresError(
                    operation,
                    .lost,
                    message: "the statement wants to copy, which this driver does not"
                )
            default: failure = unsafe failure ?? error(operation, result)
            }
        }
        if let failure { throw failure }
        guard let last else { throw PostgresError(operation, .unexpected, message: "the server sent no result") }
        return last
    }

    private func flush(_ operation: String, _ deadline: Deadline) throws(PostgresError) {
        while true {
            let left = unsafe PQflush(handle)
            if left == 0 { return }
            if left < 0 { throw PostgresError(operation, .lost, message: errorMessage) }
            try wait(Int16(POLLIN | POLLOUT), operation, deadline)
            guard unsafe PQconsumeInput(handle) == 1 else {
                throw PostgresError(operation, .lost, message: errorMessage)
            }
        }
    }

    private func nextResult(_ operation: String, _ deadline: Deadline) throws(PostgresError) -> OpaquePointer? {
        while unsafe PQisBusy(handle) == 1 {
            try wait(Int16(POLLIN), operation, deadline)
            guard unsafe PQconsumeInput(handle) == 1 else {
                throw PostgresError(operation, .lost, message: errorMessage)
            }
        }
        return unsafe PQgetResult(handle)
    }

    private func wait(_ events: Int16, _ operation: String, _ deadline: Deadline) throws(PostgresError) {
        let socket = socket
        guard socket >= 0 else { throw PostgresError(operation, .lost, message: errorMessage) }
        while true {
            var entry = pollfd(fd: socket, events: events, revents: 0)
            let ready = unsafe poll(&entry, 1, deadline.pollMilliseconds)
            if ready > 0 { return }
            if ready < 0, errno != EINTR {
                throw PostgresError(operation, .lost, message: "poll failed with error \(errno)")
            }
            if deadline.isOver { throw PostgresError(operation, .deadline, message: "no answer in time") }
        }
    }

    private func read(_ result: OpaquePointer) -> PostgresResult {
        let width = unsafe PQnfields(result)
        let columns = (0..<width).map { column in
            unsafe PQfname(result, column).map { unsafe String(cString: $0) } ?? ""
        }
        let height = unsafe PQntuples(result)
        let rows = (0..<height).map { row in
            (0..<width).map { column -> String? in
                if unsafe PQgetisnull(result, row, column) == 1 { return nil }
                return unsafe PQgetvalue(result, row, column).map { unsafe String(cString: $0) }
            }
        }
        return PostgresResult(columns: columns, rows: rows)
    }

    private func error(_ operation: String, _ result: OpaquePointer) -> PostgresError {
        func field(_ code: Int32) -> String? {
            unsafe PQresultErrorField(result, code).map { unsafe String(cString: $0) }
        }
        let primary = field(CLibPQ_field_primary()) ?? errorMessage
        let more = [field(CLibPQ_field_detail()), field(CLibPQ_field_hint())].compactMap { $0 }
        let state = field(CLibPQ_field_state()).map { SQLState(rawValue: $0) }
        let isLost = unsafe PQstatus(handle) == CONNECTION_BAD
        let text = ([primary] + more).joined(separator: "; ")
        return PostgresError(operation, isLost ? .lost : .refused, state: state, message: tidied(text))
    }
}

/// One line without surrounding blanks.
private func tidied(_ text: String) -> String {
    text.split(whereSeparator: \.isNewline).map { $0.drop { $0 == " " || $0 == "\t" } }.joined(separator: "; ")
}
