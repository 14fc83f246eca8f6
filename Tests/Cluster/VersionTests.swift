import ClusterModel
import Foundation
import LocalCluster
import Platform
import PostgresDriver
import Testing

/// What each version of PostgreSQL must go through: run with `UNDERSTUDY_TEST_POSTGRES` naming its programs.
@Suite("A cluster on the PostgreSQL under test", .serialized, .timeLimit(.minutes(6)))
struct VersionTests {
    @Test("a failover, a rejoin by rewind and a rebuild lose nothing, on the version that was asked for")
    func life() async throws {
        try await TestCluster.with(["--durability", "required"]) { cluster in
            let writers = try await Writers(on: cluster)
            defer { writers.cancel() }
            try await writers.goOn(cluster)
            try await asked(cluster)
            try await failoverAndRewind(cluster, writers)
            try await rebuild(cluster, writers)
            #expect(try await writers.lost() == [])
        }
    }

    /// The servers are of the version whose programs were named, and the controller shows it.
    private func asked(_ cluster: TestCluster) async throws {
        let program = try cluster.file.postgresBin + "/postgres"
        let outcome = try await ChildProcess.run(ProcessRequest(program, ["--version"]), deadline: .seconds(10))
        let release = try #require(PostgresRelease(programOutput: outcome.outputText))
        print("measured: a cluster on PostgreSQL \(release)")
        if let named = TestCluster.serverPrograms { #expect(try cluster.file.postgresBin == named) }
        try await cluster.wait("every server shows its version", within: .seconds(10)) { view in
            view.instances.allSatisfy { PostgresRelease(number: $0.serverVersion)?.description == release.description }
        }
    }

    /// The old primary keeps its incarnation: it was rewound, not copied anew.
    private func failoverAndRewind(_ cluster: TestCluster, _ writers: Writers) async throws {
        let before = try await cluster.view()
        let old = try await cluster.primary()
        let incarnation = try incarnation(of: old, in: cluster)
        #expect(try await cluster.local("kill", "primary").code == 0)
        let after = try await cluster.healed(after: before.term)
        #expect(after.primary != old)
        #expect(try self.incarnation(of: old, in: cluster) == incarnation)
        try await writers.goOn(cluster)
    }

    /// A standby whose data directory is gone comes back as a new member.
    private func rebuild(_ cluster: TestCluster, _ writers: Writers) async throws {
        let standby = try await cluster.standby()
        let incarnation = try incarnation(of: standby, in: cluster)
        for part in ["agent", "launcher"] {
            #expect(try await cluster.local("kill", standby.text, "--what", part).code == 0)
        }
        let data = cluster.folder.dataDirectory(standby)
        try await cluster.eventually("nothing works in its data directory", within: .seconds(10)) {
            !RunningProcess.all().contains { $0.workingDirectory == data }
        }
        try FileManager.default.removeItem(atPath: data)
        try await cluster.up()
        try await cluster.healed()
        #expect(try self.incarnation(of: standby, in: cluster) != incarnation)
        try await writers.goOn(cluster)
    }

    private func incarnation(of name: InstanceName, in cluster: TestCluster) throws -> String {
        try String(contentsOfFile: cluster.folder.dataDirectory(name) + "/understudy.incarnation", encoding: .utf8)
    }
}
