import ClusterModel
import InstanceDecision
import Testing

/// A former primary that waited for its successor's checkpoint had given its word up, with nothing of it changed.
///
/// The successor lost its disk, and nobody could be promoted any more.
@Suite("Rejoin: a member keeps its word until its data change (D105)")
struct UntouchedTests {
    /// A former primary of term 1 that crashed, told to follow the primary of term 2; its control file is read.
    private func crashed(_ change: (inout StoppedFacts) -> Void = { _ in }) throws -> (Bench, [InstanceAction]) {
        var bench = try Bench.attached { state in
            state.role = .primary
            state.primaryOfTerm = Term(rawValue: 1)
            state.releasedTerm = Term(rawValue: 1)
            state.promised = Stamp(term: Term(rawValue: 1), version: RecordVersion(rawValue: 1))
        }
        var facts = StoppedFacts(
            systemIdentifier: bench.number,
            timeline: .first,
            cleanShutdown: false,
            wasPrimary: true,
            end: .zero
        )
        change(&facts)
        let inspect = try follow(&bench)
        #expect(inspect.steps == ["persist primary", "inspect"])
        let actions = bench.tell(.completed(try inspect.id, .inspected(facts)))
        return (bench, actions)
    }

    @discardableResult
    private func follow(_ bench: inout Bench, version: UInt64 = 2) throws -> [InstanceAction] {
        let history = [bench.primacy(1, 1, parent: 0, fork: 0), bench.primacy(2, 2, parent: 1, fork: 900)]
        return bench.order(.follow(try bench.plan(history)), term: 2, version: version)
    }

    @Test("what is made ready for a rewind changes neither role nor incarnation; only the rewind itself does")
    func readyFirst() throws {
        var (bench, ready) = try crashed()
        #expect(ready.steps == ["make ready"])
        #expect(bench.machine.state.role == .primary)
        let rewind = try bench.tell(.completed(ready.id, .readyToRewind))
        #expect(rewind.steps == ["persist rewinding", "rewind"])
        #expect(try bench.tell(.completed(rewind.id, .rewound)).steps == ["start standby"])
    }

    @Test("one that waits for its source gives that up for a higher term, and is started for its answer")
    func prepares() throws {
        var (bench, _) = try crashed()
        #expect(bench.order(.prepare(recover: false), term: 3, version: 3).steps == ["cancel", "persist primary"])
        let start = bench.order(.prepare(recover: true), term: 3, version: 3)
        #expect(start.steps == ["persist standby", "start standby"])
        let cut = try bench.tell(.completed(start.id, .started))
        #expect(cut.steps == ["cut"])
        let position = WALPosition(timeline: .first, lsn: LSN(rawValue: 1000))
        bench.tell(.completed(try cut.id, .cut(position)))
        #expect(bench.machine.report(at: bench.now).prepared?.position == position)
    }

    @Test("a source that refuses connections, however often, never costs the data")
    func refused() throws {
        var (bench, actions) = try crashed()
        for _ in 0..<6 {
            bench.tell(.completed(try actions.id, .failed("connection refused")))
            #expect(bench.machine.state.role == .primary && bench.machine.state.incarnation != nil)
            actions = bench.tell(.tick, after: .seconds(31))
            #expect(actions.steps == ["make ready"])
        }
    }

    @Test("a rewind that lost its source is tried again, however often; one that failed by itself, once")
    func lostSource() throws {
        var (bench, actions) = try crashed()
        func rewind(_ outcome: Outcome) throws {
            let rewind = try bench.tell(.completed(actions.id, .readyToRewind))
            #expect(rewind.steps.last == "rewind")
            bench.tell(.completed(try rewind.id, outcome))
        }
        func again(_ facts: StoppedFacts) throws {
            let inspect = bench.tell(.tick, after: .seconds(31))
            actions = try bench.tell(.completed(inspect.id, .inspected(facts)))
            #expect(actions.steps == ["make ready"])
        }
        let facts = StoppedFacts(
            systemIdentifier: bench.number,
            timeline: .first,
            cleanShutdown: true,
            wasPrimary: true,
            end: .zero
        )
        for _ in 0..<4 {
            try rewind(.sourceLost("server closed the connection unexpectedly"))
            #expect(bench.machine.state.role == .rewinding && bench.machine.state.incarnation != nil)
            try again(facts)
        }
        try rewind(.failed("could not find WAL"))
        #expect(bench.machine.state.role == .rewinding)
        try again(facts)
        try rewind(.failed("could not find WAL"))
        #expect(bench.machine.state.role == .cloning && bench.machine.state.incarnation == nil)
    }

    @Test("what was made ready for another upstream counts for nothing")
    func otherUpstream() throws {
        var (bench, ready) = try crashed()
        let history = [bench.primacy(1, 1, parent: 0, fork: 0), bench.primacy(2, 2, parent: 1, fork: 800)]
        bench.order(.follow(try bench.plan(history)), term: 2, version: 3)
        let actions = try bench.tell(.completed(ready.id, .readyToRewind))
        #expect(actions.steps == ["make ready"])
    }

