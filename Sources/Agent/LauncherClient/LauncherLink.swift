import CPlatform
import Glibc
import LauncherProtocol
import Synchronization

/// One connection to the launcher, served by one thread of its own: the only reader and writer of the socket.
final class LauncherLink: Sendable {
    typealias Answer = Result<LauncherReply, LauncherError>
    typealias OutputHandler = @Sendable (ToolStream, [UInt8]) -> Void
    typealias ToolEnd = Result<(end: ProcessEnd, timedOut: Bool, tail: [UInt8]), LauncherError>

    private static let tailLimit = 64 << 10
    private static let outboxLimit = 16 << 20

    private struct Pending {
        let deadline: Int64
        let continuation: CheckedContinuation<Answer, Never>
    }

    private struct Tool {
        let onOutput: OutputHandler?
        var tail: [UInt8] = []
        var end: ToolEnd?
        var continuation: CheckedContinuation<ToolEnd, Never>?
    }

    private struct State {
        var outbox: [UInt8] = []
        var pending: [UInt32: Pending] = [:]
        var tools: [UInt32: Tool] = [:]
        var nextID: UInt32 = 1
        var closedBecause: String?
    }

    private let state = Mutex(State())
    private let socket: Int32
    private let wakeReading: Int32
    private let wakeWriting: Int32
    private let onEvent: @Sendable (LauncherEvent) -> Void

    /// Connects and starts the thread.
    init(path: String, onEvent: @escaping @Sendable (LauncherEvent) -> Void) throws(LauncherError) {
        var ends: [Int32] = [-1, -1]
        let descriptor = CPlatform_unix_socket()
        let connected = descriptor >= 0 ? unsafe CPlatform_unix_connect(descriptor, path) : -1
        let code = errno
        guard connected == 0, unsafe CPlatform_pipe(&ends) == 0 else {
            if descriptor >= 0 { close(descriptor) }
            let cause = unsafe strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
            throw LauncherError(
                .disconnected,
                "could not connect to the launcher at \(path): \(cause); is understudy-launcher running?"
            )
        }
        for end in ends { _ = CPlatform_set_nonblocking(end) }
        (socket, wakeReading, wakeWriting, self.onEvent) = (descriptor, ends[0], ends[1], onEvent)
        try startThread(path)
    }

    // The thread keeps the link alive until the connection is over; then nobody needs the descriptors any more.
    deinit {
        for descriptor in [socket, wakeReading, wakeWriting] { close(descriptor) }
    }

    private func startThread(_ path: String) throws(LauncherError) {
        var thread = pthread_t()
        let box = unsafe Unmanaged.passRetained(self)
        // The retained reference is taken over by the thread, or released here when there is none.
        let code = unsafe pthread_create(
            &thread,
            nil,
            { argument in
                if let argument = unsafe argument {
                    unsafe Unmanaged<LauncherLink>.fromOpaque(argument).takeRetainedValue().serve()
                }
                return nil
            },
            box.toOpaque()
        )
        guard code == 0 else {
            unsafe box.release()
            throw LauncherError(.disconnected, "could not start a thread for the launcher at \(path)")
        }
        _ = pthread_detach(thread)
    }

    // MARK: Orders

    /// Sends a request and waits for its answer; never longer than until the deadline.
    func ask(_ request: LauncherRequest, deadline: Int64) async -> Answer {
        await withCheckedContinuation { continuation in
            let refusal = state.withLock { state -> LauncherError? in
                if let reason = LauncherLink.refusal(state) { return reason }
                let id = LauncherLink.takeID(&state)
                state.pending[id] = Pending(deadline: deadline, continuation: continuation)
                state.outbox += LauncherFrame.wrap(request.encoded(id: id))
                return nil
            }
            if let refusal {
                continuation.resume(returning: .failure(refusal))
            } else {
                wake()
            }
        }
    }

