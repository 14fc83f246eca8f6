import ClusterDecision
import ClusterModel
import Foundation
import Platform
import Testing

@testable import ControllerRuntime

@Suite("Controller: the claim of leadership in a file")
struct LeadershipStoreTests {
    private let folder: String

    init() throws {
        folder = NSTemporaryDirectory() + "understudy-test-leader-\(UUID().uuidString)"
        try DurableFile.makeDirectory(folder)
    }

    private var path: String { folder + "/record.json.leader" }

    private func claim(_ holder: String, turn: UInt64, version: UInt64) -> LeadershipClaim {
        LeadershipClaim(
            holder: holder,
            address: Endpoint(host: "127.0.0.1", port: 7432),
            turn: turn,
            version: version
        )
    }

    private func withFolder(_ body: () async throws -> Void) async throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await body()
    }

    @Test("the first claim is stored once; a rival's shows it who was faster")
    func oneIsStored() async throws {
        try await withFolder {
            let (one, other) = (FileLeadershipStore(path: path), FileLeadershipStore(path: path))
            #expect(await one.read() == .read(nil, holderIsDead: false))
            let first = claim("one", turn: 1, version: 1)
            #expect(await one.store(first, replacing: nil) == .stored)
            #expect(await other.store(claim("other", turn: 1, version: 1), replacing: nil) == .conflict(first))
            #expect(await other.read() == .read(first, holderIsDead: false))
            let renewed = claim("one", turn: 1, version: 2)
            #expect(await one.store(renewed, replacing: 1) == .stored)
            #expect(await one.store(claim("one", turn: 1, version: 2), replacing: 1) == .conflict(renewed))
        }
    }

    @Test("a holder whose process is gone is known to be dead, and its successor's lock replaces its own")
    func deathShows() async throws {
        try await withFolder {
            let heir = FileLeadershipStore(path: path)
            let first = claim("one", turn: 1, version: 1)
            do {
                // Its lock goes with it, as the kernel lets go of a dead process's.
                let holder = FileLeadershipStore(path: path)
                #expect(await holder.store(first, replacing: nil) == .stored)
                #expect(await heir.read() == .read(first, holderIsDead: false))
            }
            #expect(await heir.read() == .read(first, holderIsDead: true))
            let second = claim("two", turn: 2, version: 2)
            #expect(await heir.store(second, replacing: 1) == .stored)
            let third = FileLeadershipStore(path: path)
            #expect(await third.read() == .read(second, holderIsDead: false))
            let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
            #expect(names == ["record.json.leader", "record.json.leader.2", "record.json.leader.lock"])
        }
    }

    @Test("a claim taken without the lock of its turn is never called dead")
    func unlockedIsNeverDead() async throws {
        try await withFolder {
            let frozen = try FileLock.acquire(path + ".2")
            let taken = claim("two", turn: 2, version: 2)
            #expect(await FileLeadershipStore(path: path).store(taken, replacing: nil) == .stored)
            withExtendedLifetime(frozen) {}
            #expect(await FileLeadershipStore(path: path).read() == .read(taken, holderIsDead: false))
        }
    }

    @Test("a claim that cannot be read is not taken for none, nor replaced (R11)")
    func unread() async throws {
        try await withFolder {
            let big = [UInt8](repeating: UInt8(ascii: " "), count: FileLeadershipStore.sizeLimit + 1)
            try DurableFile.write(big, to: path)
            let store = FileLeadershipStore(path: path)
            guard case .failed(let reason) = await store.read(), reason.contains(path) else {
                Issue.record("a claim that could not be read was taken for one, or none")
                return
            }
            for version in [nil, 0, 1] as [UInt64?] {
                guard case .failed = await store.store(claim("one", turn: 1, version: 2), replacing: version) else {
                    Issue.record("a claim that could not be read was replaced")
                    return
                }
            }
            #expect(try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int == big.count)
        }
    }

    @Test("a garbled claim is nobody's and can be replaced", arguments: ["", "{", "[]", "null"])
    func garbled(text: String) async throws {
        try await withFolder {
            try DurableFile.write(Array(text.utf8), to: path)
            let store = FileLeadershipStore(path: path)
            guard case .read(let found?, holderIsDead: false) = await store.read() else {
                Issue.record("a garbled claim was not read as one")
                return
            }
            #expect(found.holder.isEmpty && found.version == 0)
            #expect(await store.store(claim("one", turn: 1, version: 1), replacing: 0) == .stored)
        }
    }
}
