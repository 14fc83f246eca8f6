public import ClusterModel
public import InstanceDecision
import LauncherClient
import PostgresDriver

/// A standby that is cut from its upstream, or pointed at one.
extension PostgresAdapter {
    /// Empties the upstream, ends the WAL receiver, sees twice that there is none, reads the position (R6).
    ///
    /// - Parameter waitForReplay: Replay must first reach the end of what is on disk.
    /// - Returns: `cut` with the position, or `failed`.
    public func cutReceiver(waitForReplay: Bool) async -> Outcome {
        await outcome(of: "cut the standby from its upstream") { () throws(WorkError) in
            slotTask?.cancel()
            steps += 1
            if holdsComments { try await removeComments() }
            let session = try await session()
            let had = steering.names
            var new = steering
            new.connection = ""
            // What an earlier promotion wrote that did not come to its trigger.
            new.names = standbySynchronousNames
            // A new mark, so that what the session shows below is this very write and no older one.
            new.gate = .fresh(open: steering.gate.isOpen)
            new.liftsDelay = waitForReplay || steering.liftsDelay
            try await steer(new, durable: true)
            try await signal(Self.hangUp)
            try await awaitSettings(session)
            if had != standbySynchronousNames { try await endSenders(session) }
            try await wakeStartup(session)
            try await endReceiver(session)
            if waitForReplay { try await awaitEndOfReplay(session) }
            let end = Limit(.seconds(30))
            while true {
                let (position, receivers) = try await position(session)
                // Seen once more, after the position was read: nothing came in between.
                if receivers.isEmpty { return .cut(position) }
                if end.isOver { throw WorkError("the WAL receiver comes back again and again") }
                try await endReceiver(session)
            }
        }
    }

    /// Points a running standby at an upstream, and makes its slot there.
    public func follow(_ upstream: Upstream, peers: [MemberID]) async -> Outcome {
        await outcome(of: "follow \(upstream.primary) at \(upstream.server)") { () throws(WorkError) in
            slotTask?.cancel()
            steps += 1
            if holdsComments { try await removeComments() }
            let session = try await session()
            var new = steering
            new.connection = try receiving(from: upstream.server)
            new.names = standbySynchronousNames
            new.liftsDelay = false
            try await steer(new)
            try await signal(Self.hangUp)
            try await awaitSettings(session)
            try await wakeStartup(session)
            try await createSlots(for: peers)
            if !steering.gate.isOpen {
                do throws(WorkError) {
                    try await open()
                    fault = ""
                } catch {
                    fault = "could not admit clients: \(error)"
                }
            }
            // Most often its slot is there already: then nothing more is asked of a server that is being promoted.
            if try await isReceiving(session, within: .milliseconds(500)) {
                // A receiver calls itself streaming before it is refused for want of the slot: made sure of, later.
                keepUpstreamSlot(after: .milliseconds(500))
                return .following
            }
            // The startup process asks for a receiver only when replay is not paused (D81).
            try await resumeReplay(session)
            do throws(WorkError) {
                try await ensureOwnSlot(on: upstream.server, of: try member(), within: .seconds(2))
            } catch {
                keepUpstreamSlot()
                throw error
            }
            return .following
        }
    }

    /// Writes settings that differ from those in the file; removes a left-over trigger file meanwhile.
    private func steer(_ new: Steering, durable: Bool = false) async throws(WorkError) {
        try await concurrently([
            { () throws(WorkError) in
                _ = try await self.launch { (l) throws(LauncherError) in try await l.clearPromote() }
            },
            { () throws(WorkError) in
                try await self.writeIfNew(new, durable: durable)
            },
        ])
    }

    private func isReceiving(_ session: PostgresSession, within limit: Duration) async throws(WorkError) -> Bool {
        let end = Limit(limit)
        while !end.isOver {
            let status = try await ask(session, "SELECT status FROM pg_stat_wal_receiver").first()
            if status == "streaming" { return true }
            try await pause(.milliseconds(15))
        }
        return false
    }

    private func writeIfNew(_ new: Steering, durable: Bool) async throws(WorkError) {
        guard !isSteeringCertain || new != steering else { return }
        try await write(new, durable: durable)
    }

    /// Process ids of WAL receivers: what the server's statistics and its list of processes say.
    private static let receivers = """
        SELECT pid FROM pg_stat_activity WHERE backend_type = 'walreceiver' \
        UNION SELECT pid FROM pg_stat_wal_receiver WHERE pid IS NOT NULL
        """

    func processIDs(_ session: PostgresSession, _ query: String) async throws(WorkError) -> [Int32] {
        try await ask(session, query).rows.compactMap { $0.first ?? nil }.compactMap { Int32($0) }
    }

