import ClusterModel
import Demo
import Foundation
import LocalCluster
import Platform
import PostgresDriver
import Testing

/// Controllers that are gone, frozen or replaced, on real servers.
@Suite("Absence of controllers on real servers", .serialized, .timeLimit(.minutes(8)))
struct AbsenceTests {
    private static let manyLeases = Duration.seconds(13)

    @Test("required, 1+2: without controller and with one standby dead the primary acknowledges throughout (R10)")
    func oneStandbyIsEnough() async throws {
        try await TestCluster.with(["--durability", "required"]) { cluster in
            let writers = try await Writers(on: cluster)
            defer { writers.cancel() }
            try await writers.goOn(cluster)
            let before = try await cluster.view()
            let primary = try await cluster.primary()
            let standby = try await cluster.standby()
            let server = try #require(try cluster.processes.servers[primary])
            #expect(try await cluster.local("kill", "controller").code == 0)
            #expect(try await cluster.local("kill", standby.text, "--what", "launcher").code == 0)
            let start = MonotonicClock.now()
            while MonotonicClock.now() - start < Self.manyLeases { try await writers.goOn(cluster) }
            #expect(server.isAlive)
            try await cluster.up()
            let after = try await cluster.healed()
            #expect(after.term == before.term && after.primary == primary && server.isAlive)
            try await writers.goOn(cluster)
            #expect(try await writers.lost() == [])
        }
    }

    @Test("async, 1+2: without controller and with one standby dead the other's agent extends the lease (R10)")
    func oneAgentIsEnough() async throws {
        try await TestCluster.with(["--durability", "async"]) { cluster in
            let writers = try await Writers(on: cluster)
            defer { writers.cancel() }
            try await writers.goOn(cluster)
            let before = try await cluster.wait("both standbys vote") { view in
                view.instances.count(where: \.votes) == 2
            }
            let primary = try await cluster.primary()
            let standby = try await cluster.standby()
            let server = try #require(try cluster.processes.servers[primary])
            #expect(try await cluster.local("kill", "controller").code == 0)
            #expect(try await cluster.local("kill", standby.text, "--what", "launcher").code == 0)
            #expect(try await cluster.local("kill", standby.text, "--what", "agent").code == 0)
            let start = MonotonicClock.now()
            while MonotonicClock.now() - start < Self.manyLeases { try await writers.goOn(cluster) }
            #expect(server.isAlive)
            try await cluster.up()
            let after = try await cluster.healed()
            #expect(after.term == before.term && after.primary == primary && server.isAlive)
            try await writers.goOn(cluster)
            let told = try await cluster.local("explain", "--last", "40").output
            #expect(told.contains("without a leader"))
            // What was granted holds up a failover for the length of a lease, and no longer.
            #expect(try await cluster.local("kill", primary.text).code == 0)
            try await cluster.healed(after: before.term)
            try await writers.goOn(cluster)
        }
    }

    @Test("required, 1+1: with controller and standby gone nothing is stopped, reads go on, commits wait (R10)")
    func nothingIsStopped() async throws {
        try await TestCluster.with(["--durability", "required", "--instances", "2"]) { cluster in
            let writers = try await Writers(on: cluster, count: 1)
            defer { writers.cancel() }
            try await writers.goOn(cluster)
            let before = try await cluster.view()
            let primary = try await cluster.primary()
            let standby = try await cluster.standby()
            let server = try #require(try cluster.processes.servers[primary])
            #expect(try await cluster.local("kill", "controller").code == 0)
            #expect(try await cluster.local("kill", standby.text, "--what", "launcher").code == 0)
            try await cluster.eventually("the agent says that the lease has lapsed", within: .seconds(20)) {
                try Self.log(cluster, "\(primary)/agent.log").contains("has lapsed, but no leader")
            }
            let start = MonotonicClock.now()
            while MonotonicClock.now() - start < .seconds(7) {
                let session = try await PostgresSession.connect(
                    ConnectionTarget(
                        host: "127.0.0.1",
                        port: try cluster.port(primary),
                        user: "postgres",
                        applicationName: "reader"
                    ),
                    deadline: .seconds(5)
                )
                #expect(try await session.query("SELECT 1 FROM pg_class", deadline: .seconds(5)).rows.count > 10)
                session.close()
                try await Task.sleep(for: .milliseconds(200))
            }
            #expect(server.isAlive)
            try await cluster.up()
            let after = try await cluster.healed()
            #expect(after.term == before.term && server.isAlive)
            try await writers.goOn(cluster)
            #expect(try await writers.lost() == [])
        }
    }

