package import ClusterModel
import FoundationEssentials
import Platform

/// How a compare-and-swap ended.
package enum StoreResult: Sendable {
    /// It took effect.
    case stored
    /// Another version is stored: this one.
    case conflict(ClusterRecord?)
    /// Whether it took effect is not known.
    case unknown(String)
}

/// What keeps the cluster record; behind it stands a file here, and the custom resource's status on Kubernetes.
package protocol RecordStore: Sendable {
    /// Reads the record as stored; nil if there is none.
    func load() async throws(RecordError) -> ClusterRecord?

    /// Replaces the record if the stored version is the given one.
    func store(_ record: ClusterRecord, replacing version: RecordVersion) async -> StoreResult
}

/// Why a record cannot be used.
package struct RecordError: Error, Hashable, Sendable, CustomStringConvertible {
    /// For people: what, where, how to mend it.
    package let description: String

    /// Says why.
    package init(description: String) { self.description = description }
}

extension ClusterRecord {
    /// Checks a record that was read: that it is this cluster's, and can be one.
    ///
    /// - Parameters:
    ///   - cluster: Whose it must be.
    ///   - place: Where it was read, for the error.
    ///   - mend: What a person can do about an impossible one.
    /// - Throws: `RecordError`.
    package func check(of cluster: ClusterName, place: String, mend: String) throws(RecordError) {
        guard self.cluster == cluster else {
            throw RecordError(description: "\(place) is the record of cluster '\(self.cluster)', not '\(cluster)'")
        }
        guard faults.isEmpty else {
            let words = faults.joined(separator: ", ")
            throw RecordError(description: "\(place) cannot be a record: \(words); \(mend)")
        }
    }
}

/// The record in a versioned file: temporary file, fsync, rename, fsync of the directory.
///
/// Several controllers may use the same file: a lock is held while the stored version is compared and the file
/// replaced, so that this is one step, and for no longer, so that a controller that freezes hardly ever holds it.
final class FileRecordStore: RecordStore {
    /// Largest file that is read.
    static let sizeLimit = 4 << 20

    private let path: String
    private let cluster: ClusterName

    /// How long another controller may hold the lock.
    static let lockLimit = Duration.seconds(2)

    init(path: String, cluster: ClusterName) throws(PlatformError) {
        self.path = path
        self.cluster = cluster
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            try DurableFile.makeDirectory(String(path[..<slash]))
        }
    }

    func load() async throws(RecordError) -> ClusterRecord? {
        try await onThread { [path, cluster] in FileRecordStore.read(path, cluster) }.get()
    }

    func store(_ record: ClusterRecord, replacing version: RecordVersion) async -> StoreResult {
        await onThread { [path, cluster] in
            switch FileRecordStore.read(path, cluster) {
            case .failure(let error): return .unknown(error.description)
            case .success(let found):
                guard (found?.version ?? .none) == version else { return .conflict(found) }
            }
            do {
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
                var now: Result<ClusterRecord?, RecordError> = .success(nil)
                let isReplaced = try DurableFile.replace(
                    Array(try encoder.encode(record)),
                    at: path,
                    isDurable: true,
                    lock: path + ".lock",
                    within: Self.lockLimit
                ) {
                    now = FileRecordStore.read(path, cluster)
                    if case .success(let found) = now { return (found?.version ?? .none) == version }
                    return false
                }
                if isReplaced { return .stored }
                switch now {
                case .success(let found): return .conflict(found)
                case .failure(let error): return .unknown(error.description)
                }
            } catch {
                return .unknown("\(error)")
            }
        }
    }

    private static func read(_ path: String, _ cluster: ClusterName) -> Result<ClusterRecord?, RecordError> {
        let mend = "restore a copy of it, or, if the cluster holds no data yet, remove it"
        do {
            guard let bytes = try DurableFile.read(path, limit: sizeLimit) else { return .success(nil) }
            let record = try JSONDecoder().decode(ClusterRecord.self, from: Data(bytes))
            try record.check(of: cluster, place: path, mend: mend)
            return .success(record)
        } catch let error as RecordError {
            return .failure(error)
        } catch let error as PlatformError {
            return .failure(RecordError(description: error.description))
        } catch {
            let text = String(describing: error).prefix(300)
            return .failure(RecordError(description: "could not read \(path): \(text); \(mend)"))
        }
    }

}

/// File work blocks, so it runs on a thread of its own.
func onThread<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
    await withCheckedContinuation { continuation in
        do {
            try WorkerThread.start("record") { continuation.resume(returning: body()) }
        } catch {
            // No thread to be had: better a short hold-up of the pool than no record.
            continuation.resume(returning: body())
        }
    }
}
