import CPlatform
import Glibc
import LauncherProtocol

/// Why something was not done, as the agent is told.
struct LauncherFailure: Error {
    var kind = FailureKind.failed
    var message: String

    static func refused(_ message: String) -> LauncherFailure {
        LauncherFailure(kind: .refused, message: message)
    }

    static func failed(_ attempt: String, _ code: Int32) -> LauncherFailure {
        LauncherFailure(message: "\(attempt): \(System.text(ofError: code))")
    }
}

/// The few system calls of the launcher, on Swift values.
enum System {
    enum ReadResult {
        case bytes(ArraySlice<UInt8>)
        case end
        case nothingYet
        case failed(Int32)
    }

    static func text(ofError code: Int32) -> String {
        unsafe strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
    }

    static func close(_ descriptor: Int32) {
        _ = Glibc.close(descriptor)
    }

    /// Closes every descriptor from 3 on, except those.
    static func closeAll(except kept: [Int32]) {
        var first: UInt32 = 3
        for descriptor in kept.sorted() where descriptor >= 3 {
            let number = UInt32(descriptor)
            if number > first { CPlatform_close_range(first, number - 1) }
            first = number + 1
        }
        CPlatform_close_range(first, .max)
    }

    static func read(_ descriptor: Int32, limit: Int) -> ReadResult {
        var buffer = [UInt8](repeating: 0, count: limit)
        while true {
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, limit) }
            if count > 0 { return .bytes(buffer[..<count]) }
            if count == 0 { return .end }
            let code = errno
            if code == EINTR { continue }
            return code == EAGAIN ? .nothingYet : .failed(code)
        }
    }

    /// Reads all there is, up to a limit; `nil` when the descriptor cannot be read.
    static func readAll(_ descriptor: Int32, limit: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        while bytes.count < limit {
            switch read(descriptor, limit: min(limit - bytes.count, 1 << 16)) {
            case .bytes(let more): bytes += more
            case .end, .nothingYet: return bytes
            case .failed: return nil
            }
        }
        return bytes
    }

    static func readFile(_ path: String, limit: Int) -> [UInt8]? {
        let descriptor = unsafe CPlatform_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        return readAll(descriptor, limit: limit)
    }

    /// Writes everything; returns 0 or the error's code.
    static func writeAll(_ descriptor: Int32, _ bytes: [UInt8]) -> Int32 {
        var done = 0
        while done < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.write(descriptor, buffer.baseAddress.map { unsafe $0 + done }, bytes.count - done)
            }
            if count >= 0 {
                done += count
            } else if errno != EINTR {
                return errno
            }
        }
        return 0
    }

    /// Sends what fits; returns the count, 0 when nothing fits, -1 when the peer is gone.
    static func send(_ descriptor: Int32, _ bytes: [UInt8], from start: Int) -> Int {
        let count = unsafe bytes.withUnsafeBytes { buffer in
            unsafe CPlatform_send(descriptor, buffer.baseAddress.map { unsafe $0 + start }, bytes.count - start)
        }
        if count >= 0 { return count }
        return errno == EAGAIN || errno == EINTR ? 0 : -1
    }

    /// A pipe, closed on exec; its reading end does not block.
    static func pipe() -> (reading: Int32, writing: Int32)? {
        var ends: [Int32] = [-1, -1]
        guard unsafe CPlatform_pipe(&ends) == 0 else { return nil }
        _ = CPlatform_set_nonblocking(ends[0])
        return (ends[0], ends[1])
    }

    /// One reaped child, `nil` when there is none to reap now; `isLast` when there is no child at all.
    static func reap() -> (child: (processID: Int32, end: ProcessEnd)?, isLast: Bool) {
        var status: Int32 = 0
        while true {
            let processID = unsafe waitpid(-1, &status, WNOHANG)
            if processID > 0 { return ((processID, end(ofStatus: status)), false) }
            if processID == 0 { return (nil, false) }
            if errno == EINTR { continue }
            return (nil, true)
        }
    }

    static func end(ofStatus status: Int32) -> ProcessEnd {
        CPlatform_has_exited(status) != 0
            ? .exited(CPlatform_exit_status(status)) : .signalled(CPlatform_ending_signal(status))
    }

    /// Waits until a descriptor is ready, at most so long.
    static func wait(for descriptor: Int32, events: Int32 = POLLIN, milliseconds: Int32) -> Bool {
        var set = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        return unsafe poll(&set, 1, milliseconds) > 0
    }

    /// Target of a symbolic link; `nil` where there is none.
    static func linkTarget(_ path: String) -> String? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = unsafe buffer.withUnsafeMutableBytes { raw in
            guard let start = unsafe raw.assumingMemoryBound(to: CChar.self).baseAddress else { return -1 }
            return unsafe readlink(path, start, raw.count)
        }
        return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
    }

    static func realPath(_ path: String) -> String? {
        guard let resolved = unsafe realpath(path, nil) else { return nil }
        defer { unsafe free(resolved) }
        return unsafe String(cString: resolved)
    }

    /// The names in a folder; empty where it cannot be read.
    static func names(in path: String) -> [String] {
        guard let folder = unsafe opendir(path) else { return [] }
        defer { unsafe closedir(folder) }
        var names: [String] = []
        while let entry = unsafe readdir(folder) {
            guard let name = unsafe CPlatform_entry_name(entry) else { continue }
            names.append(unsafe String(cString: name))
        }
        return names
    }

    /// Becomes another program; returns the error's code only when that failed.
    static func execute(_ program: String, _ arguments: [String], environment: [String]) -> Int32 {
        let argumentPointers = unsafe ([program] + arguments).map { unsafe strdup($0) } + [nil]
        let environmentPointers = unsafe environment.map { unsafe strdup($0) } + [nil]
        _ = unsafe CPlatform_execute(program, argumentPointers, environmentPointers)
        return errno
    }

    /// Tells the operator; drops the line rather than wait for a reader that does not read.
    static func log(_ line: String) {
        guard wait(for: 2, events: POLLOUT, milliseconds: 0) else { return }
        _ = writeAll(2, Array("understudy-launcher[\(getpid())]: \(line)\n".utf8))
    }
}
