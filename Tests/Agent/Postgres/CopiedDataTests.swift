import ClusterModel
import Foundation
import InstanceDecision
import LauncherClient
import LauncherProtocol
import Testing

@testable import PostgresInstance

@Suite("Data directory and its mark")
struct DirectoryMarkTests {
    private let incarnation = Incarnation(number: 0xBEEF)

    @Test("a mark survives writing and reading")
    func roundTrip() {
        for place in [
            DataPlace(), DataPlace(born: 1, volume: nil), DataPlace(born: nil, volume: "pvc/1#a"),
            DataPlace(born: .max, volume: "disk-1"),
        ] {
            let mark = DirectoryMark(incarnation: incarnation, place: place)
            #expect(DirectoryMark(mark.text) == mark)
            #expect(mark.difference(from: place) == nil)
        }
    }

    @Test("the file of an earlier version, and one of which a person left the first line, name the incarnation only")
    func firstLine() {
        for text in ["0000beef\n", "0000beef", "  0000beef \r\n\n \n"] {
            let mark = DirectoryMark(text)
            #expect(mark == DirectoryMark(incarnation: incarnation, place: DataPlace()))
            #expect(mark?.difference(from: DataPlace(born: 5, volume: "x")) == nil)
            #expect(mark?.completed(by: DataPlace(born: 5, volume: "x")).text.split(separator: "\n").count == 3)
        }
    }

    @Test("what names no incarnation is nobody's", arguments: ["", "\n", "control-file-born 5\n", "0000beef 5\n"])
    func nobody(_ text: String) { #expect(DirectoryMark(text) == nil) }

    @Test(
        "a line that is not understood vouches for nothing, and is named",
        arguments: [
            "control-file-born", "control-file-born 0", "control-file-born -1", "control-file-born 1 2",
            "control-file-born 99999999999999999999", "volume", "volume \u{e9}", "born 5",
            "control-file-born 5\ncontrol-file-born 5", "volume " + String(repeating: "x", count: 254),
        ]
    )
    func garbled(_ lines: String) {
        let mark = DirectoryMark("0000beef\n\(lines)\n")
        #expect(mark?.incarnation == incarnation)
        #expect(mark?.difference(from: DataPlace(born: 5))?.contains("is not understood") == true)
    }

    @Test("another birth or another name of the volume shows a copy; what was not known before does not")
    func differences() {
        let born: UInt64 = 1_700_000_000_500_000_000
        let mark = DirectoryMark(incarnation: incarnation, place: DataPlace(born: born, volume: "x"))
        #expect(
            mark.difference(from: DataPlace(born: 1_700_000_001_000_000_000, volume: "x"))
                == "their control file was born at 2023-11-14T22:13:21.000Z, not at 2023-11-14T22:13:20.500Z"
        )
        #expect(mark.difference(from: DataPlace(born: nil, volume: "x"))?.contains("at a time not known") == true)
        #expect(mark.difference(from: DataPlace(born: born, volume: "y")) == "they lie on volume 'y', not on 'x'")
        #expect(mark.difference(from: DataPlace(born: born, volume: nil)) == nil)
    }
}

@Suite("Copied data of a real server", .serialized)
struct CopiedDataTests {
    @Test("a control file keeps its birth through start, stop and crash; a copy of the folder is found out")
    func copies() async throws {
        let one = try await TestInstance("one")
        do {
            try await one.adapter.persist(try await born(one))
            let birth = try await birth(one)
            try #require(birth != nil, "the file system below /tmp keeps no times of birth")
            let mark = try String(contentsOfFile: one.file("pgdata/understudy.incarnation"), encoding: .utf8)
            #expect(mark.contains("control-file-born \(birth ?? 0)"))
            for mode in [InstanceDecision.StopMode.fast, .immediate, .kill] {
                try await start(one)
                #expect(await one.adapter.checkpoint() == nil)
                try await one.stop(mode)
                #expect(try await self.birth(one) == birth)
                #expect(try await isOwn(one))
            }
            try copyOverItself(one)
            #expect(try await self.birth(one) != birth)
            let copied = try await one.adapter.attach()
            #expect(copied.matches && copied.copied?.contains("their control file was born at") == true)
            // Nothing that only looks mends it.
            #expect(try await one.adapter.attach().copied == copied.copied)
            try await vouch(one)
        } catch {
            Issue.record("\(error)\n\(one.log().suffix(3000))")
        }
        await one.finish()
    }

