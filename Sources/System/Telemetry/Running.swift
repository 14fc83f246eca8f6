public import Logging

/// Version of all programs of this package.
public let softwareVersion = "0.1.0"

/// Runs a service until it ends by itself or a signal arrives, which cancels it.
///
/// - Throws: What the service throws, unless it was cancelled.
public func runUntilSignalled(
    _ signals: AsyncStream<Int32>,
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
