/// A request as the server received it.
public struct ServedRequest: Sendable {
    /// `GET` and the like.
    public let method: String
    /// The path with its `%xx` decoded; empty parts kept.
    public let path: [String]
    /// The parameters of the query, decoded, in their order.
    public let query: [(name: String, value: String)]
    /// Header lines by their names in small letters; of several with one name the last.
    public let headers: [String: String]
    /// The body.
    public let body: [UInt8]
    /// The subject of the client's certificate; nil if it showed none.
    public let subject: String?

    /// The first value of a parameter.
    public func parameter(_ name: String) -> String? { query.first { $0.name == name }?.value }

    /// The path as a text.
    public var pathText: String { "/" + path.joined(separator: "/") }
}

/// What is wrong with bytes that should be a request.
struct RequestFault: Error {
    let status: Int
    let cause: String
}

/// Reads requests of HTTP/1.1, strictly: one form of each thing, limits on all.
struct RequestReader {
    static let headLimit = 65536
    let bodyLimit: Int
    private(set) var received: [UInt8] = []

    init(bodyLimit: Int) { self.bodyLimit = bodyLimit }

    mutating func append(_ bytes: some Sequence<UInt8>) { received.append(contentsOf: bytes) }

    /// The next complete request; nil while it has not come whole.
    mutating func next(subject: String?) throws(RequestFault) -> ServedRequest? {
        guard let end = endOfHead() else {
            if received.count > Self.headLimit { throw RequestFault(status: 431, cause: "the header is too long") }
            return nil
        }
        let lines = String(decoding: received[..<end], as: UTF8.self).components(by: "\r\n")
        let words = (lines.first ?? "").split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 3, words[2] == "HTTP/1.1", words[1].hasPrefix("/") else {
            throw RequestFault(status: 400, cause: "the request line is malformed")
        }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() where !line.isEmpty {
            guard let colon = line.firstIndex(of: ":"), colon > line.startIndex else {
                throw RequestFault(status: 400, cause: "a header line is malformed")
            }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            headers[line[..<colon].lowercased()] = String(value)
        }
        guard headers["transfer-encoding"] == nil else { throw RequestFault(status: 411, cause: "a length is needed") }
        let length = try bodyLength(headers["content-length"])
        let start = end + 4
        guard received.count >= start + length else { return nil }
        let body = Array(received[start..<start + length])
        received.removeFirst(start + length)
        let target = words[1].split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        return ServedRequest(
            method: String(words[0]),
            path: target[0].dropFirst().split(separator: "/", omittingEmptySubsequences: false).map(decoded),
            query: target.count < 2
                ? []
                : target[1].split(separator: "&").map { pair in
                    let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                    return (decoded(parts[0]), parts.count < 2 ? "" : decoded(parts[1]))
                },
            headers: headers,
            body: body,
            subject: subject
        )
    }

    private func bodyLength(_ text: String?) throws(RequestFault) -> Int {
        guard let text else { return 0 }
        guard let length = Int(text), length >= 0 else { throw RequestFault(status: 400, cause: "a malformed length") }
        if length > bodyLimit { throw RequestFault(status: 413, cause: "the body is larger than \(bodyLimit) bytes") }
        return length
    }

    private func endOfHead() -> Int? {
        let end: [UInt8] = [13, 10, 13, 10]
        guard received.count >= 4 else { return nil }
        return (0...received.count - 4).first { received[$0..<$0 + 4].elementsEqual(end) }
    }
}

/// A text of an address without its `%xx`.
private func decoded(_ text: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
        if byte == UInt8(ascii: "%"), rest.count >= 2,
            let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
        {
            bytes.append(value)
            rest = rest.dropFirst(2)
        } else {
            bytes.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}

extension String {
    /// The parts between a separator, which Swift takes for one character where it is a line end.
    fileprivate func components(by separator: String) -> [String] {
        var parts: [String] = []
        var part: [UInt8] = []
        let mark = Array(separator.utf8)
        for byte in utf8 {
            part.append(byte)
            if part.suffix(mark.count).elementsEqual(mark) {
                parts.append(String(decoding: part.dropLast(mark.count), as: UTF8.self))
                part = []
            }
        }
        return parts + [String(decoding: part, as: UTF8.self)]
    }
}
