public import ClusterModel
public import InstanceDecision
public import LauncherClient
import LauncherProtocol
import PostgresDriver

/// What an agent finds when it comes to its launcher.
public struct Attachment: Hashable, Sendable {
    /// Nil if there is no state file.
    public var state: InstanceState?
    /// What is in the data directory.
    public var directory: DataDirectory
    /// The data directory carries the incarnation that the state file names.
    public var matches: Bool
    /// Why it is a copy of that member's data, or was restored, all the same (R5); nil if nothing shows it.
    public var copied: String?
    /// Whether a server runs.
    public var server: LauncherView
}

/// Makes one PostgreSQL server do what the instance's machine decides.
///
/// Files and processes go through the launcher, which may run as another user; SQL goes through libpq. A procedure
/// never throws: it ends in an `Outcome`. Cancelling its task ends it, tools included.
public actor PostgresAdapter {
    /// What this adapter was made with.
    public let configuration: PostgresConfiguration
    let launcher: LauncherClient

    var incarnation: Incarnation?
    /// There was no data when the instance was looked at, and none was made since.
    var foundEmpty = false
    var systemIdentifier: SystemIdentifier?
    /// The launcher's PostgreSQL programs, once they were run.
    var programs: PostgresRelease?
    /// Major version of the data directory, and so of a server that runs on it; nil if there is none.
    var directoryMajor: Int?
    var steering = Steering()
    /// False while, or after, a write of it did not come to its end: the file may say either.
    var isSteeringCertain = true
    /// For procedures.
    var working: PostgresSession?
    /// For polls: a prepared statement, and on a standby replication commands.
    var observing: PostgresSession?
    var identifying: PostgresSession?
    var beating: PostgresSession?
    var lastBeat: ContinuousClock.Instant?
    var demandedCapacity: CapacitySettings?
    var capacityReadAt: ContinuousClock.Instant?
    var peers: [MemberID] = []
    var slotsTendedAt: ContinuousClock.Instant?
    var slotTarget: LSN = .zero
    /// Postmaster of the server that was started or found last.
    public internal(set) var serverProcessID: Int32?
    /// The process that replays, the same one as long as the server is in recovery.
    var startupProcessID: Int32?
    /// How often in a row the control file could not be read.
    var unreadable = 0
    /// Whether comment-only history files may lie in `pg_wal`; unknown to an agent that has just come.
    var holdsComments = true
    var staleSlots: [String: ContinuousClock.Instant] = [:]
    /// Names that are known to be in force in every process of the running server.
    var namesInForce: String?
    var slotTask: Task<Void, Never>?
    /// Counts the orders that make an earlier promotion void: it may not pull the trigger any more.
    var steps: UInt64 = 0
    /// The user's access rules were found good by this server; they do not change in an adapter's life.
    var areRulesAccepted = false

    /// What long work is under way, such as `cloning: 120 of 300 MB`; empty if none.
    public internal(set) var activity = ""
    /// What is wrong without keeping the server from running, such as a refused access rule; empty if nothing.
    public internal(set) var fault = ""

    /// Folders with WAL that the recorded history does not contain, oldest first.
    public internal(set) var keptWAL: [String] = []
    var news: [Explanation] = []
    /// What was said last of the mark in the data directory.
    var toldOfMark = ""

    /// Creates an adapter; the launcher's client is connected by its owner.
    public init(configuration: PostgresConfiguration, launcher: LauncherClient) {
        self.configuration = configuration
        self.launcher = launcher
    }

    deinit { slotTask?.cancel() }

    // MARK: State

    /// Looks at what is there: state file, data directory, server.
    ///
    /// - Throws: `AdapterError` if the launcher does not answer, or a state file is there that cannot be read; never a
    ///   guess then, and nothing is overwritten (D106).
    public func attach() async throws(AdapterError) -> Attachment {
        do throws(WorkError) {
            forgetServer()
            let state = try await readState()
            let directory = try await readDirectory()
            foundEmpty = directory == .empty
            directoryMajor = try await release(of: InstanceLayout.data)?.major
            let mark = try await readMark(for: state)
            incarnation = mark.found
            if let text = try await readText(InstanceLayout.inside(InstanceLayout.settingsFile)) {
                steering = SettingsFile.parse(text) ?? Steering()
            }
            let view = try await readServer()
            removeReplaced()
            await readKeptWAL()
            return Attachment(
                state: state,
                directory: directory,
                matches: mark.matches,
                copied: mark.copied,
                server: view
            )
        } catch {
            throw AdapterError(text: "could not look at the instance: \(error)")
        }
    }

    /// Writes the state file durably; done when this returns.
    public func persist(_ state: InstanceState) async throws(AdapterError) {
        do throws(WorkError) {
            try await place(InstanceLayout.state, StateFile.compose(state))
        } catch {
            throw AdapterError(text: "could not write the state file: \(error)")
        }
    }

    /// Whether nothing is left of the data directory; false if nobody can say.
    public func directoryIsGone() async -> Bool {
        do throws(WorkError) {
            if try await exists(InstanceLayout.inside("global/pg_control")) { return false }
            return try await !exists(InstanceLayout.inside("PG_VERSION"))
        } catch {
            return false
        }
    }

    /// The copy of the record that was kept last; nil if there is none (R1).
    public func recordCopy() async throws(AdapterError) -> [UInt8]? {
        do throws(LauncherError) {
            return try await launcher.read(InstanceLayout.recordCopy, limit: Self.copyLimit)
        } catch {
            throw AdapterError(text: "could not read the copy of the record: \(error)")
        }
    }

    /// Keeps a copy of the record durably, in place of the one before.
    public func keep(recordCopy: [UInt8]) async throws(AdapterError) {
        do throws(LauncherError) {
            try await launcher.place(InstanceLayout.recordCopy, recordCopy)
        } catch {
            throw AdapterError(text: "could not keep a copy of the record: \(error)")
        }
    }

    /// Largest copy of a record that is read.
    private static let copyLimit = 256 * 1024

    /// Free bytes on the fuller of the volumes of data and WAL, which may be two; nil if nobody can say.
    public func freeSpace() async -> UInt64? {
        let data = try? await launcher.space("").availableBytes
        let wal = try? await launcher.space(InstanceLayout.inside("pg_wal")).availableBytes
        return [data, wal].compactMap { $0 }.min()
    }

    /// Sessions of a server that is gone, and what was known of it.
    ///
    /// Called by the owner when the server is down, too.
    public func forgetServer() {
        for session in [working, observing, identifying, beating] { session?.close() }
        (working, observing, identifying, beating) = (nil, nil, nil, nil)
        lastBeat = nil
        namesInForce = nil
        startupProcessID = nil
        slotTarget = .zero
        slotTask?.cancel()
    }

    /// Stops the server; that it is down is told by the launcher.
    ///
    /// - Returns: Why it was not even begun; nil if it was.
    public func stop(_ mode: InstanceDecision.StopMode) async -> String? {
        steps += 1
        let mode: LauncherProtocol.StopMode =
            switch mode {
            case .fast: .fast
            case .immediate: .immediate
            case .kill: .kill
            }
        do throws(LauncherError) {
            try await launcher.stop(mode)
            return nil
        } catch {
            return error.message
        }
    }

    /// A file that is there and cannot be read is not taken for a missing one: it may hold promises, and a vote.
    private func readState() async throws(WorkError) -> InstanceState? {
        guard let text = try await readText(InstanceLayout.state, limit: 64 << 10) else { return nil }
        do throws(StateFile.Unreadable) {
            return try StateFile.parse(text)
        } catch {
            throw WorkError(
                "could not read the state file \(configuration.dataFolder)/\(InstanceLayout.state): \(error.reason); put it "
                    + "back as it was, or install the version that wrote it; only if neither can be had remove it, which "
                    + "gives up this member's word: its data are then made anew from a primary"
            )
        }
    }

    func readDirectory() async throws(WorkError) -> DataDirectory {
        guard let entry = try await launch({ (l) throws(LauncherError) in try await l.inspect(InstanceLayout.data) })
        else { return .empty }
        guard entry.kind == .folder else { return .foreign(reason: "pgdata is no folder") }
        let entries = try await launch { (l) throws(LauncherError) in try await l.list(InstanceLayout.data) }
        if entries.isEmpty { return .empty }
        guard entries.contains(where: { $0.name == "PG_VERSION" }) else {
            return .foreign(reason: "pgdata holds something, but no PG_VERSION")
        }
        do throws(WorkError) {
            let data = try await controlData(of: InstanceLayout.data)
            guard let identifier = data.systemIdentifier else {
                return .foreign(reason: "pgdata/global/pg_control names no system identifier")
            }
            systemIdentifier = identifier
            unreadable = 0
            return .present(identifier)
        } catch {
            // A tool that could not be run says nothing of the data: look again, and only then believe it.
            unreadable += 1
            if unreadable < 20, try await exists(InstanceLayout.inside("global/pg_control")) { throw error }
            return .foreign(reason: "\(error)")
        }
    }

    private func readServer() async throws(WorkError) -> LauncherView {
        let status = try await launch { (l) throws(LauncherError) in try await l.status() }
        let lease = status.leaseRemainingMilliseconds.map { Duration.milliseconds(Int64(clamping: $0)) }
        switch status.server {
        case .down: return .down
        case .running(let processID):
            serverProcessID = processID
            return await isShuttingDown(processID) ? .stopping(lease: lease) : .running(lease: lease)
        case .ending:
            serverProcessID = nil
            return .running(lease: lease)
        }
    }

    /// What this very postmaster says of itself in the eighth line of its file.
    private func isShuttingDown(_ processID: Int32) async -> Bool {
        guard let text = try? await readText(InstanceLayout.inside("postmaster.pid"), limit: 4096) else { return false }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        return lines.count > 7 && Int32(lines[0]) == processID && lines[7].trimmingPrefix(" ").hasPrefix("stopping")
    }

    /// What an exchange of directories left behind, if a crash came in between.
    private func removeReplaced() {
        let launcher = launcher
        Task { _ = try? await launcher.removeTree(InstanceLayout.replaced) }
    }

    /// This instance in its incarnation.
    func member() throws(WorkError) -> MemberID {
        guard let incarnation else {
            throw WorkError("the data directory has no incarnation: it must be initialized or cloned first")
        }
        return MemberID(name: configuration.name, incarnation: incarnation)
    }

    /// Runs a procedure and turns what it throws into an outcome.
    func outcome(of work: String, _ body: () async throws(WorkError) -> Outcome) async -> Outcome {
        do throws(WorkError) {
            return try await body()
        } catch {
            return .failed("could not \(work): \(error)")
        }
    }
}

/// Why the adapter cannot even say what is there.
public struct AdapterError: Error, Hashable, Sendable, CustomStringConvertible {
    /// One sentence for a person.
    public let text: String

    /// The sentence.
    public var description: String { text }
}
