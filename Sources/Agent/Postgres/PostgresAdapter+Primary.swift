import ClusterModel
public import InstanceDecision
import PostgresDriver

/// A primary in office: its rules, its clients, its checkpoints.
extension PostgresAdapter {
    /// Puts names in force in every process that matters, then reads the barrier (R12).
    public func applyRules(_ work: RulesWork) async -> Outcome {
        await outcome(of: "put '\(work.synchronousNames)' in force") { () throws(WorkError) in
            let session = try await session()
            // Names that an attempt before this one wrote say nothing of what the senders have read.
            let written = memberNames(steering.names) + memberNames(work.synchronousNames)
            let involved = written + work.voters.map(\.applicationName)
            if steering.names != work.synchronousNames {
                var new = steering
                new.names = work.synchronousNames
                try await write(new)
            }
            try await createSlots(for: work.peers)
            if namesInForce != work.synchronousNames || work.leavesZero {
                namesInForce = nil
                try await reloadEverywhere(session)
                try await awaitSettings(session)
                // Waiting is switched on by the checkpointer; a checkpoint begun now has seen the new names.
                if work.leavesZero, let reason = await checkpoint() { throw WorkError(reason) }
                // From here on a new sender reads the new names.
                try await proveByNewConnection()
                try await endSendersIfNeeded(work, involved, session)
                namesInForce = work.synchronousNames
            }
            let result = try await ask(session, "SELECT pg_current_wal_insert_lsn()")
            guard let barrier = result.first().flatMap({ LSN($0) }) else {
                throw WorkError("the server names no insert position")
            }
            return .rulesApplied(barrier: barrier)
        }
    }

    /// Admits clients, proven by a new connection (R23).
    public func openClients() async -> Outcome {
        await outcome(of: "admit clients") { () throws(WorkError) in
            try await open()
            fault = ""
            return .opened
        }
    }

    /// Checkpoints before the server is shut down, so that the shutdown has little left to write (R16).
    public func checkpointFirst() async -> Outcome {
        if let reason = await checkpoint() { return .failed(reason) }
        return .checkpointed
    }

    /// Checkpoints, so that others can rewind from here (R14); however long it takes.
    ///
    /// - Returns: Why it failed; nil if it did not.
    public func checkpoint() async -> String? {
        do throws(WorkError) {
            let session = try await connect()
            defer { session.close() }
            try await ask(session, "CHECKPOINT", within: .seconds(3600))
            return nil
        } catch {
            return "could not checkpoint: \(error)"
        }
    }

    /// Lets clients in with the user's own access rules; refused rules leave the gate as it was.
    func open() async throws(WorkError) {
        let before = steering
        var new = steering
        new.gate = .fresh(open: true)
        if !areRulesAccepted { try await judgeRules(before) }
        try await write(new)
        try await signal(Self.hangUp)
        try await proveByNewConnection()
    }

    /// Has the server judge the user's access rules before any process of it reads them.
    private func judgeRules(_ before: Steering) async throws(WorkError) {
        try await writeAccess(open: true)
        let fault: String
        do throws(WorkError) {
            fault = try await accessFileFault()
        } catch {
            try await writeAccess(open: before.gate.isOpen)
            throw error
        }
        if !fault.isEmpty {
            try await writeAccess(open: before.gate.isOpen)
            throw WorkError(fault)
        }
        areRulesAccepted = true
    }

    /// SIGHUP to the postmaster, and to those whose own copy of the names matters.
    private func reloadEverywhere(_ session: PostgresSession) async throws(WorkError) {
        try await signal(Self.hangUp)
        for processID in try await processIDs(
            session,
            "SELECT pid FROM pg_stat_activity WHERE backend_type IN ('checkpointer', 'walsender')"
        ) {
            await signalIfAlive(Self.hangUp, processID)
        }
    }

    /// Ends what could still release a commit by older names.
    ///
    /// Where no older rule waits for fewer, a sender with older names releases what voters that still have senders
    /// have flushed: too early only if one of those was left out. Where nobody is waited for none has a say at all.
    private func endSendersIfNeeded(
        _ work: RulesWork,
        _ involved: [String],
        _ session: PostgresSession
    ) async throws(WorkError) {
        if work.synchronousNames.isEmpty { return }
        let named = memberNames(work.synchronousNames)
        let leftOut = involved.filter { !named.contains($0) }
        if !work.raisesCount && !work.leavesZero {
            guard !leftOut.isEmpty, try await !processIDs(session, senderQuery(leftOut)).isEmpty else { return }
        }
        try await endSenders(named: involved, session)
    }

    private func senderQuery(_ names: [String]) -> String {
        let list = Set(names).sorted().map { "'\($0)'" }.joined(separator: ", ")
        return "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender' AND application_name IN (\(list))"
    }

    /// Senders judge by the names they have read: those of old and new voters are ended and come back.
    private func endSenders(named names: [String], _ session: PostgresSession) async throws(WorkError) {
        if names.isEmpty { return }
        let query = senderQuery(names)
        let old = Set(try await processIDs(session, query))
        for processID in old { try await ask(session, "SELECT pg_terminate_backend(\(processID))") }
        let end = Limit(.seconds(10))
        while !old.isDisjoint(with: try await processIDs(session, query)) {
            if end.isOver { throw WorkError("a sender does not end, though it was told to") }
            try await pause(.milliseconds(2))
        }
    }

    /// Names between the parentheses of a value of `synchronous_standby_names`.
    private func memberNames(_ value: String) -> [String] {
        guard let open = value.firstIndex(of: "("), let close = value.lastIndex(of: ")"), open < close else {
            return []
        }
        return value[value.index(after: open)..<close].split(separator: ",").map { $0.filter { $0 != " " } }
            .filter { name in
                name.utf8.allSatisfy { byte in
                    (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte) || byte == UInt8(ascii: "_")
                }
            }
    }
}
