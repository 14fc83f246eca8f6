public import ClusterModel
import LauncherClient
import LauncherProtocol
public import PostgresDriver

/// What a running server shows.
extension PostgresAdapter {
    /// Reads everything in one round trip; on a standby in two.
    public func poll(within limit: Duration = .milliseconds(400)) async throws(PostgresError) -> ServerStatus {
        let end = Limit(limit)
        let session = try await observer(end)
        let result = try await session.queryPrepared("status", [], deadline: end.left)
        let values = result.firstByName
        guard let status = try await read(values, end) else {
            throw PostgresError("read the server's status", .unexpected, message: "a column is missing or garbled")
        }
        let replayed = status.replayLSN
        Task { [weak self] in
            await self?.tendSlots(inRecovery: status.inRecovery, replayed: replayed)
            if status.inRecovery { await self?.readCapacityAgain(soon: status.replayPaused) }
        }
        return status
    }

    /// Writes one small WAL message and waits until it is on disk (R22).
    ///
    /// - Parameters:
    ///   - limit: For both together.
    ///   - tell: Told where the message ends, as soon as it is written (R10).
    /// - Throws: `PostgresError` if it was not written, or is not known to be on disk.
    public func heartbeat(
        within limit: Duration = .seconds(2),
        written tell: @Sendable (LSN) async -> Void = { _ in }
    ) async throws(PostgresError) {
        let end = Limit(limit)
        let session: PostgresSession
        if let beating, !beating.isClosed {
            session = beating
        } else {
            do throws(PostgresError) {
                session = try await PostgresSession.connect(localTarget(), deadline: limit)
            } catch {
                // Without a connection nothing is known of the write path.
                if error.state != nil { lastBeat = nil }
                throw error
            }
            beating = session
        }
        // A disk that hangs from the first beat on is to be noticed, too.
        if lastBeat == nil { lastBeat = .now }
        let result = try await session.query(
            "SELECT pg_logical_emit_message(false, 'understudy', '')",
            deadline: end.left
        )
        guard let written = result.first().flatMap({ LSN($0) }) else {
            throw PostgresError("write a heartbeat", .unexpected, message: "the server names no position")
        }
        await tell(written)
        var wait = Duration.milliseconds(210)
        while true {
            // The WAL writer flushes every `wal_writer_delay`; asking earlier only costs.
            guard (try? await Task.sleep(for: wait)) != nil else {
                throw PostgresError("flush a heartbeat", .deadline, message: "cancelled")
            }
            wait = .milliseconds(50)
            let flushed = try await session.query("SELECT pg_current_wal_flush_lsn()", deadline: end.left).first()
            if let flushed = flushed.flatMap({ LSN($0) }), flushed >= written { break }
            if end.isOver { throw PostgresError("flush a heartbeat", .deadline, message: "no flush in time") }
        }
        lastBeat = .now
    }

    /// Exit code of the server's own `pg_isready`; nil if it could not be run.
    public func isReady(within limit: Duration = .seconds(3)) async -> Int? {
        let arguments = ["-h", configuration.socketFolder, "-p", "\(configuration.server.port)", "-t", "2", "-q"]
        guard let result = try? await launcher.run("pg_isready", arguments: arguments, timeout: limit),
            case .exited(let code) = result.end
        else { return nil }
        return Int(code)
    }

    /// Reads what the WAL demands, in the background.
    func readCapacity() {
        capacityReadAt = .now
        Task { [weak self] in await self?.takeCapacity() }
    }

    private func readCapacityAgain(soon isUrgent: Bool) {
        let age = capacityReadAt.map { ContinuousClock.now - $0 } ?? .seconds(3600)
        if age > (isUrgent ? .seconds(5) : .seconds(60)) { readCapacity() }
    }

    private func takeCapacity() async {
        if let found = try? await controlData(of: InstanceLayout.data).capacity { demandedCapacity = found }
    }

    private func observer(_ end: Limit) async throws(PostgresError) -> PostgresSession {
        if let observing, !observing.isClosed { return observing }
        let fresh = try await PostgresSession.connect(localTarget(), deadline: max(end.left, .milliseconds(50)))
        try await fresh.prepare("status", StatusQuery.text, deadline: end.left)
        if systemIdentifier == nil {
            let result = try await fresh.query("SELECT system_identifier FROM pg_control_system()", deadline: end.left)
            systemIdentifier = result.first().flatMap { UInt64($0) }.map { SystemIdentifier(rawValue: $0) }
        }
        observing = fresh
        return fresh
    }

