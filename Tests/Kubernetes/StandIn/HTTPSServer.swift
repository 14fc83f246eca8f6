import NIOCore
import NIOPosix
import Synchronization
public import TLSTransport

/// An HTTPS server on the loopback address whose answers can be broken on purpose.
public final class HTTPSServer: Sendable {
    /// Answers one request through its responder, at once or later, from any thread.
    public typealias Handler = @Sendable (ServedRequest, Responder) -> Void

    /// Counts of connections.
    public struct Counts: Sendable {
        /// Connections that are open now.
        public var open = 0
        /// Connections accepted so far.
        public var accepted = 0
        /// Requests received so far.
        public var requests = 0
    }

    private let group: MultiThreadedEventLoopGroup
    private let listener: any Channel
    private let state: Mutex<Counts>.Box
    /// Where it listens.
    public let port: Int

    /// Listens on a port of its own.
    ///
    /// - Parameters:
    ///   - credentials: The certificate shown, and the authorities of clients.
    ///   - bodyLimit: The largest body of a request in bytes; more is answered with 413.
    ///   - handler: Answers requests; called on the server's thread.
    /// - Throws: `TLSError` for bad credentials, an error of the system if it cannot listen.
    public init(
        credentials: TLSCredentials,
        bodyLimit: Int = 3 << 20,
        handler: @escaping Handler
    ) async throws {
        let tls = try TLSContext(credentials: credentials, admitsAnonymous: true)
        let counts = Mutex<Counts>.Box(Counts())
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 128)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handlers: [any ChannelHandler] = [
                        TLSHandler(tls, side: .server), ConnectionHandler(counts, bodyLimit, handler),
                    ]
                    try channel.pipeline.syncOperations.addHandlers(handlers)
                }
            }
        do {
            listener = try await bootstrap.bind(host: "127.0.0.1", port: 0).get()
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        self.group = group
        state = counts
        port = listener.localAddress?.port ?? 0
    }

    /// Connections and requests so far.
    public var counts: Counts { state.value.withLock { $0 } }

    /// Stops listening, closes every connection and ends the thread.
    public func stop() async {
        try? await listener.close()
        try? await group.shutdownGracefully()
    }
}

extension Mutex where Value == HTTPSServer.Counts {
    /// A lock that several owners share.
    final class Box: Sendable {
        let value: Mutex<HTTPSServer.Counts>

        init(_ counts: HTTPSServer.Counts) { value = Mutex(counts) }
    }
}

/// One connection: requests in turn, each answered before the next is looked at.
final class ConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let counts: Mutex<HTTPSServer.Counts>.Box
    private let handler: HTTPSServer.Handler
    private var reader: RequestReader
    private var subject: String?
    private var responder: Responder?

    init(_ counts: Mutex<HTTPSServer.Counts>.Box, _ bodyLimit: Int, _ handler: @escaping HTTPSServer.Handler) {
        self.counts = counts
        self.handler = handler
        reader = RequestReader(bodyLimit: bodyLimit)
    }

    func channelActive(context: ChannelHandlerContext) {
        counts.value.withLock {
            $0.open += 1
            $0.accepted += 1
        }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        counts.value.withLock { $0.open -= 1 }
        responder?.connectionIsGone()
        responder = nil
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted(let peer)? = event as? TLSEvent { subject = peer.subject }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        responder?.connectionIsGone()
        responder = nil
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        reader.append(unwrapInboundIn(data).readableBytesView)
        serve(context)
    }

    private func serve(_ context: ChannelHandlerContext) {
        guard responder == nil else { return }
        let channel = context.channel
        do throws(RequestFault) {
            guard let request = try reader.next(subject: subject) else { return }
            counts.value.withLock { $0.requests += 1 }
            let loopBound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            let next = Responder(channel) {
                loopBound.value.0.responder = nil
                loopBound.value.0.serve(loopBound.value.1)
            }
            responder = next
            handler(request, next)
        } catch {
            let refusal = Responder(channel) { channel.close(promise: nil) }
            responder = refusal
            refusal.answer(error.status, body: Array(error.cause.utf8))
        }
    }
}
