import NIOCore
import NIOHTTP1
import NIOPosix

/// A question without a body: probes and pages for people.
public struct HTTPQuestion: Hashable, Sendable {
    /// Its path, without the query, as it was sent.
    public var path: String
    /// Names and values of the query in order; a name alone has an empty value.
    public var query: [HTTPField]

    /// Takes a request's target apart.
    public init(target: String) {
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        path = String(parts[0])
        query = (parts.count > 1 ? parts[1].split(separator: "&") : []).map { pair in
            let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return HTTPField(name: String(sides[0]), value: sides.count > 1 ? String(sides[1]) : "")
        }
    }

    /// The first value under that name; nil if the name is not there.
    public subscript(name: String) -> String? { query.first { $0.name == name }?.value }
}

/// One name with its value.
public struct HTTPField: Hashable, Sendable {
    /// The name.
    public var name: String
    /// The value; empty for a name alone.
    public var value: String
}

/// What is answered.
public struct HTTPAnswer: Hashable, Sendable {
    /// Of the numbers that HTTP gives: 200 yes, 503 no, 400 not understood, 404 unknown.
    public var status: Int
    /// Of the body, such as `application/json`.
    public var contentType: String
    /// Text; whoever asks with HEAD gets its length only.
    public var body: String

    /// Makes an answer; plain text unless said otherwise.
    public init(_ status: Int, _ body: String, contentType: String = "text/plain; charset=utf-8") {
        self.status = status
        self.contentType = contentType
        self.body = body
    }
}

/// Why nothing is served.
public struct HTTPServiceError: Error, Hashable, Sendable, CustomStringConvertible {
    /// For people: address, cause and mend.
    public let description: String
}

/// Limits of a service.
public struct HTTPServiceLimits: Hashable, Sendable {
    /// Connections at a time; for one more the one that has been silent for longest is closed.
    public var connections = 128
    /// How long a connection may stay without a whole question, and an answer without being taken.
    public var idle: Duration = .seconds(10)
    /// All names and values of a question's header, in bytes.
    public var header = 16 << 10
    /// The longest target of a question, in bytes.
    public var target = 2048

    /// The limits that are meant where none are named.
    public init() {}
}

/// Answers GET and HEAD over plain HTTP/1.1, on a thread of its own.
///
/// Answers come from what is known at that moment: nothing is awaited, so that whoever asks is never kept.
public final class HTTPService: Sendable {
    private let host: String
    private let port: Int
    private let limits: HTTPServiceLimits
    private let answer: @Sendable (HTTPQuestion) -> HTTPAnswer

    /// Makes a service that does not listen yet; port 0 takes a free one.
    public init(
        host: String,
        port: Int,
        limits: HTTPServiceLimits = HTTPServiceLimits(),
        answer: @escaping @Sendable (HTTPQuestion) -> HTTPAnswer
    ) {
        self.host = host
        self.port = port
        self.limits = limits
        self.answer = answer
    }

    /// Listens until the task is cancelled, then closes every connection.
    ///
    /// - Parameter onListening: Told the port once others can connect.
    /// - Throws: `HTTPServiceError` if it cannot listen.
    public func run(onListening: @Sendable (Int) -> Void = { _ in }) async throws(HTTPServiceError) {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let result = await serve(on: group, onListening)
        try? await group.shutdownGracefully()
        if case .failure(let error) = result { throw error }
    }

    private func serve(
        on group: MultiThreadedEventLoopGroup,
        _ onListening: @Sendable (Int) -> Void
    ) async -> Result<Void, HTTPServiceError> {
        let roster = ConnectionRoster(limit: limits.connections)
        var decoding = NIOHTTPDecoderLimitConfiguration()
        (decoding.maxHeaderListSize, decoding.maxHeaderFieldSize) = (limits.header, limits.header)
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 64)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { [limits, answer, decoding] channel in
                channel.eventLoop.makeCompletedFuture {
                    roster.enter(channel)
                    let pipeline = channel.pipeline.syncOperations
                    // Whoever does not take its answers is not read any further.
                    try pipeline.addHandler(BackPressureHandler())
                    try pipeline.configureHTTPServerPipeline(
                        withErrorHandling: true,
                        withEncoderConfiguration: .init(),
                        withDecoderLimitConfiguration: decoding
                    )
                    try pipeline.addHandler(QuestionHandler(limits, roster, answer))
                }
            }
        let listener: any Channel
        do {
            listener = try await bootstrap.bind(host: host, port: port).get()
        } catch {
            let cause = (error as? IOError).map { String($0.description.prefix(200)) } ?? "\(error)"
            let place = "\(host) port \(port) for HTTP"
            let mend = "choose another address or port, or stop the program that uses it"
            return .failure(HTTPServiceError(description: "could not listen on \(place): \(cause); \(mend)"))
        }
        onListening(listener.localAddress?.port ?? port)
        await withTaskCancellationHandler {
            try? await listener.closeFuture.get()
        } onCancel: {
            listener.close(promise: nil)
        }
        return .success(())
    }
}