    /// Starts a tool; its id once the launcher runs it.
    func startTool(
        _ request: LauncherRequest,
        deadline: Int64,
        onOutput: OutputHandler?
    ) async -> Result<UInt32, LauncherError> {
        let id = state.withLock { state in
            let id = LauncherLink.takeID(&state)
            state.tools[id] = Tool(onOutput: onOutput)
            return id
        }
        let answer: Answer = await withCheckedContinuation { continuation in
            let refusal = state.withLock { state -> LauncherError? in
                if let reason = LauncherLink.refusal(state) { return reason }
                state.pending[id] = Pending(deadline: deadline, continuation: continuation)
                state.outbox += LauncherFrame.wrap(request.encoded(id: id))
                return nil
            }
            if let refusal {
                continuation.resume(returning: .failure(refusal))
            } else {
                wake()
            }
        }
        let failure: LauncherError
        switch answer {
        case .success(.started): return .success(id)
        case .success(.failure(let kind, let text)): failure = LauncherError(kind, text: text)
        case .success:
            failure = LauncherError(.unexpectedAnswer, "the launcher answered something else to a tool's start")
        case .failure(let error):
            failure = error
            // Its start may still be on the way: nobody waits for it, so it is ended.
            cancelTool(id)
        }
        state.withLock { _ = $0.tools.removeValue(forKey: id) }
        return .failure(failure)
    }

    /// Waits until a tool and everything under it is gone.
    func toolEnd(_ id: UInt32) async -> ToolEnd {
        let end: ToolEnd = await withCheckedContinuation { continuation in
            let known = state.withLock { state -> ToolEnd? in
                guard let tool = state.tools[id] else {
                    return .failure(LauncherError(.disconnected, "the tool is not known"))
                }
                if tool.end == nil { state.tools[id]?.continuation = continuation }
                return tool.end
            }
            if let known { continuation.resume(returning: known) }
        }
        state.withLock { _ = $0.tools.removeValue(forKey: id) }
        return end
    }

    /// Has a tool killed; its end is still reported.
    func cancelTool(_ tool: UInt32) {
        state.withLock { state in
            let id = LauncherLink.takeID(&state)
            state.outbox += LauncherFrame.wrap(LauncherRequest.cancelTool(tool).encoded(id: id))
        }
        wake()
    }

    /// Ends the connection; everything that waits is told.
    func end(_ reason: String) {
        state.withLock { state in
            if state.closedBecause == nil { state.closedBecause = reason }
        }
        wake()
    }

    private static func refusal(_ state: State) -> LauncherError? {
        if let reason = state.closedBecause { return LauncherError(.disconnected, "the launcher is gone: \(reason)") }
        if state.outbox.count > outboxLimit { return LauncherError(.busy, "the launcher does not take its orders") }
        return nil
    }

    private static func takeID(_ state: inout State) -> UInt32 {
        defer { state.nextID = state.nextID == .max ? 1 : state.nextID + 1 }
        return state.nextID
    }

    private func wake() {
        var byte: UInt8 = 1
        _ = unsafe write(wakeWriting, &byte, 1)
    }

    // MARK: The thread

    private func serve() {
        var decoder = FrameDecoder()
        while true {
            let (hasOutput, deadline, isClosed) = state.withLock { state in
                (!state.outbox.isEmpty, state.pending.values.map(\.deadline).min(), state.closedBecause != nil)
            }
            if isClosed { break }
            var set = [
                pollfd(fd: socket, events: Int16(hasOutput ? POLLIN | POLLOUT : POLLIN), revents: 0),
                pollfd(fd: wakeReading, events: Int16(POLLIN), revents: 0),
            ]
            _ = unsafe poll(&set, 2, milliseconds(until: deadline))
            if set[1].revents != 0 { drainWake() }
            if hasOutput { flush() }
            if set[0].revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 { receive(&decoder) }
            expire()
        }
        finish()
    }

    private func milliseconds(until deadline: Int64?) -> Int32 {
        guard let deadline else { return -1 }
        let left = max(0, deadline - CPlatform_boot_time())
        return Int32(clamping: (left + 999_999) / 1_000_000)
    }

    private func drainWake() {
        var buffer = [UInt8](repeating: 0, count: 256)
        _ = unsafe read(wakeReading, &buffer, buffer.count)
    }

