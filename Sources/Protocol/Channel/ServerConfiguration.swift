public import ClusterModel
public import ClusterProtocol

/// How a controller, or an agent, listens, and what it allows its peers.
public struct ControlServerConfiguration: Sendable, Hashable {
    /// The cluster it controls, so that peers of another are refused; nil for every cluster that the server admits.
    public var cluster: ClusterName?
    /// The instance whose agent listens, for the agents of others (R10); nil for a controller.
    public var agent: InstanceName?
    /// Address to listen on.
    public var host: String
    /// Port to listen on; 0 lets the kernel choose.
    public var port: Int
    /// Version of the program, told to peers.
    public var software: String
    /// The most connections at one time; further ones are closed at once.
    public var connectionLimit = 256
    /// The most connections that have not said hello yet; the oldest of them gives way to a newer one.
    public var pendingLimit = 64
    /// The most command lines connected at one time.
    public var operatorLimit = 16
    /// How long a TLS handshake may take.
    public var handshakeTimeout: Duration = .seconds(5)
    /// How long the hello may take after the handshake.
    public var helloTimeout: Duration = .seconds(5)
    /// How long an agent may be silent before its connection is given up.
    public var agentSilence: Duration = .seconds(10)
    /// How long a command line may be silent before its connection is given up.
    public var operatorSilence: Duration = .seconds(600)
    /// The most bytes that may wait for a peer that does not read.
    public var outboundLimit = 4 * 1024 * 1024

    /// Makes a configuration with default limits.
    public init(cluster: ClusterName?, host: String, port: Int, software: String) {
        self.cluster = cluster
        self.host = host
        self.port = port
        self.software = software
    }

    /// This end, in a sentence.
    var listener: String { agent.map { "the agent of '\($0)'" } ?? "the controller" }
}

/// One connection of this program's life; never used twice.
public struct ConnectionID: Sendable, Hashable, CustomStringConvertible {
    let number: UInt64
    /// The cluster that the peer's certificate is of.
    public let cluster: ClusterName

    /// `connection 7`.
    public var description: String { "connection \(number)" }
}

/// What happened on a controller's connections.
public enum ServerEvent: Sendable {
    /// An agent is connected; an older connection of the same instance has been reported as disconnected before.
    case connected(instance: InstanceName, remoteAddress: String, connection: ConnectionID)
    /// An agent said something.
    case message(instance: InstanceName, connection: ConnectionID, AgentMessage)
    /// A command line asks something; it waits for `answer`.
    case request(connection: ConnectionID, id: UInt64, OperatorRequest)
    /// An agent's connection is over, and why.
    case disconnected(instance: InstanceName, connection: ConnectionID, reason: String)
}

/// Why a controller cannot listen, or a request got no answer.
public struct ControlError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The whole sentence.
    public let description: String

    init(_ description: String) {
        self.description = description
    }
}
