import CCurl
import Platform

/// Owner of one `CURL` with what it points to; used on the client's thread only.
@safe
final class EasyHandle {
    let transfer: Transfer
    let easy: UnsafeMutableRawPointer
    private var headers: UnsafeMutablePointer<curl_slist>?
    private let errorText: UnsafeMutablePointer<CChar>
    private var status = 0
    private var lines: [HTTPHeader] = []
    private var headerBytes = 0
    private var complaint: HTTPError?
    /// When something was last received, on the machine's own clock.
    var lastActivity = MonotonicClock.now()

    /// The longest header of an answer, trailers included, in bytes.
    static let headerLimit = 65536

    init?(_ transfer: Transfer) {
        guard let made = unsafe curl_easy_init() else { return nil }
        self.transfer = transfer
        unsafe easy = made
        unsafe headers = nil
        unsafe errorText = .allocate(capacity: Int(CURL_ERROR_SIZE))
        unsafe errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    }

    deinit {
        // Safe: each was made once, and the handle, which points to the others, goes first.
        unsafe curl_easy_cleanup(easy)
        unsafe curl_slist_free_all(headers)
        unsafe errorText.deallocate()
    }

    /// Sets everything; false if the library refuses any of it.
    func prepare(_ configuration: HTTPConfiguration, authorities: [UInt8]) -> Bool {
        unsafe CCurl_set_context(easy, CURLOPT_ERRORBUFFER, errorText) == CURLE_OK
            && prepareConnection(configuration) && prepareTrust(configuration, authorities) && prepareRequest()
            && prepareReception()
    }

    var isConnected: Bool {
        var count = 0
        // Safe: the variable outlives the call. A transfer that was sent on a connection has its number.
        _ = unsafe CCurl_get_long(easy, CURLINFO_REQUEST_SIZE, &count)
        return count > 0
    }

    private func prepareConnection(_ configuration: HTTPConfiguration) -> Bool {
        let version = configuration.version == .http2 ? CCurl_http2() : CCurl_http1()
        let (seconds, attoseconds) = configuration.connectTimeout.components
        let milliseconds = Int(clamping: seconds) * 1000 + Int(attoseconds / 1_000_000_000_000_000)
        return unsafe set(CURLOPT_NOSIGNAL, 1) && set(CURLOPT_CONNECTTIMEOUT_MS, max(milliseconds, 1))
            && set(CURLOPT_HTTP_VERSION, version) && set(CURLOPT_PIPEWAIT, version == CCurl_http2() ? 1 : 0)
            && set(CURLOPT_FOLLOWLOCATION, 0) && set(CURLOPT_PROTOCOLS_STR, "https") && set(CURLOPT_PROXY, "")
            && set(CURLOPT_QUICK_EXIT, 1) && CCurl_set_socket_preparation(easy) == CURLE_OK
    }

    private func prepareTrust(_ configuration: HTTPConfiguration, _ authorities: [UInt8]) -> Bool {
        // The folder that the library would search besides is taken away: only the text counts.
        let isTrusting =
            unsafe CCurl_set_text(easy, CURLOPT_CAPATH, nil) == CURLE_OK
            && CCurl_set_text(easy, CURLOPT_CAINFO, nil) == CURLE_OK && set(CURLOPT_CAINFO_BLOB, authorities)
            && set(CURLOPT_SSL_VERIFYPEER, 1) && set(CURLOPT_SSL_VERIFYHOST, 2)
            && set(CURLOPT_SSLVERSION, CCurl_tls12()) && set(CURLOPT_SSL_SESSIONID_CACHE, 0)
        guard isTrusting, let identity = configuration.identity else { return isTrusting }
        return set(CURLOPT_SSLCERT_BLOB, identity.certificate) && set(CURLOPT_SSLKEY_BLOB, identity.key)
            && set(CURLOPT_SSLCERTTYPE, "PEM") && set(CURLOPT_SSLKEYTYPE, "PEM")
    }

    private func prepareRequest() -> Bool {
        let request = transfer.request
        // Without these two the library would ask for permission to send a body, and name its kind by itself.
        for line in request.headers.map({ "\($0.name): \($0.value)" }) + ["Expect:"] {
            guard let longer = unsafe curl_slist_append(headers, line) else { return false }
            unsafe headers = longer
        }
        if request.body != nil, !request.headers.contains(where: { $0.name.lowercased() == "content-type" }) {
            guard let longer = unsafe curl_slist_append(headers, "Content-Type: application/octet-stream") else {
                return false
            }
            unsafe headers = longer
        }
        guard unsafe set(CURLOPT_URL, request.url) && CCurl_set_list(easy, CURLOPT_HTTPHEADER, headers) == CURLE_OK
        else { return false }
        if let body = request.body {
            let size = unsafe CCurl_set_size(easy, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(body.count))
            // Safe: the library copies the bytes, as many as it was told the line before.
            let copied = unsafe body.withUnsafeBytes { bytes in
                unsafe CCurl_set_text(
                    easy,
                    CURLOPT_COPYPOSTFIELDS,
                    bytes.baseAddress?.assumingMemoryBound(to: CChar.self) ?? UnsafePointer(errorText)
                )
            }
            guard size == CURLE_OK, copied == CURLE_OK else { return false }
        }
        return set(CURLOPT_CUSTOMREQUEST, request.method.rawValue)
    }

