import ClusterDecision
import ClusterModel
import ControllerRuntime
import KubernetesClient
import KubernetesObjects
import KubernetesStandIn
import Testing

@testable import OperatorRuntime

@Suite("Operator: leadership by a Lease")
struct KubernetesLeadershipTests {
    private func store(_ server: APIServer) throws -> KubernetesLeadershipStore {
        var limits = KubernetesLimits()
        (limits.requestsPerSecond, limits.burst, limits.deadline) = (1000, 1000, .seconds(2))
        return KubernetesLeadershipStore(
            try KubernetesClient(server.credentials, limits: limits),
            namespace: "default",
            name: "understudy-controller",
            duration: .milliseconds(1500)
        )
    }

    private func claim(_ holder: String, turn: UInt64, version: UInt64) -> LeadershipClaim {
        LeadershipClaim(holder: holder, address: Endpoint(host: "10.0.0.1", port: 7432), turn: turn, version: version)
    }

    private func lease(_ server: APIServer) async throws -> KubernetesLease {
        try #require(try await server.client.lease(namespace: "default", name: "understudy-controller"))
    }

    @Test("the first claim is stored once; a rival's shows it who was faster, and what other tools see is right")
    func oneIsStored() async throws {
        try await APIServer.run { server in
            let (one, other) = (try store(server), try store(server))
            #expect(await one.read() == .read(nil, holderIsDead: false))
            let first = claim("one", turn: 1, version: 1)
            #expect(await one.store(first, replacing: nil) == .stored)
            #expect(await other.store(claim("other", turn: 1, version: 1), replacing: nil) == .conflict(first))
            #expect(await other.read() == .read(first, holderIsDead: false))
            let renewed = claim("one", turn: 1, version: 2)
            #expect(await one.store(renewed, replacing: 1) == .stored)
            #expect(await other.store(claim("other", turn: 2, version: 2), replacing: 1) == .conflict(renewed))
            var seen = try await lease(server)
            #expect(seen.holder == "one" && seen.durationSeconds == 2 && seen.transitions == 1)
            // A label that a person puts on it is no reason to lose the leadership.
            seen.object.labels = ["team": "database"]
            _ = try await server.client.write(seen, fieldManager: "test")
            #expect(await one.store(claim("one", turn: 1, version: 3), replacing: 2) == .stored)
            var released = claim("one", turn: 1, version: 4)
            released.isReleased = true
            #expect(await one.store(released, replacing: 3) == .stored)
            #expect(try await lease(server).holder.isEmpty)
            guard case .read(let found?, _) = await other.read() else {
                Issue.record("nothing was read")
                return
            }
            #expect(found.isReleased && found.version == 4)
        }
    }

    @Test(
        "a Lease without our marks, or with impossible ones, is somebody's claim that has to grow old",
        arguments: [nil, "", "-1", "18446744073709551615", "many"]
    )
    func foreign(version: String?) async throws {
        try await APIServer.run { server in
            var lease = KubernetesLease(namespace: "default", name: "understudy-controller")
            lease.holder = "another-tool"
            lease.transitions = 7
            if let version { lease.object.annotations = [KubernetesLeadershipStore.versionMark: version] }
            _ = try await server.client.write(lease, fieldManager: "test")
            let store = try store(server)
            guard case .read(let found?, holderIsDead: false) = await store.read() else {
                Issue.record("it was not read as a claim")
                return
            }
            #expect(found.holder == "another-tool" && found.version == 0 && found.turn == 7 && !found.isReleased)
            #expect(await store.store(claim("one", turn: 8, version: 1), replacing: 0) == .stored)
        }
    }

    @Test("a claim whose answer is lost is found again, and an API server that refuses is no loss of leadership")
    func faults() async throws {
        try await APIServer.run { server in
            let store = try store(server)
            _ = await store.read()
            let first = claim("one", turn: 1, version: 1)
            server.api.inject(StandInFault(.loseAnswer, times: 2) { $0.method == "POST" })
            let outcome = await store.store(first, replacing: nil)
            if case .failed = outcome {} else { #expect(outcome == .stored) }
            #expect(await store.read() == .read(first, holderIsDead: false))
            server.api.inject(StandInFault(.refuse(status: 500, retryAfterSeconds: nil)) { $0.method == "PUT" })
            guard case .failed = await store.store(claim("one", turn: 1, version: 2), replacing: 1) else {
                Issue.record("a refused write was not told")
                return
            }
            #expect(await store.store(claim("one", turn: 1, version: 2), replacing: 1) == .stored)
        }
    }

    @Test("one of two leads; when it gives up or is gone the other does, and never both at once (R11)")
    func handover() async throws {
        try await APIServer.run { server in
            let first = try keeper(server, port: 1)
            let second = try keeper(server, port: 2)
            let seen = Leaders()
            let hearing = [first, second].enumerated().map { number, keeper in
                Task { for await news in keeper.news { await seen.note(news, of: number) } }
            }
            await first.begin()
            try await eventually("the first leads") { await seen.leaders == [0] }
            await second.begin()
            try await eventually("the second knows who leads") { await seen.known[1] == 1 }
            await first.release()
            await seen.gone(0)
            try await eventually("the second leads") { await seen.leaders == [1] }
            // Gone without a word: nothing renews the claim any more.
            let third = try keeper(server, port: 3)
            let last = Task { for await news in third.news { await seen.note(news, of: 2) } }
            await third.begin()
            server.api.inject(
                StandInFault(.silence, times: .max) { request in
                    request.method == "PUT" && String(decoding: request.body, as: UTF8.self).contains("10.0.0.1:2 ")
                }
            )
            try await eventually("the third leads") { await seen.leaders.contains(2) }
            #expect(await seen.isOver(1))
            await second.release()
            await third.release()
            for task in hearing + [last] { await task.value }
            #expect(await seen.overlaps == 0)
        }
    }

    private func keeper(_ server: APIServer, port: UInt16) throws -> LeadershipKeeper {
        LeadershipKeeper(
            try store(server),
            address: Endpoint(host: "10.0.0.1", port: port),
            duration: .milliseconds(1500)
        )
    }
}

/// Who leads, as each of several operators was told.
private actor Leaders {
    private var until: [Int: MonotonicInstant] = [:]
    private(set) var known: [Int: UInt16] = [:]
    /// How often one began to lead while another was still certain to.
    private(set) var overlaps = 0

    var leaders: [Int] { until.keys.sorted() }

    func isOver(_ number: Int) -> Bool { until[number].map { $0 < .now } ?? true }

    func gone(_ number: Int) { until[number] = nil }

    func note(_ news: LeadershipNews, of number: Int) {
        switch news {
        case .began:
            for (other, moment) in until where other != number && moment > .now { overlaps += 1 }
        case .leading(let moment): until[number] = moment
        case .ended: until[number] = nil
        case .standsBy(let claim): known[number] = claim?.address.port
        case .explained: break
        }
    }
}
