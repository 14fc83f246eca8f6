import ClusterModel
import Testing

@testable import InstanceDecision

@Suite("A server that was taken for down")
struct AttachTests {
    private func history(_ bench: Bench) -> [Primacy] {
        [bench.primacy(1, 1, parent: 0, fork: 0), bench.primacy(2, 2, parent: 1, fork: 1000)]
    }

    private func facts(_ bench: Bench, clean: Bool, wasPrimary: Bool) -> Outcome {
        .inspected(
            StoppedFacts(
                systemIdentifier: bench.number,
                timeline: .first,
                cleanShutdown: clean,
                wasPrimary: wasPrimary,
                end: LSN(rawValue: 2000)
            )
        )
    }

    @Test("a control file that is not read because a server runs has the agent look anew, and then go on (D103)")
    func lookedAtAnew() throws {
        var bench = try Bench.attached { _ in }
        #expect(bench.first.steps == ["inspect"])
        let found = bench.tell(.completed(try bench.first.id, .foundServer))
        #expect(found.steps == ["attach"])
        #expect(found.contains { if case .explain(let why) = $0 { why.kind == .fault } else { false } })
        // Nothing is begun on what is not known, however much time passes.
        #expect(bench.tell(.tick, after: .seconds(60)).steps.isEmpty)
        #expect(try bench.order(.follow(bench.plan(history(bench))), term: 2, version: 5).steps == ["refuse"])
        bench.attach(bench.machine.state, .running(lease: nil))
        bench.tell(.observed(bench.status()))
        #expect(try bench.order(.follow(bench.plan(history(bench))), term: 2, version: 5).steps.contains("cut"))
    }

    @Test("neither a rewind nor a copy is tried again beside a running server (D103)", arguments: [true, false])
    func notTriedAgain(isRewind: Bool) throws {
        var bench = try Bench.attached { state in
            state.role = isRewind ? .primary : .none
            if isRewind { (state.primaryOfTerm, state.releasedTerm) = (Term(rawValue: 1), Term(rawValue: 1)) }
        }
        var steps = try bench.order(.follow(bench.plan(history(bench))), term: 2, version: 5)
        if isRewind {
            steps = bench.tell(.completed(try steps.id, facts(bench, clean: false, wasPrimary: true)))
            #expect(steps.steps.last == "make ready")
            var early = bench
            #expect(early.tell(.completed(try steps.id, .foundServer)).steps == ["attach"])
            steps = bench.tell(.completed(try steps.id, .readyToRewind))
        }
        #expect(steps.steps.last == (isRewind ? "rewind" : "clone"))
        #expect(bench.tell(.completed(try steps.id, .foundServer)).steps == ["attach"])
        #expect(bench.tell(.tick, after: .seconds(60)).steps.isEmpty)
    }

    @Test("a server that was shutting down when the agent came is stopped harder if it does not end (D117)")
    func foundStopping() throws {
        // Simulator, async seed 53652: the agent died after it had told a primary on a hanging disk to shut down.
        var bench = try Bench()
        var state = InstanceState()
        state.incarnation = Incarnation(number: 2)
        state.role = .primary
        state.primaryOfTerm = Term(rawValue: 1)
        state.promised = Stamp(term: Term(rawValue: 1), version: RecordVersion(rawValue: 1))
        bench.attach(state, .stopping(lease: .seconds(60)))
        #expect(bench.machine.report(at: bench.now).server == .stopping)
        #expect(bench.tell(.tick).steps.isEmpty)
        #expect(bench.tell(.tick, after: .milliseconds(9900)).steps.isEmpty)
        #expect(bench.tell(.tick, after: .milliseconds(200)).steps.contains("stop immediate"))
        bench.tell(.serverDown)
        #expect(bench.machine.state.releasedTerm == Term(rawValue: 1))
    }

    @Test("the end of work that nobody waits for any more does not make the agent look anew (D103)")
    func lateOutcome() throws {
        var bench = try Bench.attached { _ in }
        let inspect = try bench.first.id
        bench.tell(.launcherLost)
        bench.attach(bench.machine.state, .running(lease: nil))
        bench.tell(.observed(bench.status()))
        #expect(bench.tell(.completed(inspect, .foundServer)).steps.isEmpty)
    }
}
