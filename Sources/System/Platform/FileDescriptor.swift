import Glibc

/// An open file descriptor that is closed exactly once, when its last owner lets go.
final class FileDescriptor: Sendable {
    let number: Int32

    init(owning number: Int32) {
        self.number = number
    }

    deinit {
        _ = close(number)
    }

    /// Opens a file; the descriptor is never inherited by a child process.
    static func open(_ path: String, _ flags: Int32, mode: UInt32 = 0) -> FileDescriptor? {
        let number = uninterrupted { unsafe Glibc.open(path, flags | O_CLOEXEC, mode) }
        return number == -1 ? nil : FileDescriptor(owning: number)
    }

    /// Makes a pipe whose ends are not inherited by a child process.
    static func pipe() throws(PlatformError) -> (reading: FileDescriptor, writing: FileDescriptor) {
        var ends: [Int32] = [-1, -1]
        // Safe: the array holds the two numbers that the call fills in.
        guard unsafe Glibc.pipe(&ends) == 0 else { throw PlatformError("make a pipe", code: errno) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (FileDescriptor(owning: ends[0]), FileDescriptor(owning: ends[1]))
    }

    /// Reads at most `count` bytes; empty at the end of the file, `nil` with `errno` set on failure.
    func read(_ count: Int) -> [UInt8]? {
        var failed = false
        // Safe: the call writes at most the capacity it is given, and the count it returns becomes the length.
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, length in
            var got = -1
            repeat { got = unsafe Glibc.read(number, buffer.baseAddress, count) } while got == -1 && errno == EINTR
            failed = got < 0
            length = max(got, 0)
        }
        return failed ? nil : bytes
    }

    /// Writes all bytes; `false` with `errno` set on failure.
    func write(_ bytes: [UInt8]) -> Bool {
        // Safe: the pointer and its length come from the same living array.
        unsafe bytes.withUnsafeBytes { buffer in
            var written = 0
            while written < buffer.count {
                let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[written...])
                let count = unsafe Glibc.write(number, rest.baseAddress, rest.count)
                if count == -1 && errno == EINTR { continue }
                if count < 0 { return false }
                written += count
            }
            return true
        }
    }
}
