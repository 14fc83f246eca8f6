import Platform
import Synchronization

/// One request under way: what the thread has received, and who waits for it.
final class Transfer: Sendable {
    struct Content {
        var head: HTTPHead?
        /// Received and not read.
        var received: [UInt8] = []
        /// The thread waits until the reader has read.
        var isPaused = false
        /// How it ended.
        var outcome: Result<Void, HTTPError>?
        /// Counts the changes, so that none between looking and waiting is missed.
        var changes: UInt64 = 0
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    /// How much of a stream may lie unread before the server is made to wait, in bytes.
    static let bufferLimit = 256 * 1024

    let request: HTTPRequest
    let isStream: Bool
    /// By when the answer, or a stream's header, must be there.
    let deadline: Duration
    private let content = Mutex(Content())

    init(_ request: HTTPRequest, isStream: Bool) {
        self.request = request
        self.isStream = isStream
        deadline = MonotonicClock.now() + request.deadline
    }

    var id: ObjectIdentifier { ObjectIdentifier(self) }

    var isOver: Bool { content.withLock { $0.outcome != nil } }

    // MARK: The thread's side

    func arrived(_ head: HTTPHead) { change { $0.head = head } }

    enum Reception { case taken, pause, refused }

    /// Takes a piece of the body in, if there is room and anybody left to read it.
    func arrived(_ bytes: UnsafeRawBufferPointer) -> Reception {
        var reception = Reception.taken
        change { content in
            if content.outcome != nil {
                reception = .refused
            } else if !isStream, content.received.count + bytes.count > request.bodyLimit {
                content.outcome = .failure(
                    HTTPError(
                        .tooLarge,
                        request.attempt,
                        cause: "the answer is larger than the limit of \(request.bodyLimit) bytes"
                    )
                )
                reception = .refused
            } else if isStream, !content.received.isEmpty, content.received.count + bytes.count > Self.bufferLimit {
                content.isPaused = true
                reception = .pause
            } else {
                unsafe content.received.append(contentsOf: bytes)
            }
        }
        return reception
    }

    /// Ends the transfer, unless it has ended before.
    func end(_ outcome: Result<Void, HTTPError>) {
        change { content in if content.outcome == nil { content.outcome = outcome } }
    }

    /// When it must end if nothing comes; nil while the reader is the one who is waited for.
    func limit(lastActivity: Duration) -> Duration? {
        content.withLock { content in
            if !isStream || content.head == nil { return deadline }
            return content.isPaused ? nil : lastActivity + request.idleLimit
        }
    }

    var hasHead: Bool { content.withLock { $0.head != nil } }

    // MARK: The caller's side

    func response() async -> Result<HTTPResponse, HTTPError> {
        await value { content in
            switch content.outcome {
            case nil: return nil
            case .failure(let error): return .failure(error)
            case .success:
                guard let head = content.head else { return .failure(self.noHead) }
                return .success(HTTPResponse(head: head, body: content.received))
            }
        }
    }

    func head() async -> Result<HTTPHead, HTTPError> {
        await value { content in
            if let head = content.head { return .success(head) }
            switch content.outcome {
            case nil: return nil
            case .failure(let error): return .failure(error)
            case .success: return .failure(self.noHead)
            }
        }
    }

    /// What was received and not read, and whether the thread waits for that; nil at the end.
    func piece() async -> Result<(piece: [UInt8]?, wasPaused: Bool), HTTPError> {
        await value { content in
            if case .failure(let error) = content.outcome, error.kind == .cancelled { return .failure(error) }
            if !content.received.isEmpty {
                let piece = content.received
                let wasPaused = content.isPaused
                content.received = []
                content.isPaused = false
                return .success((piece, wasPaused))
            }
            switch content.outcome {
            case nil: return nil
            case .failure(let error): return .failure(error)
            case .success: return .success((nil, false))
            }
        }
    }

    private var noHead: HTTPError { HTTPError(.lost, request.attempt, cause: "the answer has no header") }

    private func value<Value: Sendable>(_ take: @Sendable (inout Content) -> Value?) async -> Value {
        while true {
            let (value, seen) = content.withLock { content in (take(&content), content.changes) }
            if let value { return value }
            await withCheckedContinuation { continuation in
                let isStale = content.withLock { content in
                    if content.changes != seen { return true }
                    content.waiting.append(continuation)
                    return false
                }
                if isStale { continuation.resume() }
            }
        }
    }

    private func change(_ body: (inout Content) -> Void) {
        let waiting = content.withLock { content in
            body(&content)
            content.changes += 1
            defer { content.waiting = [] }
            return content.waiting
        }
        for continuation in waiting { continuation.resume() }
    }
}
