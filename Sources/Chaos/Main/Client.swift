import ChaosChecker
import ChaosHosts
import Platform
import PostgresDriver

/// One client: does one thing after the other, each on whichever server takes writes, and notes what it was told.
///
/// What it was not told it never tries again.
struct Client: Sendable {
    /// What a client is busy with.
    enum Work: Sendable {
        case elements, bank, registers
    }

    let number: Int
    let work: Work
    let database: Database
    let recorder: Recorder
    /// Only this server, whatever it is; nil for whichever takes writes.
    var only: String?
    /// A commit that waits longer is given up, its fate unknown.
    var statementDeadline = Duration.seconds(1)

    private static let pause = Duration.milliseconds(20)

    /// Works until the task is cancelled.
    func run(seed: UInt64) async {
        var chance = SeededChance(seed: seed &+ UInt64(number) &* 7919)
        var first = number
        while !Task.isCancelled {
            do throws(PostgresError) {
                let (session, index) = try await database.connect(from: first, only: only)
                defer { session.close() }
                // What just failed is asked last.
                first = index + 1
                try await prepare(session)
                while !Task.isCancelled {
                    try await step(session, database.servers[index].name, &chance)
                    try? await Task.sleep(for: Self.pause)
                }
            } catch {
                // Clients that failed together do not come back in step.
                try? await Task.sleep(for: Self.pause * chance.number(1...8))
            }
        }
    }

    private func prepare(_ session: PostgresSession) async throws(PostgresError) {
        for kind in LogEntry.Kind.allCases where kinds.contains(kind) {
            try await session.prepare(kind.rawValue, Self.statement(kind), deadline: statementDeadline)
        }
    }

    private var kinds: [LogEntry.Kind] {
        switch work {
        case .elements: [.add]
        case .bank: [.transfer, .total]
        case .registers: [.write, .read]
        }
    }

    private static func statement(_ kind: LogEntry.Kind) -> String {
        switch kind {
        case .add: "INSERT INTO chaos_set (number) VALUES ($1) RETURNING 0, \(Database.mark)"
        case .transfer:
            "WITH moved AS (UPDATE chaos_account SET balance = balance + "
                + "CASE number WHEN $2::int THEN $4::bigint ELSE -$4::bigint END WHERE number IN ($2::int, $3::int)) "
                + "INSERT INTO chaos_transfer (number) VALUES ($1) RETURNING 0, \(Database.mark)"
        case .total: "SELECT sum(balance) FROM chaos_account"
        case .write:
            "UPDATE chaos_register SET value = $1::bigint WHERE key = $2::int RETURNING value, \(Database.mark)"
        case .read:
            "UPDATE chaos_register SET reads = reads + 1 WHERE key = $1::int RETURNING value, \(Database.mark)"
        }
    }

    private func step(
        _ session: PostgresSession,
        _ server: String,
        _ chance: inout SeededChance
    ) async throws(PostgresError) {
        let kind: LogEntry.Kind
        var key: Int?
        switch work {
        case .elements: kind = .add
        case .bank: kind = chance.chance(250) ? .total : .transfer
        case .registers:
            kind = chance.chance(400) ? .read : .write
            key = chance.number(1...Database.registers)
        }
        let from = chance.number(1...Database.accounts)
        let to = (from + chance.number(1...Database.accounts - 1) - 1) % Database.accounts + 1
        let amount = chance.number(1...20)
        var entry = recorder.invoke(kind, client: number, key: key)
        entry.server = server
        let parameters: [String?] =
            switch kind {
            case .add: ["\(entry.number)"]
            case .transfer: ["\(entry.number)", "\(to)", "\(from)", "\(amount)"]
            case .total: []
            case .write: ["\(entry.number)", "\(key ?? 1)"]
            case .read: ["\(key ?? 1)"]
            }
        do throws(PostgresError) {
            let result = try await session.queryPrepared(kind.rawValue, parameters, deadline: statementDeadline)
            note(result, in: &entry)
            recorder.complete(entry)
        } catch {
            entry.event = Self.isCertain(error) ? .failed : .unknown
            entry.cause = String(error.message.prefix(200))
            recorder.complete(entry)
            // Two transfers that met are no reason to leave the server.
            guard error.kind == .refused, error.state == .deadlockDetected else { throw error }
        }
    }

    private func note(_ result: PostgresResult, in entry: inout LogEntry) {
        entry.event = .ok
        guard let row = result.rows.first else {
            // No row was there to change: nothing was done that anybody could rely on.
            entry.event = .failed
            entry.cause = "the row is not there"
            return
        }
        if entry.kind == .total || entry.kind == .read { entry.value = row.first.flatMap { $0 }.flatMap { Int($0) } }
        guard row.count == 3, let file = row[1], let position = row[2] else { return }
        entry.timeline = UInt32(file.prefix(8), radix: 16)
        let halves = position.split(separator: "/")
        guard halves.count == 2, let high = UInt64(halves[0], radix: 16), let low = UInt64(halves[1], radix: 16)
        else { return }
        entry.position = high << 32 | low
    }

    /// Whether the server said that it did not happen: anything that can come after the commit is no such word.
    private static func isCertain(_ error: PostgresError) -> Bool {
        guard error.kind == .refused, let state = error.state else { return false }
        // 57: ended by an administrator, perhaps while the commit waited. 58, XX: the server itself is in trouble.
        return !["08", "57", "58", "XX"].contains(state.errorClass)
    }
}

/// All clients of a run.
struct Clients: Sendable {
    private let tasks: [Task<Void, Never>]

    init(on database: Database, recorder: Recorder, seed: UInt64, more: [Client] = []) {
        let works: [Client.Work] = [.elements, .elements, .bank, .bank, .registers, .registers, .registers]
        let clients = works.enumerated().map { number, work in
            Client(number: number, work: work, database: database, recorder: recorder)
        }
        tasks = (clients + more).map { client in Task { await client.run(seed: seed) } }
    }

    /// Ends them all, each after what it is doing.
    func stop() async {
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
    }
}
