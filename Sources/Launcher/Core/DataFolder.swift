import CPlatform
import Glibc
import LauncherProtocol

/// The file operations of the agent, all below one folder.
///
/// Each runs in a forked helper: storage that hangs then hangs the helper, not the lease timer.
struct DataFolder {
    static let triggerFile = "pgdata/promote"
    private static let entryLimit = 20_000
    private static let depthLimit = 128

    private let resolver: FolderResolver

    init(descriptor: Int32) {
        resolver = FolderResolver(folder: descriptor)
    }

    /// Does what a file request asks for.
    func answer(_ request: LauncherRequest) -> LauncherReply {
        do throws(LauncherFailure) {
            return switch request {
            case .place(let path, let contents, let mode, let durable):
                try place(path, contents, mode, durable: durable)
            case .read(let path, let limit): try read(path, limit: Int(limit))
            case .remove(let path): .changed(try remove(path))
            case .rename(let from, let to, let mode): try rename(from, to, mode)
            case .list(let path): .entries(try list(path))
            case .removeTree(let path): .changed(try removeTree(path))
            case .makeDirectory(let path, let mode): .changed(try makeDirectory(path, mode))
            case .inspect(let path): .entry(try inspect(path))
            case .space(let path): .space(try space(path))
            case .readStart(let path, let count): try readStart(path, count: Int(count))
            case .copy(let from, let to, let limit): try copy(from, to, limit: limit)
            case .clearPromote: .changed(try remove(DataFolder.triggerFile))
            // The trigger is meant for the server that runs now: after a power cut it must not be there.
            case .promote: try place(DataFolder.triggerFile, [], 0o600, durable: false)
            default: .failure(.refused, "not a file operation")
            }
        } catch {
            return .failure(error.kind, error.message)
        }
    }

    private func changeable(_ text: String) throws(LauncherFailure) -> FolderPath {
        let path = try FolderPath(text)
        guard path.text != FolderLock.fileName else {
            throw .refused("could not change \(path.text): it is the launcher's own lock")
        }
        return path
    }

    private func place(
        _ text: String,
        _ contents: [UInt8],
        _ mode: UInt32,
        durable: Bool
    ) throws(LauncherFailure) -> LauncherReply {
        let path = try changeable(text)
        let parent = try resolver.openParent(of: path, doing: "place")
        defer { System.close(parent) }
        let temporary = ".\(path.name.prefix(200)).understudy-new"
        _ = unsafe unlinkat(parent, temporary, 0)
        let file = unsafe CPlatform_openat(
            parent,
            temporary,
            O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
            0o600
        )
        guard file >= 0 else { throw .failed("could not place \(path.text)", errno) }
        defer { System.close(file) }
        var code = System.writeAll(file, contents)
        if code == 0, fchmod(file, mode & 0o777) != 0 || (durable && fsync(file) != 0) { code = errno }
        if code == 0, unsafe renameat(parent, temporary, parent, path.name) != 0 { code = errno }
        if code != 0 {
            _ = unsafe unlinkat(parent, temporary, 0)
            throw .failed("could not place \(path.text)", code)
        }
        if durable { try synchronize(parent, path, doing: "place") }
        return .done
    }

    private func synchronize(_ folder: Int32, _ path: FolderPath, doing: String) throws(LauncherFailure) {
        guard fsync(folder) == 0 else { throw .failed("could not \(doing) \(path.text) durably", errno) }
    }

    private func read(_ text: String, limit: Int) throws(LauncherFailure) -> LauncherReply {
        let path = try FolderPath(text)
        guard let file = try openFile(path, doing: "read")?.descriptor else { return .contents(nil) }
        defer { System.close(file) }
        let allowed = min(limit, LauncherFrame.limit - 64)
        guard let bytes = System.readAll(file, limit: allowed + 1) else {
            throw .failed("could not read \(path.text)", errno)
        }
        guard bytes.count <= allowed else {
            throw .refused("could not read \(path.text): it is longer than the limit of \(allowed) bytes")
        }
        return .contents(bytes)
    }

    /// A regular file, open for reading, with its size; nil where there is none.
    private func openFile(
        _ path: FolderPath,
        doing: String
    ) throws(LauncherFailure) -> (descriptor: Int32, size: UInt64)? {
        let file: Int32
        do throws(LauncherFailure) {
            file = try resolver.open(path, flags: O_RDONLY | O_NONBLOCK, doing: doing)
        } catch  where error.kind == .absent {
            return nil
        }
        var information = stat()
        let isThere = unsafe fstat(file, &information) == 0
        if isThere, kind(ofMode: information.st_mode) == .file { return (file, UInt64(clamping: information.st_size)) }
        let code = errno
        System.close(file)
        if !isThere { throw .failed("could not \(doing) \(path.text)", code) }
        throw .refused("could not \(doing) \(path.text): it is not a regular file")
    }