    @Test("a candidate whose promotion failed in recovery is a standby, judged by its position (D105)")
    func neverLeftRecovery() throws {
        let (bench, actions) = try crashed { $0.wasPrimary = false }
        #expect(actions.steps == ["persist standby", "start standby"])
        #expect(bench.machine.state.incarnation != nil && !bench.machine.state.tainted)
    }
}

@Suite("Rejoin: the checkpoint that others rewind from")
struct CheckpointTests {
    @Test("one that failed is taken again as long as this primary is in office (R14)")
    func again() throws {
        var bench = try Bench()
        var state = InstanceState()
        state.incarnation = Incarnation(number: 2)
        state.role = .primary
        state.primaryOfTerm = Term(rawValue: 1)
        state.promised = Stamp(term: Term(rawValue: 1), version: RecordVersion(rawValue: 1))
        bench.attach(state, .running(lease: .seconds(60)))
        #expect(bench.first.steps == ["checkpoint"])
        #expect(bench.tell(.checkpointFailed("the server does not answer")).steps.isEmpty)
        #expect(bench.tell(.tick, after: .milliseconds(999)).steps.isEmpty)
        #expect(bench.tell(.tick, after: .milliseconds(1)).steps == ["checkpoint"])
        bench.tell(.checkpointFailed("the server does not answer"))
        #expect(bench.order(.prepare(recover: false), term: 2, version: 2).steps.contains("stop immediate"))
        bench.tell(.serverDown)
        bench.tell(.checkpointFailed("the server is gone"))
        #expect(!bench.tell(.tick, after: .seconds(2)).steps.contains("checkpoint"))
    }
}

@Suite("Rejoin: a standby with WAL that the recorded history does not contain")
struct DivergedStandbyTests {
    private func judged() throws -> (Bench, [InstanceAction]) {
        var bench = try Bench.attached { _ in }
        bench.attach(bench.machine.state, .running(lease: nil))
        bench.tell(.observed(bench.status()))
        let history = [bench.primacy(1, 1, parent: 0, fork: 0), bench.primacy(2, 2, parent: 1, fork: 900)]
        let cut = bench.order(.follow(try bench.plan(history)), term: 2, version: 2)
        #expect(cut.steps.contains("cut"))
        let stop = try bench.tell(.completed(cut.id, .cut(bench.status().position)))
        return (bench, stop)
    }

    private func facts(_ bench: Bench, clean: Bool) -> Outcome {
        .inspected(
            StoppedFacts(
                systemIdentifier: bench.number,
                timeline: .first,
                cleanShutdown: clean,
                wasPrimary: false,
                end: clean ? LSN(rawValue: 1000) : .zero
            )
        )
    }

    @Test("it stays a standby until the rewind begins")
    func staysStandby() throws {
        var (bench, stop) = try judged()
        #expect(stop.steps == ["stop fast"])
        let inspect = bench.tell(.serverDown)
        #expect(inspect.steps == ["inspect"])
        #expect(bench.machine.state.role == .standby)
        let ready = try bench.tell(.completed(inspect.id, facts(bench, clean: true)))
        #expect(ready.steps == ["make ready"] && bench.machine.state.role == .standby)
        #expect(try bench.tell(.completed(ready.id, .readyToRewind)).steps == ["persist rewinding", "rewind"])
    }

    @Test("one that was killed while it stopped replays and is judged again; twice, and it is copied")
    func killed() throws {
        var (bench, _) = try judged()
        var inspect = bench.tell(.serverDown)
        let start = try bench.tell(.completed(inspect.id, facts(bench, clean: false)))
        #expect(start.steps == ["start standby"])
        let cut = try bench.tell(.completed(start.id, .started))
        #expect(cut.isEmpty || cut.steps.isEmpty)
        let again = bench.tell(.observed(bench.status()))
        #expect(again.steps == ["cut"])
        #expect(try bench.tell(.completed(again.id, .cut(bench.status().position))).steps == ["stop fast"])
        inspect = bench.tell(.serverDown)
        let copy = try bench.tell(.completed(inspect.id, facts(bench, clean: false)))
        // It keeps its word and its vote until the copy is complete (D9).
        #expect(copy.steps == ["clone"] && bench.machine.state.role == .standby)
    }

    @Test("told of another history meanwhile, it is started and judged by that")
    func otherHistory() throws {
        var (bench, _) = try judged()
        let inspect = bench.tell(.serverDown)
        let history = [bench.primacy(1, 1, parent: 0, fork: 0), bench.primacy(2, 2, parent: 1, fork: 1000)]
        bench.order(.follow(try bench.plan(history)), term: 2, version: 3)
        let start = try bench.tell(.completed(inspect.id, facts(bench, clean: true)))
        #expect(start.steps == ["start standby"])
    }
}
