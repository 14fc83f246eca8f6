import ClusterModel
public import InstanceDecision
import LauncherClient
import LauncherProtocol
import PostgresDriver
import Synchronization

/// Data directories made anew: in a sibling, swapped in when complete.
extension PostgresAdapter {
    /// Makes a data directory with a new incarnation.
    public func initialize() async -> Outcome {
        await outcome(of: "initialize a data directory") { () throws(WorkError) in
            if try await serverRuns() { return .foundServer }
            activity = "initializing"
            defer { activity = "" }
            let path = "\(configuration.dataFolder)/\(InstanceLayout.copy)"
            try await judgePrograms(runDirectory: false)
            try await removeCopy()
            try await tool(
                "initdb",
                [
                    "-D", path, "-U", configuration.superuser, "--data-checksums", "-E", "UTF8", "--locale=C.UTF-8",
                    "--auth-local=peer", "--auth-host=scram-sha-256",
                ],
                timeout: .seconds(600)
            )
            let new = Incarnation(number: .random(in: .min ... .max))
            let identifier = try await finishCopy(new, upstream: nil)
            return .initialized(new, identifier)
        }
    }

    /// Copies the upstream, with a new incarnation; a failed copy leaves what was there untouched.
    ///
    /// With `keepsWAL`, what was there may have WAL that the recorded history does not contain: it is set aside.
    public func clone(_ upstream: Upstream, keepsWAL: Bool = false) async -> Outcome {
        await outcome(of: "clone \(upstream.primary) at \(upstream.server)") { () throws(WorkError) in
            if try await serverRuns() { return .foundServer }
            activity = "cloning"
            defer { activity = "" }
            let new = Incarnation(number: .random(in: .min ... .max))
            let member = MemberID(name: configuration.name, incarnation: new)
            try await judgePrograms(runDirectory: false)
            try await checkIdentity(of: upstream)
            try await removeCopy()
            try await writePasswords()
            try await ensureOwnSlot(on: upstream.server, of: member, within: .seconds(10))
            do throws(WorkError) {
                try await copy(upstream, as: member)
                if keepsWAL { try await keepDivergentWAL(upstream) }
                let identifier = try await finishCopy(new, upstream: upstream)
                return .cloned(new, identifier)
            } catch {
                await dropSlot(of: member, on: upstream.server)
                throw error
            }
        }
    }

    /// Refuses a server that is not of this cluster, or of another major version.
    func checkIdentity(of upstream: Upstream) async throws(WorkError) {
        let session: PostgresSession
        do throws(PostgresError) {
            session = try await PostgresSession.connect(replicationTarget(upstream.server), deadline: .seconds(5))
        } catch {
            throw WorkError(error)
        }
        defer { session.close() }
        let found = try await ask(session, "IDENTIFY_SYSTEM").first(0) ?? "none"
        guard found == upstream.systemIdentifier.description else {
            throw WorkError(
                "the system identifier of \(upstream.server) is \(found), the cluster's is \(upstream.systemIdentifier)"
            )
        }
        try await judgeVersion(of: session, at: upstream.server)
    }

    private func removeCopy() async throws(WorkError) {
        _ = try await launch { (l) throws(LauncherError) in try await l.removeTree(InstanceLayout.copy) }
    }

    /// A slot that nobody will use holds WAL for ever.
    private func dropSlot(of member: MemberID, on server: Endpoint) async {
        guard let session = try? await PostgresSession.connect(replicationTarget(server), deadline: .seconds(2)) else {
            return
        }
        defer { session.close() }
        _ = try? await session.query("DROP_REPLICATION_SLOT \"\(member.applicationName)\"", deadline: .seconds(2))
    }

