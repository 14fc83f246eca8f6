package import ClusterDecision
package import ClusterModel

/// What a controller's leadership has come to.
package enum LeadershipNews: Sendable {
    /// It leads from now on.
    case began
    /// Nobody else leads before then.
    case leading(until: MonotonicInstant)
    /// It leads no more.
    case ended
    /// It does not lead; this is the claim of whoever does, if anybody.
    case standsBy(LeadershipClaim?)
    /// For log and history.
    case explained(Explanation)
}

/// Carries out what the core of leadership decides: one switch over its actions, no decisions (R11).
package actor LeadershipKeeper {
    /// What happens, in order, for one reader; ends with ``release()``.
    package nonisolated let news: AsyncStream<LeadershipNews>

    private let continuation: AsyncStream<LeadershipNews>.Continuation
    private let store: any LeadershipStore
    private var machine: LeadershipMachine
    private var timer: Task<Void, Never>?
    private var isOver = false
    /// What was last told while standing by, so that it is told once.
    private var leader: LeadershipClaim??

    /// Makes one that does not try to lead yet.
    ///
    /// - Parameters:
    ///   - store: Keeps the claim.
    ///   - address: Where whoever leads is found, for those who look for it.
    ///   - duration: How long a claim is good for.
    package init(_ store: any LeadershipStore, address: Endpoint, duration: Duration) {
        self.store = store
        machine = LeadershipMachine(
            holder: "\(address) \(UInt64.random(in: .min ... .max))",
            address: address,
            duration: duration
        )
        (news, continuation) = AsyncStream.makeStream()
    }

    /// Tries to lead from now on.
    package func begin() { lead(.tick) }

    /// Ceases to lead, and lets whoever stands by know: it need not wait until this controller's turn is over.
    package func release() async {
        isOver = true
        timer?.cancel()
        continuation.finish()
        guard let given = machine.released() else { return }
        // In a task of its own, since the caller's has been cancelled as a rule.
        await Task { [store] in _ = await store.store(given, replacing: given.version - 1) }.value
    }

    private func lead(_ event: LeadershipEvent) {
        if isOver { return }
        let before = machine.certainUntil
        for action in machine.handle(event, at: .now) { perform(action) }
        if machine.leads {
            leader = nil
            if let until = machine.certainUntil, until != before { continuation.yield(.leading(until: until)) }
        } else if leader.map({ $0?.holder != machine.claim?.holder }) ?? true {
            leader = .some(machine.claim)
            continuation.yield(.standsBy(machine.claim))
        }
        timer?.cancel()
        let at = machine.wakeAt(after: .now)
        timer = Task { [weak self] in
            try? await Task.sleep(for: at - .now, tolerance: .zero)
            if !Task.isCancelled { await self?.lead(.tick) }
        }
    }

    private func perform(_ action: LeadershipAction) {
        switch action {
        case .read: Task { lead(await store.read()) }
        case .store(let claim, let version): Task { lead(await store.store(claim, replacing: version)) }
        case .began: continuation.yield(.began)
        case .ended: continuation.yield(.ended)
        case .explain(let explanation): continuation.yield(.explained(explanation))
        }
    }
}
