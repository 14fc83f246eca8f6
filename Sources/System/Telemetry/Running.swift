public import Logging
import Platform

/// Version of all programs of this package.
public let softwareVersion = "0.1.0"

/// Runs a service until it ends by itself or a signal arrives that cancels it; SIGHUP has it read its certificates
/// again.
///
/// - Throws: What the service throws, unless it was cancelled.
public func runUntilSignalled(
    _ signals: AsyncStream<Int32>,
    onHangUp: @escaping @Sendable () async -> Void,
    logger: Logger,
    _ body: @escaping @Sendable () async throws -> Void
) async throws {
    try await withThrowingTaskGroup(of: Bool.self) { group in
        group.addTask {
            try await body()
            return false
        }
        group.addTask {
            for await signal in signals {
                if signal == Signals.hangUp {
                    await onHangUp()
                    continue
                }
                logger.notice("stopping", metadata: ["signal": "\(signal)"])
                return true
            }
            return true
        }
        let signalled = try await group.next() ?? true
        group.cancelAll()
        guard signalled else { return }
        while let result = await group.nextResult() {
            if case .failure(let error) = result, !(error is CancellationError) { throw error }
        }
    }
}
