import ClusterModel
import Foundation
import LocalCluster
import Platform
import Testing

/// A primary that lives without serving, on real servers.
@Suite("Hanging primaries on real servers", .serialized, .timeLimit(.minutes(8)))
struct HangTests {
    @Test("a frozen postmaster, whose sessions still commit, is replaced; no row is lost, no old process is left (R9)")
    func frozenPostmaster() async throws {
        try await TestCluster.with(["--durability", "required"]) { cluster in
            let writers = try await Writers(on: cluster)
            defer { writers.cancel() }
            try await writers.goOn(cluster)
            let before = try await cluster.view()
            let old = try await cluster.primary()
            let postmaster = try #require(try cluster.processes.servers[old])
            let family = RunningProcess.all().filter { $0.workingDirectory == cluster.folder.dataDirectory(old) }
            postmaster.signal(SIGSTOP)
            try await writers.goOn(cluster)
            try await cluster.wait("another primary is open") { view in
                view.term > before.term && view.instances.contains { $0.opened && $0.name != old }
            }
            let after = try await cluster.healed(after: before.term)
            #expect(family.filter(\.isAlive).map(\.processID) == [])
            #expect(after.lastFailover?.why.contains("takes no new connections") == true)
            try await writers.goOn(cluster)
            #expect(try await writers.lost() == [])
        }
    }

    @Test("a primary whose heartbeats are not flushed is replaced (R22)")
    func unflushed() async throws {
        try await TestCluster.with(["--durability", "required"]) { cluster in
            let before = try await cluster.view()
            let old = try await cluster.primary()
            // Nobody commits here: it is the WAL writer alone that brings a heartbeat to the disk.
            let folder = cluster.folder.dataDirectory(old)
            let writer = try #require(
                RunningProcess.all().first {
                    $0.workingDirectory == folder && $0.arguments.joined().contains("walwriter")
                }
            )
            writer.signal(SIGSTOP)
            let after = try await cluster.healed(after: before.term)
            #expect(after.primary != old)
            #expect(after.lastFailover?.why.contains("heartbeats are not flushed") == true)
        }
    }
}