    private func flush() {
        let isBroken = state.withLock { state in
            let bytes = state.outbox
            let count = unsafe bytes.withUnsafeBytes { unsafe CPlatform_send(socket, $0.baseAddress, $0.count) }
            if count > 0 { state.outbox.removeFirst(count) }
            return count < 0 && errno != EAGAIN && errno != EINTR
        }
        if isBroken { end("it closed the connection") }
    }

    private func receive(_ decoder: inout FrameDecoder) {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let count = unsafe read(socket, &buffer, buffer.count)
        if count < 0, errno == EAGAIN || errno == EINTR { return }
        guard count > 0 else {
            end("it closed the connection")
            return
        }
        decoder.append(buffer[..<count])
        do {
            while let message = try decoder.next() { handle(try LauncherMessage(decoding: message)) }
        } catch {
            end("it sent something that is none of the protocol: \(error)")
        }
    }

    private func handle(_ message: LauncherMessage) {
        switch message {
        case .reply(0, .failure(_, let reason)): end(reason)
        case .reply(let id, let reply):
            let pending = state.withLock { $0.pending.removeValue(forKey: id) }
            pending?.continuation.resume(returning: .success(reply))
        case .notice(.postmasterExited(let end)): onEvent(.postmasterExited(end))
        case .notice(.serverDown(let end, let processID, let killed)):
            onEvent(.serverDown(end, processID: processID, killedStragglers: Int(killed)))
        case .notice(.leaseFired(let stage)): onEvent(.leaseFired(stage))
        case .notice(.toolOutput(let tool, let stream, let bytes)): toolWrote(tool, stream, bytes)
        case .notice(.toolExited(let tool, let end, let timedOut)): toolEnded(tool, end, timedOut)
        }
    }

    private func toolWrote(_ id: UInt32, _ stream: ToolStream, _ bytes: [UInt8]) {
        let handler = state.withLock { state -> OutputHandler? in
            guard var tool = state.tools.removeValue(forKey: id) else { return nil }
            tool.tail += bytes
            let surplus = tool.tail.count - LauncherLink.tailLimit
            if surplus > 0 { tool.tail.removeFirst(surplus) }
            state.tools[id] = tool
            return tool.onOutput
        }
        handler?(stream, bytes)
    }

    private func toolEnded(_ id: UInt32, _ end: ProcessEnd, _ timedOut: Bool) {
        let resumption = state.withLock { state -> (CheckedContinuation<ToolEnd, Never>, ToolEnd)? in
            guard var tool = state.tools[id] else { return nil }
            let result = ToolEnd.success((end, timedOut, tool.tail))
            let continuation = tool.continuation
            tool.end = result
            tool.continuation = nil
            state.tools[id] = tool
            return continuation.map { ($0, result) }
        }
        if let (continuation, result) = resumption { continuation.resume(returning: result) }
    }

    private func expire() {
        let now = CPlatform_boot_time()
        let late = state.withLock { state in
            let late = state.pending.filter { $0.value.deadline <= now }
            for id in late.keys { state.pending[id] = nil }
            return late.values.map(\.continuation)
        }
        for continuation in late {
            continuation.resume(returning: .failure(LauncherError(.timedOut, "the launcher did not answer in time")))
        }
    }

    private func finish() {
        _ = shutdown(socket, Int32(SHUT_RDWR))
        let (reason, calls, tools) = state.withLock { state in
            let reason = state.closedBecause ?? "closed"
            let calls = state.pending.values.map(\.continuation)
            state.pending = [:]
            var tools: [CheckedContinuation<ToolEnd, Never>] = []
            let lost = ToolEnd.failure(LauncherError(.disconnected, "the launcher is gone: \(reason)"))
            for (id, tool) in state.tools where tool.end == nil {
                state.tools[id]?.end = lost
                state.tools[id]?.continuation = nil
                if let continuation = tool.continuation { tools.append(continuation) }
            }
            return (reason, calls, tools)
        }
        let error = LauncherError(.disconnected, "the launcher is gone: \(reason)")
        for call in calls { call.resume(returning: .failure(error)) }
        for tool in tools { tool.resume(returning: .failure(error)) }
        onEvent(.disconnected(reason))
    }
}