    private func readStart(_ text: String, count: Int) throws(LauncherFailure) -> LauncherReply {
        let path = try FolderPath(text)
        guard let file = try openFile(path, doing: "read")?.descriptor else { return .contents(nil) }
        defer { System.close(file) }
        guard let bytes = System.readAll(file, limit: min(count, LauncherFrame.limit - 64)) else {
            throw .failed("could not read \(path.text)", errno)
        }
        return .contents(bytes)
    }

    private func copy(_ from: String, _ to: String, limit: UInt64) throws(LauncherFailure) -> LauncherReply {
        let (source, target) = (try FolderPath(from), try changeable(to))
        guard let (file, size) = try openFile(source, doing: "copy") else {
            throw LauncherFailure(kind: .absent, message: "could not copy \(source.text): there is no such file")
        }
        defer { System.close(file) }
        guard size <= limit else {
            throw .refused("could not copy \(source.text): it is longer than the limit of \(limit) bytes")
        }
        let parent = try resolver.openParent(of: target, doing: "copy to")
        defer { System.close(parent) }
        let copy = unsafe CPlatform_openat(
            parent,
            target.name,
            O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
            0o600
        )
        guard copy >= 0 else { throw .failed("could not copy to \(target.text)", errno) }
        defer { System.close(copy) }
        var code: Int32 = 0
        var left = limit
        while code == 0, left > 0 {
            switch System.read(file, limit: Int(min(left, 1 << 20))) {
            case .bytes(let bytes):
                left -= min(left, UInt64(bytes.count))
                code = System.writeAll(copy, Array(bytes))
            case .end: left = 0
            case .nothingYet: left = 0
            case .failed(let failure): code = failure
            }
        }
        if code == 0, fsync(copy) != 0 { code = errno }
        guard code == 0 else {
            _ = unsafe unlinkat(parent, target.name, 0)
            throw .failed("could not copy \(source.text) to \(target.text)", code)
        }
        try synchronize(parent, target, doing: "copy to")
        return .done
    }

    private func remove(_ text: String) throws(LauncherFailure) -> Bool {
        let path = try changeable(text)
        let parent: Int32
        do throws(LauncherFailure) {
            parent = try resolver.openParent(of: path, doing: "remove")
        } catch  where error.kind == .absent {
            return false
        }
        defer { System.close(parent) }
        if unsafe unlinkat(parent, path.name, 0) != 0 {
            let code = errno
            if code == ENOENT { return false }
            guard code == EISDIR || code == EPERM, unsafe unlinkat(parent, path.name, AT_REMOVEDIR) == 0 else {
                throw .failed("could not remove \(path.text)", errno)
            }
        }
        try synchronize(parent, path, doing: "remove")
        return true
    }

    private func rename(_ from: String, _ to: String, _ mode: RenameMode) throws(LauncherFailure) -> LauncherReply {
        let (source, target) = (try changeable(from), try changeable(to))
        let sourceParent = try resolver.openParent(of: source, doing: "rename")
        defer { System.close(sourceParent) }
        let targetParent = try resolver.openParent(of: target, doing: "rename to")
        defer { System.close(targetParent) }
        // Numbers of the kernel's interface: RENAME_NOREPLACE, none, RENAME_EXCHANGE.
        let flags: UInt32 = mode == .refuse ? 1 : mode == .exchange ? 2 : 0
        guard unsafe CPlatform_renameat2(sourceParent, source.name, targetParent, target.name, flags) == 0 else {
            throw .failed("could not rename \(source.text) to \(target.text)", errno)
        }
        try synchronize(targetParent, target, doing: "rename to")
        try synchronize(sourceParent, source, doing: "rename")
        return .done
    }

    private func makeDirectory(_ text: String, _ mode: UInt32) throws(LauncherFailure) -> Bool {
        let path = try changeable(text)
        let parent = try resolver.openParent(of: path, doing: "make")
        defer { System.close(parent) }
        if unsafe mkdirat(parent, path.name, mode & 0o777) != 0 {
            let code = errno
            if code == EEXIST, try entry(path.name, in: parent, path)?.kind == .folder { return false }
            throw .failed("could not make folder \(path.text)", code)
        }
        guard unsafe fchmodat(parent, path.name, mode & 0o777, 0) == 0 else {
            throw .failed("could not set the mode of folder \(path.text)", errno)
        }
        try synchronize(parent, path, doing: "make folder")
        return true
    }

    private func inspect(_ text: String) throws(LauncherFailure) -> FolderEntry? {
        let path = try FolderPath(text, orRoot: true)
        do throws(LauncherFailure) {
            let parent = try resolver.openParent(of: path, doing: "look at")
            defer { System.close(parent) }
            var found = try entry(path.name, in: parent, path)
            let born = unsafe CPlatform_birth(parent, path.name)
            if born > 0 { found?.bornNanoseconds = born }
            return found
        } catch  where error.kind == .absent {
            return nil
        }
    }

