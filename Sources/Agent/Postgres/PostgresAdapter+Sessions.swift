import ClusterModel
import LauncherClient
import PostgresDriver

/// Connections to the own server, and the settings they show.
extension PostgresAdapter {
    /// `application_name` of the agent's own sessions.
    static let applicationName = "understudy_agent"

    func localTarget(_ purpose: ConnectionTarget.Purpose = .statements) -> ConnectionTarget {
        // The agent's own writes wait for nobody (R24), and nothing that it says belongs in the server's log.
        let options =
            "-c synchronous_commit=local -c statement_timeout=0 -c lock_timeout=0 -c log_statement=none"
            + " -c log_min_duration_statement=-1 -c default_transaction_read_only=off -c search_path=pg_catalog"
        return ConnectionTarget(
            host: configuration.socketFolder,
            port: configuration.server.port,
            user: configuration.superuser,
            applicationName: Self.applicationName,
            purpose: purpose,
            options: (purpose == .statements ? options : "") + timeoutOptions(purpose)
        )
    }

    func connect(
        _ purpose: ConnectionTarget.Purpose = .statements,
        within limit: Duration = .seconds(2)
    ) async throws(WorkError) -> PostgresSession {
        do throws(PostgresError) {
            return try await PostgresSession.connect(localTarget(purpose), deadline: limit)
        } catch {
            throw WorkError(error)
        }
    }

    /// The session for procedures, connected anew if it was lost.
    func session() async throws(WorkError) -> PostgresSession {
        if let working, !working.isClosed { return working }
        let fresh = try await connect()
        working = fresh
        return fresh
    }

    @discardableResult
    func sql(
        _ text: String,
        _ parameters: [String?] = [],
        within limit: Duration = .seconds(5)
    ) async throws(WorkError) -> PostgresResult {
        try await ask(try await session(), text, parameters, within: limit)
    }

    @discardableResult
    func ask(
        _ session: PostgresSession,
        _ text: String,
        _ parameters: [String?] = [],
        within limit: Duration = .seconds(5)
    ) async throws(WorkError) -> PostgresResult {
        do throws(PostgresError) {
            return try await session.query(text, parameters, deadline: limit)
        } catch {
            throw WorkError(error)
        }
    }

    // MARK: Settings

    /// Writes the settings file, and the access file to match its gate.
    ///
    /// Each start writes both anew, so that only a cut must survive a power cut: a server must not come back with
    /// the upstream that it promised to leave (R6).
    func write(_ new: Steering, durable: Bool = false) async throws(WorkError) {
        let isCut = new.connection.isEmpty && (!isSteeringCertain || !steering.connection.isEmpty)
        isSteeringCertain = false
        let text = SettingsFile.compose(new, configuration: configuration, member: try member())
        let isGateNew = new.gate != steering.gate
        try await concurrently([
            { () throws(WorkError) in if isGateNew { try await self.writeAccess(open: new.gate.isOpen) } },
            { () throws(WorkError) in
                try await self.place(
                    InstanceLayout.inside(InstanceLayout.settingsFile),
                    text,
                    durable: durable || isCut
                )
            },
        ])
        steering = new
        isSteeringCertain = true
    }

    func writeAccess(open isOpen: Bool) async throws(WorkError) {
        let text = AccessFile.compose(open: isOpen, configuration: configuration)
        try await place(InstanceLayout.inside(InstanceLayout.accessFile), text, durable: false)
    }

    /// Waits until the session shows the settings that were written.
    func awaitSettings(
        _ session: PostgresSession,
        within limit: Duration = .seconds(5)
    ) async throws(WorkError) {
        let end = Limit(limit)
        let expected = steering.shown(slot: try member().applicationName)
        while true {
            let row = try await shown(session)
            let wrong = zip(expected, row).filter { $0.0.value != $0.1 }.map(\.0.name)
            if wrong.isEmpty { return }
            if end.isOver { throw await explain(wrong, session) }
            try await pause(.milliseconds(2))
        }
    }

    /// Connects until a new connection shows the settings that were written: the postmaster has them, too.
    func proveByNewConnection(within limit: Duration = .seconds(10)) async throws(WorkError) {
        let end = Limit(limit)
        let expected = steering.shown(slot: try member().applicationName)
        while true {
            let fresh = try await connect(within: max(.milliseconds(100), end.left))
            let row = try await shown(fresh)
            fresh.close()
            let wrong = zip(expected, row).filter { $0.0.value != $0.1 }.map(\.0.name)
            if wrong.isEmpty { return }
            if end.isOver { throw await explain(wrong, try await session()) }
            try await pause(.milliseconds(2))
        }
    }

    /// What the server says about the settings that steer, in the order of `Steering.shown`.
    private func shown(_ session: PostgresSession) async throws(WorkError) -> [String] {
        let result = try await ask(
            session,
            """
            SELECT current_setting('primary_conninfo'), current_setting('primary_slot_name'), \
            current_setting('synchronous_standby_names'), current_setting('understudy.gate', true)
            """
        )
        return (0..<4).map { result.first($0) ?? "" }
    }

    /// Why the server does not show what was written.
    private func explain(_ names: [String], _ session: PostgresSession) async -> WorkError {
        let list = names.joined(separator: ", ")
        do throws(WorkError) {
            let overridden = try await ask(
                session,
                """
                SELECT name FROM pg_settings WHERE sourcefile LIKE '%/postgresql.auto.conf' AND name = ANY($1::text[])
                UNION SELECT name FROM pg_file_settings WHERE sourcefile LIKE '%/postgresql.auto.conf' \
                AND name = ANY($1::text[])
                """,
                ["{" + names.joined(separator: ",") + "}"]
            ).rows.compactMap(\.first).compactMap { $0 }
            if let name = overridden.first {
                return WorkError(
                    "ALTER SYSTEM overrides \(name), which belongs to Understudy; run ALTER SYSTEM RESET \(name)"
                )
            }
            let faults = try await ask(
                session,
                "SELECT sourcefile, sourceline, name, error FROM pg_file_settings WHERE error IS NOT NULL"
            )
            if let row = faults.rows.first, let name = row[2] ?? row[0], let error = row[3] {
                return WorkError("the settings files hold an error at '\(name)': \(error); mend or remove that setting")
            }
            return WorkError("the server does not take new values of \(list) in time")
        } catch {
            return error
        }
    }

    /// Errors in the access file as it is on disk; empty if there are none.
    func accessFileFault() async throws(WorkError) -> String {
        let result = try await sql("SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL")
        guard let row = result.rows.first else { return "" }
        // The first lines are ours; the user's own follow the four of them.
        let own = (row[0].flatMap { Int($0) } ?? 0) - 5
        let line = configuration.accessRules.indices.contains(own) ? configuration.accessRules[own] : ""
        return "access rule '\(line)' is refused: \(row[1] ?? "unknown error"); mend it in the cluster's configuration"
    }
}
