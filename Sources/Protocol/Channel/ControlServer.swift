public import ClusterModel
public import ClusterProtocol
public import Logging
import NIOCore
import NIOPosix
public import TLSTransport

/// The end that is connected to: a controller accepts agents and command lines whose certificates are of its cluster,
/// an agent the agents of other instances.
public final class ControlServer: Sendable {
    private let configuration: ControlServerConfiguration
    private let tls: TLSContext
    private let roster: ServerRoster
    private let logger: Logger

    /// Makes a server that does not listen yet.
    public init(_ configuration: ControlServerConfiguration, tls: TLSContext, logger: Logger) {
        self.configuration = configuration
        self.tls = tls
        self.logger = logger
        roster = ServerRoster(configuration, logger: logger)
    }

    /// What happens on the connections, in order, for one reader; ends with `run`.
    ///
    /// An agent whose messages are not taken is not read any further.
    public var events: some AsyncSequence<ServerEvent, Never> & Sendable { roster.queue.events }

    /// Listens until the task is cancelled, then closes every connection.
    ///
    /// - Parameter onListening: Told the port once peers can connect.
    /// - Throws: `ControlError` if it cannot listen, with the address and what mends it.
    public func run(onListening: @Sendable (Int) -> Void = { _ in }) async throws(ControlError) {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let result = await serve(on: group, onListening)
        roster.queue.finish()
        try? await group.shutdownGracefully()
        if case .failure(let error) = result { throw error }
    }

    /// Takes no peer from now on and lets go of those there are; nil takes them again.
    ///
    /// - Parameter reason: What each is told: that another controller leads, and where it is (R11).
    public func refuseEverybody(because reason: String?) { roster.refuse(reason) }

    /// Takes agents and command lines of a cluster from now on, where the configuration names none.
    public func admit(_ cluster: ClusterName) { roster.admit(cluster) }

    /// Takes no peer of a cluster any more, and lets go of those there are.
    public func dismiss(_ cluster: ClusterName, because reason: String) { roster.dismiss(cluster, reason) }

    /// Sends a message to an agent; `false` if that connection is over, or the message fits into no frame.
    @discardableResult
    public func send(_ message: ControllerMessage, to connection: ConnectionID) -> Bool {
        send(.controller(message), to: connection)
    }

    /// Answers the agent of another instance; `false` if it has gone.
    @discardableResult
    public func answer(_ answer: LeaseAnswer, to connection: ConnectionID) -> Bool {
        send(.lease(answer), to: connection)
    }

    /// Answers a request of a command line; `false` if it has gone.
    @discardableResult
    public func answer(_ answer: OperatorAnswer, to connection: ConnectionID, request id: UInt64) -> Bool {
        if send(.answer(id: id, answer), to: connection) { return true }
        let reason = "the answer does not fit into one message of \(FrameLimits.payload) bytes"
        return send(.answer(id: id, .rejected(reason: reason)), to: connection)
    }

    /// Closes a connection, and says why in the log.
    public func close(_ connection: ConnectionID, reason: String) {
        roster.link(of: connection)?.close(reason)
    }

    private func send(_ frame: ServerFrame, to connection: ConnectionID) -> Bool {
        guard let link = roster.link(of: connection) else { return false }
        do {
            link.send(try WireCodec.encode(frame))
            return true
        } catch {
            logger.error("message not sent", metadata: ["reason": "\(error)", "connection": "\(connection)"])
            return false
        }
    }

    private func serve(
        on group: MultiThreadedEventLoopGroup,
        _ onListening: @Sendable (Int) -> Void
    ) async -> Result<Void, ControlError> {
        let listener: any Channel
        do {
            listener = try await bootstrap(group).bind(host: configuration.host, port: configuration.port).get()
        } catch {
            let place = "\(configuration.host) port \(configuration.port)"
            let mend = "choose another address or port, or stop the program that uses it"
            return .failure(ControlError("could not listen on \(place): \(describe(error)); \(mend)"))
        }
        onListening(listener.localAddress?.port ?? configuration.port)
        await withTaskCancellationHandler {
            try? await listener.closeFuture.get()
        } onCancel: {
            listener.close(promise: nil)
        }
        await roster.closeAll("\(configuration.listener) is stopping")
        return .success(())
    }

    private func bootstrap(_ group: MultiThreadedEventLoopGroup) -> ServerBootstrap {
        ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 128)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.maxMessagesPerRead, value: 4)
            .childChannelInitializer { [configuration, tls, roster] channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let connection = roster.accept(channel) else { throw ChannelError.eof }
                    let timeout = TimeAmount(configuration.handshakeTimeout)
                    let secure = TLSHandler(tls, side: .server, handshakeTimeout: timeout)
                    let frames = FrameHandler(connection.link, owner: connection)
                    try channel.pipeline.syncOperations.addHandlers([secure, frames])
                }
            }
    }
}
