import ClusterModel
import FoundationEssentials
import Platform

/// How a compare-and-swap ended.
enum StoreResult: Sendable {
    case stored
    case conflict(ClusterRecord?)
    /// Whether it took effect is not known.
    case unknown(String)
}

/// What keeps the cluster record; behind it stands a file here, and the custom resource's status on Kubernetes.
protocol RecordStore: Sendable {
    /// Reads the record as stored; nil if there is none.
    func load() async throws(RecordError) -> ClusterRecord?

    /// Replaces the record if the stored version is the given one.
    func store(_ record: ClusterRecord, replacing version: RecordVersion) async -> StoreResult
}

/// Why a record cannot be used.
struct RecordError: Error, Hashable, Sendable, CustomStringConvertible {
    let description: String
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
            guard record.cluster == cluster else {
                return .failure(
                    RecordError(description: "\(path) is the record of cluster '\(record.cluster)', not '\(cluster)'")
                )
            }
            guard record.faults.isEmpty else {
                let faults = record.faults.joined(separator: ", ")
                return .failure(RecordError(description: "\(path) cannot be a record: \(faults); \(mend)"))
            }
            return .success(record)
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
