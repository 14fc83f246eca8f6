public import HTTPTransport
import JSON
import Platform
import Synchronization

/// Limits of a client.
public struct KubernetesLimits: Hashable, Sendable {
    /// How many requests a second, on average; opening a watch counts as one.
    public var requestsPerSecond = 10
    /// How many at once after a rest.
    public var burst = 30
    /// How long a request may take with everything, waiting for its turn and repetitions included.
    public var deadline: Duration = .seconds(15)
    /// How long connecting may take.
    public var connectTimeout: Duration = .seconds(5)
    /// The longest wait that a server's `Retry-After` is granted.
    public var retryAfterLimit: Duration = .seconds(10)
    /// How often a request is repeated because the server asked for it.
    public var retries = 4
    /// The largest object, in bytes; etcd holds about half of this.
    public var objectBytes = 3 << 20
    /// The largest page of a list, in bytes.
    public var pageBytes = 32 << 20
    /// How many objects are asked for at once.
    public var pageSize = 500
    /// How many objects a list may have.
    public var listSize = 50_000

    /// The limits that are meant where none are named.
    public init() {}
}

/// Speaks to one API server.
///
/// Every request has a deadline, every answer a limit, and all together do not exceed a rate. Nothing is repeated but
/// what the server asked to repeat; a write may reach the server twice (see `HTTPClient`), so that writes are to be
/// conditional, or the same when done twice.
///
/// - SeeAlso: Kubernetes documentation, "Kubernetes API Concepts".
public final class KubernetesClient: Sendable {
    private struct Connection {
        var http: HTTPClient
        var configuration: HTTPConfiguration
    }

    /// The limits that hold.
    public let limits: KubernetesLimits
    /// The namespace that the credentials name.
    public let namespace: String
    private let credentials: KubernetesCredentials
    private let tokens: TokenReader
    private let connection: Mutex<Connection>
    private let bucket: Mutex<TokenBucket>

    /// Makes a client; nothing is connected yet.
    ///
    /// - Throws: `KubernetesError` if the credentials cannot be used.
    public init(
        _ credentials: KubernetesCredentials,
        limits: KubernetesLimits = KubernetesLimits(),
        version: HTTPConfiguration.Version = .http2
    ) throws(KubernetesError) {
        self.credentials = credentials
        self.limits = limits
        namespace = credentials.namespace
        tokens = TokenReader(credentials.token)
        bucket = Mutex(TokenBucket(perSecond: limits.requestsPerSecond, burst: limits.burst))
        let configuration = HTTPConfiguration(
            authorities: credentials.authorities,
            identity: credentials.identity,
            connectTimeout: limits.connectTimeout,
            version: version
        )
        do {
            connection = Mutex(Connection(http: try HTTPClient(configuration), configuration: configuration))
        } catch {
            throw KubernetesError(error)
        }
    }

    deinit { close() }

    /// Ends everything under way; what waits fails.
    public func close() { connection.withLock { $0.http }.close() }

    /// What is asked of the server, before the parts that every request has.
    struct Call {
        var method = HTTPMethod.get
        var path: String
        var query: [(String, String)] = []
        var body: JSONValue?
        var contentType = "application/json"
        var bodyLimit: Int?
    }

    /// Asks and reads the answer's object.
    func ask(_ call: Call) async throws(KubernetesError) -> JSONValue {
        let end = MonotonicClock.now() + limits.deadline
        let response = try await answered(call, by: end) { (http, request) async throws(HTTPError) in
            let response = try await http.send(request)
            return (response.head, response)
        } refusal: { response in
            response.body
        }
        do {
            return try JSONValue(parsing: response.body)
        } catch {
            throw KubernetesError(.malformed, request(call, token: nil).attemptText, cause: error.description)
        }
    }

    /// Asks for a stream, such as a watch.
    func stream(_ call: Call, idleLimit: Duration) async throws(KubernetesError) -> HTTPStream {
        let end = MonotonicClock.now() + limits.deadline
        return try await answered(call, by: end) { (http, request) async throws(HTTPError) in
            var request = request
            request.idleLimit = idleLimit
            let stream = try await http.stream(request)
            return (stream.head, stream)
        } refusal: { stream in
            await collected(stream.body)
        }
    }

