import ClusterModel
import ControllerRuntime
import FoundationEssentials
import JSON
import KubernetesClient
import KubernetesObjects
import Synchronization

/// The record in the status of the Kubegres resource, as one text: exact, and replaced as a whole.
///
/// The API server compares the version of the whole resource, of which others change other parts; what is compared for
/// the core is the record's own. A write whose answer was lost is found again by its mark.
final class KubernetesRecordStore: RecordStore {
    /// Where in the status it lies.
    static let field = "record"
    /// The largest record that is read or written, in bytes; an object may have about a million and a half.
    static let sizeLimit = 1 << 20
    /// How often a write is tried while others change other parts of the resource.
    static let attempts = 8

    /// What lies in the status.
    private struct Stored: Codable {
        var record: ClusterRecord
        /// Of the write that put it there, never used twice.
        var write: String
    }

    /// The resource as it was last read or written here.
    private struct Known {
        var resourceVersion: String
        var stored: Stored?
    }

    private let client: KubernetesClient
    private let key: ClusterKey
    private let cluster: ClusterName
    private let writer = String(UInt64.random(in: .min ... .max), radix: 16)
    private let count = Mutex<UInt64>(0)
    private let known = Mutex<Known?>(nil)

    /// Names the place.
    ///
    /// - Parameters:
    ///   - client: Speaks to the API server.
    ///   - key: The resource.
    ///   - cluster: Its identity: another resource of the same name is another cluster.
    init(_ client: KubernetesClient, of key: ClusterKey, cluster: ClusterName) {
        self.client = client
        self.key = key
        self.cluster = cluster
    }

    private var place: String { "status.\(Self.field) of Kubegres \(key)" }

    func load() async throws(RecordError) -> ClusterRecord? { try await read().stored?.record }

    func store(_ record: ClusterRecord, replacing version: RecordVersion) async -> StoreResult {
        let mark = count.withLock { count in
            count += 1
            return "\(writer)-\(count)"
        }
        let text: String
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            text = String(decoding: try encoder.encode(Stored(record: record, write: mark)), as: UTF8.self)
        } catch {
            return .unknown("could not encode \(place): \(error)")
        }
        guard text.utf8.count <= Self.sizeLimit else {
            return .unknown("\(place) would have \(text.utf8.count) bytes; \(Self.sizeLimit) are allowed")
        }
        var last = ""
        for attempt in 1...Self.attempts {
            do {
                // What is known from before spares a request: a write that rests on it fails if it is old.
                let remembered = attempt == 1 ? known.withLock { $0 } : nil
                let present = if let remembered { remembered } else { try await read() }
                if present.stored?.write == mark { return .stored }
                guard (present.stored?.record.version ?? .none) == version else {
                    if remembered != nil { continue }
                    return .conflict(present.stored?.record)
                }
                try await write(text, over: present, as: Stored(record: record, write: mark))
                return .stored
            } catch let error as KubernetesError {
                forget()
                last = error.description
                guard error.isConflict else { return .unknown("could not write \(place): \(error)") }
            } catch {
                return .unknown("\(error)")
            }
        }
        return .unknown("could not write \(place): others changed the resource \(Self.attempts) times; \(last)")
    }

    private func write(_ text: String, over present: Known, as stored: Stored) async throws(KubernetesError) {
        var patch: JSONValue = [:]
        patch[path: ["metadata", "resourceVersion"]] = .string(present.resourceVersion)
        patch[path: ["status", Self.field]] = .string(text)
        let written = try await client.mergePatch(
            patch,
            .kubegres,
            namespace: key.namespace,
            name: key.name,
            part: .status,
            fieldManager: PlanExecutor.fieldManager
        )
        guard written.status[Self.field]?.string == text else {
            let mend = "install the CustomResourceDefinition of this version, which has that field"
            throw KubernetesError(.malformed, "write \(place)", cause: "the API server dropped it", mend: mend)
        }
        known.withLock { $0 = Known(resourceVersion: written.resourceVersion, stored: stored) }
    }

    private func forget() { known.withLock { $0 = nil } }

    private func read() async throws(RecordError) -> Known {
        forget()
        let object: KubernetesObject
        do {
            object = try await client.get(.kubegres, namespace: key.namespace, name: key.name)
        } catch {
            throw RecordError(description: "could not read \(place): \(error)")
        }
        guard object.uid == cluster.text else {
            let text = "Kubegres \(key) is another resource by now, of uid '\(object.uid)', not '\(cluster)'"
            throw RecordError(description: text)
        }
        let found = Known(resourceVersion: object.resourceVersion, stored: try stored(in: object))
        known.withLock { $0 = found }
        return found
    }

    private func stored(in object: KubernetesObject) throws(RecordError) -> Stored? {
        guard let value = object.status[Self.field], value != .null else { return nil }
        let mend = "put the text back as it was, or take the field out: the agents keep copies of the record"
        guard let text = value.string else {
            throw RecordError(description: "\(place) cannot be a record: it is no text; \(mend)")
        }
        guard text.utf8.count <= Self.sizeLimit else {
            let size = "it has \(text.utf8.count) bytes, more than \(Self.sizeLimit)"
            throw RecordError(description: "\(place) cannot be a record: \(size); \(mend)")
        }
        let stored: Stored
        do {
            stored = try JSONDecoder().decode(Stored.self, from: Data(text.utf8))
        } catch {
            let cause = String(describing: error).prefix(300)
            throw RecordError(description: "\(place) cannot be a record: \(cause); \(mend)")
        }
        try stored.record.check(of: cluster, place: place, mend: mend)
        return stored
    }
}
