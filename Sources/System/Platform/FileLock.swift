import Glibc

/// A lock on a file that the kernel lets go of when its holder dies, however it dies.
public final class FileLock: Sendable {
    private let file: FileDescriptor

    private init(file: FileDescriptor) {
        self.file = file
    }

    /// Waits for the lock, for at most that long; blocks the thread.
    ///
    /// - Parameters:
    ///   - path: As for `acquire`.
    ///   - limit: How long another may hold it.
    /// - Returns: The held lock.
    /// - Throws: `PlatformError` naming the process that holds it.
    public static func acquire(_ path: String, within limit: Duration) throws(PlatformError) -> FileLock {
        let end = MonotonicClock.now() + limit
        while true {
            do {
                return try acquire(path)
            } catch {
                if MonotonicClock.now() >= end { throw error }
            }
            usleep(1000)
        }
    }

    /// Takes the lock at once or refuses; it is held until the returned value goes out of use.
    ///
    /// - Parameter path: The lock file, made if absent; it holds the process number of the holder and is never removed.
    /// - Returns: The held lock.
    /// - Throws: `PlatformError` naming the process that holds it.
    public static func acquire(_ path: String) throws(PlatformError) -> FileLock {
        let attempt = "lock \(path)"
        guard let file = FileDescriptor.open(path, O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600) else {
            throw PlatformError(attempt, code: errno, mend: "the directory must exist and be writable")
        }
        guard uninterrupted({ flock(file.number, LOCK_EX | LOCK_NB) }) == 0 else {
            guard errno == EWOULDBLOCK else { throw PlatformError(attempt, code: errno) }
            let holder = String(decoding: file.read(32) ?? [], as: UTF8.self).filter(\.isNumber)
            let whom = holder.isEmpty ? "another process" : "process \(holder)"
            throw PlatformError(attempt, cause: "it is held by \(whom)", mend: "stop that one first")
        }
        // The number is a courtesy to people; the lock itself does not depend on it.
        _ = ftruncate(file.number, 0)
        _ = file.write(Array("\(getpid())\n".utf8))
        return FileLock(file: file)
    }
}