    private func entry(_ name: String, in folder: Int32, _ path: FolderPath) throws(LauncherFailure) -> FolderEntry? {
        var information = stat()
        if unsafe fstatat(folder, name, &information, AT_SYMLINK_NOFOLLOW) != 0 {
            if errno == ENOENT { return nil }
            throw .failed("could not look at \(path.text)", errno)
        }
        let size = UInt64(clamping: information.st_size)
        return FolderEntry(name: name, kind: kind(ofMode: information.st_mode), size: size)
    }

    private func kind(ofMode mode: UInt32) -> EntryKind {
        switch mode & S_IFMT {
        case S_IFREG: .file
        case S_IFDIR: .folder
        case S_IFLNK: .symbolicLink
        default: .other
        }
    }

    private func list(_ text: String) throws(LauncherFailure) -> [FolderEntry] {
        let path = try FolderPath(text, orRoot: true)
        let folder = try resolver.open(path, flags: O_RDONLY | O_DIRECTORY, doing: "list")
        defer { System.close(folder) }
        let names = try names(in: folder, path)
        guard names.count <= DataFolder.entryLimit else {
            throw .refused("could not list \(path.text): it holds more than \(DataFolder.entryLimit) names")
        }
        var entries: [FolderEntry] = []
        for name in names.sorted() {
            if let entry = try entry(name, in: folder, path) { entries.append(entry) }
        }
        return entries
    }

    private func names(in folder: Int32, _ path: FolderPath) throws(LauncherFailure) -> [String] {
        let copy = unsafe CPlatform_openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
        guard copy >= 0, let stream = unsafe fdopendir(copy) else {
            throw .failed("could not list \(path.text)", errno)
        }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while names.count <= DataFolder.entryLimit, let entry = unsafe readdir(stream) {
            guard let pointer = unsafe CPlatform_entry_name(entry) else { continue }
            let name = unsafe String(cString: pointer)
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    private func removeTree(_ text: String) throws(LauncherFailure) -> Bool {
        let path = try changeable(text)
        let parent: Int32
        do throws(LauncherFailure) {
            parent = try resolver.openParent(of: path, doing: "remove")
        } catch  where error.kind == .absent {
            return false
        }
        defer { System.close(parent) }
        guard let top = try entry(path.name, in: parent, path) else { return false }
        try removeTree(top, in: parent, path, depth: 0)
        try synchronize(parent, path, doing: "remove")
        return true
    }

    private func removeTree(
        _ entry: FolderEntry,
        in parent: Int32,
        _ path: FolderPath,
        depth: Int
    ) throws(LauncherFailure) {
        guard entry.kind == .folder else {
            guard unsafe unlinkat(parent, entry.name, 0) == 0 || errno == ENOENT else {
                throw .failed("could not remove \(entry.name) in \(path.text)", errno)
            }
            return
        }
        guard depth < DataFolder.depthLimit else {
            throw .refused("could not remove \(path.text): it is deeper than \(DataFolder.depthLimit) folders")
        }
        let folder = unsafe CPlatform_openat(parent, entry.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0)
        guard folder >= 0 else { throw .failed("could not open \(entry.name) in \(path.text)", errno) }
        defer { System.close(folder) }
        // A listing ends at its limit: removed and listed again until nothing is left.
        while true {
            let names = try names(in: folder, path)
            if names.isEmpty { break }
            for name in names {
                if let inner = try self.entry(name, in: folder, path) {
                    try removeTree(inner, in: folder, path, depth: depth + 1)
                }
            }
        }
        guard unsafe unlinkat(parent, entry.name, AT_REMOVEDIR) == 0 else {
            throw .failed("could not remove folder \(entry.name) in \(path.text)", errno)
        }
    }

    private func space(_ text: String) throws(LauncherFailure) -> VolumeSpace {
        let path = try FolderPath(text, orRoot: true)
        let joined = path.components.isEmpty ? "." : path.text
        // Links are followed here alone: the volume of `pg_wal` may be another one, and nothing is read or changed.
        let descriptor = unsafe CPlatform_openat(resolver.folder, joined, CPLATFORM_O_PATH | O_CLOEXEC, 0)
        guard descriptor >= 0 else { throw .failed("could not measure the volume of \(path.text)", errno) }
        defer { System.close(descriptor) }
        var (total, available) = (UInt64(0), UInt64(0))
        guard unsafe CPlatform_space(descriptor, &total, &available) == 0 else {
            throw .failed("could not measure the volume of \(path.text)", errno)
        }
        return VolumeSpace(totalBytes: total, availableBytes: available)
    }
}
