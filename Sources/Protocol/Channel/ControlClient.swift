public import ClusterModel
import ClusterProtocol
public import Logging
import NIOCore
import NIOPosix
import Platform
import Synchronization
public import TLSTransport

/// How an agent reaches its controllers.
public struct ControlClientConfiguration: Sendable, Hashable {
    /// The cluster.
    public var cluster: ClusterName
    /// The instance whose agent this is.
    public var instance: InstanceName
    /// The controllers, tried in turn: only one of them leads.
    public var endpoints: [Endpoint]
    /// Version of the program, told to the controller.
    public var software: String
    /// How long the controller may be silent before the connection is given up for a new one.
    public var silence: Duration = .seconds(3)
    /// The most bytes that may wait for a controller that does not read.
    public var outboundLimit = 4 * 1024 * 1024

    /// Makes a configuration with default limits.
    public init(cluster: ClusterName, instance: InstanceName, endpoints: [Endpoint], software: String) {
        self.cluster = cluster
        self.instance = instance
        self.endpoints = endpoints
        self.software = software
    }
}

/// What happened between an agent and its controller.
public enum ClientEvent: Sendable {
    /// The controller has answered our hello: messages pass both ways.
    case connected(controller: Endpoint)
    /// The controller said something.
    case message(ControllerMessage)
    /// The connection that was up is over, and why; a new one is tried.
    case disconnected(reason: String)
    /// No connection could be made, and why; told once per reason while attempts go on.
    case unreachable(reason: String)
}

/// An agent's end: keeps one connection to a controller, for ever.
public final class ControlClient: Sendable {
    private let configuration: ControlClientConfiguration
    private let settings: ClientSettings?
    private let random: @Sendable () -> UInt64
    private let logger: Logger
    private let queue = EventQueue<ClientEvent>()
    private let link = Mutex<FrameLink?>(nil)

    /// Makes a client that does not connect yet.
    ///
    /// - Parameters:
    ///   - configuration: Whom to be, and whom to reach.
    ///   - tls: Our certificate and whom we trust.
    ///   - logger: Told of every change of the connection.
    ///   - random: The chance in the delays between attempts.
    public init(
        _ configuration: ControlClientConfiguration,
        tls: TLSContext,
        logger: Logger,
        random: @escaping @Sendable () -> UInt64 = { UInt64.random(in: .min ... .max) }
    ) {
        self.configuration = configuration
        self.logger = logger
        self.random = random
        settings = PeerIdentity(cluster: configuration.cluster, role: .agent(configuration.instance)).map { identity in
            ClientSettings(
                identity: identity,
                expected: .controller(of: configuration.cluster),
                software: configuration.software,
                tls: tls,
                // One of several that hangs must not keep us from the one that leads.
                connectTimeout: configuration.endpoints.count > 1 ? configuration.silence / 2 : .seconds(5),
                silence: configuration.silence,
                outboundLimit: configuration.outboundLimit
            )
        }
    }

    /// What happens on the connection, in order, for one reader; ends with `run`.
    public var events: some AsyncSequence<ClientEvent, Never> & Sendable { queue.events }

    /// Tells whether messages pass now.
    public var isConnected: Bool { link.withLock { $0 != nil } }

    /// Sends a message; `false`, and nothing is kept, while there is no connection.
    @discardableResult
    public func send(_ message: AgentMessage) -> Bool {
        guard let link = link.withLock({ $0 }) else { return false }
        do {
            link.send(try WireCodec.encode(.agent(message)))
            return true
        } catch {
            logger.error("message not sent", metadata: ["reason": "\(error)"])
            return false
        }
    }

    /// Closes the connection, so that a new one is made, with renewed certificates for example.
    public func reconnect(reason: String) {
        link.withLock { $0 }?.close(reason)
    }

    /// Connects, and connects again whenever the connection is lost, until the task is cancelled.
    public func run() async {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        if let settings {
            await keepConnected(settings, on: group)
        } else {
            let reason = "'\(configuration.instance)' cannot be an instance's name; give the instance another"
            _ = queue.add(.unreachable(reason: reason))
        }
        queue.finish()
        try? await group.shutdownGracefully()
    }

    private func keepConnected(_ settings: ClientSettings, on group: any EventLoopGroup) async {
        // Somebody else may lead soon where there are several.
        var backoff = Backoff(limit: configuration.endpoints.count > 1 ? .milliseconds(500) : .seconds(2))
        var said: [Endpoint: String] = [:]
        while !Task.isCancelled && !configuration.endpoints.isEmpty {
            for endpoint in configuration.endpoints where !Task.isCancelled {
                let begun = MonotonicClock.now()
                let (reason, wasUp) = await connect(to: endpoint, settings, on: group)
                if wasUp {
                    said = [:]
                    // A connection that does not last must not be tried again and again without delay.
                    if MonotonicClock.now() - begun > .seconds(4) { backoff.reset() }
                } else if reason != said[endpoint] {
                    said[endpoint] = reason
                    logger.warning("no connection", metadata: ["reason": "\(reason)"])
                    _ = queue.add(.unreachable(reason: reason))
                }
            }
            try? await Task.sleep(for: backoff.next(chance: random()), tolerance: .zero)
        }
    }

    private func connect(
        to endpoint: Endpoint,
        _ settings: ClientSettings,
        on group: any EventLoopGroup
    ) async -> (reason: String, wasUp: Bool) {
        let actions = ClientConnection.Actions(
            welcomed: { [self] fresh in
                link.withLock { $0 = fresh }
                logger.notice("connected", metadata: ["controller.address": "\(endpoint)"])
                _ = queue.add(.connected(controller: endpoint))
            },
            received: { [self] frame, link, cost in
                guard case .controller(let message) = frame else { return true }
                return queue.add(.message(message), from: link, cost: cost)
            }
        )
        let reason = await ClientConnection.run(to: endpoint, on: group, settings, actions)
        let wasUp = link.withLock { link in
            defer { link = nil }
            return link != nil
        }
        if wasUp {
            logger.notice("disconnected", metadata: ["reason": "\(reason)"])
            _ = queue.add(.disconnected(reason: reason))
        }
        return (reason, wasUp)
    }
}
