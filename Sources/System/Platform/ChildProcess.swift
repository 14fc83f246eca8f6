import Glibc
import Synchronization

/// How a process ended.
public enum ProcessExit: Sendable, Hashable, CustomStringConvertible {
    /// It returned this code.
    case code(Int32)
    /// This signal ended it.
    case signal(Int32)

    /// Tells whether it returned zero.
    public var isSuccess: Bool { self == .code(0) }

    /// `exit code 1` or `signal 9`.
    public var description: String {
        switch self {
        case .code(let code): "exit code \(code)"
        case .signal(let number): "signal \(number)"
        }
    }
}

/// What to start: program, arguments, environment, where its output goes.
public struct ProcessRequest: Sendable, Hashable {
    /// The path of the program; nothing is searched.
    public var program: String
    /// The arguments, without the program's own name.
    public var arguments: [String]
    /// The whole environment, `NAME=value`; `nil` passes this process's own on.
    public var environment: [String]?
    /// A file that output and errors are appended to; without one, they are thrown away.
    ///
    /// Ignored by `run`, which keeps both.
    public var logFile: String?
    /// Puts the process into a session of its own, so that signals from a terminal do not reach it.
    public var hasOwnSession: Bool

    /// Describes a process to start.
    public init(
        _ program: String,
        _ arguments: [String] = [],
        environment: [String]? = nil,
        logFile: String? = nil,
        hasOwnSession: Bool = false
    ) {
        self.program = program
        self.arguments = arguments
        self.environment = environment
        self.logFile = logFile
        self.hasOwnSession = hasOwnSession
    }
}

/// A process started by this one; it is always waited for, so that no zombie is left.
public final class ChildProcess: Sendable {
    /// The number of the process.
    public let processID: Int32
    private let state = Mutex(State())

    private struct State: Sendable {
        var exit: ProcessExit?
        var waiters: [CheckedContinuation<ProcessExit, Never>] = []
    }

    private init(processID: Int32) {
        self.processID = processID
    }

    /// Starts a process that runs on by itself.
    ///
    /// - Parameter request: What to start; it inherits no descriptor but its own standard ones.
    /// - Returns: The running process.
    /// - Throws: `PlatformError` naming the program.
    public static func start(_ request: ProcessRequest) throws(PlatformError) -> ChildProcess {
        let target = request.logFile ?? "/dev/null"
        guard let log = FileDescriptor.open(target, O_WRONLY | O_CREAT | O_APPEND, mode: 0o600) else {
            throw PlatformError("open log file \(target)", code: errno)
        }
        return try start(request, output: log, errors: log, atExit: {})
    }

    static func start(
        _ request: ProcessRequest,
        output: FileDescriptor,
        errors: FileDescriptor,
        atExit: @escaping @Sendable () -> Void
    ) throws(PlatformError) -> ChildProcess {
        let processID = try spawn(request, output: output.number, errors: errors.number)
        let child = ChildProcess(processID: processID)
        do {
            try WorkerThread.start("wait \(processID)") {
                child.waitAndReap()
                atExit()
            }
        } catch {
            _ = Glibc.kill(processID, SIGKILL)
            child.waitAndReap()
            throw error
        }
        return child
    }

    /// How the process ended; `nil` while it runs.
    public var exit: ProcessExit? { state.withLock { $0.exit } }

    /// Waits until the process has ended.
    public func waitForExit() async -> ProcessExit {
        await withCheckedContinuation { continuation in
            let exit = state.withLock { state in
                if state.exit == nil { state.waiters.append(continuation) }
                return state.exit
            }
            if let exit { continuation.resume(returning: exit) }
        }
    }

    /// Sends a signal; nothing happens once it has ended.
    ///
    /// - Parameters:
    ///   - number: The signal.
    ///   - wholeGroup: Also to what it started, as far as that is still in its process group.
    public func signal(_ number: Int32, wholeGroup: Bool = false) {
        state.withLock { state in
            // Under the lock that reaping takes: the process number cannot have passed to somebody else.
            guard state.exit == nil else { return }
            _ = Glibc.kill(wholeGroup ? -processID : processID, number)
        }
    }

    private func waitAndReap() {
        var information = unsafe siginfo_t()
        // Safe: the structure outlives the call, and only this thread waits for this process.
        _ = uninterrupted { unsafe waitid(P_PID, id_t(processID), &information, WEXITED | WNOWAIT) }
        let (exit, waiters) = state.withLock { state in
            var status: Int32 = 0
            let reaped = uninterrupted { unsafe waitpid(processID, &status, 0) }
            let ended = status & 0x7f
            var exit: ProcessExit = ended == 0 ? .code((status >> 8) & 0xff) : .signal(ended)
            // Somebody else has waited for our child: how it ended is not known, and must not look like success.
            if reaped != processID { exit = .code(-1) }
            state.exit = exit
            defer { state.waiters = [] }
            return (exit, state.waiters)
        }
        for waiter in waiters { waiter.resume(returning: exit) }
    }
}
