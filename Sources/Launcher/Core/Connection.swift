import CPlatform
import Glibc
import LauncherProtocol

/// One connected agent: its bytes in both directions.
final class Connection {
    /// Past this many unsent bytes tools wait before they may write more.
    static let outputPause = 256 << 10
    private static let outboxLimit = 8 << 20

    let number: Int
    let descriptor: Int32
    /// Until then a new connection has to say hello, in boot-time nanoseconds.
    let helloDeadline: Int64
    var hasSaidHello = false
    private(set) var isClosing = false
    private var decoder = FrameDecoder()
    private var outbox: [UInt8] = []
    private var sent = 0

    init(number: Int, descriptor: Int32, helloDeadline: Int64) {
        self.number = number
        self.descriptor = descriptor
        self.helloDeadline = helloDeadline
    }

    var unsentBytes: Int { outbox.count - sent }

    /// Reads what came; returns the complete messages, `nil` when the connection is over.
    func receive() -> [[UInt8]]? {
        switch System.read(descriptor, limit: 1 << 16) {
        case .nothingYet: return []
        case .end, .failed: return nil
        case .bytes(let bytes): decoder.append(bytes)
        }
        var messages: [[UInt8]] = []
        do throws(FrameTooLong) {
            while let message = try decoder.next() { messages.append(message) }
        } catch {
            refuse("a frame of \(error.announced) bytes is longer than the limit of \(LauncherFrame.limit)")
        }
        return messages
    }

    /// Queues a message and sends what fits.
    func send(_ message: [UInt8]) {
        guard unsentBytes + message.count < Connection.outboxLimit else {
            isClosing = true
            return
        }
        outbox += LauncherFrame.wrap(message)
        flush()
    }

    /// Tells the peer why, as well as can be, and marks the connection for closing.
    func refuse(_ reason: String) {
        System.log("closing an agent's connection: \(reason)")
        send(LauncherMessage.reply(id: 0, .failure(.refused, reason)).encoded())
        isClosing = true
    }

    func flush() {
        while sent < outbox.count {
            let count = System.send(descriptor, outbox, from: sent)
            if count < 0 { isClosing = true }
            if count <= 0 { break }
            sent += count
        }
        if sent == outbox.count {
            outbox.removeAll(keepingCapacity: outbox.capacity <= 1 << 16)
            sent = 0
        }
    }

    func close() {
        _ = shutdown(descriptor, Int32(SHUT_RDWR))
        System.close(descriptor)
    }
}
