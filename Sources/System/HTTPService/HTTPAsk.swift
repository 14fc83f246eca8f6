import NIOCore
import NIOHTTP1
import NIOPosix

/// Asks a service of this kind, with limits on time and size.
public enum HTTPAsk {
    /// The largest answer that is taken, in bytes.
    public static let answerLimit = 1 << 20

    /// Asks with GET, on a connection of its own.
    ///
    /// - Parameters:
    ///   - host: Name or address of the service.
    ///   - port: Its port.
    ///   - target: Path and query, such as `/replica?maxLag=10MB`.
    ///   - limit: How long all of it may take.
    /// - Returns: The answer, whatever its status.
    /// - Throws: `HTTPServiceError` if none came whole and in time.
    public static func get(
        host: String,
        port: Int,
        target: String,
        within limit: Duration
    ) async throws(HTTPServiceError) -> HTTPAnswer {
        let group = MultiThreadedEventLoopGroup.singleton
        let promise = group.next().makePromise(of: HTTPAnswer.self)
        let bootstrap = ClientBootstrap(group: group)
            .connectTimeout(TimeAmount(limit))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHTTPClientHandlers()
                    try pipeline.addHandler(AnswerHandler(promise))
                }
            }
        do {
            let channel: any Channel
            do {
                channel = try await bootstrap.connect(host: host, port: port).get()
            } catch {
                promise.fail(error)
                throw error
            }
            let timer = channel.eventLoop.scheduleTask(in: TimeAmount(limit)) { channel.close(promise: nil) }
            var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: target)
            head.headers = ["Host": "\(host):\(port)", "Connection": "close"]
            channel.write(HTTPClientRequestPart.head(head), promise: nil)
            channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
            let answer = try await promise.futureResult.get()
            timer.cancel()
            channel.close(promise: nil)
            return answer
        } catch {
            let cause = (error as? HTTPServiceError)?.description ?? String("\(error)".prefix(200))
            throw HTTPServiceError(description: "could not ask http://\(host):\(port)\(target): \(cause)")
        }
    }
}

/// Collects one answer.
private final class AnswerHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private let promise: EventLoopPromise<HTTPAnswer>
    private var head: HTTPResponseHead?
    private var bytes: [UInt8] = []

    init(_ promise: EventLoopPromise<HTTPAnswer>) { self.promise = promise }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body(let piece):
            guard bytes.count + piece.readableBytes <= HTTPAsk.answerLimit else {
                let cause = "the answer is longer than \(HTTPAsk.answerLimit) bytes"
                promise.fail(HTTPServiceError(description: cause))
                return context.close(promise: nil)
            }
            bytes += piece.readableBytesView
        case .end:
            guard let head else { return }
            let type = head.headers.first(name: "Content-Type") ?? ""
            let body = String(decoding: bytes, as: UTF8.self)
            promise.succeed(HTTPAnswer(Int(head.status.code), body, contentType: type))
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        promise.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        promise.fail(HTTPServiceError(description: "no whole answer came"))
    }
}
