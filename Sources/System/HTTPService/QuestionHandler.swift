import NIOCore
import NIOHTTP1
import Synchronization

/// Connections there are, up to a limit: whoever comes last pushes out who has asked nothing for longest.
///
/// Else as many silent connections as there may be would keep every probe out.
final class ConnectionRoster: Sendable {
    private let limit: Int
    /// The longest silent first.
    private let channels = Mutex<[any Channel]>([])

    init(limit: Int) { self.limit = limit }

    func enter(_ channel: any Channel) {
        let pushedOut = channels.withLock { channels -> (any Channel)? in
            channels.append(channel)
            return channels.count > limit ? channels.removeFirst() : nil
        }
        pushedOut?.close(promise: nil)
        channel.closeFuture.whenComplete { _ in
            self.channels.withLock { channels in channels.removeAll { $0 === channel } }
        }
    }

    /// That one has asked something.
    func heard(_ channel: any Channel) {
        channels.withLock { channels in
            guard let place = channels.firstIndex(where: { $0 === channel }) else { return }
            channels.append(channels.remove(at: place))
        }
    }
}

/// Answers one question after another on one connection, and closes it when none comes.
final class QuestionHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let limits: HTTPServiceLimits
    private let roster: ConnectionRoster
    private let answer: @Sendable (HTTPQuestion) -> HTTPAnswer
    private var head: HTTPRequestHead?
    private var hasBody = false
    private var patience: Scheduled<Void>?

    init(
        _ limits: HTTPServiceLimits,
        _ roster: ConnectionRoster,
        _ answer: @escaping @Sendable (HTTPQuestion) -> HTTPAnswer
    ) {
        self.limits = limits
        self.roster = roster
        self.answer = answer
    }

    func channelActive(context: ChannelHandlerContext) {
        waitForQuestion(context)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        patience?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            hasBody = false
        case .body: hasBody = true
        case .end:
            guard let head else { return }
            self.head = nil
            reply(to: head, context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    /// From the end of one question to the end of the next, however slowly it comes.
    private func waitForQuestion(_ context: ChannelHandlerContext) {
        patience?.cancel()
        let channel = context.channel
        patience = context.eventLoop.scheduleTask(in: TimeAmount(limits.idle)) { channel.close(promise: nil) }
    }

    private func reply(to head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        let found = found(head)
        let keeps = head.isKeepAlive && !hasBody
        var headers = HTTPHeaders()
        headers.add(name: "Content-Type", value: found.contentType)
        headers.add(name: "Content-Length", value: "\(found.body.utf8.count)")
        headers.add(name: "Cache-Control", value: "no-store")
        if found.status == 405 { headers.add(name: "Allow", value: "GET, HEAD") }
        if !keeps { headers.add(name: "Connection", value: "close") }
        let status = HTTPResponseStatus(statusCode: found.status)
        let response = HTTPResponseHead(version: head.version, status: status, headers: headers)
        context.write(wrapOutboundOut(.head(response)), promise: nil)
        if head.method != .HEAD {
            let body = context.channel.allocator.buffer(string: found.body)
            context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        }
        let channel = context.channel
        let written = context.writeAndFlush(wrapOutboundOut(.end(nil)))
        guard keeps else { return written.whenComplete { _ in channel.close(promise: nil) } }
        // An answer that is not taken does not buy time.
        if !channel.isWritable { return }
        roster.heard(channel)
        waitForQuestion(context)
    }

    private func found(_ head: HTTPRequestHead) -> HTTPAnswer {
        guard head.method == .GET || head.method == .HEAD else {
            return HTTPAnswer(405, "\(head.method.rawValue) is not taken here; ask with GET\n")
        }
        guard !hasBody else { return HTTPAnswer(400, "a question has no body\n") }
        guard head.uri.utf8.count <= limits.target else {
            return HTTPAnswer(414, "the target is longer than \(limits.target) bytes\n")
        }
        return answer(HTTPQuestion(target: head.uri))
    }
}
