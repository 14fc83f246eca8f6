import ClusterModel
import Testing

@testable import ClusterDecision

@Suite("Candidates: catching up, noFailover, priority and zone")
struct CatchUpTests {
    /// Instances as a test wants them, the first of which is primary and has released term 1.
    private func desk(
        _ durability: Durability = .required,
        _ names: [String] = ["a", "b", "c"],
        barring barred: [String] = [],
        _ change: (inout InstanceSpec) -> Void = { _ in }
    ) throws -> Desk {
        var desk = try Desk.steady(durability, names)
        var spec = desk.machine.spec
        for place in spec.instances.indices {
            spec.instances[place].noFailover = barred.contains(spec.instances[place].name.text)
            change(&spec.instances[place])
        }
        desk.machine = ClusterMachine(spec: spec)
        desk.tell(.recordLoaded(desk.stored))
        try desk.reportPrimary("a", streamingTo: Array(names.dropFirst()))
        for name in names.dropFirst() { try desk.report(name) }
        try desk.reportRelease("a")
        #expect(desk.stored?.phase == .preparing)
        desk.log = []
        return desk
    }

    /// Receives from that one, its promise in force, its answer void.
    private func reportCatchingUp(_ desk: inout Desk, _ text: String, from source: String, at end: UInt64) throws {
        let name = try desk.member(source).name
        try desk.report(text, receivingFrom: source, at: end) { report in
            report.following = Following(term: Term(rawValue: 2), primary: name)
        }
    }

    @Test("whoever may be promoted first receives what only a member marked noFailover holds (R8)")
    func catchesUp() throws {
        var desk = try desk(barring: ["b"])
        try desk.reportPrepared("b", term: 2, at: 1200)
        try desk.reportPrepared("c", term: 2, at: 900)
        #expect(desk.log == ["catchUp c"])
        #expect(desk.stored?.phase == .preparing)
        #expect(desk.machine.waiting?.text == "'c' catches up from 'b', which may not be promoted")
        try reportCatchingUp(&desk, "c", from: "b", at: 1100)
        // Nobody else is disturbed, and nobody is promoted on an answer that is void.
        try desk.reportPrepared("b", term: 2, at: 1200)
        #expect(desk.log == ["catchUp c"])
        try reportCatchingUp(&desk, "c", from: "b", at: 1200)
        #expect(desk.log == ["catchUp c", "prepare c"])
        try desk.reportPrepared("c", term: 2, at: 1200)
        #expect(desk.log.suffix(3) == ["store promoting", "promote c", "follow b"])
        #expect(desk.stored?.primary?.text == "c" && desk.stored?.history.last?.forkLSN == LSN(rawValue: 1200))
        #expect(desk.told.contains { $0.kind == .candidate && $0.text.contains("'c' catches up from it") })
    }

    @Test("one whose settings would stop it on promotion gives its WAL to another, too (R8)")
    func capacity() throws {
        var desk = try desk()
        try desk.reportPrepared("c", term: 2, at: 900)
        let position = WALPosition(timeline: .first, lsn: LSN(rawValue: 1200))
        try desk.report("b", at: 1200) { report in
            report.prepared = PreparedAnswer(term: Term(rawValue: 2), position: position)
            let demanded = report.status?.capacity
            report.status?.demandedCapacity = demanded
            report.status?.capacity.maxConnections = 0
        }
        #expect(desk.log == ["catchUp c"])
        let evidence = desk.told.last { $0.kind == .candidate }?.evidence ?? []
        #expect(evidence.contains { $0.contains("max_connections is 0, its WAL demands 1") }, "\(evidence)")
    }

    @Test("of several the one that was nearest catches up; one that does not come on gives way to another (R8)")
    func anotherIsTried() throws {
        var desk = try desk(.required, ["a", "b", "c", "d"], barring: ["b"])
        func others() throws {
            try desk.reportPrepared("b", term: 2, at: 1200)
            try desk.reportPrepared("d", term: 2, at: 800)
        }
        try others()
        try desk.reportPrepared("c", term: 2, at: 900)
        #expect(desk.log.contains("catchUp c") && !desk.log.contains("catchUp d"))
        desk.log = []
        let begin = desk.now
        while desk.now - begin < .seconds(40), !desk.log.contains("catchUp d") {
            desk.now = desk.now + .milliseconds(400)
            try others()
            if desk.log.contains("prepare c") {
                try desk.reportPrepared("c", term: 2, at: 950)
            } else {
                try reportCatchingUp(&desk, "c", from: "b", at: 950)
            }
            #expect(desk.stored?.phase == .preparing)
        }
        #expect(desk.log.contains("catchUp d") && desk.now - begin >= .seconds(29))
    }

