import CPlatform
import Glibc

/// A process that a test started: its end is waited for by polling, never on a thread of the test's tasks.
final class ChildProcess {
    let processID: Int32
    private let output: Int32
    private var status: Int32?

    /// Starts a program with nothing to read; its output and errors are kept when asked for, else dropped.
    init(_ program: String, _ arguments: [String], keepingOutput: Bool = false) throws {
        var actions = unsafe posix_spawn_file_actions_t()
        var ends: [Int32] = [-1, -1]
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        if keepingOutput {
            guard unsafe CPlatform_pipe(&ends) == 0 else { throw TimedOut(what: "made a pipe") }
            unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        } else {
            unsafe posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        }
        unsafe posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var pointers = unsafe ([program] + arguments).map { unsafe strdup($0) } + [nil]
        defer { unsafe pointers.forEach { unsafe free($0) } }
        var child: Int32 = 0
        let code = unsafe posix_spawn(&child, program, &actions, nil, &pointers, CPlatform_environment())
        if ends[1] >= 0 { close(ends[1]) }
        guard code == 0 else { throw TimedOut(what: "started \(program)") }
        (processID, output) = (child, ends[0])
    }

    deinit {
        if output >= 0 { close(output) }
        if isRunning {
            _ = kill(processID, SIGKILL)
            var status: Int32 = 0
            _ = unsafe waitpid(processID, &status, 0)
        }
    }

    var isRunning: Bool {
        if status != nil { return false }
        var status: Int32 = 0
        guard unsafe waitpid(processID, &status, WNOHANG) == processID else { return true }
        self.status = status
        return false
    }

    /// The exit status, 128 + the signal when a signal ended it.
    var exitStatus: Int32? {
        guard !isRunning, let status else { return nil }
        return CPlatform_has_exited(status) != 0 ? CPlatform_exit_status(status) : 128 + CPlatform_ending_signal(status)
    }

    func terminate() {
        if isRunning { _ = kill(processID, SIGTERM) }
    }

    @discardableResult
    func waitForEnd() async throws -> Int32 {
        try await eventually("process \(processID) ended", within: .seconds(30)) { !isRunning }
        return exitStatus ?? -1
    }

    /// Waits on this thread: for helpers that end within moments.
    func waitHere() -> Int32 {
        var status: Int32 = 0
        if isRunning, unsafe waitpid(processID, &status, 0) == processID { self.status = status }
        return exitStatus ?? -1
    }

    /// Everything it writes until it closes its output.
    func text() -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while case let count = unsafe read(output, &buffer, buffer.count), count > 0 { bytes += buffer[..<count] }
        return String(decoding: bytes, as: UTF8.self)
    }
}
