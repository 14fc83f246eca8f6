public import LauncherProtocol

/// File operations inside the launcher's data folder; no symbolic link is followed, except by `space`.
extension LauncherClient {
    /// Writes a file of at most 1 MiB in one step: temporary file, fsync, rename, fsync of the folder.
    ///
    /// Not `durable`: without the two fsyncs, for what only the running server reads.
    public func place(
        _ path: String,
        _ contents: [UInt8],
        mode: UInt32 = 0o600,
        durable: Bool = true,
        within limit: Duration = .seconds(10)
    ) async throws(LauncherError) {
        guard contents.count <= 1 << 20 else {
            throw LauncherError(.refused, "could not place \(path): \(contents.count) bytes are more than 1 MiB")
        }
        try await order(.place(path: path, contents: contents, mode: mode, durable: durable), limit)
    }

    /// Reads a file; `nil` when it is absent.
    ///
    /// One longer than `limit` bytes is refused.
    public func read(
        _ path: String,
        limit: Int = 1 << 20,
        within time: Duration = .seconds(10)
    ) async throws(LauncherError) -> [UInt8]? {
        let reply = try await ask(.read(path: path, limit: UInt32(clamping: limit)), time)
        guard case .contents(let contents) = reply else { throw LauncherClient.unexpected(reply) }
        return contents
    }

    /// Removes a file, a symbolic link or an empty folder, durably; whether there was one.
    @discardableResult
    public func remove(_ path: String, within limit: Duration = .seconds(10)) async throws(LauncherError) -> Bool {
        try await change(.remove(path: path), limit)
    }

    /// Renames durably.
    public func rename(
        _ from: String,
        to: String,
        mode: RenameMode = .refuse,
        within limit: Duration = .seconds(10)
    ) async throws(LauncherError) {
        try await order(.rename(from: from, to: to, mode: mode), limit)
    }

    /// Lists a folder, sorted by name; `""` is the data folder itself.
    public func list(_ path: String, within limit: Duration = .seconds(10)) async throws(LauncherError) -> [FolderEntry]
    {
        let reply = try await ask(.list(path: path), limit)
        guard case .entries(let entries) = reply else { throw LauncherClient.unexpected(reply) }
        return entries
    }

    /// Removes a folder and everything in it; whether there was one.
    ///
    /// Links are removed, never followed.
    @discardableResult
    public func removeTree(
        _ path: String,
        within limit: Duration = .seconds(600)
    ) async throws(LauncherError) -> Bool {
        try await change(.removeTree(path: path), limit)
    }

    /// Makes a folder, durably; `false` when there was one already.
    @discardableResult
    public func makeDirectory(
        _ path: String,
        mode: UInt32 = 0o700,
        within limit: Duration = .seconds(10)
    ) async throws(LauncherError) -> Bool {
        try await change(.makeDirectory(path: path, mode: mode), limit)
    }

    /// What a path stands for; `nil` for nothing.
    public func inspect(
        _ path: String,
        within limit: Duration = .seconds(10)
    ) async throws(LauncherError) -> FolderEntry? {
        let reply = try await ask(.inspect(path: path), limit)
        guard case .entry(let entry) = reply else { throw LauncherClient.unexpected(reply) }
        return entry
    }

    /// Reads at most `count` bytes from the beginning of a file; `nil` when it is absent.
    public func readStart(
        _ path: String,
        count: Int,
        within time: Duration = .seconds(10)
    ) async throws(LauncherError) -> [UInt8]? {
        let reply = try await ask(.readStart(path: path, count: UInt32(clamping: count)), time)
        guard case .contents(let contents) = reply else { throw LauncherClient.unexpected(reply) }
        return contents
    }

    /// Copies a file of at most `limit` bytes, durably, to a name that is not taken.
    public func copy(
        _ from: String,
        to: String,
        limit: UInt64,
        within time: Duration = .seconds(60)
    ) async throws(LauncherError) {
        try await order(.copy(from: from, to: to, limit: limit), time)
    }

    /// Room on the volume of a path.
    public func space(_ path: String, within limit: Duration = .seconds(10)) async throws(LauncherError) -> VolumeSpace
    {
        let reply = try await ask(.space(path: path), limit)
        guard case .space(let space) = reply else { throw LauncherClient.unexpected(reply) }
        return space
    }
}
