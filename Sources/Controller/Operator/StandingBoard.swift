import ResourcePlan
import Synchronization

/// How the servers of each cluster stood last, for plans.
final class StandingBoard: Sendable {
    private struct State {
        var standings: [ClusterKey: ClusterStanding] = [:]
        var changed: (@Sendable (ClusterKey) -> Void)?
    }

    private let state = Mutex(State())

    /// Nil before anything is known.
    subscript(cluster: ClusterKey) -> ClusterStanding? { state.withLock { $0.standings[cluster] } }

    /// Has somebody told of each cluster that stands differently; nil nobody.
    func whenChanged(_ body: (@Sendable (ClusterKey) -> Void)?) { state.withLock { $0.changed = body } }

    func show(_ standing: ClusterStanding, of cluster: ClusterKey) {
        let told =
            state.withLock { state in
                guard state.standings.updateValue(standing, forKey: cluster) != standing else { return nil }
                return state.changed
            } as (@Sendable (ClusterKey) -> Void)?
        told?(cluster)
    }

    func remove(_ cluster: ClusterKey) { state.withLock { $0.standings[cluster] = nil } }
}
