import Glibc

/// Small files that survive a crash: either the old contents or the new, never a mixture.
public enum DurableFile {
    /// Replaces a file's contents and returns only when they would survive a power cut.
    ///
    /// Temporary file beside it, fsync, rename, fsync of the directory. One writer at a time per path.
    ///
    /// - Parameters:
    ///   - bytes: The whole new contents.
    ///   - path: The file; its directory must exist.
    ///   - mode: Permission bits of the file.
    /// - Throws: `PlatformError` naming the step that failed; the old file is then still in place, except that after
    ///   a failed fsync of the directory either may be found after a crash.
    public static func write(_ bytes: [UInt8], to path: String, mode: UInt32 = 0o600) throws(PlatformError) {
        let attempt = "write file \(path)"
        let temporary = path + ".new"
        try stage(bytes, temporary, mode, attempt, isDurable: true)
        try rename(temporary, to: path, attempt)
        try synchronizeDirectory(of: path, attempt: attempt)
    }

    /// Replaces a file's contents if that is still wanted right before the new ones take its place.
    ///
    /// What takes long, writing them down durably, comes first: a lock that several processes share is held for a
    /// moment only.
    ///
    /// - Parameters:
    ///   - bytes: The whole new contents.
    ///   - path: The file; its directory must exist.
    ///   - isDurable: Whether they must survive a power cut.
    ///   - lock: Held while `isWanted` is asked and the file is replaced.
    ///   - limit: How long another process may hold the lock.
    ///   - isWanted: Looks at the file as it is.
    /// - Returns: Whether it was replaced.
    /// - Throws: `PlatformError` naming the step that failed; whether the file was replaced is then not known.
    public static func replace(
        _ bytes: [UInt8],
        at path: String,
        isDurable: Bool,
        lock: String,
        within limit: Duration,
        if isWanted: () -> Bool
    ) throws(PlatformError) -> Bool {
        let attempt = "write file \(path)"
        // Another process may be writing the same file.
        let temporary = "\(path).\(String(UInt64.random(in: .min ... .max), radix: 36)).new"
        try stage(bytes, temporary, 0o600, attempt, isDurable: isDurable)
        do {
            let held = try FileLock.acquire(lock, within: limit)
            defer { withExtendedLifetime(held) {} }
            guard isWanted() else {
                _ = unsafe unlink(temporary)
                return false
            }
            try rename(temporary, to: path, attempt)
        } catch {
            _ = unsafe unlink(temporary)
            throw error
        }
        if isDurable { try synchronizeDirectory(of: path, attempt: attempt) }
        return true
    }

    private static func stage(
        _ bytes: [UInt8],
        _ temporary: String,
        _ mode: UInt32,
        _ attempt: String,
        isDurable: Bool
    ) throws(PlatformError) {
        _ = unsafe unlink(temporary)
        guard let file = FileDescriptor.open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: mode) else {
            throw PlatformError(attempt, code: errno, mend: "the directory must exist and be writable")
        }
        // The process's mask must not widen or narrow what the caller asked for.
        guard fchmod(file.number, mode) == 0, file.write(bytes),
            !isDurable || uninterrupted({ fsync(file.number) }) == 0
        else {
            let code = errno
            _ = unsafe unlink(temporary)
            throw PlatformError(attempt, code: code)
        }
    }

    private static func rename(_ temporary: String, to path: String, _ attempt: String) throws(PlatformError) {
        guard unsafe Glibc.rename(temporary, path) == 0 else {
            let code = errno
            _ = unsafe unlink(temporary)
            throw PlatformError(attempt, code: code)
        }
    }

    /// Reads a whole file, refusing one that is larger than expected.
    ///
    /// - Parameters:
    ///   - path: The file; a directory or a device is refused.
    ///   - limit: The largest size accepted, in bytes, checked before anything is allocated.
    /// - Returns: The contents, or `nil` if there is no such file.
    /// - Throws: `PlatformError` if the file is too large, not a regular file, or cannot be read.
    public static func read(_ path: String, limit: Int) throws(PlatformError) -> [UInt8]? {
        let attempt = "read file \(path)"
        guard let file = FileDescriptor.open(path, O_RDONLY | O_NONBLOCK) else {
            if errno == ENOENT { return nil }
            throw PlatformError(attempt, code: errno)
        }
        var information = stat()
        // Safe: the structure outlives the call.
        guard unsafe fstat(file.number, &information) == 0 else { throw PlatformError(attempt, code: errno) }
        guard information.st_mode & S_IFMT == S_IFREG else {
            throw PlatformError(attempt, cause: "it is not a regular file")
        }
        guard information.st_size <= limit else {
            throw PlatformError(attempt, cause: "it has \(information.st_size) bytes, more than the limit of \(limit)")
        }
        var contents: [UInt8] = []
        while true {
            guard let part = file.read(min(limit - contents.count + 1, 65536)) else {
                throw PlatformError(attempt, code: errno)
            }
            if part.isEmpty { return contents }
            contents += part
            if contents.count > limit {
                throw PlatformError(attempt, cause: "it grew past the limit of \(limit) bytes while being read")
            }
        }
    }

    /// Removes a file and returns only when the removal would survive a power cut; an absent file is fine.
    public static func remove(_ path: String) throws(PlatformError) {
        let attempt = "remove file \(path)"
        if unsafe unlink(path) != 0 {
            if errno == ENOENT { return }
            throw PlatformError(attempt, code: errno)
        }
        try synchronizeDirectory(of: path, attempt: attempt)
    }

    /// Makes a directory and the missing ones above it; one that exists already is fine.
    public static func makeDirectory(_ path: String, mode: UInt32 = 0o700) throws(PlatformError) {
        var made = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            made += made.isEmpty || made.hasSuffix("/") ? String(part) : "/\(part)"
            if unsafe mkdir(made, mode) != 0 && errno != EEXIST {
                throw PlatformError("make directory \(made)", code: errno)
            }
        }
    }

    private static func synchronizeDirectory(of path: String, attempt: String) throws(PlatformError) {
        let directory: String
        if let slash = path.lastIndex(of: "/") {
            directory = slash == path.startIndex ? "/" : String(path[..<slash])
        } else {
            directory = "."
        }
        guard let descriptor = FileDescriptor.open(directory, O_RDONLY | O_DIRECTORY),
            uninterrupted({ fsync(descriptor.number) }) == 0
        else { throw PlatformError(attempt, code: errno) }
    }
}
