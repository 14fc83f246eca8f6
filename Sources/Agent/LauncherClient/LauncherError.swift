public import LauncherProtocol

/// Why an order to the launcher was not carried out.
public struct LauncherError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    public enum Code: Hashable, Sendable {
        /// There is no connection, or it broke before the answer came; whether the order was done is unknown.
        case disconnected
        /// No answer came in time; whether the order was or will be done is unknown.
        case timedOut
        /// The launcher refused: asking again does not help.
        case refused
        /// The operating system refused, or the world is not as it should be.
        case failed
        /// The launcher was busy for the whole time.
        case busy
        /// A part of the path is not there.
        case absent
        /// The launcher answered something else than was asked for.
        case unexpectedAnswer
    }

    /// What kind of failure it is.
    public let code: Code
    /// One sentence for a person.
    public let message: String

    /// Creates an error.
    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    init(_ kind: FailureKind, text: String) {
        let code: Code =
            switch kind {
            case .refused: .refused
            case .failed: .failed
            case .busy: .busy
            case .absent: .absent
            }
        self.init(code, text)
    }

    /// The message.
    public var description: String { message }
}

/// What the launcher tells without being asked.
public enum LauncherEvent: Hashable, Sendable {
    /// The postmaster ended; other processes of the server may still be alive.
    case postmasterExited(ProcessEnd)
    /// The last process of the server with this postmaster is gone; so many had to be killed after the postmaster.
    case serverDown(ProcessEnd, processID: Int32, killedStragglers: Int)
    /// The lease timer fired.
    case leaseFired(LeaseStage)
    /// The connection ended, for this reason; events may be lost until `connect` tells the state anew.
    case disconnected(String)
}

/// How a tool ended.
public struct ToolResult: Hashable, Sendable {
    /// How its process ended.
    public var end: ProcessEnd
    /// Whether the time limit ended it.
    public var timedOut: Bool
    /// The last 64 KiB of what it wrote, standard output and standard error as they came.
    public var outputTail: String

    /// Whether it returned status 0.
    public var isSuccess: Bool { end.isSuccess }
}
