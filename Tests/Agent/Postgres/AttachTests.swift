import ClusterModel
import Foundation
import InstanceDecision
import LauncherClient
import Testing

@testable import PostgresInstance

@Suite("Work that is given up, or finds a server", .serialized)
struct AttachTests {
    @Test("what is for a server that is down does nothing beside one that runs (D103)")
    func foundServer() async throws {
        let one = try await TestInstance("one")
        do {
            let (incarnation, identifier) = try await born(one)
            let itself = one.upstream(identifier, 1)
            #expect(await one.adapter.inspect() == .foundServer)
            #expect(await one.adapter.initialize() == .foundServer)
            #expect(await one.adapter.clone(itself) == .foundServer)
            #expect(await one.adapter.rewind(itself) == .foundServer)
            #expect(try text(one, "understudy.incarnation").hasPrefix(incarnation.text))
            #expect(try await !one.adapter.poll().inRecovery)
            try await one.stop(.fast)
            guard case .inspected(let facts) = await one.adapter.inspect() else { throw TimedOut(what: "inspect") }
            #expect(facts.cleanShutdown && facts.wasPrimary)
        } catch {
            Issue.record(error)
        }
        await one.finish()
    }

    @Test("what was given up writes nothing, not even through a connection that came after it (D103)")
    func givenUp() async throws {
        let one = try await TestInstance("one")
        do {
            try await one.adapter.place("kept", "of an order")
            try await one.client.connect()
            let wasDone = await Task { [adapter = one.adapter] in
                unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
                let wrote = (try? await adapter.place("late", "of an order")) != nil
                let removed = (try? await adapter.removeFile("kept")) != nil
                return wrote || removed
            }.value
            #expect(!wasDone)
            #expect(FileManager.default.contents(atPath: one.file("kept")) == Data("of an order".utf8))
            #expect(!FileManager.default.fileExists(atPath: one.file("late")))
        } catch {
            Issue.record(error)
        }
        await one.finish()
    }

    private func born(_ one: TestInstance) async throws -> (Incarnation, SystemIdentifier) {
        guard case .initialized(let incarnation, let identifier) = await one.adapter.initialize() else {
            throw TimedOut(what: "a data directory")
        }
        try await one.lease()
        #expect(await one.adapter.start(.firstPrimary, peers: []) == .started)
        return (incarnation, identifier)
    }

    private func text(_ one: TestInstance, _ name: String) throws -> String {
        let path = one.file("pgdata/\(name)")
        return try String(contentsOfFile: path, encoding: .utf8)
    }
}
