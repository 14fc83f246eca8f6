/// How the server is stopped.
public enum StopMode: UInt8, Hashable, Sendable, CaseIterable {
    /// SIGINT to the postmaster: sessions are ended, a shutdown checkpoint is written.
    case fast = 1
    /// SIGQUIT to the postmaster: everything stops, recovery at the next start.
    case immediate = 2
    /// SIGKILL to every process of the server, repeated until none is left.
    case kill = 3
}

/// What `rename` does where the new name is taken.
public enum RenameMode: UInt8, Hashable, Sendable, CaseIterable {
    /// Refuses.
    case refuse = 1
    /// Replaces what is there.
    case replace = 2
    /// Swaps the two in one step.
    case exchange = 3
}

/// How a process ended.
public enum ProcessEnd: Hashable, Sendable, CustomStringConvertible {
    /// It returned this status.
    case exited(Int32)
    /// This signal ended it.
    case signalled(Int32)

    /// As a person says it.
    public var description: String {
        switch self {
        case .exited(let status): "exit status \(status)"
        case .signalled(let signal): "signal \(signal)"
        }
    }

    /// Whether the process reported success.
    public var isSuccess: Bool { self == .exited(0) }
}

/// Which stage of a lease's end was reached.
public enum LeaseStage: UInt8, Hashable, Sendable, CaseIterable {
    /// The fence budget began: immediate shutdown.
    case immediate = 1
    /// The lease ended: SIGKILL to every process of the server.
    case kill = 2
}

/// Where a tool wrote.
public enum ToolStream: UInt8, Hashable, Sendable, CaseIterable {
    /// Standard output.
    case output = 1
    /// Standard error.
    case error = 2
}

/// What a name in a folder stands for.
public enum EntryKind: UInt8, Hashable, Sendable, CaseIterable {
    /// A regular file.
    case file = 1
    /// A folder.
    case folder = 2
    /// A symbolic link, which is never followed.
    case symbolicLink = 3
    /// Anything else.
    case other = 4
}

/// Whether the server runs.
public enum ServerState: Hashable, Sendable {
    /// No process of the server is left; how its postmaster ended, if one ran under this launcher.
    case down(ProcessEnd?)
    /// The postmaster runs under this process id.
    case running(processID: Int32)
    /// The postmaster ended so, other processes of the server are still being killed.
    case ending(ProcessEnd)
}

/// The launcher's answer to `hello`.
public struct LauncherStatus: Hashable, Sendable {
    /// The protocol version of the launcher.
    public var version: UInt32
    /// Process id of the launcher's worker, the parent of the server.
    public var processID: Int32
    /// Process id of the guard; the worker's own where the launcher is a single process (PID 1).
    public var guardProcessID: Int32
    /// Whether the server runs.
    public var server: ServerState
    /// Milliseconds left of the lease; `nil` when none is armed.
    public var leaseRemainingMilliseconds: UInt64?

    /// Creates a status.
    public init(
        version: UInt32,
        processID: Int32,
        guardProcessID: Int32,
        server: ServerState,
        leaseRemainingMilliseconds: UInt64?
    ) {
        self.version = version
        self.processID = processID
        self.guardProcessID = guardProcessID
        self.server = server
        self.leaseRemainingMilliseconds = leaseRemainingMilliseconds
    }
}

/// One variable of an environment.
public struct EnvironmentVariable: Hashable, Sendable {
    /// Its name.
    public var name: String
    /// Its value.
    public var value: String

    /// Creates a variable.
    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// One process of the server.
public struct ServerProcess: Hashable, Sendable {
    /// Its process id.
    public var processID: Int32
    /// Its parent's.
    public var parentProcessID: Int32
    /// Its title, for instance `postgres: walreceiver`.
    public var title: String

    /// Creates a description of a process.
    public init(processID: Int32, parentProcessID: Int32, title: String) {
        self.processID = processID
        self.parentProcessID = parentProcessID
        self.title = title
    }
}

/// One name in a folder.
public struct FolderEntry: Hashable, Sendable {
    /// The last part of its path.
    public var name: String
    /// What it stands for.
    public var kind: EntryKind
    /// Its size in bytes.
    public var size: UInt64
    /// When it was made, in nanoseconds since 1970, as the file system says; `nil` where it does not, and in lists.
    ///
    /// Nothing can set it: a copy, however made, has a time of its own, while a rename or a write leaves it as it is.
    public var bornNanoseconds: UInt64?

    /// Creates an entry.
    public init(name: String, kind: EntryKind, size: UInt64, bornNanoseconds: UInt64? = nil) {
        self.name = name
        self.kind = kind
        self.size = size
        self.bornNanoseconds = bornNanoseconds
    }
}

/// Room on a volume.
public struct VolumeSpace: Hashable, Sendable {
    /// Size of the volume in bytes.
    public var totalBytes: UInt64
    /// Bytes that the server may still use.
    public var availableBytes: UInt64

    /// Creates a measurement.
    public init(totalBytes: UInt64, availableBytes: UInt64) {
        self.totalBytes = totalBytes
        self.availableBytes = availableBytes
    }
}

/// Why the launcher did not do as asked.
public enum FailureKind: UInt8, Hashable, Sendable, CaseIterable {
    /// The order is against a rule of the launcher; asking again does not help.
    case refused = 1
    /// The operating system refused, or the world is not as it should be.
    case failed = 2
    /// Work of an earlier connection is still being ended, or too much runs at once: ask again.
    case busy = 3
    /// A part of the path is not there.
    case absent = 4
}
