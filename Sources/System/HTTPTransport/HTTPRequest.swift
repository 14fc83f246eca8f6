/// A header line of a request or an answer.
public struct HTTPHeader: Hashable, Sendable {
    /// Its name; letter case does not matter.
    public let name: String
    /// Its value, one line.
    public let value: String

    /// Creates a header line.
    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// What a request does to the resource that its address names.
///
/// - SeeAlso: RFC 9110, section 9.3; RFC 5789.
public enum HTTPMethod: String, Hashable, Sendable {
    /// Reads.
    case get = "GET"
    /// Makes something new below the address.
    case post = "POST"
    /// Replaces.
    case put = "PUT"
    /// Changes a part.
    case patch = "PATCH"
    /// Removes.
    case delete = "DELETE"
}

/// One request with its limits.
public struct HTTPRequest: Sendable {
    /// What it does.
    public var method: HTTPMethod
    /// An absolute address that begins with `https://`; all but plain characters written as `%xx`.
    public var url: String
    /// Header lines; host and length of the body are added by themselves.
    public var headers: [HTTPHeader]
    /// The body; nil sends none.
    public var body: [UInt8]?
    /// By when the answer must be complete or, of a stream, its header be there; connecting counts.
    public var deadline: Duration
    /// How long a stream's body may be silent while it is read.
    public var idleLimit: Duration
    /// The largest body of an answer in bytes; a stream as a whole has no limit.
    public var bodyLimit: Int

    /// Creates a request.
    public init(
        _ method: HTTPMethod,
        _ url: String,
        headers: [HTTPHeader] = [],
        body: [UInt8]? = nil,
        deadline: Duration = .seconds(10),
        idleLimit: Duration = .seconds(60),
        bodyLimit: Int = 1 << 20
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.deadline = deadline
        self.idleLimit = idleLimit
        self.bodyLimit = bodyLimit
    }

    /// What an error says was tried; without the query, which may be long.
    var attempt: String { "\(method.rawValue) \(url.prefix { $0 != "?" })" }

    /// What is wrong with the request before it is sent; nil if nothing is.
    var fault: HTTPError? {
        let isPlain = url.utf8.allSatisfy { (0x21...0x7e).contains($0) }
        guard url.hasPrefix("https://"), isPlain, url.utf8.count <= 8192 else {
            return HTTPError(
                .invalid,
                attempt,
                cause: "the address must begin with https:// and hold plain characters only"
            )
        }
        for header in headers {
            let name = header.name.utf8
            let nameIsFine = !name.isEmpty && name.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x3a }
            // A line end in a value would begin a header of somebody else's making.
            let valueIsFine = header.value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }
            if !nameIsFine || !valueIsFine || header.value.isEmpty || header.value.utf8.count > 65536 {
                return HTTPError(.invalid, attempt, cause: "header '\(header.name.prefix(40))' cannot be sent")
            }
        }
        return nil
    }
}

/// Status and header lines of an answer.
public struct HTTPHead: Hashable, Sendable {
    /// The status code, from 200 on.
    public let status: Int
    /// The header lines in their order.
    public let headers: [HTTPHeader]

    /// Creates a head.
    public init(status: Int, headers: [HTTPHeader]) {
        self.status = status
        self.headers = headers
    }

    /// The first value of a header, whatever the case of its name's letters.
    public subscript(name: String) -> String? {
        let wanted = name.lowercased()
        return headers.first { $0.name.lowercased() == wanted }?.value
    }
}

/// A complete answer.
public struct HTTPResponse: Hashable, Sendable {
    /// Status and headers.
    public let head: HTTPHead
    /// The body.
    public let body: [UInt8]

    /// Creates an answer.
    public init(head: HTTPHead, body: [UInt8]) {
        self.head = head
        self.body = body
    }
}
