import ClusterModel
import Foundation
import Platform
import Testing

@testable import ControllerRuntime

@Suite("Controller: the record in a file")
struct RecordStoreTests {
    private let cluster: ClusterName
    private let folder: String

    init() throws {
        cluster = try #require(ClusterName("orders"))
        folder = NSTemporaryDirectory() + "understudy-test-record-\(UUID().uuidString)"
        try DurableFile.makeDirectory(folder)
    }

    private var path: String { folder + "/record.json" }

    private func withStore(_ body: (FileRecordStore) async throws -> Void) async throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await body(FileRecordStore(path: path, cluster: cluster))
    }

    @Test("what was stored is loaded, whole")
    func roundTrip() async throws {
        try await withStore { store in
            let before = try await store.load()
            #expect(before == nil)
            var record = ClusterRecord(forming: cluster, mode: .required)
            record.history = [
                Primacy(
                    term: Term(rawValue: 1),
                    primary: nil,
                    timeline: .first,
                    parent: .none,
                    forkLSN: LSN(rawValue: .max),
                    why: "birth"
                )
            ]
            guard case .stored = await store.store(record, replacing: .none) else {
                Issue.record("the first write was refused")
                return
            }
            let after = try await store.load()
            #expect(after == record)
        }
    }

    @Test("a write that expects another version changes nothing and shows what is stored")
    func conflict() async throws {
        try await withStore { store in
            let first = ClusterRecord(forming: cluster, mode: .required)
            _ = await store.store(first, replacing: .none)
            var second = first
            second.version = RecordVersion(rawValue: 9)
            guard case .conflict(let found) = await store.store(second, replacing: RecordVersion(rawValue: 8)) else {
                Issue.record("a stale write was taken")
                return
            }
            #expect(found == first)
            let after = try await store.load()
            #expect(after == first)
        }
    }

    @Test("of two controllers that write at once over the same version exactly one is stored, each time")
    func compareAndSwap() async throws {
        try await withStore { one in
            let other = try FileRecordStore(path: path, cluster: cluster)
            var expected = RecordVersion.none
            for _ in 0..<20 {
                var record = ClusterRecord(forming: cluster, mode: .required)
                record.version = expected.next
                record.term = Term(rawValue: 1)
                var rival = record
                rival.term = Term(rawValue: 2)
                let results = await withTaskGroup(of: StoreResult.self) { [record, rival, expected] group in
                    group.addTask { await one.store(record, replacing: expected) }
                    group.addTask { await other.store(rival, replacing: expected) }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                let stored = results.count { if case .stored = $0 { true } else { false } }
                let conflicts = results.count { if case .conflict = $0 { true } else { false } }
                #expect(stored == 1 && conflicts == 1, "\(results)")
                expected = record.version
            }
            let names = try FileManager.default.contentsOfDirectory(atPath: folder)
            #expect(names.sorted() == ["record.json", "record.json.lock"])
        }
    }

    @Test("a lock that another holds makes a write unknown, not lost and not forced")
    func heldLock() async throws {
        try await withStore { store in
            let record = ClusterRecord(forming: cluster, mode: .required)
            let lock = try FileLock.acquire(path + ".lock")
            guard case .unknown(let reason) = await store.store(record, replacing: .none) else {
                Issue.record("a write went past the lock")
                return
            }
            #expect(reason.contains("held by process"))
            withExtendedLifetime(lock) {}
        }
    }

    @Test(
        "a record that cannot be is refused with the mend, never half believed",
        arguments: ["", "{", "[]", #"{"version": 3}"#, "null"]
    )
    func garbled(text: String) async throws {
        try await withStore { store in
            try DurableFile.write(Array(text.utf8), to: path)
            let error = await #expect(throws: RecordError.self) { () async throws in _ = try await store.load() }
            #expect(error?.description.contains("restore a copy of it") == true)
            guard case .unknown = await store.store(ClusterRecord(forming: cluster, mode: .async), replacing: .none)
            else {
                Issue.record("a record was written over one that could not be read")
                return
            }
        }
    }

    @Test("the record of another cluster is refused")
    func foreign() async throws {
        try await withStore { store in
            _ = await store.store(ClusterRecord(forming: cluster, mode: .async), replacing: .none)
            let text = try String(contentsOfFile: path, encoding: .utf8)
            try DurableFile.write(Array(text.replacingOccurrences(of: "orders", with: "bills").utf8), to: path)
            let error = await #expect(throws: RecordError.self) { () async throws in _ = try await store.load() }
            #expect(error?.description.contains("the record of cluster 'bills'") == true)
        }
    }
}