    /// Waits for the rate, sends, and repeats what the server asks to repeat.
    private func answered<Answer: Sendable>(
        _ call: Call,
        by end: Duration,
        send: (HTTPClient, HTTPRequest) async throws(HTTPError) -> (HTTPHead, Answer),
        refusal body: (Answer) async -> [UInt8]
    ) async throws(KubernetesError) -> Answer {
        var (attempts, isRefused, isRenewed) = (0, false, false)
        while true {
            try await takeTurn(call, by: end)
            var request = request(call, token: try tokens.token(isRefused: isRefused))
            request.deadline = max(end - MonotonicClock.now(), .milliseconds(1))
            let (head, answer): (HTTPHead, Answer)
            do throws(HTTPError) {
                (head, answer) = try await send(connection.withLock { $0.http }, request)
            } catch {
                // The server may have got another authority, or wants another certificate, since we read them.
                if !error.mayHaveTakenEffect, error.kind != .closed, !isRenewed, renewConnection() {
                    isRenewed = true
                    continue
                }
                throw KubernetesError(error)
            }
            if (200..<300).contains(head.status) { return answer }
            let status = status(head, await body(answer))
            if status.code == 401, !isRefused, case .file = credentials.token {
                isRefused = true
                continue
            }
            let refusal = KubernetesError(request.attemptText, refused: status)
            guard status.code == 429 || status.code == 503, let wait = status.retryAfter, attempts < limits.retries,
                wait <= limits.retryAfterLimit, MonotonicClock.now() + wait < end
            else { throw refusal }
            attempts += 1
            try await pause(max(wait, .milliseconds(100)), refusal.attempt)
        }
    }

    private func takeTurn(_ call: Call, by end: Duration) async throws(KubernetesError) {
        let now = MonotonicClock.now()
        let attempt = request(call, token: nil).attemptText
        guard let wait = bucket.withLock({ $0.take(at: now, within: end - now) }) else {
            throw KubernetesError(
                .throttled,
                attempt,
                cause: "more than \(limits.requestsPerSecond) requests a second were asked for"
            )
        }
        if wait > .zero { try await pause(wait, attempt) }
    }

    private func request(_ call: Call, token: String?) -> HTTPRequest {
        var headers = [HTTPHeader("Accept", "application/json"), HTTPHeader("User-Agent", "understudy")]
        if let token { headers.append(HTTPHeader("Authorization", "Bearer \(token)")) }
        if call.body != nil { headers.append(HTTPHeader("Content-Type", call.contentType)) }
        let query = call.query.map { "\(percentEncoded($0.0))=\(percentEncoded($0.1))" }.joined(separator: "&")
        return HTTPRequest(
            call.method,
            credentials.server + call.path + (query.isEmpty ? "" : "?\(query)"),
            headers: headers,
            body: call.body?.bytes,
            bodyLimit: call.bodyLimit ?? limits.objectBytes
        )
    }

    private func status(_ head: HTTPHead, _ body: [UInt8]) -> APIStatus {
        let said = (try? JSONValue(parsing: body)).flatMap { APIStatus($0) }
        let seconds = head["retry-after"].flatMap { Int64($0) }.map { Duration.seconds(max(0, min($0, 86400))) }
        // What stands in front of the server may answer in its own way: the HTTP status is what counts.
        return APIStatus(
            code: head.status,
            reason: said?.reason ?? "",
            message: said?.message ?? String(String(decoding: body, as: UTF8.self).prefix(200)),
            retryAfter: seconds ?? said?.retryAfter
        )
    }

    /// Reads authorities and client certificate again.
    ///
    /// - Returns: Whether they had changed, so that another attempt makes sense.
    private func renewConnection() -> Bool {
        connection.withLock { connection in
            var configuration = connection.configuration
            if let file = credentials.authoritiesFile, let read = try? HTTPAuthorities.file(file) {
                configuration.authorities = read
            }
            if let files = credentials.identityFiles,
                let read = try? HTTPIdentity(certificateFile: files.certificate, keyFile: files.key)
            {
                configuration.identity = read
            }
            guard configuration != connection.configuration, let http = try? HTTPClient(configuration) else {
                return false
            }
            connection = Connection(http: http, configuration: configuration)
            return true
        }
    }
}

/// Waits; cancelling the task is an error.
func pause(_ duration: Duration, _ attempt: String) async throws(KubernetesError) {
    do {
        try await Task.sleep(for: duration)
    } catch {
        throw KubernetesError(.transport(.cancelled), attempt, cause: "the caller gave it up")
    }
}

/// The beginning of a body that explains a refusal.
private func collected(_ body: HTTPBody) async -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < 65536, let piece = try? await body.next() { bytes += piece }
    return bytes
}

extension HTTPRequest {
    /// What an error says was tried; the query is left out.
    var attemptText: String { "\(method.rawValue) \(url.prefix { $0 != "?" })" }
}
