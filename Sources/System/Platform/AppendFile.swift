import Glibc

/// A file that only grows, for records that people read.
public enum AppendFile {
    /// Appends bytes in one write; a file past the limit is renamed to `<path>.1` first.
    ///
    /// - Throws: `PlatformError` naming the file.
    public static func append(_ bytes: [UInt8], to path: String, sizeLimit: Int) throws(PlatformError) {
        let attempt = "append to file \(path)"
        var information = stat()
        // Safe: the structure outlives the call.
        if unsafe stat(path, &information) == 0, Int(information.st_size) > sizeLimit {
            guard unsafe rename(path, path + ".1") == 0 else { throw PlatformError(attempt, code: errno) }
        }
        guard let file = FileDescriptor.open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, mode: 0o600) else {
            throw PlatformError(attempt, code: errno, mend: "the directory must exist and be writable")
        }
        guard file.write(bytes) else { throw PlatformError(attempt, code: errno) }
    }
}
