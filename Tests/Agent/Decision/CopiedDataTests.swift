import ClusterModel
import InstanceDecision
import Testing

@Suite("Data that were copied or restored")
struct CopiedDataTests {
    private let reason = "their control file was born yesterday"
    private let own = Incarnation(number: 2)

    private func state(_ role: DurableRole, _ change: (inout InstanceState) -> Void = { _ in }) -> InstanceState {
        var state = InstanceState()
        state.incarnation = own
        state.role = role
        state.promised = Stamp(term: Term(rawValue: 3), version: RecordVersion(rawValue: 9))
        change(&state)
        return state
    }

    private func attach(
        _ state: InstanceState,
        copied: String?,
        _ server: LauncherView = .down
    ) throws -> (bench: Bench, actions: [InstanceAction]) {
        var bench = try Bench()
        let actions = bench.tell(
            .attached(state: state, directory: .present(bench.number), matches: true, copied: copied, server: server)
        )
        return (bench, actions)
    }

    private func explanations(_ actions: [InstanceAction]) -> [Explanation] {
        actions.compactMap { if case .explain(let explanation) = $0 { explanation } else { nil } }
    }

    @Test("a copy of a standby keeps its promise and loses its vote, and is not started (R5)")
    func copiedStandby() throws {
        var (bench, actions) = try attach(state(.standby), copied: reason)
        let found = bench.machine.state
        #expect(found.incarnation == nil && found.tainted && found.copyOf == own)
        #expect(found.promised == state(.standby).promised)
        #expect(actions.steps == ["persist standby"])
        let said = try #require(explanations(actions).first { $0.rule == "R5" })
        #expect(said.text.contains("copied or restored") && said.text.contains("remove all but the first line"))
        #expect(said.evidence == [reason])
        #expect(bench.machine.report(at: bench.now).fault.contains("copied or restored"))
        #expect(bench.order(.prepare(recover: true), term: 4, version: 10).steps == ["persist standby"])
        #expect(bench.machine.report(at: bench.now).prepared == nil)
    }

    @Test("a copy of a primary in office gives its term up and answers nothing by its name (R4, R5, R7)")
    func copiedPrimary() throws {
        var (bench, _) = try attach(state(.primary) { $0.primaryOfTerm = Term(rawValue: 3) }, copied: reason)
        #expect(bench.machine.state.incarnation == nil && bench.machine.state.releasedTerm.rawValue == 3)
        #expect(bench.grant(term: 3, version: 9).steps.isEmpty)
        #expect(!bench.order(.prepare(recover: true), term: 4, version: 10).steps.contains("start standby"))
        #expect(bench.tell(.tick).steps.isEmpty)
    }

    @Test(
        "what was copied is made anew, and what it was a copy of is forgotten then",
        arguments: [DurableRole.standby, .primary, .rewinding, .cloning]
    )
    func madeAnew(_ role: DurableRole) throws {
        var (bench, _) = try attach(state(role), copied: reason)
        #expect(bench.machine.state.incarnation == nil)
        let plan = try bench.plan([bench.primacy(3, 1, parent: 0, fork: 0)])
        let actions = bench.order(.follow(plan), term: 3, version: 10)
        #expect(actions.steps.last == "clone" && !actions.steps.contains("rewind"))
        #expect(bench.machine.state.role == .cloning && bench.machine.state.copyOf == nil)
        let new = Incarnation(number: 8)
        bench.tell(.completed(try actions.id, .cloned(new, bench.number)))
        #expect(bench.machine.state.incarnation == new && !bench.machine.state.tainted)
    }

    @Test("data that a person vouches for are the member again, with all that it promised (R5)")
    func vouched() throws {
        for role in [DurableRole.standby, .primary] {
            let before = try attach(state(role), copied: reason).bench.machine.state
            var (bench, actions) = try attach(before, copied: nil)
            let found = bench.machine.state
            #expect(found.incarnation == own && !found.tainted && found.copyOf == nil)
            #expect(found.promised == before.promised && found.role == role)
            #expect(explanations(actions).contains { $0.text.contains("vouched for") })
            #expect(bench.machine.report(at: bench.now).fault.isEmpty)
            #expect(bench.tell(.tick).steps.isEmpty)
        }
    }

    @Test("as long as nobody vouches, a copy stays one, whichever agent looks at it")
    func stays() throws {
        let before = try attach(state(.standby), copied: reason).bench.machine.state
        let (bench, actions) = try attach(before, copied: reason)
        #expect(bench.machine.state == before && actions.steps.isEmpty)
        #expect(explanations(actions).contains { $0.rule == "R5" })
    }

    @Test("data that would not have counted as they were are nothing to go back to")
    func taintedBefore() throws {
        let (bench, _) = try attach(state(.standby) { $0.tainted = true }, copied: reason)
        #expect(bench.machine.state.incarnation == nil && bench.machine.state.copyOf == nil)
        let (again, _) = try attach(bench.machine.state, copied: nil)
        #expect(again.machine.state.tainted && again.machine.state.incarnation == nil)
    }

    @Test("under a running server the data did not move: a name given anew ends no primary (P4)")
    func runningServer() throws {
        let state = state(.primary) { $0.primaryOfTerm = Term(rawValue: 3) }
        let (bench, actions) = try attach(state, copied: reason, .running(lease: .seconds(2)))
        #expect(bench.machine.state == state && !actions.steps.contains("persist primary"))
    }
}
