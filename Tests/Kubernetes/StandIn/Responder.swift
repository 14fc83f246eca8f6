import NIOCore
import Synchronization

/// Gives one answer, whole or in pieces; usable from any thread.
public final class Responder: Sendable {
    private struct Content {
        var bytesLeft: Int?
        var isOver = false
        var isGone = false
        var onGone: (@Sendable () -> Void)?
    }

    private let channel: any Channel
    private let onEnd: @Sendable () -> Void
    private let content = Mutex(Content())

    init(_ channel: any Channel, onEnd: @escaping @Sendable () -> Void) {
        self.channel = channel
        self.onEnd = onEnd
    }

    /// Closes the connection without a word after so many bytes of the answer, its header included.
    public func cut(afterBytes count: Int) { content.withLock { $0.bytesLeft = count } }

    /// Runs the body once when the client has gone before the answer's end; at once if it is gone.
    public func whenGone(_ body: @escaping @Sendable () -> Void) {
        let isGone = content.withLock { content in
            if !content.isGone { content.onGone = body }
            return content.isGone
        }
        if isGone { body() }
    }

    /// Answers whole.
    public func answer(_ status: Int, headers: [(String, String)] = [], body: [UInt8] = []) {
        let head = headText(status, headers + [("Content-Length", "\(body.count)")])
        send(head + body)
        end(with: [])
    }

    /// Begins an answer in pieces.
    public func begin(_ status: Int, headers: [(String, String)] = []) {
        send(headText(status, headers + [("Transfer-Encoding", "chunked")]))
    }

    /// Sends one piece of an answer that was begun, and runs the body once the network has taken it.
    public func write(_ bytes: [UInt8], then body: @escaping @Sendable () -> Void = {}) {
        if bytes.isEmpty { return body() }
        send(Array("\(String(bytes.count, radix: 16))\r\n".utf8) + bytes + Array("\r\n".utf8), then: body)
    }

    /// Ends an answer that was begun.
    public func end() { end(with: Array("0\r\n\r\n".utf8)) }

    /// Closes the connection without a further word.
    public func drop() {
        content.withLock { $0.isOver = true }
        channel.close(promise: nil)
    }

    func connectionIsGone() {
        let onGone = content.withLock { content in
            content.isGone = true
            content.isOver = true
            defer { content.onGone = nil }
            return content.onGone
        }
        onGone?()
    }

    private func end(with bytes: [UInt8]) {
        if !bytes.isEmpty { send(bytes) }
        let isFirst = content.withLock { content in
            defer { content.isOver = true }
            return !content.isOver
        }
        guard isFirst else { return }
        content.withLock { $0.onGone = nil }
        channel.eventLoop.execute(onEnd)
    }

    private func send(_ bytes: [UInt8], then body: @escaping @Sendable () -> Void = {}) {
        let (piece, isCut) = content.withLock { content -> ([UInt8], Bool) in
            if content.isOver { return ([], false) }
            guard let left = content.bytesLeft else { return (bytes, false) }
            let piece = Array(bytes.prefix(left))
            content.bytesLeft = left - piece.count
            if left <= bytes.count { content.isOver = true }
            return (piece, left <= bytes.count)
        }
        if !piece.isEmpty {
            channel.writeAndFlush(ByteBuffer(bytes: piece)).whenComplete { _ in body() }
        }
        if isCut { channel.close(promise: nil) }
    }

    private func headText(_ status: Int, _ headers: [(String, String)]) -> [UInt8] {
        let lines = headers.map { "\($0.0): \($0.1)\r\n" }.joined()
        return Array("HTTP/1.1 \(status) \(status < 400 ? "OK" : "Refused")\r\n\(lines)\r\n".utf8)
    }
}