    /// Runs the base backup; a minute without progress ends it.
    private func copy(_ upstream: Upstream, as member: MemberID) async throws(WorkError) {
        let connection = UpstreamConnection.tool(
            upstream.server,
            database: nil,
            applicationName: member.applicationName,
            passwords: passwordFile
        )
        let path = "\(configuration.dataFolder)/\(InstanceLayout.copy)"
        let progress = CopyProgress()
        let work = Task { () -> Result<Void, WorkError> in
            do throws(WorkError) {
                try await tool(
                    "pg_basebackup",
                    [
                        "-D", path, "-d", connection, "--checkpoint=fast", "--wal-method=stream",
                        "--slot=\(member.applicationName)", "--progress", "--no-password",
                    ]
                ) { _, bytes in progress.take(bytes) }
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        let watch = Task {
            while !Task.isCancelled {
                try? await Task.sleep(for: .milliseconds(500))
                let (done, total) = progress.kilobytes
                if total > 0 { activity = "cloning: \(done >> 10) of \(total >> 10) MB" }
                if progress.isStalled { work.cancel() }
            }
        }
        defer { watch.cancel() }
        let outcome = await withTaskCancellationHandler {
            await work.value
        } onCancel: {
            work.cancel()
        }
        if progress.isStalled, case .failure = outcome { throw WorkError("no progress for 60 seconds") }
        try outcome.get()
    }

    /// Marks the copy with its incarnation and puts it in the place of what was there.
    private func finishCopy(
        _ new: Incarnation,
        upstream: Upstream?
    ) async throws(WorkError) -> SystemIdentifier {
        let copy = InstanceLayout.copy
        guard let identifier = try await controlData(of: copy).systemIdentifier else {
            throw WorkError("the copy names no system identifier")
        }
        if let upstream, upstream.systemIdentifier != identifier {
            throw WorkError("the copy is of system \(identifier), not of \(upstream.systemIdentifier)")
        }
        let member = MemberID(name: configuration.name, incarnation: new)
        var new = Steering()
        if let upstream {
            new.connection = UpstreamConnection.receiving(from: upstream.server, as: member, passwords: passwordFile)
            try await place(InstanceLayout.inside(copy, InstanceLayout.standbySignal), "")
        }
        let text = SettingsFile.compose(new, configuration: configuration, member: member)
        try await place(InstanceLayout.inside(copy, InstanceLayout.settingsFile), text)
        try await place(
            InstanceLayout.inside(copy, InstanceLayout.accessFile),
            AccessFile.compose(open: false, configuration: configuration)
        )
        try await mark(copy, member.incarnation)
        // A copy that is not wanted any more must not take the place of what is there.
        if Task.isCancelled { throw .cancelled }
        try await swapIn()
        foundEmpty = false
        directoryMajor = try await release(of: InstanceLayout.data)?.major
        incarnation = member.incarnation
        systemIdentifier = identifier
        steering = new
        return identifier
    }

    private func swapIn() async throws(WorkError) {
        let (copy, data) = (InstanceLayout.copy, InstanceLayout.data)
        // Decided when there was nothing: what somebody put there since is neither ours nor known to be of no use (R5).
        if foundEmpty {
            guard case .empty = try await readDirectory() else {
                throw WorkError(
                    "'\(data)' is not empty any more: somebody put data there since this agent looked, and they are left "
                        + "alone; start the agent again to have them judged, or move them away"
                )
            }
            // One step that takes the place of nothing but an empty folder, whatever came since that look.
            return try await launch { (l) throws(LauncherError) in try await l.rename(copy, to: data, mode: .replace) }
        }
        guard try await exists(data) else {
            return try await launch { (l) throws(LauncherError) in try await l.rename(copy, to: data) }
        }
        _ = try await launch { (l) throws(LauncherError) in try await l.removeTree(InstanceLayout.replaced) }
        try await launch { (l) throws(LauncherError) in try await l.rename(copy, to: data, mode: .exchange) }
        try await launch { (l) throws(LauncherError) in try await l.rename(copy, to: InstanceLayout.replaced) }
        let launcher = launcher
        Task { _ = try? await launcher.removeTree(InstanceLayout.replaced) }
    }
}

/// How far a base backup has come, read from what it prints.
final class CopyProgress: Sendable {
    private struct Content {
        var line = ""
        var done: UInt64 = 0
        var total: UInt64 = 0
        var movedAt = ContinuousClock.now
    }

    private let content = Mutex(Content())

    /// Takes in output: lines such as `  24576/30214 kB (81%), 0/1 tablespace`.
    func take(_ bytes: [UInt8]) {
        content.withLock { content in
            content.line += String(decoding: bytes, as: UTF8.self)
            let lines = content.line.split(omittingEmptySubsequences: false) { $0.isNewline }
            content.line = String((lines.last ?? "").suffix(1000))
            for line in lines.dropLast() { Self.read(line, into: &content) }
        }
    }

    /// Kilobytes copied, and to be copied.
    var kilobytes: (done: UInt64, total: UInt64) { content.withLock { ($0.done, $0.total) } }

    /// A minute without another byte; once all is copied it is written to disk, which prints nothing.
    var isStalled: Bool {
        content.withLock { content in
            let isComplete = content.total > 0 && content.done >= content.total
            return !isComplete && ContinuousClock.now - content.movedAt > .seconds(60)
        }
    }

    private static func read(_ line: Substring, into content: inout Content) {
        let words = line.split(whereSeparator: \.isWhitespace)
        let numbers = words.first?.split(separator: "/") ?? []
        guard words.count >= 2, words[1] == "kB", numbers.count == 2, let done = UInt64(numbers[0]),
            let total = UInt64(numbers[1])
        else { return }
        if done > content.done { content.movedAt = .now }
        (content.done, content.total) = (done, total)
    }
}