    private func prepareReception() -> Bool {
        // Safe: the library gives the context back to the two functions only while this object lives.
        let context = unsafe Unmanaged.passUnretained(self).toOpaque()
        return unsafe CCurl_set_context(easy, CURLOPT_HEADERDATA, context) == CURLE_OK
            && CCurl_set_context(easy, CURLOPT_WRITEDATA, context) == CURLE_OK
            && CCurl_set_bytes_callback(
                easy,
                CURLOPT_HEADERFUNCTION,
                { bytes, size, count, context in
                    guard let handle = unsafe easyHandle(context) else { return 0 }
                    return unsafe handle.line(UnsafeRawBufferPointer(start: bytes, count: size * count))
                }
            ) == CURLE_OK
            && CCurl_set_bytes_callback(
                easy,
                CURLOPT_WRITEFUNCTION,
                { bytes, size, count, context in
                    guard let handle = unsafe easyHandle(context) else { return 0 }
                    return unsafe handle.piece(UnsafeRawBufferPointer(start: bytes, count: size * count))
                }
            ) == CURLE_OK
    }

    /// Takes one header line.
    private func line(_ bytes: UnsafeRawBufferPointer) -> Int {
        lastActivity = MonotonicClock.now()
        headerBytes += bytes.count
        guard headerBytes <= Self.headerLimit else {
            complaint = HTTPError(
                .tooLarge,
                transfer.request.attempt,
                cause: "the header of the answer is longer than the limit of \(Self.headerLimit) bytes"
            )
            return 0
        }
        let text = unsafe String(decoding: bytes, as: UTF8.self)
        let words = text.split(separator: " ", maxSplits: 2)
        if text.hasPrefix("HTTP/"), words.count >= 2, !transfer.hasHead {
            status = Int(words[1].prefix { $0.isNumber }) ?? 0
            lines = []
        } else if let colon = text.firstIndex(of: ":"), !transfer.hasHead {
            let value = text[text.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            lines.append(HTTPHeader(String(text[..<colon]), String(value.prefix { !$0.isNewline })))
        } else if text.allSatisfy(\.isNewline), status >= 200, !transfer.hasHead {
            transfer.arrived(HTTPHead(status: status, headers: lines))
        }
        return bytes.count
    }

    /// Takes a piece of the body.
    private func piece(_ bytes: UnsafeRawBufferPointer) -> Int {
        lastActivity = MonotonicClock.now()
        switch unsafe transfer.arrived(bytes) {
        case .taken: return bytes.count
        case .pause: return CCurl_pause()
        case .refused: return 0
        }
    }

    private func set(_ option: CURLoption, _ value: Int) -> Bool {
        unsafe CCurl_set_long(easy, option, value) == CURLE_OK
    }

    private func set(_ option: CURLoption, _ value: String) -> Bool {
        unsafe CCurl_set_text(easy, option, value) == CURLE_OK
    }

    private func set(_ option: CURLoption, _ value: [UInt8]) -> Bool {
        // Safe: the library copies the bytes.
        unsafe value.withUnsafeBytes { bytes in
            unsafe CCurl_set_blob(easy, option, bytes.baseAddress, bytes.count) == CURLE_OK
        }
    }

    /// What the library's code and words mean.
    func outcome(_ code: CURLcode) -> Result<Void, HTTPError> {
        if code == CURLE_OK { return .success(()) }
        if let complaint { return .failure(complaint) }
        // Safe: the library ends its text with a zero within the buffer; both live as long as this object.
        var cause = unsafe String(cString: errorText)
        if cause.isEmpty { cause = unsafe curl_easy_strerror(code).map { unsafe String(cString: $0) } ?? "error" }
        let (kind, mend) = meaning(code)
        return .failure(HTTPError(kind, transfer.request.attempt, cause: cause, mend: mend))
    }

    private func meaning(_ code: CURLcode) -> (HTTPError.Kind, String) {
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST: (.unreachable, "check the server's name")
        case CURLE_COULDNT_CONNECT, CURLE_OPERATION_TIMEDOUT:
            (.unreachable, "check that the server runs and the network lets us reach it")
        case CURLE_SSL_CONNECT_ERROR: (.unreachable, "check that the server speaks TLS 1.2 or later")
        case CURLE_PEER_FAILED_VERIFICATION:
            (.untrusted, "check the server's address and the certificate authorities that are trusted")
        case CURLE_SSL_CACERT_BADFILE: (.invalid, "the certificate authorities must be PEM text")
        case CURLE_SSL_CERTPROBLEM:
            (.invalid, "the client certificate and its unencrypted key must be PEM text and belong together")
        case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL: (.invalid, "mend the address")
        default: (.lost, "")
        }
    }
}

/// The object that a callback of the library belongs to.
private func easyHandle(_ context: UnsafeMutableRawPointer?) -> EasyHandle? {
    unsafe context.map { unsafe Unmanaged<EasyHandle>.fromOpaque($0).takeUnretainedValue() }
}
