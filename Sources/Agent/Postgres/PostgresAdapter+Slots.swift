import ClusterModel
import PostgresDriver

/// Physical slots: one for each other member, and the own one on the primary (R12).
extension PostgresAdapter {
    /// Makes the slots that are missing here.
    func createSlots(for members: [MemberID]) async throws(WorkError) {
        peers = members
        let names = members.filter { $0.name != configuration.name }.map(\.applicationName)
        if names.isEmpty { return }
        let list = "{" + names.joined(separator: ",") + "}"
        // A slot whose WAL is gone can never be used again.
        try await sql(
            """
            SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
            WHERE slot_name = ANY($1::text[]) AND wal_status = 'lost' AND NOT active
            """,
            [list]
        )
        let missing = try await sql(
            """
            SELECT name FROM unnest($1::text[]) AS name \
            WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = name)
            """,
            [list]
        )
        let session = try await session()
        for name in missing.rows.compactMap({ $0.first ?? nil }) {
            do throws(PostgresError) {
                _ = try await session.query(
                    "SELECT pg_create_physical_replication_slot($1, true)",
                    [name],
                    deadline: .seconds(5)
                )
            } catch {
                // Its owner, told to follow at the same moment, was faster.
                if error.state != .duplicateObject { throw WorkError(error) }
            }
        }
    }

    /// Makes the slots that are missing here; one that cannot be made keeps no promotion from going on.
    func createSlotsIfPossible(for members: [MemberID]) async {
        do throws(WorkError) {
            try await createSlots(for: members)
        } catch {
            fault = "could not make a replication slot: \(error)"
        }
    }

    /// Makes the own slot on another server, if it is missing; asks again until the limit.
    func ensureOwnSlot(on server: Endpoint, of member: MemberID, within limit: Duration) async throws(WorkError) {
        let end = Limit(limit)
        while true {
            do throws(PostgresError) {
                let target = replicationTarget(server)
                let session = try await PostgresSession.connect(
                    target,
                    deadline: max(.milliseconds(100), min(end.left, .seconds(2)))
                )
                defer { session.close() }
                try await session.query(
                    "CREATE_REPLICATION_SLOT \"\(member.applicationName)\" PHYSICAL RESERVE_WAL",
                    deadline: max(.milliseconds(100), end.left)
                )
                return
            } catch {
                if error.state == .duplicateObject { return }
                if end.isOver { throw WorkError(error) }
            }
            try await pause(.milliseconds(50))
        }
    }

    func replicationTarget(_ server: Endpoint) -> ConnectionTarget {
        ConnectionTarget(
            host: server.host,
            port: server.port,
            user: PostgresConfiguration.replicationUser,
            applicationName: Self.applicationName,
            password: configuration.replicationPassword,
            purpose: .replication
        )
    }

    /// After a start: the upstream may be down or hold no slot of ours yet.
    func keepUpstreamSlot(after delay: Duration = .zero) {
        slotTask?.cancel()
        guard let server = UpstreamConnection.server(in: steering.connection), let member = try? member() else {
            return
        }
        slotTask = Task { [weak self] in
            if delay > .zero { try? await Task.sleep(for: delay) }
            for _ in 0..<60 {
                guard let self, !Task.isCancelled else { return }
                if (try? await self.ensureOwnSlot(on: server, of: member, within: .seconds(1))) != nil { return }
                try? await Task.sleep(for: .seconds(1))
            }
        }
    }

    /// Keeps slots from holding WAL for ever: on a standby they move on with its own replay; slots of incarnations
    /// that are gone are dropped.
    func tendSlots(inRecovery: Bool, replayed: LSN) async {
        let now = ContinuousClock.now
        if let slotsTendedAt, now - slotsTendedAt < .seconds(10) { return }
        slotsTendedAt = now
        let target = slotTarget
        slotTarget = replayed
        if inRecovery, target > .zero {
            let behind = try? await sql(
                """
                SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT active \
                AND NOT temporary AND restart_lsn < $1::pg_lsn AND slot_name ~ '_[0-9a-f]{8}$'
                """,
                [target.description]
            )
            // One by one: a slot that was taken meanwhile must not keep the others from moving.
            for slot in behind?.rows.compactMap({ $0.first ?? nil }) ?? [] {
                _ = try? await sql("SELECT pg_replication_slot_advance($1, $2::pg_lsn)", [slot, target.description])
            }
        }
        await dropStaleSlots(now)
    }

    /// A slot of one of our instances in an incarnation that is no peer, unused for five minutes.
    private func dropStaleSlots(_ now: ContinuousClock.Instant) async {
        if peers.isEmpty { return }
        let known = Set(peers.map(\.applicationName))
        let names = Set((peers.map(\.name) + [configuration.name]).map { $0.text.map { $0 == "-" ? "_" : $0 } })
        let idle = try? await sql(
            "SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT active AND NOT temporary"
        )
        guard let idle else { return }
        let stale = idle.rows.compactMap { $0.first ?? nil }.filter { slot in
            Incarnation(String(slot.suffix(8))) != nil && names.contains(Array(slot.dropLast(9)))
                && !known.contains(slot)
        }
        staleSlots = staleSlots.filter { stale.contains($0.key) }
        for slot in stale {
            let since = staleSlots[slot] ?? now
            staleSlots[slot] = since
            if now - since >= .seconds(300) { _ = try? await sql("SELECT pg_drop_replication_slot($1)", [slot]) }
        }
    }
}
