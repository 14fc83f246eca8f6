import ClusterModel
import Foundation
import LocalCluster
import Testing

/// Durability `preferred` on real servers: alone when it must be, and never for longer.
@Suite("Preferred durability on real servers", .serialized, .timeLimit(.minutes(8)))
struct PreferredTests {
    @Test("with all standbys gone writes go on at k = 0; with them back k is 1, and a failover loses nothing")
    func fallsBackAndReturns() async throws {
        try await TestCluster.with { cluster in
            #expect(try cluster.file.durability == .preferred)
            let writers = try await Writers(on: cluster)
            defer { writers.cancel() }
            try await writers.goOn(cluster)
            try await standbysLost(cluster, writers)
            try await primaryKilledAlone(cluster, writers)
            try await standbysBack(cluster, writers)
            let before = try await cluster.view()
            #expect(try await cluster.local("kill", "primary").code == 0)
            let after = try await cluster.healed(after: before.term)
            #expect(after.primary != before.primary)
            try await writers.goOn(cluster)
            #expect(try await writers.lost() == [])
        }
    }

    /// The fallback is in the record before the primary is told, and the commits that waited go on.
    private func standbysLost(_ cluster: TestCluster, _ writers: Writers) async throws {
        let primary = try await cluster.primary()
        for name in try cluster.file.names where name != primary {
            #expect(try await cluster.local("kill", name.text, "--what", "launcher").code == 0)
        }
        try await cluster.wait("the rule is a single server's") { view in
            view.rules.count == 1 && view.rules[0].required == 0 && view.rules[0].voters.isEmpty
        }
        try await writers.goOn(cluster)
        let status = try await cluster.local("status")
        #expect(status.output.contains("k = 0, a single server"))
    }

    /// Nobody else may take its place: it comes back by its own answer, with all that it acknowledged alone.
    private func primaryKilledAlone(_ cluster: TestCluster, _ writers: Writers) async throws {
        let before = try await cluster.view()
        #expect(try await cluster.local("kill", "primary").code == 0)
        try await cluster.wait("the primary is back in a new term") { view in
            view.term > before.term && view.phase == .steady && view.instances.contains { $0.opened }
        }
        #expect(try await cluster.primary() == before.primary)
        try await writers.goOn(cluster)
    }

    private func standbysBack(_ cluster: TestCluster, _ writers: Writers) async throws {
        try await cluster.up()
        try await cluster.wait("both standbys vote again, and one of them is waited for") { view in
            view.rules.count == 1 && view.rules[0].required == 1 && view.rules[0].voters.count == 2
        }
        try await cluster.healed()
        try await writers.goOn(cluster)
    }

    @Test("1 + 1: the standby takes over alone at once, and commits wait for the old primary when it is back")
    func twoServers() async throws {
        try await TestCluster.with(["--instances", "2"]) { cluster in
            let writers = try await Writers(on: cluster)
            defer { writers.cancel() }
            let before = try await cluster.wait("the standby votes") { view in
                view.rules.count == 1 && view.rules[0].required == 1
            }
            try await writers.goOn(cluster)
            // With its launcher and agent gone it cannot come back by itself.
            let old = try await cluster.primary()
            #expect(try await cluster.local("kill", old.text, "--what", "launcher").code == 0)
            try await cluster.wait("the standby is primary, alone") { view in
                view.term > before.term && view.primary != old && view.rules.count == 1
                    && view.rules[0].required == 0 && view.instances.contains { $0.opened }
            }
            try await writers.goOn(cluster)
            try await cluster.up()
            try await cluster.wait("the old primary votes") { view in
                view.rules.count == 1 && view.rules[0].required == 1
            }
            try await writers.goOn(cluster)
            #expect(try await writers.lost() == [])
        }
    }
}
