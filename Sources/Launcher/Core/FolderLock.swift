import CPlatform
import Glibc

/// At most one launcher works on a data folder.
enum FolderLock {
    static let fileName = "launcher.lock"

    /// Takes the lock; waits only for a launcher that is dying.
    ///
    /// - Returns: The descriptor that holds the lock until every copy of it is closed.
    static func take(folder: Int32, path: String) throws(LauncherFailure) -> Int32 {
        let descriptor = unsafe CPlatform_openat(
            folder,
            fileName,
            O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
            0o600
        )
        guard descriptor >= 0 else { throw .failed("could not open \(path)/\(fileName)", errno) }
        for round in 0..<500 {
            if CPlatform_try_lock(descriptor) == 0 {
                _ = ftruncate(descriptor, 0)
                _ = System.writeAll(descriptor, Array("\(getpid())\n".utf8))
                return descriptor
            }
            guard errno == EWOULDBLOCK else { break }
            let holder = holder(of: descriptor)
            // A holder that was just killed may take a moment to die.
            if round >= 100, let holder, isAlive(holder) {
                System.close(descriptor)
                throw .refused(
                    "could not take data folder \(path): the launcher with process id \(holder) works on it; stop "
                        + "that one first, or name another folder"
                )
            }
            _ = poll(nil, 0, 10)
        }
        System.close(descriptor)
        throw .refused(
            "could not take data folder \(path): \(fileName) is still locked by what a dead launcher left; end the "
                + "processes that hold it (fuser \(path)/\(fileName))"
        )
    }

    private static func isAlive(_ processID: Int32) -> Bool {
        (kill(processID, 0) == 0 || errno == EPERM) && !ProcessTable.isZombie(processID)
    }

    private static func holder(of descriptor: Int32) -> Int32? {
        guard lseek(descriptor, 0, SEEK_SET) == 0, let bytes = System.readAll(descriptor, limit: 32) else { return nil }
        return Int32(String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
    }
}
