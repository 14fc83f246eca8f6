import CCurl
import Synchronization

/// What callers ask of the client's thread, and the bell that wakes it.
final class TransferMailbox: Sendable {
    enum Command: Sendable {
        case start(Transfer)
        case cancel(Transfer)
        case resume(Transfer)
    }

    private struct Content {
        var commands: [Command] = []
        var underWay = 0
        var isClosed = false
        /// Nil once the thread has ended.
        var multi: MultiHandle?
    }

    private let limit: Int
    private let content: Mutex<Content>

    init(limit: Int) throws(HTTPError) {
        guard let multi = MultiHandle() else {
            throw HTTPError(.invalid, "start the HTTP client", cause: "libcurl has no memory left")
        }
        self.limit = limit
        content = Mutex(Content(multi: multi))
    }

    func start(_ transfer: Transfer) throws(HTTPError) {
        let refusal: String? = content.withLock { content in
            if content.isClosed { return "the client was closed" }
            if content.underWay >= limit { return "\(limit) requests are under way already" }
            content.underWay += 1
            content.commands.append(.start(transfer))
            content.multi?.wake()
            return nil
        }
        if let refusal { throw HTTPError(.closed, transfer.request.attempt, cause: refusal) }
    }

    /// Ends a transfer for its caller at once; the thread lets go of it right after.
    func cancel(_ transfer: Transfer) {
        if transfer.isOver { return }
        transfer.end(.failure(HTTPError(.cancelled, transfer.request.attempt, cause: "the caller gave it up")))
        post(.cancel(transfer))
    }

    /// Lets a stream go on whose reader has read.
    func resume(_ transfer: Transfer) { post(.resume(transfer)) }

    func close() {
        content.withLock { content in
            content.isClosed = true
            content.multi?.wake()
        }
    }

    // MARK: The thread's side

    func take() -> (commands: [Command], isClosed: Bool) {
        content.withLock { content in
            defer { content.commands = [] }
            return (content.commands, content.isClosed)
        }
    }

    func ended() { content.withLock { $0.underWay -= 1 } }

    var multi: MultiHandle? { content.withLock { $0.multi } }

    /// Nobody rings any more: the bell is about to go.
    func silence() { content.withLock { $0.multi = nil } }

    private func post(_ command: Command) {
        content.withLock { content in
            guard content.multi != nil else { return }
            content.commands.append(command)
            content.multi?.wake()
        }
    }
}

/// Owner of one `CURLM`, with all connections.
@safe
final class MultiHandle: @unchecked Sendable {
    // Safe to share: only `wake` is called from other threads, which is what the library allows. The handle is freed by
    // the last owner: the thread at its end, or the mailbox if no thread ever began.
    let handle: UnsafeMutableRawPointer

    init?() {
        guard let made = unsafe curl_multi_init() else { return nil }
        unsafe handle = made
    }

    deinit { _ = unsafe curl_multi_cleanup(handle) }

    func wake() { _ = unsafe curl_multi_wakeup(handle) }
}
