/// PostgreSQL's error code: five characters, the first two of which are its class.
///
/// - SeeAlso: PostgreSQL manual, appendix A.
public struct SQLState: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    /// The five characters.
    public let rawValue: String

    /// Wraps a code as the server gave it.
    public init(rawValue: String) { self.rawValue = rawValue }

    /// The first two characters: what kind of trouble it is.
    public var errorClass: String { String(rawValue.prefix(2)) }

    /// The five characters.
    public var description: String { rawValue }

    /// The server is starting up, stopping or recovering.
    public static let cannotConnectNow = SQLState(rawValue: "57P03")
    /// The session was ended by an administrator's command.
    public static let adminShutdown = SQLState(rawValue: "57P01")
    /// The session was ended because another process of the server crashed.
    public static let crashShutdown = SQLState(rawValue: "57P02")
    /// The statement was cancelled.
    public static let queryCanceled = SQLState(rawValue: "57014")
    /// No connection is free.
    public static let tooManyConnections = SQLState(rawValue: "53300")
    /// What was to be made is there already.
    public static let duplicateObject = SQLState(rawValue: "42710")
    /// What was named is not there.
    public static let undefinedObject = SQLState(rawValue: "42704")
    /// What was named is in use.
    public static let objectInUse = SQLState(rawValue: "55006")
    /// The server is in the wrong state for this.
    public static let objectNotInPrerequisiteState = SQLState(rawValue: "55000")
    /// The `pg_hba` file does not let this connection in, or the password was wrong.
    public static let invalidAuthorization = SQLState(rawValue: "28000")
    /// The password was wrong.
    public static let invalidPassword = SQLState(rawValue: "28P01")
    /// The transaction could not be serialized.
    public static let serializationFailure = SQLState(rawValue: "40001")
    /// The transaction was part of a deadlock.
    public static let deadlockDetected = SQLState(rawValue: "40P01")
    /// Writing is not possible here, as on a standby.
    public static let readOnlyTransaction = SQLState(rawValue: "25006")
}
