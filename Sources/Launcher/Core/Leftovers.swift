import CPlatform
import Glibc
import LauncherProtocol

/// Ends what an earlier launcher left alive in the data folder.
enum Leftovers {
    /// Programs that are ours to kill when they work inside the data folder.
    static let programs: Set<String> = Set(ServerTools.allowed + ["postgres", "postmaster"])

    /// Kills until a whole reading of `/proc` shows none; returns how many there were.
    static func end(inFolder path: String) throws(LauncherFailure) -> Int {
        var killed: Set<Int32> = []
        var left: [Int32] = []
        let deadline = CPlatform_boot_time() + 10_000_000_000
        repeat {
            left = System.names(in: "/proc").compactMap(Int32.init).filter { endIfLeftover($0, path) }
            killed.formUnion(left)
            if left.isEmpty { return killed.count }
            _ = poll(nil, 0, 2)
        } while CPlatform_boot_time() < deadline
        let list = left.map(String.init).joined(separator: ", ")
        throw .refused(
            "could not end processes \(list), left in data folder \(path) by an earlier launcher, within 10 s: they "
                + "hang in the kernel; mend the storage or restart the machine"
        )
    }

    /// Removes a `postmaster.pid` whose process id has passed to something that is no server.
    ///
    /// PostgreSQL takes any living process with that id, a zombie too, for the old server and refuses to start. Its
    /// other lock file, beside its socket, is out of reach: so one that is ending is first given time to be reaped.
    static func clearProcessFile(folder: Int32, patienceMilliseconds: Int = 0) {
        let files = DataFolder(descriptor: folder)
        guard case .contents(let bytes?) = files.answer(.read(path: processFile, limit: 4096)),
            let processID = Int32(String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)),
            processID > 0
        else { return }
        var waits = patienceMilliseconds / 10
        while waits > 0, isEnding(processID) {
            waits -= 1
            _ = poll(nil, 0, 10)
        }
        if patienceMilliseconds > 0, isEnding(processID) {
            System.log(
                "process \(processID) of the earlier server is dead, and its parent "
                    + "\(ProcessTable.parent(of: processID) ?? 0) does not collect it: PostgreSQL may refuse to start "
                    + "until then; give the container an init process"
            )
        }
        if kill(processID, 0) == 0, !mayBeServer(processID) { _ = files.answer(.remove(path: processFile)) }
    }

    private static let processFile = "pgdata/postmaster.pid"

    /// A zombie, or a killed process that becomes one in a moment: it shows no program any more.
    private static func isEnding(_ processID: Int32) -> Bool {
        if ProcessTable.isZombie(processID) { return true }
        return System.linkTarget("/proc/\(processID)/exe") == nil && errno == ENOENT && kill(processID, 0) == 0
    }

    private static func mayBeServer(_ processID: Int32) -> Bool {
        if ProcessTable.isZombie(processID) { return false }
        guard let program = System.linkTarget("/proc/\(processID)/exe") else { return true }
        return programs.contains(name(ofProgram: program))
    }

    private static func name(ofProgram path: String) -> String {
        // The kernel says so of a program that was upgraded while it ran.
        let deleted = " (deleted)"
        let name = path.split(separator: "/").last.map(String.init) ?? ""
        return name.hasSuffix(deleted) ? String(name.dropLast(deleted.count)) : name
    }

    private static func endIfLeftover(_ processID: Int32, _ path: String) -> Bool {
        guard processID != getpid(), isLeftover(processID, path) else { return false }
        let descriptor = CPlatform_pidfd_open(processID)
        guard descriptor >= 0 else { return false }
        defer { System.close(descriptor) }
        // Looked at again behind the descriptor: the number may have passed to another process in between.
        guard isLeftover(processID, path) else { return false }
        _ = CPlatform_pidfd_send_signal(descriptor, SIGKILL)
        return true
    }

    /// A program of the server whose working folder lies in the data folder, run by the same user.
    private static func isLeftover(_ processID: Int32, _ path: String) -> Bool {
        guard let folder = System.linkTarget("/proc/\(processID)/cwd"),
            folder == path || folder.hasPrefix(path + "/"),
            let program = System.linkTarget("/proc/\(processID)/exe")
        else { return false }
        return programs.contains(name(ofProgram: program))
    }
}

/// The server's own tools.
enum ServerTools {
    /// What the agent may have run.
    static let allowed = [
        "initdb", "pg_basebackup", "pg_checksums", "pg_controldata", "pg_isready", "pg_rewind", "pg_waldump",
        "postgres",
    ]
}
