import CPlatform
public import LauncherProtocol
import Synchronization

/// The agent's end of the launcher's socket.
///
/// Safe to use from any task. After `.disconnected`, `connect` may be called again and tells the state anew. Paths are
/// relative to the data folder of the launcher.
public final class LauncherClient: Sendable {
    private let socketPath: String
    private let link = Mutex<LauncherLink?>(nil)
    private let continuation: AsyncStream<LauncherEvent>.Continuation

    /// What the launcher tells without being asked, over all connections of this client; for one reader.
    public let events: AsyncStream<LauncherEvent>

    /// Creates a client that is not connected yet.
    public init(socketPath: String) {
        self.socketPath = socketPath
        (events, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1024))
    }

    deinit {
        link.withLock { $0?.end("the client is gone") }
        continuation.finish()
    }

    // MARK: Connection

    /// Connects, takes over from any other agent, and returns the launcher's state.
    @discardableResult
    public func connect(within limit: Duration = .seconds(5)) async throws(LauncherError) -> LauncherStatus {
        disconnect()
        let fresh = try LauncherLink(path: socketPath) { [continuation] in _ = continuation.yield($0) }
        link.withLock { $0 = fresh }
        let answer = await fresh.ask(
            .hello(version: launcherProtocolVersion),
            deadline: LauncherClient.deadline(limit)
        )
        switch answer {
        case .success(.status(let status)): return status
        case .success(let other):
            fresh.end("no status in answer to hello")
            throw LauncherClient.unexpected(other)
        case .failure(let error):
            fresh.end(error.message)
            throw error
        }
    }

    /// Ends the connection, if there is one; the server runs on, tools are ended.
    public func disconnect() {
        let old = link.withLock { link in
            defer { link = nil }
            return link
        }
        old?.end("disconnected by this side")
    }

    /// Asks for the launcher's state.
    public func status(within limit: Duration = .seconds(5)) async throws(LauncherError) -> LauncherStatus {
        let reply = try await ask(.hello(version: launcherProtocolVersion), limit)
        guard case .status(let status) = reply else { throw LauncherClient.unexpected(reply) }
        return status
    }

    // MARK: Server

    /// Starts the server and returns the postmaster's process id; removes a left-over trigger file before.
    ///
    /// With `leaseRequired` it is refused unless a lease is armed and not running out: for every start as primary.
    public func start(
        arguments: [String],
        environment: [EnvironmentVariable] = [],
        leaseRequired: Bool,
        within limit: Duration = .seconds(10)
    ) async throws(LauncherError) -> Int32 {
        let reply = try await ask(
            .start(arguments: arguments, environment: environment, leaseRequired: leaseRequired),
            limit
        )
        guard case .started(let processID) = reply else { throw LauncherClient.unexpected(reply) }
        return processID
    }

    /// Stops the server; `.serverDown` follows once its last process is gone.
    public func stop(_ mode: StopMode, within limit: Duration = .seconds(5)) async throws(LauncherError) {
        try await order(.stop(mode), limit)
    }

    /// Signals the postmaster (`nil`) or one process of the server; any other process is refused.
    public func signal(
        _ signal: Int32,
        processID: Int32? = nil,
        within limit: Duration = .seconds(5)
    ) async throws(LauncherError) {
        try await order(.signal(processID: processID, signal: signal), limit)
    }

    /// The processes of the server, each with its title.
    public func processes(within limit: Duration = .seconds(5)) async throws(LauncherError) -> [ServerProcess] {
        let reply = try await ask(.processes, limit)
        guard case .processes(let processes) = reply else { throw LauncherClient.unexpected(reply) }
        return processes
    }

    /// Places the trigger file and signals the postmaster.
    ///
    /// With `leaseRequired` it is refused unless a lease is armed, also right before the signal.
    public func promote(
        leaseRequired: Bool,
        within limit: Duration = .seconds(10)
    ) async throws(LauncherError) {
        try await order(.promote(leaseRequired: leaseRequired), limit)
    }

    /// Removes a left-over trigger file; whether there was one.
    @discardableResult
    public func clearPromote(within limit: Duration = .seconds(10)) async throws(LauncherError) -> Bool {
        try await change(.clearPromote, limit)
    }

    // MARK: Lease

    /// Arms the lease timer anew: immediate shutdown at `remaining − fenceBudget`, SIGKILL at `remaining`.
    ///
    /// Counted from this call, however long the order travels: what passed before it must be taken off by the caller.
    public func armLease(
        remaining: Duration,
        fenceBudget: Duration,
        within limit: Duration = .seconds(5)
    ) async throws(LauncherError) {
        let request = LauncherRequest.lease(
            remainingMilliseconds: LauncherClient.milliseconds(remaining),
            fenceBudgetMilliseconds: LauncherClient.milliseconds(fenceBudget),
            countedFrom: CPlatform_boot_time()
        )
        try await order(request, limit)
    }

    /// Disarms the lease timer.
    public func disarmLease(within limit: Duration = .seconds(5)) async throws(LauncherError) {
        try await order(.disarmLease, limit)
    }

    // MARK: Tools

    /// Runs one of the server's own tools and returns once it and everything under it is gone.
    ///
    /// Cancelling the task kills the tool; its end is still waited for. `tool` is a name without a folder, for instance
    /// `pg_rewind`; after `timeout` it is killed. `onOutput` is called on the connection's thread for each piece of
    /// output and must be quick.
    public func run(
        _ tool: String,
        arguments: [String] = [],
        environment: [EnvironmentVariable] = [],
        timeout: Duration? = nil,
        onOutput: (@Sendable (ToolStream, [UInt8]) -> Void)? = nil
    ) async throws(LauncherError) -> ToolResult {
        let link = try currentLink()
        let request = LauncherRequest.run(
            tool: tool,
            arguments: arguments,
            environment: environment,
            timeoutMilliseconds: timeout.map { max(1, LauncherClient.milliseconds($0)) } ?? 0
        )
        let deadline = LauncherClient.deadline(.seconds(10))
        var start = await link.startTool(request, deadline: deadline, onOutput: onOutput)
        while case .failure(let error) = start, error.code == .busy, await LauncherClient.mayAskAgain(deadline) {
            start = await link.startTool(request, deadline: deadline, onOutput: onOutput)
        }
        let id = try start.get()
        let end = await withTaskCancellationHandler {
            await link.toolEnd(id)
        } onCancel: {
            link.cancelTool(id)
        }
        let result = try end.get()
        return ToolResult(
            end: result.end,
            timedOut: result.timedOut,
            outputTail: String(decoding: result.tail, as: UTF8.self)
        )
    }

    // MARK: Asking

    private func currentLink() throws(LauncherError) -> LauncherLink {
        guard let current = link.withLock({ $0 }) else {
            throw LauncherError(
                .disconnected,
                "could not reach the launcher at \(socketPath): not connected; connect first"
            )
        }
        return current
    }

    /// Asks until the deadline while the launcher is busy; a failure is thrown.
    func ask(_ request: LauncherRequest, _ limit: Duration) async throws(LauncherError) -> LauncherReply {
        let link = try currentLink()
        let deadline = LauncherClient.deadline(limit)
        while true {
            let reply = try await link.ask(request, deadline: deadline).get()
            guard case .failure(let kind, let text) = reply else { return reply }
            guard kind == .busy, await LauncherClient.mayAskAgain(deadline) else {
                throw LauncherError(kind, text: text)
            }
        }
    }

    func order(_ request: LauncherRequest, _ limit: Duration) async throws(LauncherError) {
        let reply = try await ask(request, limit)
        guard reply == .done else { throw LauncherClient.unexpected(reply) }
    }

    func change(_ request: LauncherRequest, _ limit: Duration) async throws(LauncherError) -> Bool {
        let reply = try await ask(request, limit)
        guard case .changed(let changed) = reply else { throw LauncherClient.unexpected(reply) }
        return changed
    }

    static func unexpected(_ reply: LauncherReply) -> LauncherError {
        if case .failure(let kind, let text) = reply { return LauncherError(kind, text: text) }
        return LauncherError(.unexpectedAnswer, "the launcher answered something else than was asked for")
    }

    private static func mayAskAgain(_ deadline: Int64) async -> Bool {
        guard (try? await Task.sleep(for: .milliseconds(5))) != nil else { return false }
        return CPlatform_boot_time() < deadline
    }

    static func deadline(_ limit: Duration) -> Int64 {
        CPlatform_boot_time() + Int64(milliseconds(limit)) * 1_000_000
    }

    /// Whole milliseconds, rounded down; 0 for a negative duration, at most a year.
    static func milliseconds(_ duration: Duration) -> UInt64 {
        let (seconds, attoseconds) = duration.components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        return UInt64(min(seconds, 31_536_000)) * 1000 + UInt64(attoseconds / 1_000_000_000_000_000)
    }
}
