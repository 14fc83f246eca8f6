/// Why something asked of a PostgreSQL server was not done.
public struct PostgresError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    public enum Kind: Hashable, Sendable {
        /// No connection came about.
        case unreachable
        /// It was not done in time; the connection is given up.
        case deadline
        /// The connection broke or had been closed.
        case lost
        /// The server answered with an error.
        case refused
        /// The server's answer makes no sense to this driver.
        case unexpected
    }

    /// What was tried, as a verb and its object: `connect to 10.0.0.7:5432`.
    public let operation: String
    /// What kind of failure it is.
    public let kind: Kind
    /// The server's code, if it gave one.
    public let state: SQLState?
    /// The cause, in the server's or libpq's words.
    public let message: String

    /// Creates an error.
    public init(_ operation: String, _ kind: Kind, state: SQLState? = nil, message: String) {
        self.operation = operation
        self.kind = kind
        self.state = state
        self.message = message
    }

    /// Whether the same may work later without anybody mending anything.
    public var isRetryable: Bool {
        guard let state else { return kind != .refused && kind != .unexpected }
        let passing: [SQLState] = [
            .cannotConnectNow, .adminShutdown, .crashShutdown, .tooManyConnections, .objectInUse,
            .serializationFailure, .deadlockDetected,
        ]
        return passing.contains(state) || state.errorClass == "08"
    }

    /// Whether the connection cannot be used any more.
    public var endsConnection: Bool {
        switch kind {
        case .unreachable, .deadline, .lost: true
        case .refused, .unexpected: false
        }
    }

    /// One sentence: what was tried, why it failed, the server's code.
    public var description: String {
        let code = state.map { " (SQLSTATE \($0))" } ?? ""
        return "could not \(operation): \(message)\(code)"
    }
}
