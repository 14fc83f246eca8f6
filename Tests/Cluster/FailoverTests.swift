import ClusterModel
import Demo
import Foundation
import HTTPService
import LocalCluster
import Platform
import Testing

/// The protocol on real servers: each story is one cluster and what befalls it.
@Suite("Failover on real servers", .serialized, .timeLimit(.minutes(8)))
struct FailoverTests {
    @Test("required: whichever process is killed, no acknowledged row is lost and a primary takes writes again")
    func nothingIsLost() async throws {
        try await TestCluster.with(["--durability", "required"]) { cluster in
            let writers = try await Writers(on: cluster)
            defer { writers.cancel() }
            try await writers.goOn(cluster)
            try await postmasterOfPrimary(cluster, writers)
            try await agentOfPrimary(cluster, writers)
            try await agentOfStandby(cluster)
            try await launcherOfPrimary(cluster, writers)
            try await controller(cluster, writers)
            #expect(writers.acknowledged > 50)
            #expect(try await writers.lost() == [])
            let history = try await cluster.local("history")
            #expect(history.code == 0)
            #expect(history.output.components(separatedBy: "why: ").count >= 4)
        }
    }

    /// The first commit on the new primary comes when no process of the old server is left.
    private func postmasterOfPrimary(_ cluster: TestCluster, _ writers: Writers) async throws {
        let before = try await cluster.view()
        let old = try await cluster.primary()
        let port = try cluster.port(old)
        let family = try Self.family(of: old, in: cluster)
        #expect(family.count > 5)
        #expect(try await cluster.local("kill", "primary").code == 0)
        let struck = MonotonicClock.now()
        try await cluster.eventually("a row is acknowledged by another server", within: .seconds(30)) {
            writers.clients.contains { $0.first(notOn: port, after: struck) != nil }
        }
        #expect(family.filter(\.isAlive).map(\.processID) == [])
        let after = try await cluster.healed(after: before.term)
        #expect(after.primary != old)
        let last = try #require(after.lastFailover)
        #expect(last.from == old && last.to == after.primary && !last.evidence.isEmpty)
        try await writers.goOn(cluster)
    }

    /// Nobody renews the lease: the launcher ends the server, and then its place is taken.
    private func agentOfPrimary(_ cluster: TestCluster, _ writers: Writers) async throws {
        let before = try await cluster.view()
        let old = try await cluster.primary()
        let family = try Self.family(of: old, in: cluster)
        #expect(try await cluster.local("kill", "primary", "--what", "agent").code == 0)
        try await cluster.eventually("the launcher stops the server at the end of the lease", within: .seconds(10)) {
            family.allSatisfy { !$0.isAlive }
        }
        try await cluster.wait("another primary is open") { view in
            view.term > before.term && view.primary != old && view.instances.contains { $0.opened && $0.name != old }
        }
        try await cluster.up()
        try await cluster.healed(after: before.term)
        try await writers.goOn(cluster)
    }

    /// A standby needs no lease: its server runs on without its agent.
    private func agentOfStandby(_ cluster: TestCluster) async throws {
        let standby = try await cluster.standby()
        let server = try #require(try cluster.processes.servers[standby])
        #expect(try await cluster.local("kill", standby.text, "--what", "agent").code == 0)
        try await cluster.wait("its reports are older than any lease") { view in
            guard let instance = view.instances.first(where: { $0.name == standby }) else { return false }
            return (instance.reportAgeMilliseconds ?? 0) > 4000
        }
        #expect(server.isAlive)
        try await cluster.up()
        #expect(server.isAlive)
    }

    /// With its launcher the whole server ends at once.
    private func launcherOfPrimary(_ cluster: TestCluster, _ writers: Writers) async throws {
        let before = try await cluster.view()
        let old = try await cluster.primary()
        let family = try Self.family(of: old, in: cluster)
        #expect(try await cluster.local("kill", "primary", "--what", "launcher").code == 0)
        try await cluster.eventually("no process of the server is left", within: .seconds(5)) {
            family.allSatisfy { !$0.isAlive }
        }
        try await cluster.wait("another primary is open") { view in
            view.term > before.term && view.instances.contains { $0.opened && $0.name != old }
        }
        try await cluster.up()
        try await cluster.healed(after: before.term)
        try await writers.goOn(cluster)
    }

    /// The record is on disk: a controller that comes back finds its cluster as it was.
    private func controller(_ cluster: TestCluster, _ writers: Writers) async throws {
        let primary = try await cluster.primary()
        #expect(try await cluster.local("kill", "controller").code == 0)
        let blind = try await cluster.local("status")
        #expect(blind.code == 1 && blind.output.contains("the controller does not answer"))
        #expect(blind.output.contains("As the agents themselves tell: \(primary) is primary and admits clients"))
        try await cluster.up()
        try await cluster.healed()
        try await writers.goOn(cluster)
    }

    @Test("async: a standby takes over from a dead primary, which comes back as a standby")
    func asynchronous() async throws {
        try await TestCluster.with(["--durability", "async", "--instances", "2"]) { cluster in
            let before = try await cluster.view()
            let old = try await cluster.primary()
            #expect(try await cluster.local("kill", old.text).code == 0)
            let after = try await cluster.healed(after: before.term)
            #expect(after.primary != old)
            #expect(after.instances.contains { $0.name == old && $0.streaming })
            let status = try await cluster.local("status")
            #expect(status.output.contains("is primary and admits clients"))
            #expect(status.output.contains("why: "))
            let new = try #require(after.primary)
            try await probes(new, old, cluster)
        }
    }

    /// What Kubernetes, a load balancer and Prometheus are told of a primary and its standby.
    private func probes(_ primary: InstanceName, _ standby: InstanceName, _ cluster: TestCluster) async throws {
        func ask(_ name: InstanceName, _ target: String) async throws -> HTTPAnswer {
            let port = try #require(try cluster.file.instances.first { $0.name == name }?.probePort)
            return try await HTTPAsk.get(host: "127.0.0.1", port: Int(port), target: target, within: .seconds(10))
        }
        for path in ["/livez", "/startupz", "/readyz?verbose", "/read-only", "/replica?maxLag=64MB"] {
            try await cluster.eventually("\(standby) says yes to \(path)", within: .seconds(20)) {
                try await ask(standby, path).status == 200
            }
        }
        for path in ["/livez", "/startupz", "/readyz", "/read-only", "/primary"] {
            #expect(try await ask(primary, path).status == 200, "\(path)")
        }
        #expect(try await ask(standby, "/primary").status == 503)
        #expect(try await ask(primary, "/replica").status == 503)
        #expect(try await ask(primary, "/replica?maxLag=much").status == 400)
        #expect(try await ask(primary, "/nothing").status == 404)
        let metrics = try await ask(primary, "/metrics").body
        #expect(metrics.contains("\nunderstudy_primary{cluster=\"local\",instance=\"\(primary)\"} 1\n"))
        try await cluster.eventually("the primary's figures show its standby", within: .seconds(20)) {
            try await ask(primary, "/metrics").body.contains("understudy_standby_lag_bytes{")
        }
        let status = try await ask(standby, "/status").body
        #expect(status.contains("\"server\":\"standby\"") && status.contains("\"upstream\":{"))
    }

    /// Every process that works in the data directory at this moment.
    private static func family(of name: InstanceName, in cluster: TestCluster) throws -> [RunningProcess] {
        let data = cluster.folder.dataDirectory(name)
        let family = RunningProcess.all().filter { $0.workingDirectory == data }
        #expect(!family.isEmpty)
        return family
    }
}
