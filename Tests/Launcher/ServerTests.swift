import CPlatform
import Foundation
import Glibc
import LauncherClient
import LauncherProtocol
import Testing

extension LauncherProcessTests {
    @Suite("Launcher and server")
    struct ServerTests {
        @Test("a server starts, stops fast and immediately, and starts again", arguments: [StopMode.fast, .immediate])
        func startAndStop(mode: StopMode) async throws {
            try await withHarness { harness in
                let status = try await harness.launch()
                #expect(status.server == .down(nil))
                #expect(status.guardProcessID == harness.process?.processID)
                let processID = try await harness.startServer()
                #expect(try await harness.client.status().server == .running(processID: processID))
                await #expect(throws: LauncherError.self) {
                    try await harness.client.start(arguments: harness.serverArguments(), leaseRequired: false)
                }
                try await harness.client.stop(mode)
                _ = try await harness.events.waitForDown()
                #expect(harness.events.all.contains(.postmasterExited(.exited(0))))
                #expect(harness.residents().isEmpty)
                try await harness.startAgain()
                await #expect(throws: LauncherError.self) {
                    try await harness.client.signal(SIGTERM, processID: getpid())
                }
            }
        }

        @Test("after SIGKILL of the postmaster, down is said only when no process is left, and soon")
        func killedPostmaster() async throws {
            try await withHarness { harness in
                try await harness.launch()
                let postmaster = try await harness.startServer()
                let sleepers = try (0..<6).map { _ in try harness.background("select pg_sleep(600)") }
                let writers = try await harness.startCommitting(sessions: 3)
                let killed = CPlatform_boot_time()
                #expect(kill(postmaster, SIGKILL) == 0)
                let down = try await harness.events.waitForDown()
                #expect(harness.residents().isEmpty)
                let gap = Double(down - killed) / 1_000_000
                print("postmaster SIGKILL to serverDown: \(gap) ms; \(harness.events.all)")
                #expect(gap < 500)
                for process in sleepers + writers { try await process.waitForEnd() }
            }
        }

        @Test("stop by kill leaves no process, even of a frozen server")
        func stopByKill() async throws {
            try await withHarness { harness in
                try await harness.launch()
                let postmaster = try await harness.startServer()
                let writers = try await harness.startCommitting(sessions: 2)
                #expect(kill(postmaster, SIGSTOP) == 0)
                try await harness.client.stop(.kill)
                _ = try await harness.events.waitForDown()
                #expect(harness.residents().isEmpty)
                for process in writers { try await process.waitForEnd() }
            }
        }

        @Test(
            "when the worker or the guard is killed, no backend commits any more",
            arguments: ["worker", "guard", "both"]
        )
        func killedLauncher(victim: String) async throws {
            try await withHarness { harness in
                let status = try await harness.launch()
                try await harness.startServer()
                let writers = try await harness.startCommitting(sessions: 3)
                let killed = CPlatform_boot_time()
                if victim != "guard" { #expect(kill(status.processID, SIGKILL) == 0) }
                if victim != "worker" { #expect(kill(status.guardProcessID, SIGKILL) == 0) }
                if victim == "both" {
                    // Nobody is left to kill the backends: the next launcher does.
                    try await harness.launch()
                }
                try await eventually("no process of the server is left", within: .seconds(3)) {
                    harness.residents().isEmpty
                }
                print("\(victim) SIGKILL to nothing left: \(Double(CPlatform_boot_time() - killed) / 1e6) ms")
                if victim != "both" { try await harness.process?.waitForEnd() }
                for process in writers { try await process.waitForEnd() }
                if victim != "both" { try await harness.launch() }
                let before = try await countAfterRestart(harness)
                #expect(before > 0)
            }
        }

        private func countAfterRestart(_ harness: Harness) async throws -> Int {
            try await harness.startAgain()
            return try #require(Int(try harness.query("select count(*) from written")))
        }

        @Test("processes are listed with titles, and one of them can be signalled")
        func processesAreListed() async throws {
            try await withHarness { harness in
                try await harness.launch()
                let postmaster = try await harness.startServer()
                let sleeper = try harness.background("select pg_sleep(600)")
                var backend: ServerProcess?
                try await eventually("the backend is listed") {
                    backend = try await harness.client.processes().first { $0.title.contains("SELECT") }
                    return backend != nil
                }
                let listed = try await harness.client.processes()
                #expect(listed.contains { $0.title.contains("checkpointer") && $0.parentProcessID == postmaster })
                try await harness.client.signal(SIGTERM, processID: try #require(backend).processID)
                #expect(try await sleeper.waitForEnd() != 0)
                #expect(try harness.query("select 1") == "1")
            }
        }

        @Test("a standby is promoted by trigger file and signal; a left-over trigger file is removed at start")
        func promotion() async throws {
            try await withHarness { harness in
                try await harness.launch()
                try TestFolder.copyTemplate(to: harness.folder)
                try await harness.client.place("pgdata/standby.signal", [])
                try await harness.client.place("pgdata/promote", [])
                try await harness.startAgain()
                #expect(try await harness.client.inspect("pgdata/promote") == nil)
                #expect(try harness.query("select pg_is_in_recovery()") == "t")
                await #expect(throws: LauncherError.self) {
                    try await harness.client.promote(leaseRequired: true)
                }
                #expect(try await harness.client.clearPromote() == false)
                try await harness.client.promote(leaseRequired: false)
                try await eventually("the server is promoted") {
                    try harness.query("select pg_is_in_recovery()") == "f"
                }
            }
        }

        @Test("SIGTERM stops the server and ends the launcher with status 0; SIGHUP reloads")
        func terminate() async throws {
            try await withHarness { harness in
                try await harness.launch()
                try await harness.startServer()
                try await harness.client.place("pgdata/postgresql.auto.conf", Array("work_mem = '7MB'\n".utf8))
                #expect(kill(try #require(harness.process).processID, SIGHUP) == 0)
                try await eventually("the new setting is seen") { try harness.query("show work_mem") == "7MB" }
                harness.process?.terminate()
                #expect(try await harness.process?.waitForEnd() == 0)
                #expect(harness.residents().isEmpty)
                #expect(!FileManager.default.fileExists(atPath: harness.socketPath))
            }
        }

        @Test("a server that cannot be started is reported by its cause")
        func failingStart() async throws {
            try await withHarness { harness in
                harness.process = try Harness.launcher(harness.launcherArguments + ["--", "/nowhere/postgres"])
                try await eventually("the launcher answers") { (try? await harness.client.connect()) != nil }
                await #expect(throws: LauncherError.self) {
                    try await harness.client.start(arguments: [], leaseRequired: false)
                }
                _ = try await harness.events.waitForDown()
            }
        }
    }

    @Suite("Lease timer")
    struct LeaseTests {
        @Test("a lease that runs out stops the server, agent or no agent", arguments: [true, false])
        func expiry(agentStays: Bool) async throws {
            try await withHarness { harness in
                try await harness.launch()
                let client = harness.client
                await #expect(throws: LauncherError.self) {
                    try await client.start(arguments: harness.serverArguments(), leaseRequired: true)
                }
                try await client.armLease(remaining: .seconds(30), fenceBudget: .milliseconds(100))
                let postmaster = try await harness.startServer(leaseRequired: true)
                let armed = CPlatform_boot_time()
                try await client.armLease(remaining: .milliseconds(600), fenceBudget: .milliseconds(300))
                if !agentStays { client.disconnect() }
                try await eventually("the server is gone") { harness.residents().isEmpty }
                let gap = Double(CPlatform_boot_time() - armed) / 1e6
                print("lease of 600 ms, fence budget 300 ms: gone after \(gap) ms")
                #expect(gap > 290)
                if agentStays {
                    _ = try await harness.events.waitForDown()
                    #expect(harness.events.all.contains(.leaseFired(.immediate)))
                }
                try await client.connect()
                try await eventually("the state is down") { try await client.status().server == .down(.exited(0)) }
                // Down is said of what was collected, too; until then it is a dead process with a number.
                #expect(kill(postmaster, 0) != 0)
            }
        }

        @Test("a frozen server is killed at the end of its lease")
        func frozenServer() async throws {
            try await withHarness { harness in
                try await harness.launch()
                let postmaster = try await harness.startServer()
                let writers = try await harness.startCommitting(sessions: 2)
                #expect(kill(postmaster, SIGSTOP) == 0)
                try await harness.client.armLease(remaining: .milliseconds(400), fenceBudget: .milliseconds(200))
                _ = try await harness.events.waitForDown()
                #expect(harness.residents().isEmpty)
                #expect(harness.events.all.contains(.leaseFired(.kill)))
                for process in writers { try await process.waitForEnd() }
            }
        }

        @Test("a lease that is renewed or disarmed keeps the server running; 0 fires at once")
        func renewal() async throws {
            try await withHarness { harness in
                try await harness.launch()
                try await harness.startServer()
                for _ in 0..<12 {
                    try await harness.client.armLease(remaining: .milliseconds(500), fenceBudget: .milliseconds(100))
                    try await Task.sleep(for: .milliseconds(80))
                }
                #expect(try harness.query("select 1") == "1")
                #expect(try await harness.client.status().leaseRemainingMilliseconds != nil)
                try await harness.client.disarmLease()
                #expect(try await harness.client.status().leaseRemainingMilliseconds == nil)
                try await harness.client.armLease(remaining: .zero, fenceBudget: .zero)
                _ = try await harness.events.waitForDown()
                #expect(harness.events.all.contains(.leaseFired(.kill)))
            }
        }
    }
}

/// Everything that starts launchers: one after another, for the sake of small machines.
@Suite("Launcher processes", .serialized)
enum LauncherProcessTests {}
