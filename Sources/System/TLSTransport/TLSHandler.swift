public import NIOCore

/// What the TLS layer tells the handlers above it.
public enum TLSEvent: Sendable {
    /// The handshake is complete and the peer's certificate verified; on the client's side the server may still refuse
    /// ours, which shows at the first read.
    case handshakeCompleted(peer: CertificateSummary)
    /// The handshake is complete with a client that showed no certificate, where the context admits such.
    case handshakeCompletedAnonymously
}

/// Turns a TCP channel into a TLS one.
///
/// A failure travels up as a `TLSError` and closes the channel; plain bytes before the handshake's end never do.
public final class TLSHandler: ChannelDuplexHandler {
    /// Bytes of the network.
    public typealias InboundIn = ByteBuffer
    /// Decrypted bytes.
    public typealias InboundOut = ByteBuffer
    /// Bytes to encrypt.
    public typealias OutboundIn = ByteBuffer
    /// Bytes for the network.
    public typealias OutboundOut = ByteBuffer

    /// How long a closed connection stays half open, so that its last words are not lost to a reset.
    static let lingering: TimeAmount = .milliseconds(500)

    private enum State {
        case idle
        case handshaking(deadline: Scheduled<Void>)
        case open
        case closing
        case closed
    }

    private let context: TLSContext
    private let side: TLSSide
    private let handshakeTimeout: TimeAmount
    private var session: TLSSession?
    private var state = State.idle

    /// Makes the TLS layer of one channel.
    ///
    /// - Parameters:
    ///   - context: Certificates and trust; the set in use now counts for this connection's whole life.
    ///   - side: Which end we are.
    ///   - handshakeTimeout: How long the peer may take until the handshake is complete.
    public init(_ context: TLSContext, side: TLSSide, handshakeTimeout: TimeAmount = .seconds(5)) {
        self.context = context
        self.side = side
        self.handshakeTimeout = handshakeTimeout
    }

    /// Begins the handshake if the channel is connected already.
    public func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { begin(context) }
    }

    /// Begins the handshake.
    public func channelActive(context: ChannelHandlerContext) {
        begin(context)
        context.fireChannelActive()
    }

    /// Tells of a handshake that was cut off.
    public func channelInactive(context: ChannelHandlerContext) {
        if case .handshaking(let deadline) = state {
            deadline.cancel()
            state = .closed
            let error = TLSError(
                attemptText(context),
                cause: "the peer closed the connection during the TLS handshake"
            )
            context.fireErrorCaught(error)
        }
        state = .closed
        context.fireChannelInactive()
    }

    /// Decrypts what came, or takes the handshake further.
    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        switch state {
        case .handshaking, .open:
            session?.received.writeBuffer(&bytes)
            proceed(context)
        case .idle, .closing, .closed:
            return
        }
    }

    /// Encrypts; fails before the handshake's end.
    public func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard case .open = state, let session else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        if let error = session.write(unwrapOutboundIn(data)) {
            promise?.fail(error)
            fail(context, error)
            return
        }
        context.write(wrapOutboundOut(take(session)), promise: promise)
    }

    /// Says goodbye first, and stays half open for a moment so that it is read.
    public func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard mode == .all, case .open = state else {
            if case .closing = state {
                promise?.succeed()
                return
            }
            if case .handshaking(let deadline) = state { deadline.cancel() }
            state = .closed
            context.close(mode: mode, promise: promise)
            return
        }
        session?.shutDown()
        linger(context)
        promise?.succeed()
    }

    private func attemptText(_ context: ChannelHandlerContext) -> String {
        let peer = context.remoteAddress.map(addressText) ?? "a peer that is gone"
        return side == .client ? "connect to \(peer)" : "accept a connection from \(peer)"
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard case .idle = state else { return }
        do {
            let peer = context.remoteAddress.map(addressText) ?? "an unknown peer"
            session = try TLSSession(self.context, side: side, peer: peer)
        } catch {
            fail(context, error)
            return
        }
        let deadline = context.eventLoop.assumeIsolated().scheduleTask(in: handshakeTimeout) { [self] in
            guard case .handshaking = state else { return }
            let milliseconds = handshakeTimeout.nanoseconds / 1_000_000
            let cause = "the peer did not complete the TLS handshake within \(milliseconds) ms"
            fail(context, TLSError(attemptText(context), cause: cause))
        }
        state = .handshaking(deadline: deadline)
        proceed(context)
    }

    /// Takes handshake or decryption as far as the received bytes allow.
    private func proceed(_ context: ChannelHandlerContext) {
        guard let session else { return }
        if case .handshaking(let deadline) = state {
            switch session.handshake() {
            case .needsBytes:
                send(context, session)
                return
            case .closedByPeer:
                fail(context, TLSError(attemptText(context), cause: "the peer gave the TLS handshake up"))
                return
            case .failed(let error):
                fail(context, error)
                return
            case .done:
                deadline.cancel()
                state = .open
                send(context, session)
                guard let peer = session.peerCertificate() else {
                    if self.context.admitsAnonymous {
                        context.fireUserInboundEventTriggered(TLSEvent.handshakeCompletedAnonymously)
                        break
                    }
                    fail(context, TLSError(attemptText(context), cause: "the peer showed no certificate"))
                    return
                }
                context.fireUserInboundEventTriggered(TLSEvent.handshakeCompleted(peer: peer))
            }
        }
        decrypt(context, session)
    }

    private func decrypt(_ context: ChannelHandlerContext, _ session: TLSSession) {
        var delivered = false
        while case .open = state {
            var plain = context.channel.allocator.buffer(capacity: 16384)
            switch session.read(into: &plain) {
            case .done:
                delivered = true
                context.fireChannelRead(wrapInboundOut(plain))
                continue
            case .needsBytes:
                send(context, session)
            case .closedByPeer:
                session.shutDown()
                linger(context)
            case .failed(let error):
                fail(context, error)
            }
            break
        }
        if delivered { context.fireChannelReadComplete() }
    }

    private func take(_ session: TLSSession) -> ByteBuffer {
        defer { session.outgoing = ByteBuffer() }
        return session.outgoing
    }

    private func send(_ context: ChannelHandlerContext, _ session: TLSSession) {
        guard session.outgoing.readableBytes > 0 else { return }
        context.writeAndFlush(wrapOutboundOut(take(session)), promise: nil)
    }

    private func fail(_ context: ChannelHandlerContext, _ error: TLSError) {
        if case .handshaking(let deadline) = state { deadline.cancel() }
        if case .closed = state { return }
        linger(context)
        context.fireErrorCaught(error)
    }

    /// Sends what is left, then only listens for a moment: closing at once with unread bytes would make the kernel reset
    /// the connection, and the peer would never read why.
    private func linger(_ context: ChannelHandlerContext) {
        state = .closing
        if let session, session.outgoing.readableBytes > 0 {
            context.writeAndFlush(wrapOutboundOut(take(session)), promise: nil)
        }
        context.close(mode: .output, promise: nil)
        if let options = context.channel.syncOptions { try? options.setOption(.autoRead, value: true) }
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.lingering) { [self] in
            if case .closing = state {
                state = .closed
                context.close(mode: .all, promise: nil)
            }
        }
    }
}

/// An address as people write it: `10.0.0.1:7432`.
public func addressText(_ address: SocketAddress) -> String {
    guard let host = address.ipAddress, let port = address.port else { return "\(address)" }
    return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
}
