import ClusterModel
public import InstanceDecision
import LauncherClient
import LauncherProtocol
import PostgresDriver

/// Becoming a primary (R13).
extension PostgresAdapter {
    /// Prepares the ground, triggers, and waits until the server is out of recovery.
    ///
    /// Idempotent: where the server is out of recovery already, only the facts are read.
    public func promote(_ work: PromotionWork) async -> Outcome {
        await outcome(of: "promote to timeline \(work.timeline)") { () throws(WorkError) in
            slotTask?.cancel()
            steps += 1
            let step = steps
            let session = try await session()
            let row = try await ask(
                session,
                "SELECT x.r, CASE WHEN x.r THEN pg_is_wal_replay_paused() END FROM (SELECT pg_is_in_recovery() AS r) x"
            )
            if row.first(0) == "t" {
                let harmless = [standbySynchronousNames, work.synchronousNames]
                let isHarmless = isSteeringCertain && harmless.contains(steering.names)
                try await concurrently([
                    { () throws(WorkError) in try await self.placeComments(work) },
                    { () throws(WorkError) in await self.createSlotsIfPossible(for: work.peers) },
                    { () throws(WorkError) in try await self.prepareToOpen(work) },
                ])
                // From the names of a standby no process can acknowledge, whichever it reads; from others it could.
                if !isHarmless {
                    try await proveByNewConnection()
                    try await endSenders(session)
                }
                if row.first(1) == "t" { try await resumeReplay(session) }
                // The postmaster reads its files before it passes on a trigger that was signalled later. So what the
                // session shows was in force, access included, before the server left recovery.
                try await concurrently([
                    { () throws(WorkError) in try await self.trigger(session, in: step) },
                    { () throws(WorkError) in try await self.endClients(session) },
                ])
            }
            // Also where an earlier agent pulled the trigger. Those that slipped in by the old access file end here.
            if !steering.gate.isOpen {
                try await awaitSettings(session)
                try await endClients(session)
            }
            let facts = try await facts(session)
            if facts.timeline == work.timeline, work.emptiesNames {
                var new = steering
                new.names = ""
                try await write(new)
                try await signal(Self.hangUp)
                try await awaitSettings(session)
            }
            namesInForce = steering.names
            return .promoted(timeline: facts.timeline, switchLSN: facts.end, fork: facts.fork)
        }
    }

    private func isInRecovery(_ session: PostgresSession) async throws(WorkError) -> Bool {
        try await ask(session, "SELECT pg_is_in_recovery()").first() == "t"
    }

    /// History files without a history: PostgreSQL takes the next id above them and follows none of them.
    private func placeComments(_ work: PromotionWork) async throws(WorkError) {
        if work.foreignTimelines.isEmpty { return }
        holdsComments = true
        let folder = InstanceLayout.inside("pg_wal")
        let entries = try await launch { (l) throws(LauncherError) in try await l.list(folder) }
        let there = Set(entries.map(\.name))
        let missing = work.foreignTimelines.map(historyName).filter { !there.contains($0) }
        try await concurrently(
            missing.map { name in
                { () throws(WorkError) in try await self.place("\(folder)/\(name)", "# Taken by another instance.\n") }
            }
        )
    }

    /// Removes history files that hold only comments and lie above every real one, left by a promotion that did not
    /// come to its end.
    ///
    /// A server that begins its recovery with such a one as the newest timeline finds no way to it, and never
    /// starts. Those below a real one stay: PostgreSQL looks for the newest timeline step by step, and would stop at
    /// the gap.
    func removeComments() async throws(WorkError) {
        let folder = InstanceLayout.inside("pg_wal")
        let entries = try await launch { (l) throws(LauncherError) in try await l.list(folder) }
        let names = entries.filter { $0.name.hasSuffix(".history") && $0.kind == .file }.map(\.name)
        // Eight hexadecimal digits each: the order of the names is that of the timelines.
        for name in names.sorted(by: >) {
            guard let text = try await readText(folder + "/" + name, limit: 64 << 10) else { continue }
            let lines = text.split(whereSeparator: \.isNewline).map { $0.drop(while: \.isWhitespace) }
            if lines.contains(where: { !$0.isEmpty && !$0.hasPrefix("#") }) { break }
            try await removeFile(folder + "/" + name)
        }
        holdsComments = false
    }

    func historyName(_ timeline: Timeline) -> String { WALSegment.digits(timeline) + ".history" }

    /// Has the server read the new names and shut clients out.
    private func prepareToOpen(_ work: PromotionWork) async throws(WorkError) {
        var new = steering
        new.connection = ""
        new.names = work.synchronousNames
        new.gate = .fresh(open: false)
        new.liftsDelay = true
        try await write(new)
        try await signal(Self.hangUp)
    }

    /// Ends every session but the agent's own, which come through the Unix socket as the superuser.
    func endClients(_ session: PostgresSession) async throws(WorkError) {
        try await ask(
            session,
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' \
            AND pid <> pg_backend_pid() AND NOT (application_name = $1 AND client_addr IS NULL AND usename = $2)
            """,
            [Self.applicationName, configuration.superuser]
        )
    }

    func endSenders(_ session: PostgresSession) async throws(WorkError) {
        let query =
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender' AND application_name <> '"
            + Self.applicationName + "'"
        let old = Set(try await processIDs(session, query))
        if old.isEmpty { return }
        try await ask(
            session,
            "SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid",
            ["{" + old.sorted().map(String.init).joined(separator: ",") + "}"]
        )
        let end = Limit(.seconds(5))
        while !old.isDisjoint(with: try await processIDs(session, query)) {
            if end.isOver { throw WorkError("senders do not end, though they were told to") }
            try await pause(.milliseconds(1))
        }
    }

    private func trigger(_ session: PostgresSession, in step: UInt64) async throws(WorkError) {
        let leaseRequired = configuration.requiresLease
        let end = Limit(.seconds(60))
        // A request can fall into a gap of the startup process: it is repeated, which does no harm.
        while true {
            guard steps == step, !Task.isCancelled else { throw WorkError("another order came in between") }
            _ = try await launch { (l) throws(LauncherError) in try await l.promote(leaseRequired: leaseRequired) }
            let again = Limit(.seconds(1))
            while !again.isOver {
                // Asking takes strength from what is asked for: PostgreSQL alone needs some fifteen milliseconds.
                try await pause(.milliseconds(4))
                if try await !isInRecovery(session) {
                    // PostgreSQL has taken its file away; one that a repetition left goes without anybody waiting.
                    let launcher = launcher
                    Task { _ = try? await launcher.clearPromote() }
                    return
                }
            }
            if end.isOver { throw WorkError("the server is still in recovery a minute after the trigger") }
        }
    }

    private func facts(
        _ session: PostgresSession
    ) async throws(WorkError) -> (timeline: Timeline, end: LSN, fork: Lineage.Fork) {
        let result = try await ask(
            session,
            "SELECT pg_current_wal_insert_lsn(), substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)"
        )
        guard let end = result.first(0).flatMap({ LSN($0) }),
            let number = result.first(1).flatMap({ UInt32($0, radix: 16) })
        else { throw WorkError("the server names no timeline") }
        let timeline = Timeline(rawValue: number)
        let history = try await readText(InstanceLayout.inside("pg_wal") + "/" + historyName(timeline))
        let last = Lineage(timeline: timeline, historyFile: history ?? "").forks.last
        return (timeline, end, last ?? Lineage.Fork(parent: .none, lsn: .zero))
    }
}
