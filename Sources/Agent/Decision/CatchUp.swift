import ClusterModel

/// Receiving from another prepared standby what that holds more, before this one can be the candidate (R8).
extension InstanceMachine {
    /// Follows the other one without giving up the promise.
    ///
    /// What it receives makes its answer void: `prepare` comes again. Where anything comes in between, it answers
    /// that anew, and is told to catch up once more.
    mutating func catchUp(_ plan: FollowPlan) {
        if phase == .up, following == Following(term: state.promised.term, primary: plan.primary) { return }
        guard phase == .up, state.role == .standby, let position = prepared?.position else {
            goal = .prepare(recover: false)
            return prepare(recover: false)
        }
        switch judge(position, plan) {
        case nil: break
        case .prefix:
            prepared = nil
            cutPosition = nil
            explain(
                .follow,
                rule: "R8",
                "catching up from '\(plan.primary)', which holds more WAL; term \(state.promised.term) stays promised",
                evidence: ["\(position)"]
            )
            let upstream = Upstream(
                primary: plan.primary,
                server: plan.server,
                systemIdentifier: plan.systemIdentifier,
                lineage: Lineage(of: plan.history)
            )
            let id = begin(.follow(plan))
            add(.follow(id, upstream, peers: plan.peers))
        case .diverged(let reason), .unknown(let reason):
            fault = "could not catch up from '\(plan.primary)': \(reason)"
            explain(.refused, rule: "R8", fault)
            goal = .prepare(recover: false)
        }
    }
}
