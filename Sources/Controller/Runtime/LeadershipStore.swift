package import ClusterDecision
import ClusterModel
import FoundationEssentials
import Platform
import Synchronization

/// What keeps the claim of leadership; behind it stands a file here, and a Lease object on Kubernetes (R11).
package protocol LeadershipStore: Sendable {
    /// Reads the claim as stored; gives `read` or `failed`.
    func read() async -> LeadershipEvent

    /// Replaces the claim if the stored version is the given one; gives `stored`, `conflict` or `failed`.
    func store(_ claim: LeadershipClaim, replacing version: UInt64?) async -> LeadershipEvent
}

/// The claim in a file beside the record, which all controllers of a cluster share.
///
/// The holder of a turn also locks a file of that turn, and the claim says so. The kernel lets go of it when the
/// holder dies, however it dies: whoever then gets the lock need not wait for the claim to grow old. Who freezes
/// keeps its lock, and loses its turn by age.
final class FileLeadershipStore: LeadershipStore {
    /// Largest file that is read.
    static let sizeLimit = 64 << 10

    private struct Stored: Codable {
        var claim: LeadershipClaim
        /// The holder has the lock of its turn.
        var isLocked: Bool
    }

    private struct Held: Sendable {
        var turn: UInt64
        var lock: FileLock
    }

    private let path: String
    private let held = Mutex<Held?>(nil)

    init(path: String) { self.path = path }

    func read() async -> LeadershipEvent {
        await onThread { [self] in
            do {
                let stored = try load()
                return .read(stored?.claim, holderIsDead: stored.map(holderIsDead) ?? false)
            } catch {
                return .failed(reason: "\(error)")
            }
        }
    }

    func store(_ claim: LeadershipClaim, replacing version: UInt64?) async -> LeadershipEvent {
        await onThread { [self] in
            do {
                let isLocked = lockTurn(claim.turn)
                let bytes = Array(try JSONEncoder().encode(Stored(claim: claim, isLocked: isLocked)))
                var found: LeadershipClaim?
                var unread: PlatformError?
                // A power cut ends the holder, too: the claim need not outlive it.
                let isReplaced = try DurableFile.replace(
                    bytes,
                    at: path,
                    isDurable: false,
                    lock: path + ".lock",
                    within: .milliseconds(500)
                ) {
                    do throws(PlatformError) {
                        found = try load()?.claim
                    } catch {
                        // What cannot be read may well be somebody's claim.
                        unread = error
                        return false
                    }
                    return found?.version == version
                }
                if let unread { throw unread }
                guard isReplaced else {
                    letGo(unless: found, is: claim)
                    return .conflict(found)
                }
                removeLock(ofTurn: claim.turn == 0 ? 0 : claim.turn - 1)
                return .stored
            } catch {
                return .failed(reason: "\(error)")
            }
        }
    }

    /// The claim; one that is garbled is nobody's, of a version that no controller writes, and has to grow old.
    private func load() throws(PlatformError) -> Stored? {
        guard let bytes = try DurableFile.read(path, limit: Self.sizeLimit) else { return nil }
        if let stored = try? JSONDecoder().decode(Stored.self, from: Data(bytes)) { return stored }
        let nobody = LeadershipClaim(holder: "", address: Endpoint(host: "", port: 0), turn: 0, version: 0)
        return Stored(claim: nobody, isLocked: false)
    }

    private func lockPath(_ turn: UInt64) -> String { "\(path).\(turn)" }

    private func holderIsDead(_ stored: Stored) -> Bool {
        guard stored.isLocked, held.withLock({ $0?.turn != stored.claim.turn }) else { return false }
        return (try? FileLock.acquire(lockPath(stored.claim.turn))) != nil
    }

    /// Whether this controller has the lock of that turn; without it the claim is as good, and only slower to pass on.
    private func lockTurn(_ turn: UInt64) -> Bool {
        held.withLock { held in
            if held?.turn == turn { return true }
            held = nil
            guard let lock = try? FileLock.acquire(lockPath(turn)) else { return false }
            held = Held(turn: turn, lock: lock)
            return true
        }
    }

    private func letGo(unless found: LeadershipClaim?, is claim: LeadershipClaim) {
        if found?.holder != claim.holder { held.withLock { $0 = nil } }
    }

    private func removeLock(ofTurn turn: UInt64) {
        try? DurableFile.remove(lockPath(turn))
    }
}