    /// Has the startup process read the settings now, whatever the postmaster is doing.
    private func wakeStartup(_ session: PostgresSession) async throws(WorkError) {
        if startupProcessID == nil {
            startupProcessID = try await processIDs(
                session,
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup'"
            ).first
        }
        if let startupProcessID { await signalIfAlive(Self.hangUp, startupProcessID) }
    }

    private func endReceiver(_ session: PostgresSession) async throws(WorkError) {
        let end = Limit(.seconds(10))
        var seenNone = 0
        var signalled: Set<Int32> = []
        while seenNone < 2 {
            let alive = try await processIDs(session, Self.receivers)
            seenNone = alive.isEmpty ? seenNone + 1 : 0
            for processID in alive where signalled.insert(processID).inserted {
                await signalIfAlive(Self.terminate, processID)
            }
            if end.isOver { throw WorkError("the WAL receiver does not end, though it was told to") }
            if seenNone < 2 { try await pause(.milliseconds(seenNone == 1 ? 4 : 1)) }
        }
    }

    /// Where the WAL here ends, with the timeline of its last record, and the WAL receivers seen after that.
    private func position(
        _ session: PostgresSession
    ) async throws(WorkError) -> (position: WALPosition, receivers: [Substring]) {
        let end = Limit(.seconds(30))
        let replication: PostgresSession
        do throws(PostgresError) {
            replication = try await identifier(within: .seconds(2))
        } catch {
            throw WorkError(error)
        }
        while true {
            let result = try await ask(replication, "IDENTIFY_SYSTEM")
            guard let timeline = result.first(1).flatMap({ UInt32($0) }), let lsn = result.first(2).flatMap({ LSN($0) })
            else { throw WorkError("IDENTIFY_SYSTEM gave no position") }
            let after = try await ask(
                session,
                """
                SELECT pg_last_wal_receive_lsn(), (SELECT string_agg(pid::text, ' ') FROM (\(Self.receivers)) r), \
                pg_is_in_recovery()
                """
            )
            // It would answer for a timeline that nobody gave it (D8).
            guard after.first(2) == "t" else { throw WorkError("the server is out of recovery: somebody promoted it") }
            if lsn >= after.first(0).flatMap({ LSN($0) }) ?? .zero {
                let position = WALPosition(timeline: Timeline(rawValue: timeline), lsn: lsn)
                return (position, (after.first(1) ?? "").split(separator: " "))
            }
            // What was received belongs to a timeline whose switch has not been replayed yet.
            try await resumeReplay(session)
            if end.isOver { throw WorkError("replay does not reach the timeline that was received") }
            try await pause(.milliseconds(5))
        }
    }

    /// Replay is at its end when the startup process waits for more and moves no further.
    private func awaitEndOfReplay(_ session: PostgresSession) async throws(WorkError) {
        let end = Limit(.seconds(600))
        var last = ""
        var still = 0
        while still < 3 {
            let result = try await ask(
                session,
                """
                SELECT pg_last_wal_replay_lsn(), wait_event, pg_is_wal_replay_paused() FROM pg_stat_activity \
                WHERE backend_type = 'startup'
                """
            )
            guard !result.rows.isEmpty else { throw WorkError("the server is not in recovery") }
            if result.first(2) == "t" { try await resumeReplay(session) }
            let replayed = result.first(0) ?? ""
            let isAtEnd = result.first(1) == "RecoveryRetrieveRetryInterval"
            still = isAtEnd && replayed == last ? still + 1 : 0
            last = replayed
            activity = still < 3 ? "replaying: at \(replayed)" : ""
            if end.isOver { throw WorkError("replay did not reach its end within 10 minutes") }
            if still < 3 { try await pause(.milliseconds(8)) }
        }
    }

    /// Lifts a pause, unless lifting it would stop the server (R8).
    func resumeReplay(_ session: PostgresSession) async throws(WorkError) {
        let isPaused = try await ask(session, "SELECT pg_is_wal_replay_paused()").first() == "t"
        guard isPaused else { return }
        let demanded = try await controlData(of: InstanceLayout.data).capacity
        let own = try await capacity(session)
        if let demanded, let lack = own.shortfalls(against: demanded).first {
            throw WorkError("replay is paused for too low a setting: \(lack); raise it and restart")
        }
        try await ask(session, "SELECT pg_wal_replay_resume()")
    }

    private func capacity(_ session: PostgresSession) async throws(WorkError) -> CapacitySettings {
        let names = [
            "max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions",
            "max_locks_per_transaction",
        ]
        let columns = names.map { "current_setting('\($0)')" }.joined(separator: ", ")
        let result = try await ask(session, "SELECT \(columns)")
        let values = (0..<5).map { result.first($0).flatMap { Int($0) } ?? 0 }
        return CapacitySettings(
            maxConnections: values[0],
            maxWorkerProcesses: values[1],
            maxWALSenders: values[2],
            maxPreparedTransactions: values[3],
            maxLocksPerTransaction: values[4]
        )
    }
}
