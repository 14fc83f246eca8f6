import CCurl
import Platform

/// Makes HTTPS requests with libcurl, all on one thread of its own.
///
/// No redirect is followed, no proxy of the environment is used, nothing but `https` is spoken, and the server's name
/// is always checked. A request that finds its kept-alive connection closed by the server is sent once more by libcurl,
/// so a write must bear being received twice. Letting go of the last reference closes the client.
public final class HTTPClient: Sendable {
    private let mailbox: TransferMailbox

    /// Starts the client's thread.
    ///
    /// - Throws: `HTTPError` if the machine's certificate bundle cannot be read or there is no thread to give.
    public init(_ configuration: HTTPConfiguration) throws(HTTPError) {
        guard CurlLibrary.isReady else {
            throw HTTPError(.invalid, "start libcurl", cause: "its initialisation failed")
        }
        let authorities: [UInt8]
        switch configuration.authorities {
        case .pem(let bytes): authorities = bytes
        case .system:
            guard let path = CurlLibrary.bundlePath else {
                throw HTTPError(
                    .invalid,
                    "load the machine's certificate authorities",
                    cause: "this libcurl names no bundle",
                    mend: "name a file of certificates"
                )
            }
            authorities = try credentialFile(path, "load certificate authorities \(path)")
        }
        let mailbox = try TransferMailbox(limit: configuration.transferLimit)
        do {
            try WorkerThread.start("HTTP client") {
                TransferLoop(mailbox, configuration, authorities: authorities).run()
            }
        } catch {
            throw HTTPError(.invalid, "start the HTTP client", cause: "\(error)")
        }
        self.mailbox = mailbox
    }

    deinit { mailbox.close() }

    /// Sends a request and awaits the whole answer.
    ///
    /// Cancelling the task gives the request up at once; the server may have carried it out.
    ///
    /// - Throws: `HTTPError`; any status is an answer.
    public func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        let transfer = try start(request, isStream: false)
        return try await give(transfer, wait: { await transfer.response() })
    }

    /// Sends a request and awaits the header of the answer; the body is read as it comes.
    ///
    /// What was received and not read is bounded: beyond that the server is made to wait.
    ///
    /// - Throws: `HTTPError`; any status is an answer.
    public func stream(_ request: HTTPRequest) async throws(HTTPError) -> HTTPStream {
        let transfer = try start(request, isStream: true)
        let head = try await give(transfer, wait: { await transfer.head() })
        return HTTPStream(head: head, body: HTTPBody(transfer, mailbox))
    }

    /// Ends everything under way; what waits fails.
    public func close() { mailbox.close() }

    private func start(_ request: HTTPRequest, isStream: Bool) throws(HTTPError) -> Transfer {
        if let fault = request.fault { throw fault }
        let transfer = Transfer(request, isStream: isStream)
        try mailbox.start(transfer)
        return transfer
    }

    private func give<Value: Sendable>(
        _ transfer: Transfer,
        wait: @Sendable () async -> Result<Value, HTTPError>
    ) async throws(HTTPError) -> Value {
        let outcome = await withTaskCancellationHandler(operation: wait) { [mailbox] in
            mailbox.cancel(transfer)
        }
        return try outcome.get()
    }
}

/// An answer whose body is read as it comes.
public struct HTTPStream: Sendable {
    /// Status and headers.
    public let head: HTTPHead
    /// The body in pieces.
    public let body: HTTPBody
}

/// The body of a streamed answer: pieces as they come, in order, for one reader.
///
/// Ends when the server ended it; throws `HTTPError` otherwise. Cancelling the reading task ends it with an error of
/// the kind `cancelled`. Letting go of the body and its iterators gives the request up.
public final class HTTPBody: AsyncSequence, Sendable {
    /// One piece of the body, never empty.
    public typealias Element = [UInt8]
    /// What reading throws.
    public typealias Failure = HTTPError

    private let transfer: Transfer
    private let mailbox: TransferMailbox

    init(_ transfer: Transfer, _ mailbox: TransferMailbox) {
        self.transfer = transfer
        self.mailbox = mailbox
    }

    deinit { mailbox.cancel(transfer) }

    /// Gives the request up; a reader that waits gets an error.
    public func cancel() { mailbox.cancel(transfer) }

    /// Awaits everything that has come by then and was not read; nil at the end.
    ///
    /// - Throws: `HTTPError` if the body breaks off.
    public func next() async throws(HTTPError) -> [UInt8]? {
        let outcome = await withTaskCancellationHandler {
            await transfer.piece()
        } onCancel: {
            mailbox.cancel(transfer)
        }
        let (piece, wasPaused) = try outcome.get()
        if wasPaused { mailbox.resume(transfer) }
        return piece
    }

    /// Begins reading.
    public func makeAsyncIterator() -> Iterator { Iterator(body: self) }

    /// Reads the body piece by piece.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
        let body: HTTPBody

        /// Awaits the next piece; nil at the end.
        public func next() async throws(HTTPError) -> [UInt8]? { try await body.next() }

        /// Awaits the next piece; nil at the end.
        public func next(isolation actor: isolated (any Actor)?) async throws(HTTPError) -> [UInt8]? {
            try await body.next()
        }
    }
}

/// What is asked of the library once per process.
enum CurlLibrary {
    static let isReady = CCurl_global_init() == CURLE_OK

    /// Where the machine's certificate authorities are, as this libcurl was built to find them.
    static var bundlePath: String? {
        // Safe: the library answers with a constant text.
        unsafe CCurl_bundle_path().map { unsafe String(cString: $0) }
    }
}
