import CPlatform
import Glibc

/// The Unix socket on which the agent gives its orders.
enum ListeningSocket {
    /// Opens it; a socket that nobody listens on any more is replaced.
    static func open(_ path: String) throws(LauncherFailure) -> Int32 {
        try clear(path)
        let descriptor = CPlatform_unix_socket()
        guard descriptor >= 0 else { throw .failed("could not make a socket", errno) }
        let mask = umask(0o177)
        let bound = unsafe CPlatform_unix_bind(descriptor, path)
        let code = errno
        _ = umask(mask)
        guard bound == 0, listen(descriptor, 16) == 0 else {
            System.close(descriptor)
            throw .failed(
                "could not listen on \(path), whose folder user \(geteuid()) must be able to write",
                bound == 0 ? errno : code
            )
        }
        return descriptor
    }

    private static func clear(_ path: String) throws(LauncherFailure) {
        var information = stat()
        guard unsafe lstat(path, &information) == 0 else { return }
        guard (information.st_mode & S_IFMT) == S_IFSOCK else {
            throw .refused(
                "could not listen on \(path): there is a file of another kind; remove it or name another socket"
            )
        }
        let probe = CPlatform_unix_socket()
        defer { System.close(probe) }
        guard unsafe CPlatform_unix_connect(probe, path) != 0, errno == ECONNREFUSED else {
            throw .refused("could not listen on \(path): another program listens there; stop it or name another socket")
        }
        guard unsafe unlink(path) == 0 else { throw .failed("could not remove the stale socket \(path)", errno) }
    }
}