    @Test("a volume of another name is another volume; the first name that is given is taken")
    func volumes() async throws {
        let one = try await TestInstance("one")
        do {
            try await one.adapter.persist(try await born(one))
            #expect(try await look(one, asVolume: nil).copied == nil)
            #expect(try await look(one, asVolume: "disk-1").copied == nil)
            #expect(try await look(one, asVolume: "disk-2").copied == "they lie on volume 'disk-2', not on 'disk-1'")
            #expect(try await look(one, asVolume: "disk-1").copied == nil)
            #expect(try await look(one, asVolume: nil).copied == nil)
            var configuration = one.configuration
            for name in ["", "two words", "line\n", String(repeating: "x", count: 254)] {
                configuration.volume = name
                #expect(configuration.faults.count == 1)
            }
        } catch {
            Issue.record("\(error)\n\(one.log().suffix(3000))")
        }
        await one.finish()
    }

    private func born(_ one: TestInstance) async throws -> InstanceState {
        let birth = await one.adapter.initialize()
        guard case .initialized(let incarnation, _) = birth else { throw TimedOut(what: "\(birth)") }
        var state = InstanceState()
        state.incarnation = incarnation
        state.role = .primary
        return state
    }

    private func start(_ one: TestInstance) async throws {
        try await one.lease()
        #expect(await one.adapter.start(.firstPrimary, peers: []) == .started)
    }

    private func birth(_ one: TestInstance) async throws -> UInt64? {
        try await one.client.inspect("pgdata/global/pg_control")?.bornNanoseconds
    }

    private func isOwn(_ one: TestInstance) async throws -> Bool {
        let found = try await one.adapter.attach()
        return found.matches && found.copied == nil
    }

    /// As somebody does who moves the data to a new disk.
    private func copyOverItself(_ one: TestInstance) throws {
        let (data, aside) = (one.file("pgdata"), one.file("aside"))
        try TestInstance.run("/bin/mv", [data, aside])
        try TestInstance.run("/bin/cp", ["-a", aside, data])
        try FileManager.default.removeItem(atPath: aside)
    }

    /// Keeps the first line, as the message says; the agent that comes next takes the data and marks them.
    private func vouch(_ one: TestInstance) async throws {
        let path = one.file("pgdata/understudy.incarnation")
        let first = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")[0]
        try Data("\(first)\n".utf8).write(to: URL(fileURLWithPath: path))
        #expect(try await isOwn(one))
        let marked = try String(contentsOfFile: path, encoding: .utf8)
        #expect(marked.contains("control-file-born \(try await birth(one) ?? 0)"))
        #expect(try await isOwn(one))
        // Set aside, the state file names it otherwise.
        var state = try #require(try await one.adapter.attach().state)
        (state.copyOf, state.incarnation, state.tainted) = (state.incarnation, nil, true)
        try await one.adapter.persist(state)
        #expect(try await isOwn(one))
        state.copyOf = Incarnation(number: 1)
        try await one.adapter.persist(state)
        #expect(try await one.adapter.attach().matches == false)
    }

    private func look(_ one: TestInstance, asVolume name: String?) async throws -> PostgresInstance.Attachment {
        var configuration = one.configuration
        configuration.volume = name
        return try await PostgresAdapter(configuration: configuration, launcher: one.client).attach()
    }
}
