import ClusterModel
import Testing

@testable import InstanceDecision

@Suite("Catching up before a candidacy")
struct CatchUpTests {
    /// A running standby that has answered in term 2, and ends at 1000 on timeline 1.
    private func prepared() throws -> Bench {
        var bench = try Bench.attached { _ in }
        let standby = StoppedFacts(
            systemIdentifier: bench.number,
            timeline: .first,
            cleanShutdown: true,
            wasPrimary: false,
            end: LSN(rawValue: 1000)
        )
        let start = try bench.tell(.completed(try bench.first.id, .inspected(standby))).id
        bench.tell(.completed(start, .started))
        bench.tell(.observed(bench.status()))
        let cut = try bench.order(.prepare(recover: false), term: 2, version: 5).id
        bench.tell(.completed(cut, .cut(bench.status().position)))
        return bench
    }

    private func history(_ bench: Bench, fork: UInt64 = 1000) -> [Primacy] {
        [bench.primacy(1, 1, parent: 0, fork: 0), bench.primacy(2, 2, parent: 1, fork: fork)]
    }

    @Test("it follows, its promise stays, its answer is void; `prepare` cuts it and has it answer anew (R6, R8)")
    func transcript() throws {
        var bench = try prepared()
        let plan = try bench.plan(history(bench))
        let follow = bench.order(.catchUp(plan), term: 2, version: 5)
        #expect(follow.steps == ["follow"])
        #expect(bench.machine.report(at: bench.now).prepared == nil)
        bench.tell(.completed(try follow.id, .following))
        let following = Following(term: Term(rawValue: 2), primary: plan.primary)
        #expect(bench.machine.report(at: bench.now).following == following)
        #expect(bench.machine.state.promised.term == Term(rawValue: 2))
        // Once more changes nothing.
        #expect(bench.order(.catchUp(plan), term: 2, version: 5).steps.isEmpty)
        let cut = bench.order(.prepare(recover: false), term: 2, version: 5)
        #expect(cut.steps == ["cut"])
        let end = WALPosition(timeline: .first, lsn: LSN(rawValue: 1200))
        bench.tell(.completed(try cut.id, .cut(end)))
        #expect(bench.machine.report(at: bench.now).prepared?.position == end)
    }

    @Test("without an answer of that very term, or after what comes later, it is refused (R1, R8)")
    func refused() throws {
        var bench = try prepared()
        let plan = try bench.plan(history(bench))
        #expect(bench.order(.catchUp(plan), term: 3, version: 9).steps == ["refuse"])
        #expect(bench.machine.state.promised.term == Term(rawValue: 2))
        var itself = plan
        itself.primary = bench.machine.configuration.name
        #expect(bench.order(.catchUp(itself), term: 2, version: 5).steps == ["refuse"])
        bench.order(.follow(plan), term: 2, version: 6)
        #expect(bench.order(.catchUp(plan), term: 2, version: 6).steps == ["refuse"])
        #expect(bench.order(.catchUp(plan), term: 2, version: 5).steps == ["refuse"])
    }

    @Test("what is no beginning of the other's WAL is not followed, and the answer stands (R14)")
    func diverged() throws {
        var bench = try prepared()
        let plan = try bench.plan(history(bench, fork: 900))
        #expect(bench.order(.catchUp(plan), term: 2, version: 5).steps.isEmpty)
        let report = bench.machine.report(at: bench.now)
        #expect(report.prepared?.position.lsn == LSN(rawValue: 1000))
        #expect(report.fault.contains("could not catch up from 'a'"), "\(report.fault)")
    }

    @Test("a server that dies meanwhile comes back cut, and answers anew (R6)")
    func serverDies() throws {
        var bench = try prepared()
        let plan = try bench.plan(history(bench))
        bench.tell(.completed(try bench.order(.catchUp(plan), term: 2, version: 5).id, .following))
        bench.tell(.serverDown)
        // Only its control file tells whether somebody else had it run as a primary (D82).
        let look = bench.tell(.tick, after: .seconds(2))
        #expect(look.steps == ["inspect"])
        let facts = StoppedFacts(
            systemIdentifier: SystemIdentifier(rawValue: 1),
            timeline: .first,
            cleanShutdown: false,
            wasPrimary: false,
            end: .zero
        )
        let start = bench.tell(.completed(try look.id, .inspected(facts)))
        #expect(start.steps == ["start standby"])
        bench.tell(.completed(try start.id, .started))
        bench.tell(.observed(bench.status()))
        #expect(bench.machine.report(at: bench.now).prepared == nil)
        let cut = try #require(bench.machine.work)
        #expect(cut.kind == .cut)
        bench.tell(.completed(cut.id, .cut(bench.status().position)))
        #expect(bench.machine.report(at: bench.now).prepared != nil)
    }
}
