import Platform
package import PostgresDriver
import Synchronization

/// A client as an application has one: writes rising numbers without pause, and notes each that was acknowledged.
///
/// Follows the primary as `target_session_attrs=read-write` does: goes through the addresses, takes the first server
/// that takes writes. A number whose fate is unknown is never tried again.
package final class WritingClient: Sendable {
    /// One acknowledged commit.
    package struct Acknowledged: Sendable, Hashable {
        package let number: Int
        package let port: UInt16
        /// On the machine's monotonic clock.
        package let at: Duration
    }

    private struct State {
        var acknowledged: [Acknowledged] = []
        var failures = 0
        var lastError = ""
    }

    private let ports: [UInt16]
    private let first: Int
    private let state = Mutex(State())

    private static let statementDeadline = Duration.seconds(1)
    private static let connectDeadline = Duration.seconds(1)
    private static let pause = Duration.milliseconds(10)
    package static let table = "understudy_demo"

    /// A client that goes through these ports of this machine.
    ///
    /// Several at once write numbers that do not meet: each begins after its own `first`.
    package init(ports: [UInt16], after first: Int = 0) {
        self.ports = ports
        self.first = first
    }

    /// Everything acknowledged so far, in order.
    package var acknowledged: [Acknowledged] { state.withLock { $0.acknowledged } }

    /// The first acknowledgement by another server than that of `port`.
    package func first(notOn port: UInt16, after moment: Duration) -> Acknowledged? {
        state.withLock { state in state.acknowledged.first { $0.at > moment && $0.port != port } }
    }

    /// How many attempts failed, and the words of the last failure.
    package var trouble: (count: Int, last: String) { state.withLock { ($0.failures, $0.lastError) } }

    /// Makes the table, once.
    package func prepare(deadline: Duration) async throws(PostgresError) {
        let clock = ContinuousClock()
        let end = clock.now + deadline
        while true {
            do throws(PostgresError) {
                let (session, _) = try await connect()
                defer { session.close() }
                let columns = "number bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp()"
                try await session.query("CREATE TABLE IF NOT EXISTS \(Self.table) (\(columns))", deadline: .seconds(5))
                return
            } catch {
                if clock.now > end { throw error }
                try? await Task.sleep(for: Self.pause)
            }
        }
    }

    /// Writes until the task is cancelled.
    package func run() async {
        var number = first
        while !Task.isCancelled {
            do throws(PostgresError) {
                let (session, port) = try await connect()
                defer { session.close() }
                try await session.prepare(
                    "write",
                    "INSERT INTO \(Self.table) (number) VALUES ($1)",
                    deadline: Self.statementDeadline
                )
                while !Task.isCancelled {
                    number += 1
                    _ = try await session.queryPrepared("write", ["\(number)"], deadline: Self.statementDeadline)
                    note(Acknowledged(number: number, port: port, at: MonotonicClock.now()))
                }
            } catch {
                state.withLock { state in
                    state.failures += 1
                    state.lastError = error.description
                }
                try? await Task.sleep(for: Self.pause)
            }
        }
    }

    /// Reads all rows back from the primary.
    package func readBack(deadline: Duration) async throws(PostgresError) -> Set<Int> {
        let clock = ContinuousClock()
        let end = clock.now + deadline
        while true {
            do throws(PostgresError) {
                let (session, _) = try await connect()
                defer { session.close() }
                let result = try await session.query("SELECT number FROM \(Self.table)", deadline: .seconds(20))
                return Set(result.rows.compactMap { $0.first.flatMap { $0 }.flatMap { Int($0) } })
            } catch {
                if clock.now > end { throw error }
                try? await Task.sleep(for: Self.pause)
            }
        }
    }

    private func note(_ commit: Acknowledged) { state.withLock { $0.acknowledged.append(commit) } }

    /// The first server that takes writes.
    private func connect() async throws(PostgresError) -> (PostgresSession, UInt16) {
        var failure: PostgresError?
        for port in ports {
            do throws(PostgresError) {
                let target = ConnectionTarget(
                    host: "127.0.0.1",
                    port: port,
                    user: "postgres",
                    applicationName: "understudy demo"
                )
                let session = try await PostgresSession.connect(target, deadline: Self.connectDeadline)
                let answer = try await session.query("SHOW transaction_read_only", deadline: Self.connectDeadline)
                if answer.first() == "off" { return (session, port) }
                session.close()
                failure = failure ?? PostgresError("write at 127.0.0.1:\(port)", .refused, message: "it is a standby")
            } catch {
                failure = error
            }
        }
        throw failure ?? PostgresError("connect", .unreachable, message: "there is no address")
    }
}
