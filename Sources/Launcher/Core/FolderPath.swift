import CPlatform
import Glibc
import LauncherProtocol

/// A path inside the data folder, checked in its text; opening it checks the rest.
struct FolderPath {
    let components: [String]
    let text: String

    /// - Throws: A refusal for an absolute path, an empty one, `.` or `..`, a NUL or an overlong part.
    init(_ text: String, orRoot mayBeRoot: Bool = false) throws(LauncherFailure) {
        self.text = text
        if mayBeRoot, text.isEmpty || text == "." {
            components = []
            return
        }
        components = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let isSound = components.allSatisfy { part in
            !part.isEmpty && part != "." && part != ".." && part.utf8.count <= 255 && !part.utf8.contains(0)
        }
        guard isSound, text.utf8.count <= 1024 else {
            throw .refused(
                "could not use path '\(text)': paths are relative to the data folder, without '..', '.' or empty parts"
            )
        }
    }

    var name: String { components.last ?? "." }
}

/// Opens paths below one folder; a symbolic link anywhere on the way is refused.
struct FolderResolver {
    let folder: Int32

    /// Opens the path itself.
    func open(_ path: FolderPath, flags: Int32, doing: String) throws(LauncherFailure) -> Int32 {
        try open(path.components, flags: flags, path: path, doing: doing)
    }

    /// Opens the folder that holds the path's last part.
    func openParent(of path: FolderPath, doing: String) throws(LauncherFailure) -> Int32 {
        try open(
            Array(path.components.dropLast()),
            flags: O_RDONLY | O_DIRECTORY,
            path: path,
            doing: doing
        )
    }

    private func open(
        _ components: [String],
        flags: Int32,
        path: FolderPath,
        doing: String
    ) throws(LauncherFailure) -> Int32 {
        let joined = components.isEmpty ? "." : components.joined(separator: "/")
        var descriptor = unsafe CPlatform_open_beneath(folder, joined, flags | O_CLOEXEC)
        if descriptor < 0, errno == ENOSYS || errno == EPERM {
            // Kernels before 5.6, and containers that forbid what they do not know.
            descriptor = walk(components, flags: flags)
        }
        guard descriptor < 0 else { return descriptor }
        let code = errno
        if code == ELOOP || code == EXDEV {
            throw .refused(
                "could not \(doing) \(path.text): a part of the path is a symbolic link, and the launcher follows "
                    + "none; name the place by its path inside the data folder, or move it there"
            )
        }
        throw LauncherFailure(
            kind: code == ENOENT || code == ENOTDIR ? .absent : .failed,
            message: "could not \(doing) \(path.text): \(System.text(ofError: code))"
        )
    }

    private func walk(_ components: [String], flags: Int32) -> Int32 {
        var current = unsafe CPlatform_openat(folder, ".", CPLATFORM_O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
        for (index, component) in components.enumerated() where current >= 0 {
            let isLast = index == components.count - 1
            let next = unsafe CPlatform_openat(
                current,
                component,
                (isLast ? flags : CPLATFORM_O_PATH | O_DIRECTORY) | O_NOFOLLOW | O_CLOEXEC,
                0
            )
            let code = errno
            let isLink = next < 0 && code == ENOTDIR && isSymbolicLink(component, in: current)
            System.close(current)
            errno = isLink ? ELOOP : code
            current = next
        }
        guard components.isEmpty, current >= 0 else { return current }
        defer { System.close(current) }
        return unsafe CPlatform_openat(current, ".", flags | O_CLOEXEC, 0)
    }

    private func isSymbolicLink(_ name: String, in folder: Int32) -> Bool {
        var information = stat()
        return unsafe fstatat(folder, name, &information, AT_SYMLINK_NOFOLLOW) == 0
            && (information.st_mode & S_IFMT) == S_IFLNK
    }
}
