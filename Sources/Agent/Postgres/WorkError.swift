import InstanceDecision
import LauncherClient
import PostgresDriver

/// Why a procedure did not reach its end: one sentence.
struct WorkError: Error, Hashable, Sendable, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }

    init(_ error: PostgresError) { description = error.description }

    init(_ error: LauncherError) { description = error.message }

    static let cancelled = WorkError("cancelled")
}

/// A moment by which a wait ends.
struct Limit: Sendable {
    private let end: ContinuousClock.Instant

    init(_ duration: Duration) { end = .now + duration }

    var left: Duration { max(.zero, end - .now) }
    var isOver: Bool { left == .zero }
}

/// Gives others a turn between two looks; a cancelled task ends its procedure here.
func pause(_ duration: Duration) async throws(WorkError) {
    guard (try? await Task.sleep(for: duration, tolerance: .zero)) != nil else { throw .cancelled }
}

/// Runs all at once, which for files means one wait for the disk instead of many; throws the first failure.
func concurrently(_ works: [@Sendable () async throws(WorkError) -> Void]) async throws(WorkError) {
    let failures = await withTaskGroup(of: WorkError?.self) { group in
        for work in works {
            group.addTask {
                do throws(WorkError) {
                    try await work()
                    return nil
                } catch {
                    return error
                }
            }
        }
        return await group.reduce(into: [WorkError]()) { failures, failure in
            if let failure { failures.append(failure) }
        }
    }
    if let failure = failures.first { throw failure }
}
