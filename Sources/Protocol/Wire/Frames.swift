public import ClusterModel

/// What a peer sends to the controller or agent that it connected to, one per frame.
public enum ClientFrame: Sendable, Hashable {
    /// Opens the conversation.
    case hello(Hello)
    /// From an agent.
    case agent(AgentMessage)
    /// From the command line; the answer bears the same number.
    case request(id: UInt64, OperatorRequest)
    /// Sent by a newer program; what it means is not known here.
    case unknown(kind: String)
}

/// What a controller, or an agent, sends to a peer that connected to it, one per frame.
public enum ServerFrame: Sendable, Hashable {
    /// The peer is taken; only now is it connected.
    case welcome(Welcome)
    /// The peer is not taken, and why; the connection is closed after it.
    case rejection(reason: String)
    /// To an agent; an order of a newer program arrives as `.unknown`.
    case controller(ControllerMessage)
    /// To the command line, in answer to the request of this number.
    case answer(id: UInt64, OperatorAnswer)
    /// From an agent to another (R10).
    case lease(LeaseAnswer)
}

/// How a peer introduces itself; believed only as far as its certificate says the same.
public struct Hello: Sendable, Hashable {
    /// Version of the protocol it speaks.
    public var version: ProtocolVersion
    /// Version of the program, for people.
    public var software: String
    /// Whom it says it is.
    public var identity: PeerIdentity?

    /// Makes an introduction.
    public init(version: ProtocolVersion = .current, software: String, identity: PeerIdentity?) {
        self.version = version
        self.software = software
        self.identity = identity
    }
}

/// The controller's answer to an introduction that it takes.
public struct Welcome: Sendable, Hashable {
    /// Version of the protocol it speaks.
    public var version: ProtocolVersion
    /// Version of the program, for people.
    public var software: String

    /// Makes an answer.
    public init(version: ProtocolVersion = .current, software: String) {
        self.version = version
        self.software = software
    }
}

/// What the command line asks of the controller.
public enum OperatorRequest: Sendable, Hashable {
    /// Tell the whole state of the cluster.
    case status
    /// Do something, named by a verb with its arguments.
    case command(verb: String, arguments: [String])
    /// Sent by a newer program; to be refused with a reason.
    case unknown(kind: String)
}

/// What the controller answers to the command line.
public enum OperatorAnswer: Sendable, Hashable {
    /// The state as JSON text.
    case status(json: String)
    /// What came of a command: an exit code for the shell, and words for the person.
    case command(exitCode: Int32, text: String)
    /// The request was not taken, and why.
    case rejected(reason: String)
}

/// Why bytes or names of a peer were not accepted.
public struct WireError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The reason, as a part of a sentence.
    public let description: String

    /// Gives the reason.
    public init(_ description: String) {
        self.description = description
    }
}
