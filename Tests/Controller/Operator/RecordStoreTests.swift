import ClusterModel
import ControllerRuntime
import JSON
import KubernetesClient
import KubernetesObjects
import KubernetesStandIn
import Testing

@testable import OperatorRuntime

@Suite("Operator: the record in the status of the resource")
struct KubernetesRecordStoreTests {
    private let key = ClusterKey(namespace: "default", name: "orders")

    private func withCluster(
        _ body: (APIServer, ClusterName, () throws -> KubernetesRecordStore) async throws -> Void
    ) async throws {
        try await APIServer.run { server in
            let name = try await server.cluster("orders")
            try await body(server, name) {
                KubernetesRecordStore(try APIServer.client(server.credentials), of: key, cluster: name)
            }
        }
    }

    private func record(_ cluster: ClusterName, version: UInt64, term: UInt64 = 0) -> ClusterRecord {
        var record = ClusterRecord(forming: cluster, mode: .required)
        record.version = RecordVersion(rawValue: version)
        record.term = Term(rawValue: term)
        return record
    }

    @Test("what was stored is loaded, whole, also by another operator")
    func roundTrip() async throws {
        try await withCluster { _, name, store in
            let (one, other) = (try store(), try store())
            let before = try await one.load()
            #expect(before == nil)
            var written = record(name, version: 1)
            // A number that no floating point holds.
            written.systemIdentifier = SystemIdentifier(rawValue: 7_641_236_123_456_789_013)
            guard case .stored = await one.store(written, replacing: .none) else {
                Issue.record("the first write was refused")
                return
            }
            let after = try await other.load()
            #expect(after == written)
        }
    }

    @Test("of two operators that write at once over the same version exactly one is stored, each time")
    func compareAndSwap() async throws {
        try await withCluster { _, name, store in
            let (one, other) = (try store(), try store())
            var expected = RecordVersion.none
            for _ in 0..<20 {
                let (mine, theirs) = (
                    record(name, version: expected.rawValue + 1, term: 1),
                    record(name, version: expected.rawValue + 1, term: 2)
                )
                let results = await withTaskGroup(of: StoreResult.self) { [expected] group in
                    group.addTask { await one.store(mine, replacing: expected) }
                    group.addTask { await other.store(theirs, replacing: expected) }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                let stored = results.count { if case .stored = $0 { true } else { false } }
                let conflicts = results.count { if case .conflict = $0 { true } else { false } }
                #expect(stored == 1 && conflicts == 1, "\(results)")
                expected = expected.next
            }
        }
    }

    @Test("two operators that write the very same record at once are told apart, too")
    func sameRecord() async throws {
        try await withCluster { _, name, store in
            let (one, other) = (try store(), try store())
            let first = record(name, version: 1)
            guard case .stored = await one.store(first, replacing: .none) else {
                Issue.record("the first write was refused")
                return
            }
            guard case .conflict(let found) = await other.store(first, replacing: .none) else {
                Issue.record("a second write of the same version was called stored")
                return
            }
            #expect(found == first)
        }
    }

    @Test("other parts of the status may move between reading and writing: the record is stored all the same")
    func othersMove() async throws {
        try await withCluster { server, name, store in
            let store = try store()
            for version in 1...5 {
                try await server.setStatus("orders", ["ready": .string("\(version)/3")])
                let next = record(name, version: UInt64(version))
                guard case .stored = await store.store(next, replacing: RecordVersion(rawValue: UInt64(version - 1)))
                else {
                    Issue.record("version \(version) was not stored")
                    return
                }
            }
            let status = try await server.status("orders")
            #expect(status["ready"] == "5/3")
        }
    }

    @Test(
        "a write whose answer is lost is unknown, and what is read next is what is so",
        arguments: [(StandInFault.Effect.loseAnswer, true), (.silence, false), (.cut(afterBytes: 30), true)]
    )
    func lostAnswer(effect: StandInFault.Effect, takesEffect: Bool) async throws {
        try await withCluster { server, name, _ in
            var limits = KubernetesLimits()
            limits.deadline = .seconds(1)
            let store = KubernetesRecordStore(
                try KubernetesClient(server.credentials, limits: limits),
                of: key,
                cluster: name
            )
            _ = try await store.load()
            // As often as it may be sent: an HTTP client may repeat what a closed connection swallowed.
            server.api.inject(StandInFault(effect, times: 2) { $0.method == "PATCH" })
            let first = record(name, version: 1)
            switch await store.store(first, replacing: .none) {
            case .unknown(let reason): #expect(reason.contains("status.record of Kubegres default/orders"))
            case .stored: #expect(takesEffect)
            case .conflict(let found): Issue.record("its own write was called another's: \(String(describing: found))")
            }
            let found = try await store.load()
            #expect(found == (takesEffect ? first : nil))
            // As the core does: what is unknown is read anew.
            try await eventually("it goes on") {
                let version = try await store.load()?.version ?? .none
                let next = record(name, version: version.rawValue + 1)
                if case .stored = await store.store(next, replacing: version) { return true }
                return false
            }
        }
    }

    @Test(
        "a record that somebody edited into nonsense is an error that says how to mend it, never half believed",
        arguments: [
            JSONValue.string(""), .string("{"), .string("{}"), .string("null"), 7, [:],
            .string(#"{"record": {"version": 3}, "write": "a"}"#),
        ]
    )
    func nonsense(value: JSONValue) async throws {
        try await withCluster { server, name, store in
            try await server.setStatus("orders", ["record": value])
            let store = try store()
            let error = await #expect(throws: RecordError.self) { () async throws in _ = try await store.load() }
            #expect(error?.description.contains("put the text back as it was") == true)
            guard case .unknown = await store.store(record(name, version: 1), replacing: .none) else {
                Issue.record("a record was written over one that could not be read")
                return
            }
            let status = try await server.status("orders")
            #expect(status["record"] == value)
        }
    }

    @Test("a record of another cluster, one too high to go on from, and one that is too large are refused")
    func impossible() async throws {
        try await withCluster { server, name, store in
            let store = try store()
            guard case .stored = await store.store(record(name, version: 1), replacing: .none) else {
                Issue.record("the first write was refused")
                return
            }
            let text = try #require(try await server.status("orders")["record"]?.string)
            for (edited, word) in [
                (text.replacing(name.text, with: "bills"), "the record of cluster 'bills'"),
                (text.replacing("\"version\":1", with: "\"version\":\(UInt64.max)"), "too high"),
                (text + String(repeating: " ", count: KubernetesRecordStore.sizeLimit), "more than"),
            ] {
                #expect(edited != text)
                try await server.setStatus("orders", ["record": .string(edited)])
                let error = await #expect(throws: RecordError.self) { () async throws in _ = try await store.load() }
                #expect(error?.description.contains(word) == true, "\(String(describing: error))")
            }
        }
    }

    @Test("another resource of the same name is another cluster: its record is neither read nor written")
    func recreated() async throws {
        try await withCluster { server, name, store in
            let store = try store()
            _ = await store.store(record(name, version: 1), replacing: .none)
            try await server.client.delete(.kubegres, namespace: "default", name: "orders")
            _ = try await server.cluster("orders")
            let error = await #expect(throws: RecordError.self) { () async throws in _ = try await store.load() }
            #expect(error?.description.contains("another resource by now") == true)
            guard case .unknown = await store.store(record(name, version: 2), replacing: RecordVersion(rawValue: 1))
            else {
                Issue.record("it was written into another cluster's resource")
                return
            }
            let status = try await server.status("orders")
            #expect(status["record"] == nil)
        }
    }
}