    private func read(_ values: [String: String], _ end: Limit) async throws(PostgresError) -> ServerStatus? {
        func number(_ name: String) -> Int { values[name].flatMap { Int($0) } ?? 0 }
        func lsn(_ name: String) -> LSN { values[name].flatMap { LSN($0) } ?? .zero }
        guard let recovery = values["in_recovery"], let systemIdentifier else { return nil }
        let inRecovery = recovery == "t"
        let capacity = CapacitySettings(
            maxConnections: number("max_connections"),
            maxWorkerProcesses: number("max_worker_processes"),
            maxWALSenders: number("max_wal_senders"),
            maxPreparedTransactions: number("max_prepared_transactions"),
            maxLocksPerTransaction: number("max_locks_per_transaction")
        )
        let position: WALPosition
        if inRecovery {
            position = try await standbyPosition(end)
        } else {
            let timeline = values["timeline"].flatMap { UInt32($0, radix: 16) } ?? 0
            position = WALPosition(timeline: Timeline(rawValue: timeline), lsn: lsn("flushed"))
        }
        var status = ServerStatus(
            inRecovery: inRecovery,
            position: position,
            systemIdentifier: systemIdentifier,
            capacity: capacity
        )
        status.insertLSN = lsn("inserted")
        status.replayLSN = lsn("replayed")
        status.receiver = StatusQuery.receiver(values)
        status.senders = StatusQuery.senders(values["senders"] ?? "")
        status.demandedCapacity = demandedCapacity
        status.replayPaused = values["paused"] == "t"
        status.serverVersion = number("version")
        status.clientsAdmitted = Gate(values["gate"] ?? "").isOpen
        status.synchronousNames = values["names"] ?? ""
        status.heartbeatAge = inRecovery ? nil : lastBeat.map { .now - $0 }
        return status
    }

    /// The session for replication commands.
    func identifier(within limit: Duration) async throws(PostgresError) -> PostgresSession {
        if let identifying, !identifying.isClosed { return identifying }
        let fresh = try await PostgresSession.connect(localTarget(.replication), deadline: limit)
        identifying = fresh
        return fresh
    }

    /// `IDENTIFY_SYSTEM` alone gives position and timeline of the same record.
    private func standbyPosition(_ end: Limit) async throws(PostgresError) -> WALPosition {
        let session = try await identifier(within: max(end.left, .milliseconds(50)))
        let result = try await session.query("IDENTIFY_SYSTEM", deadline: end.left)
        guard let timeline = result.first(1).flatMap({ UInt32($0) }), let lsn = result.first(2).flatMap({ LSN($0) })
        else { throw PostgresError("identify the server", .unexpected, message: "no position") }
        return WALPosition(timeline: Timeline(rawValue: timeline), lsn: lsn)
    }
}

/// The one statement of a poll, and what its columns mean.
enum StatusQuery {
    static let text = """
        SELECT x.r AS in_recovery,
          CASE WHEN x.r THEN NULL ELSE pg_current_wal_flush_lsn() END AS flushed,
          CASE WHEN x.r THEN NULL ELSE pg_current_wal_insert_lsn() END AS inserted,
          CASE WHEN x.r THEN NULL ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END AS timeline,
          pg_last_wal_replay_lsn() AS replayed,
          w.status AS receiver_status, w.received_tli AS receiver_timeline, w.sender_host, w.sender_port,
          greatest(0, extract(epoch FROM clock_timestamp() - w.last_msg_receipt_time) * 1000)::bigint AS receiver_age,
          current_setting('max_connections') AS max_connections,
          current_setting('max_worker_processes') AS max_worker_processes,
          current_setting('max_wal_senders') AS max_wal_senders,
          current_setting('max_prepared_transactions') AS max_prepared_transactions,
          current_setting('max_locks_per_transaction') AS max_locks_per_transaction,
          CASE WHEN x.r THEN pg_is_wal_replay_paused() END AS paused,
          current_setting('server_version_num') AS version,
          current_setting('understudy.gate', true) AS gate,
          current_setting('synchronous_standby_names') AS names,
          (SELECT string_agg(concat_ws('|', s.application_name, s.state, s.flush_lsn,
              coalesce(l.slot_name = s.application_name AND l.slot_type = 'physical', false)), ';')
            FROM pg_stat_replication s LEFT JOIN pg_replication_slots l ON l.active_pid = s.pid
            WHERE s.application_name ~ '^[a-z0-9_]{1,63}$' AND s.flush_lsn IS NOT NULL) AS senders
        FROM (SELECT pg_is_in_recovery() AS r) x LEFT JOIN pg_stat_wal_receiver w ON true
        """

    static func receiver(_ values: [String: String]) -> ReceiverStatus? {
        guard let status = values["receiver_status"] else { return nil }
        let timeline = values["receiver_timeline"].flatMap { UInt32($0) } ?? 0
        let port = values["sender_port"].flatMap { UInt16($0) } ?? 0
        return ReceiverStatus(
            status: status,
            timeline: Timeline(rawValue: timeline),
            sender: Endpoint(host: values["sender_host"] ?? "", port: port),
            sinceLastMessage: values["receiver_age"].flatMap { Int64($0) }.map { .milliseconds($0) }
        )
    }

    static func senders(_ text: String) -> [SenderStatus] {
        text.split(separator: ";").prefix(64).compactMap { entry in
            let parts = entry.split(separator: "|", omittingEmptySubsequences: false)
            guard parts.count == 4, let lsn = LSN(parts[2]) else { return nil }
            return SenderStatus(
                applicationName: String(parts[0]),
                usesOwnSlot: parts[3] == "t",
                state: String(parts[1]),
                flushLSN: lsn
            )
        }
    }
}