    @Test(
        "a source that is gone, or an agent that was restarted, has everybody asked anew (R6, R8)",
        arguments: [true, false]
    )
    func interrupted(sourceIsGone: Bool) throws {
        var desk = try desk(barring: ["b"])
        try desk.reportPrepared("b", term: 2, at: 1200)
        try desk.reportPrepared("c", term: 2, at: 900)
        try reportCatchingUp(&desk, "c", from: "b", at: 1100)
        desk.log = []
        if sourceIsGone {
            desk.tell(.disconnected(try desk.member("b").name))
            #expect(desk.log.contains("prepare c"))
        } else {
            for _ in 0..<4 {
                desk.now = desk.now + .milliseconds(400)
                try desk.reportPrepared("b", term: 2, at: 1200)
                try desk.report("c", receivingFrom: "b", at: 1100)
            }
            #expect(desk.log.contains("prepare c"))
            try desk.reportPrepared("c", term: 2, at: 1100)
            #expect(desk.log.last == "catchUp c")
        }
        #expect(desk.stored?.phase == .preparing)
    }

    @Test("a tail past the fork of what the other holds is no beginning of it: nobody catches up (R7, R14)")
    func divergedCandidate() throws {
        var desk = try Desk.steady(.required)
        var record = try #require(desk.stored)
        let second = Timeline(rawValue: 2)
        record.term = Term(rawValue: 2)
        record.history.append(
            Primacy(
                term: record.term,
                primary: try desk.member("a"),
                timeline: second,
                parent: .first,
                forkLSN: LSN(rawValue: 850),
                why: "x"
            )
        )
        record.highestTimeline = second
        desk.stored = record
        var spec = desk.machine.spec
        spec.instances[1].noFailover = true
        desk.machine = ClusterMachine(spec: spec)
        desk.tell(.recordLoaded(record))
        try desk.reportRelease("a", term: 2)
        try desk.reportPrepared("b", term: 3, at: 900, timeline: 2)
        try desk.reportPrepared("c", term: 3, at: 880)
        #expect(!desk.log.contains("catchUp c") && desk.stored?.phase == .preparing)
        #expect(desk.log.contains("recover a"))
    }

    @Test("the primary that was goes on though it is marked noFailover: it takes nobody's place (R8, P3)")
    func recordedPrimaryGoesOn() throws {
        var desk = try desk(.required, ["a", "b"], barring: ["a"])
        try desk.report("b", at: 900)
        try desk.reportPrepared("a", term: 2, at: 1200)
        #expect(desk.stored?.phase == .promoting && desk.stored?.primary?.text == "a")
    }

    @Test("with the same WAL priority decides, then another zone than the old primary's, then the order (R8)")
    func ties() throws {
        func winner(_ change: (inout InstanceSpec) -> Void) throws -> String? {
            var desk = try desk(.required, ["a", "b", "c", "d"], barring: [], change)
            for name in ["b", "c", "d"] { try desk.reportPrepared(name, term: 2) }
            return desk.stored?.phase == .promoting ? desk.stored?.primary?.text : nil
        }
        let zones = ["a": "north", "b": "north", "c": "south"]
        #expect(try winner { _ in } == "b")
        #expect(try winner { $0.zone = zones[$0.name.text] } == "c")
        #expect(
            try winner {
                $0.zone = zones[$0.name.text]
                $0.failoverPriority = $0.name.text == "d" ? 5 : 0
            } == "d"
        )
        // Whose zone is not known is as good as any other but a known other one.
        #expect(try winner { $0.zone = $0.name.text == "a" ? "north" : nil } == "b")
        #expect(try winner { $0.noFailover = ["b", "c"].contains($0.name.text) } == "d")
        #expect(try winner { $0.noFailover = $0.name.text != "a" } == nil)
    }
}
