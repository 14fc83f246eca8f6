import Synchronization

/// A flag that any task raises and one other waits for.
///
/// A wait may end early for no reason; who waits looks at the world anyway.
final class AsyncSignal: Sendable {
    private struct State {
        var isRaised = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    func raise() {
        let waiter = state.withLock { state in
            defer { state.waiter = nil }
            state.isRaised = state.waiter == nil
            return state.waiter
        }
        waiter?.resume()
    }

    /// Waits until it is raised, the time is over or the task is cancelled; at once if it was raised before.
    func wait(atMost limit: Duration? = nil) async {
        let timeout = limit.map { limit in
            Task {
                try? await Task.sleep(for: limit, tolerance: .zero)
                if !Task.isCancelled { self.release() }
            }
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let goesOn = state.withLock { state in
                    if state.isRaised || Task.isCancelled {
                        state.isRaised = false
                        return true
                    }
                    state.waiter = continuation
                    return false
                }
                if goesOn { continuation.resume() }
            }
        } onCancel: {
            release()
        }
        timeout?.cancel()
    }

    private func release() {
        let waiter = state.withLock { state in
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }
}
