public import ClusterModel
public import InstanceDecision
import LauncherClient
import LauncherProtocol
import PostgresDriver

/// A directory that went its own way is brought back onto the upstream's history (R14).
extension PostgresAdapter {
    /// Does all that a rewind needs before it changes anything in the data directory.
    ///
    /// The divergent WAL is copied aside: `pg_rewind` needs it, and then removes it.
    public func makeReadyToRewind(_ upstream: Upstream) async -> Outcome {
        await outcome(of: "make ready to rewind to \(upstream.primary) at \(upstream.server)") {
            () throws(WorkError) in
            if try await serverRuns() { return .foundServer }
            activity = "rewinding"
            defer { activity = "" }
            try await judgePrograms(runDirectory: true)
            try await checkIdentity(of: upstream)
            try await awaitCheckpoint(of: upstream)
            try await keepDivergentWAL(upstream)
            return .readyToRewind
        }
    }

    /// Recovers, rewinds, and leaves a directory that will start as a standby of the upstream.
    ///
    /// What fails while the upstream is gone, or another server than before, is no fault of what is here.
    public func rewind(_ upstream: Upstream) async -> Outcome {
        let work = "rewind to \(upstream.primary) at \(upstream.server)"
        let began: String
        do throws(WorkError) {
            began = try await startTime(of: upstream)
        } catch {
            return .sourceLost("could not \(work): \(error)")
        }
        let ended = await outcome(of: work) { () throws(WorkError) in
            if try await serverRuns() { return .foundServer }
            activity = "rewinding"
            defer { activity = "" }
            let member = try member()
            try await writeFixedFiles()
            try await shutOut(member)
            try await recover()
            try await runRewind(upstream)
            try await finishRewind(upstream, member)
            return .rewound
        }
        guard case .failed(let reason) = ended, !Task.isCancelled else { return ended }
        return (try? await startTime(of: upstream)) == began ? ended : .sourceLost(reason)
    }

    /// When the upstream's server was started, as its own clock says: another answer is another server.
    private func startTime(of upstream: Upstream) async throws(WorkError) -> String {
        var target = replicationTarget(upstream.server)
        target.purpose = .statements
        do throws(PostgresError) {
            let session = try await PostgresSession.connect(target, deadline: .seconds(5))
            defer { session.close() }
            let result = try await session.query("SELECT pg_postmaster_start_time()", deadline: .seconds(5))
            return result.first() ?? ""
        } catch {
            throw WorkError(error)
        }
    }

    /// Reads the control file of a server that is down.
    public func inspect() async -> Outcome {
        await outcome(of: "read the control file") { () throws(WorkError) in
            // Of a running server it says what was true at the last checkpoint.
            if try await serverRuns() { return .foundServer }
            guard let facts = try await controlData(of: InstanceLayout.data).facts else {
                throw WorkError("pg_controldata does not say what it should")
            }
            return .inspected(facts)
        }
    }

    /// Reads the history file of a timeline; one that is not there says nothing.
    public func readLineage(_ timeline: Timeline) async -> Outcome {
        await outcome(of: "read the history of timeline \(timeline)") { () throws(WorkError) in
            let path = InstanceLayout.inside("pg_wal/\(historyName(timeline))")
            let text = try await readText(path, limit: 256 << 10)
            return .lineage(Lineage(timeline: timeline, historyFile: text ?? ""))
        }
    }

    /// `pg_rewind` believes the control file, which keeps the old timeline until the first checkpoint.
    private func awaitCheckpoint(of upstream: Upstream) async throws(WorkError) {
        let end = Limit(.seconds(60))
        var target = replicationTarget(upstream.server)
        target.purpose = .statements
        activity = "rewinding: waiting for the primary's checkpoint"
        while true {
            let found: String?
            do throws(PostgresError) {
                let session = try await PostgresSession.connect(target, deadline: .seconds(5))
                defer { session.close() }
                repeat {
                    let result = try await session.query(
                        "SELECT timeline_id, pg_is_in_recovery() FROM pg_control_checkpoint()",
                        deadline: .seconds(5)
                    )
                    if result.first(0) == "\(upstream.timeline)", result.first(1) == "f" { return }
                    guard (try? await Task.sleep(for: .milliseconds(20))) != nil else { break }
                } while !end.isOver
                found = nil
            } catch {
                found = error.description
            }
            if Task.isCancelled { throw .cancelled }
            if end.isOver {
                throw WorkError(found ?? "the primary wrote no checkpoint of timeline \(upstream.timeline)")
            }
            try await pause(.milliseconds(100))
        }
    }

    /// Settings of a server that nobody reaches and that reaches nobody.
    private func shutOut(_ member: MemberID) async throws(WorkError) {
        var new = Steering()
        new.gate = .fresh(open: false)
        steering = new
        try await writeAccess(open: false)
        try await place(
            InstanceLayout.inside(InstanceLayout.settingsFile),
            SettingsFile.compose(new, configuration: configuration, member: member)
        )
    }

    /// Recovery in single-user mode, which admits nobody; `standby.signal` would keep it from starting.
    private func recover() async throws(WorkError) {
        let data = try await controlData(of: InstanceLayout.data)
        if data.state == "shut down" || data.state == "shut down in recovery" { return }
        if data.state == "in archive recovery" {
            // Alone it would write a checkpoint where its source has other records, and pg_rewind would not see it.
            throw WorkError("the standby did not shut down cleanly; a new copy is needed")
        }
        activity = "rewinding: recovering"
        try await removeFile(InstanceLayout.inside(InstanceLayout.standbySignal))
        let settings = OwnSettings.arguments(configuration, major: directoryMajor)
        try await tool("postgres", ["--single"] + settings + ["template1"])
    }

    private func runRewind(_ upstream: Upstream) async throws(WorkError) {
        activity = "rewinding: copying from \(upstream.primary)"
        let folder = "\(configuration.dataFolder)/\(InstanceLayout.data)"
        let source = UpstreamConnection.tool(
            upstream.server,
            database: "postgres",
            applicationName: Self.applicationName,
            passwords: passwordFile
        )
        let arguments = ["--target-pgdata=\(folder)", "--source-server=\(source)", "--no-ensure-shutdown"]
        let output = try await tool("pg_rewind", arguments)
        if output.contains("same timeline") {
            throw WorkError(
                "pg_rewind sees the primary's own timeline here, which proves nothing; a new copy is needed"
            )
        }
    }

    /// `pg_rewind` copied the source's files over ours: they are put back, `standby.signal` first.
    private func finishRewind(_ upstream: Upstream, _ member: MemberID) async throws(WorkError) {
        try await place(InstanceLayout.inside(InstanceLayout.standbySignal), "")
        try await writeFixedFiles()
        try await shutOut(member)
        var new = steering
        new.connection = try receiving(from: upstream.server)
        try await write(new)
        try await mark(InstanceLayout.data, member.incarnation)
        let data = try await controlData(of: InstanceLayout.data)
        guard data.systemIdentifier == upstream.systemIdentifier else {
            throw WorkError("the rewound directory is of another system")
        }
        guard max(data.checkpointTimeline, data.recoveryEndTimeline) <= upstream.timeline else {
            throw WorkError("the rewound directory is still on timeline \(data.checkpointTimeline)")
        }
    }
}