    @Test("a record that was lost is rebuilt from the copies beside the data, and a failover works after it (R1)")
    func recordIsRebuilt() async throws {
        try await TestCluster.with(["--durability", "required"]) { cluster in
            let writers = try await Writers(on: cluster)
            defer { writers.cancel() }
            try await writers.goOn(cluster)
            let before = try await cluster.view()
            let primary = try await cluster.primary()
            let server = try #require(try cluster.processes.servers[primary])
            #expect(try await cluster.local("kill", "controller").code == 0)
            try FileManager.default.removeItem(atPath: "\(cluster.folder.path)/controller/record.json")
            try await cluster.up()
            let after = try await cluster.healed()
            #expect(after.term == before.term && after.primary == primary && server.isAlive)
            #expect(after.history.count == before.history.count)
            try await writers.goOn(cluster)
            #expect(try await cluster.local("explain", "--last", "40").output.contains("it is rebuilt from the copy"))
            #expect(try await cluster.local("kill", primary.text).code == 0)
            try await cluster.healed(after: before.term)
            try await writers.goOn(cluster)
            #expect(try await writers.lost() == [])
        }
    }

    @Test("two controllers: when the one that leads is killed or frozen the other does the failover (R11)")
    func otherControllerLeads() async throws {
        try await TestCluster.with(["--durability", "required", "--controllers", "2"]) { cluster in
            let writers = try await Writers(on: cluster)
            defer { writers.cancel() }
            try await writers.goOn(cluster)
            let first = try await cluster.view()
            let leader = try #require(first.controller)
            #expect(try await cluster.local("status").output.contains("2 of 2 run"))
            let primary = try await cluster.primary()
            #expect(try await cluster.local("kill", "controller").code == 0)
            #expect(try await cluster.local("kill", primary.text).code == 0)
            let second = try await cluster.wait("another primary is open, by another controller") { view in
                view.term > first.term && view.controller != leader && view.instances.contains(where: \.opened)
            }
            try await cluster.healed(after: first.term)
            try await writers.goOn(cluster)
            try await cluster.up()
            try await frozen(cluster, writers, second)
            #expect(try await writers.lost() == [])
        }
    }

    /// It wakes after another took over: what it would still say or write is worth nothing.
    private func frozen(_ cluster: TestCluster, _ writers: Writers, _ before: ClusterView) async throws {
        let leader = try #require(before.controller)
        let place = try #require(try cluster.file.controllerPorts.firstIndex(of: leader.port))
        let name = try cluster.file.controllerName(place)
        let primary = try await cluster.primary()
        #expect(try await cluster.local("kill", name, "--signal", "STOP").code == 0)
        #expect(try await cluster.local("kill", primary.text).code == 0)
        let after = try await cluster.wait("another primary is open, by another controller") { view in
            view.term > before.term && view.controller != leader && view.instances.contains(where: \.opened)
        }
        #expect(try await cluster.local("kill", name, "--signal", "CONT").code == 0)
        let log = "controller/controller\(place == 0 ? "" : "-\(place + 1)").log"
        try await cluster.eventually("it learns that it leads no more", within: .seconds(20)) {
            try Self.log(cluster, log).contains("this controller leads no more")
        }
        let whole = try await cluster.healed(after: before.term)
        #expect(whole.controller != leader && whole.term == after.term)
        try await writers.goOn(cluster)
    }

    private static func log(_ cluster: TestCluster, _ name: String) throws -> String {
        try String(contentsOfFile: "\(cluster.folder.path)/\(name)", encoding: .utf8)
    }
}
