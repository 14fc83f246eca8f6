import ClusterProtocol
import NIOCore
import NIOPosix
import Platform
import TLSTransport

/// Who decides what a connection's frames mean; called on the connection's event loop only.
protocol FrameOwner: AnyObject {
    /// The TLS handshake is complete and the peer's certificate is of a trusted authority.
    func authenticated(_ peer: CertificateSummary, _ handler: FrameHandler)
    /// One whole frame came; `false` stops the reading until some messages were taken.
    func received(_ payload: [UInt8], _ handler: FrameHandler) -> Bool
    /// The connection is over; called exactly once.
    func ended(_ reason: String)
}

/// Cuts a connection's bytes into frames, closes it when the peer breaks a limit, and knows why it closed.
final class FrameHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let link: FrameLink
    private let owner: any FrameOwner
    private var context: ChannelHandlerContext?
    private var buffer = ByteBuffer()
    private var isOver = false
    private var silence = (limit: Duration.zero, reason: "")
    private var lastFrame = Duration.zero
    private var check: Scheduled<Void>?

    init(_ link: FrameLink, owner: any FrameOwner) {
        self.link = link
        self.owner = owner
    }

    /// Closes the connection when no whole frame comes for that long, counted from now.
    func allowSilence(_ limit: Duration, orElse reason: String) {
        silence = (limit, reason)
        lastFrame = MonotonicClock.now()
        check?.cancel()
        scheduleCheck()
    }

    /// Ends the connection; the first reason given counts.
    func finish(_ reason: String) {
        guard !isOver else { return }
        isOver = true
        check?.cancel()
        buffer = ByteBuffer()
        owner.ended(reason)
        context?.close(mode: .all, promise: nil)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        finish("the connection was closed")
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish(
            buffer.readableBytes > 0
                ? "the peer closed the connection within a frame" : "the peer closed the connection"
        )
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard !isOver else { return }
        if case .handshakeCompleted(let peer)? = event as? TLSEvent { owner.authenticated(peer, self) }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        finish(describe(error))
    }

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        switch event {
        case let request as FrameLink.CloseRequest: finish(request.reason)
        case is FrameLink.ResumeRequest: setReading(true)
        default:
            context.triggerUserOutboundEvent(event, promise: promise)
            return
        }
        promise?.succeed()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        var bytes = unwrapInboundIn(data)
        buffer.writeBuffer(&bytes)
        while !isOver, let payload = nextFrame() {
            lastFrame = MonotonicClock.now()
            if !owner.received(payload, self) { setReading(false) }
        }
        buffer.discardReadBytes()
    }

    /// The next whole frame; its length is checked before anything is kept for it.
    private func nextFrame() -> [UInt8]? {
        guard let length = buffer.getInteger(at: buffer.readerIndex, as: UInt32.self) else { return nil }
        guard length <= FrameLimits.payload else {
            finish("the peer announced a frame of \(length) bytes, more than the limit of \(FrameLimits.payload)")
            return nil
        }
        guard buffer.readableBytes >= FrameLimits.header + Int(length) else { return nil }
        buffer.moveReaderIndex(forwardBy: FrameLimits.header)
        return buffer.readBytes(length: Int(length))
    }

    private func setReading(_ isReading: Bool) {
        guard !isOver, let options = context?.channel.syncOptions else { return }
        // Failing means that the channel is closed, which is told in its own way.
        try? options.setOption(.autoRead, value: isReading)
    }

    private func scheduleCheck() {
        guard let context else { return }
        let remaining = lastFrame + silence.limit - MonotonicClock.now()
        check = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(remaining)) { [self] in
            guard !isOver else { return }
            if MonotonicClock.now() - lastFrame >= silence.limit { finish(silence.reason) } else { scheduleCheck() }
        }
    }
}

/// Says in words why a connection could not be made or was lost.
func describe(_ error: any Error) -> String {
    switch error {
    case let error as TLSError: error.description
    case let error as WireError: error.description
    case let error as IOError: SystemError.text(error.errnoCode)
    case let error as NIOConnectionError:
        if let first = error.connectionErrors.first {
            describe(first.error)
        } else {
            "the host name '\(error.host)' could not be resolved"
        }
    case ChannelError.connectTimeout(let time): "no answer within \(time.nanoseconds / 1_000_000) ms"
    case ChannelError.ioOnClosedChannel, ChannelError.alreadyClosed: "the connection was closed"
    default: "\(error)"
    }
}
