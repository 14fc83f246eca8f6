import ClusterDecision
import ClusterModel
import Configuration
import ControllerRuntime
import KubernetesClient
import KubernetesObjects
import Platform
import Synchronization

/// The claim of leadership in a Lease object, one for an installation (R11).
///
/// The turn is its number of transitions; version and address, for which a Lease has no fields, are annotations. Times
/// in it are for people.
final class KubernetesLeadershipStore: LeadershipStore {
    /// One higher with each write of a claim.
    static let versionMark = "understudy.dev/version"
    /// Where the holder is found.
    static let addressMark = "understudy.dev/address"
    /// Between two looks at another's claim: each is a request.
    static let pauseBetweenReads = Duration.milliseconds(500)

    private let client: KubernetesClient
    private let namespace: String
    private let name: String
    private let seconds: Int64
    private let known = Mutex<KubernetesLease?>(nil)
    private let readAt = Mutex<Duration?>(nil)

    /// Names the Lease; `duration` is what it tells people and other tools.
    init(_ client: KubernetesClient, namespace: String, name: String, duration: Duration) {
        self.client = client
        self.namespace = namespace
        self.name = name
        seconds = max(1, (duration.wholeMilliseconds + 999) / 1000)
    }

    func read() async -> LeadershipEvent {
        let now = MonotonicClock.now()
        let due = readAt.withLock { $0.map { $0 + Self.pauseBetweenReads } ?? now }
        if due > now { try? await Task.sleep(for: due - now) }
        readAt.withLock { $0 = MonotonicClock.now() }
        do {
            return .read(try await look().map(claim), holderIsDead: false)
        } catch {
            return .failed(reason: error.description)
        }
    }

    func store(_ claim: LeadershipClaim, replacing version: UInt64?) async -> LeadershipEvent {
        do {
            var lease = known.withLock { $0 }
            if lease.map({ self.claim($0).version }) != version { lease = try await look() }
            // Somebody may have changed what is no part of the claim: then it is looked at once more.
            for _ in 0..<3 {
                guard lease.map({ self.claim($0).version }) == version else { return .conflict(lease.map(self.claim)) }
                if try await write(claim, over: lease) { return .stored }
                lease = try await look()
                // What the server was sent twice it took once.
                if lease.map(self.claim) == written(claim) { return .stored }
            }
            return .failed(reason: "Lease '\(name)' in namespace '\(namespace)' is changed by others all the time")
        } catch {
            known.withLock { $0 = nil }
            return .failed(reason: error.description)
        }
    }

    private func look() async throws(KubernetesError) -> KubernetesLease? {
        let lease = try await client.lease(namespace: namespace, name: name)
        known.withLock { $0 = lease }
        return lease
    }

    /// Returns whether it took effect; `false` if somebody was faster.
    private func write(_ claim: LeadershipClaim, over found: KubernetesLease?) async throws(KubernetesError) -> Bool {
        let moment = KubernetesClient.moment(milliseconds: WallClock.milliseconds())
        var lease = found ?? KubernetesLease(namespace: namespace, name: name)
        if lease.holder != claim.holder { lease.acquireTime = moment }
        // Given up as every tool knows it: held by nobody.
        lease.holder = claim.isReleased ? "" : claim.holder
        lease.durationSeconds = seconds
        lease.transitions = Int64(clamping: claim.turn)
        lease.renewTime = moment
        var marks = lease.object.annotations
        marks[Self.versionMark] = "\(claim.version)"
        marks[Self.addressMark] = "\(claim.address)"
        lease.object.annotations = marks
        do throws(KubernetesError) {
            let written = try await client.write(lease, fieldManager: PlanExecutor.fieldManager)
            known.withLock { $0 = written }
            return true
        } catch {
            guard error.isConflict || error.isAlreadyExists || error.isNotFound else { throw error }
            return false
        }
    }

    /// A claim as it is read back.
    private func written(_ claim: LeadershipClaim) -> LeadershipClaim {
        var back = claim
        if claim.isReleased { back.holder = "" }
        return back
    }

    /// One without our marks is of a version that nobody writes: it has to grow old before it is replaced.
    private func claim(_ lease: KubernetesLease) -> LeadershipClaim {
        let marks = lease.object.annotations
        var claim = LeadershipClaim(
            holder: lease.holder,
            address: marks[Self.addressMark].flatMap(ConfigurationReader.parseEndpoint) ?? Endpoint(host: "", port: 0),
            turn: UInt64(clamping: lease.transitions),
            version: marks[Self.versionMark].flatMap { UInt64($0) }.flatMap { $0 < 1 << 62 ? $0 : nil } ?? 0
        )
        claim.isReleased = lease.holder.isEmpty
        return claim
    }
}
