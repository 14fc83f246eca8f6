import Foundation
import Glibc
import LauncherClient
import LauncherProtocol
import Testing

extension LauncherProcessTests {
    @Suite("Launcher and data folder")
    struct FolderTests {
        @Test("files are placed, read, renamed, listed and removed")
        func fileOperations() async throws {
            try await withHarness { harness in
                try await harness.launch()
                let client = harness.client
                #expect(try await client.makeDirectory("pgdata"))
                #expect(try await client.makeDirectory("pgdata") == false)
                let contents = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0) }
                try await client.place("pgdata/large", contents, mode: 0o640)
                #expect(try await client.read("pgdata/large") == contents)
                #expect(try await client.read("pgdata/none") == nil)
                #expect(try await client.read("none/none") == nil)
                await #expect(throws: LauncherError.self) { try await client.read("pgdata/large", limit: 1000) }
                await #expect(throws: LauncherError.self) { try await client.read("pgdata") }
                try await client.place("pgdata/small", [1])
                await #expect(throws: LauncherError.self) {
                    try await client.rename("pgdata/small", to: "pgdata/large")
                }
                try await client.rename("pgdata/small", to: "pgdata/large", mode: .exchange)
                #expect(try await client.read("pgdata/large") == [1])
                try await client.rename("pgdata/small", to: "moved")
                #expect(
                    try await client.list("pgdata") == [FolderEntry(name: "large", kind: .file, size: 1)]
                )
                #expect(try await client.inspect("moved")?.size == 1 << 20)
                #expect(try await client.inspect("pgdata")?.kind == .folder)
                #expect(try await client.inspect("none") == nil)
                #expect(try await client.readStart("moved", count: 3) == [0, 1, 2])
                #expect(try await client.readStart("none", count: 3) == nil)
                try await client.copy("moved", to: "kept", limit: 1 << 20)
                #expect(try await client.read("kept") == contents)
                for (from, to, limit) in [("kept", "pgdata/large", 1 << 20), ("kept", "b", 1000), ("none", "b", 9)] {
                    await #expect(throws: LauncherError.self) {
                        try await client.copy(from, to: to, limit: UInt64(limit))
                    }
                }
                #expect(try await client.inspect("b") == nil)
                #expect(try await client.read("pgdata/large") == [1])
                #expect(try await client.remove("moved"))
                #expect(try await client.remove("moved") == false)
                let space = try await client.space("pgdata")
                #expect(space.totalBytes > space.availableBytes && space.availableBytes > 0)
                await #expect(throws: LauncherError.self) { try await client.place("launcher.lock", []) }
                #expect(try await client.list("").contains { $0.name == "launcher.lock" })
            }
        }

        @Test("a file keeps its birth when it is written and renamed, and a copy has one of its own (R5)")
        func births() async throws {
            try await withHarness { harness in
                try await harness.launch()
                let client = harness.client
                try await client.place("one", [1])
                let born = try #require(try await client.inspect("one")?.bornNanoseconds)
                let file = try FileHandle(forWritingTo: URL(fileURLWithPath: harness.folder + "/one"))
                try file.write(contentsOf: Data([2]))
                try file.close()
                try await client.rename("one", to: "two")
                #expect(try await client.inspect("two")?.bornNanoseconds == born)
                try await client.copy("two", to: "three", limit: 10)
                let copied = try #require(try await client.inspect("three")?.bornNanoseconds)
                #expect(copied > born)
                // Not where a link leads.
                try FileManager.default.createSymbolicLink(
                    atPath: harness.folder + "/link",
                    withDestinationPath: "two"
                )
                let link = try #require(try await client.inspect("link"))
                #expect(link.kind == .symbolicLink && link.bornNanoseconds != born)
                #expect(try await client.inspect("none") == nil)
            }
        }

        @Test(
            "a path that leaves the data folder is refused",
            arguments: [
                "../x", "/etc/passwd", "a/../../x", "", ".", "a//b", "a/./b", "outside/x", "inside/x", "chain/x/y",
            ]
        )
        func escapesAreRefused(path: String) async throws {
            try await withHarness { harness in
                let outside = try TestFolder.make()
                defer { try? FileManager.default.removeItem(atPath: outside) }
                let links = ["outside": outside, "inside": "a", "chain": "inside/../outside"]
                for (name, target) in links {
                    try FileManager.default.createSymbolicLink(
                        atPath: harness.folder + "/" + name,
                        withDestinationPath: target
                    )
                }
                try FileManager.default.createDirectory(
                    atPath: harness.folder + "/a",
                    withIntermediateDirectories: true
                )
                try TestFolder.giveToServer(harness.folder)
                try await harness.launch()
                let client = harness.client
                let attempts: [() async throws -> Void] = [
                    { try await client.place(path, [1]) },
                    { if try await client.read(path) == nil { throw LauncherError(.absent, "") } },
                    { if try await client.readStart(path, count: 1) == nil { throw LauncherError(.absent, "") } },
                    { try await client.copy(path, to: "b", limit: 9) },
                    { try await client.copy("a", to: path, limit: 9) },
                    { if try await client.remove(path) == false { throw LauncherError(.absent, "") } },
                    { try await client.rename("a", to: path) },
                    { if try await client.removeTree(path) == false { throw LauncherError(.absent, "") } },
                    { try await client.makeDirectory(path) },
                ]
                for attempt in attempts {
                    do {
                        try await attempt()
                        Issue.record("\(path) was accepted")
                    } catch let error as LauncherError {
                        #expect(error.code == .refused, "\(error)")
                    }
                }
                #expect(try FileManager.default.contentsOfDirectory(atPath: outside).isEmpty)
                #expect(try FileManager.default.contentsOfDirectory(atPath: harness.folder + "/a").isEmpty)
            }
        }

        @Test("a tree is removed with its links, and what they point to stays")
        func treeRemoval() async throws {
            try await withHarness { harness in
                let outside = try TestFolder.make()
                defer { try? FileManager.default.removeItem(atPath: outside) }
                try Data([1]).write(to: URL(fileURLWithPath: outside + "/kept"))
                let tree = harness.folder + "/clone/base/1"
                try FileManager.default.createDirectory(atPath: tree, withIntermediateDirectories: true)
                for number in 0..<3000 { try Data().write(to: URL(fileURLWithPath: "\(tree)/\(number)")) }
                try FileManager.default.createSymbolicLink(
                    atPath: harness.folder + "/clone/pg_wal",
                    withDestinationPath: outside
                )
                try TestFolder.giveToServer(harness.folder)
                try await harness.launch()
                #expect(try await harness.client.removeTree("clone"))
                #expect(try await harness.client.removeTree("clone") == false)
                #expect(try await harness.client.inspect("clone") == nil)
                #expect(FileManager.default.fileExists(atPath: outside + "/kept"))
            }
        }
    }

    @Suite("Launcher and tools")
    struct ToolTests {
        @Test("a tool runs and its output is streamed; other programs are refused")
        func toolRuns() async throws {
            try await withHarness { harness in
                try await harness.launch()
                let client = harness.client
                let streamed = ByteCount()
                let result = try await client.run(
                    "initdb",
                    arguments: ["-D", harness.folder + "/pgdata", "-U", "postgres", "--no-sync"],
                    timeout: .seconds(60)
                ) { _, bytes in streamed.add(bytes.count) }
                #expect(result.isSuccess)
                #expect(result.outputTail.contains("Success"))
                #expect(streamed.value == result.outputTail.utf8.count)
                let control = try await client.run("pg_controldata", arguments: [harness.folder + "/pgdata"])
                #expect(control.outputTail.contains("Database system identifier"))
                let failed = try await client.run("pg_controldata", arguments: ["/nowhere"])
                #expect(failed.end == .exited(1))
                for tool in ["sh", "../bin/postgres", "pg_ctl", ""] {
                    await #expect(throws: LauncherError.self) { try await client.run(tool) }
                }
            }
        }

        @Test("a tool that takes too long or is cancelled is killed with everything under it")
        func toolIsKilled() async throws {
            try await withHarness { harness in
                try await harness.launch()
                try await harness.startServer()
                let client = harness.client
                let arguments = ["--single", "-D", harness.folder + "/other", "postgres"]
                try TestFolder.copyTemplate(to: harness.folder + "/other-parent", makingParent: true)
                try await client.rename("other-parent/pgdata", to: "other")
                // Waits for a server that never answers: ends only when it is ended.
                let silent = try SilentServer(harness.folder)
                defer { silent.close() }
                let wait = ["-h", harness.folder, "-p", "9", "-t", "600"]
                let late = try await client.run("pg_isready", arguments: wait, timeout: .milliseconds(200))
                #expect(late.timedOut)
                #expect(late.end == .signalled(SIGKILL))
                let cancelled = Task { try await client.run("pg_isready", arguments: wait) }
                try await eventually("the tool runs") {
                    harness.residents().contains { harness.title($0).contains("pg_isready") }
                }
                cancelled.cancel()
                #expect(try await cancelled.value.end == .signalled(SIGKILL))
                let lost = Task { try await client.run("pg_isready", arguments: wait) }
                try await eventually("the tool runs") {
                    harness.residents().contains { harness.title($0).contains("pg_isready") }
                }
                #expect(try await client.processes().allSatisfy { !$0.title.contains("pg_isready") })
                try await client.connect()
                await #expect(throws: LauncherError.self) { try await lost.value }
                let single = try await client.run("postgres", arguments: arguments, timeout: .seconds(30))
                #expect(single.isSuccess, "\(single.outputTail)")
                #expect(!harness.residents().contains { harness.title($0).contains("pg_isready") })
                #expect(try harness.query("select 1") == "1")
            }
        }

        @Test("a running tool does not hide that the server is down, and killing the server spares it")
        func toolAndServerAreApart() async throws {
            try await withHarness { harness in
                try await harness.launch()
                try await harness.startServer()
                let silent = try SilentServer(harness.folder)
                defer { silent.close() }
                let client = harness.client
                let wait = ["-h", harness.folder, "-p", "9", "-t", "600"]
                let tool = Task { try await client.run("pg_isready", arguments: wait) }
                try await eventually("the tool runs") {
                    harness.residents().contains { harness.title($0).contains("pg_isready") }
                }
                try await client.stop(.kill)
                _ = try await harness.events.waitForDown()
                #expect(harness.residents().contains { harness.title($0).contains("pg_isready") })
                tool.cancel()
                #expect(try await tool.value.end == .signalled(SIGKILL))
            }
        }
    }
}
