import ClusterModel
import Testing

@testable import InstanceDecision

@Suite("Handing over, and going on")
struct HandOverTests {
    /// In office in term 1, with a lease of three seconds.
    private func primary() throws -> Bench {
        var bench = try Bench()
        var state = InstanceState()
        state.incarnation = Incarnation(number: 2)
        state.role = .primary
        state.primaryOfTerm = Term(rawValue: 1)
        state.promised = Stamp(term: Term(rawValue: 1), version: RecordVersion(rawValue: 9))
        bench.attach(state, .running(lease: .seconds(3)))
        bench.tell(.observed(bench.status(inRecovery: false)))
        return bench
    }

    private func handOver(stops: Bool) -> Order.Kind { .handOver(HandOver(stops: stops, deadline: .seconds(5))) }

    /// Shut down cleanly for a hand-over.
    private func handedOver() throws -> Bench {
        var bench = try primary()
        bench.order(handOver(stops: true), term: 1, version: 11)
        bench.tell(.serverDown)
        return bench
    }

    private func clean(_ bench: Bench) -> StoppedFacts {
        StoppedFacts(
            systemIdentifier: bench.number,
            timeline: .first,
            cleanShutdown: true,
            wasPrimary: true,
            end: LSN(rawValue: 1200)
        )
    }

    @Test("it checkpoints while clients write on, and stops only when told to (R16)")
    func checkpointThenStop() throws {
        var bench = try primary()
        let first = bench.order(handOver(stops: false), term: 1, version: 10)
        #expect(first.steps == ["persist primary", "checkpoint"])
        // Another version of the record begins no second checkpoint, and other work goes on beside it.
        #expect(bench.order(handOver(stops: false), term: 1, version: 11).steps == ["persist primary"])
        bench.tell(.completed(try first.id, .checkpointed))
        #expect(bench.machine.report(at: bench.now).readyToHandOver == RecordVersion(rawValue: 11))
        #expect(bench.order(handOver(stops: false), term: 1, version: 12).steps == ["persist primary"])
        #expect(bench.machine.report(at: bench.now).readyToHandOver == RecordVersion(rawValue: 12))
        #expect(bench.order(handOver(stops: true), term: 1, version: 13).steps == ["persist primary", "stop fast"])
        let down = bench.tell(.serverDown)
        #expect(down.steps == ["persist primary", "inspect"])
        #expect(bench.machine.state.releasedTerm == Term(rawValue: 1))
    }

    @Test("a shutdown that does not end is made harder, and the lease is renewed until then (R3, R16)")
    func deadline() throws {
        var bench = try primary()
        bench.order(handOver(stops: true), term: 1, version: 11)
        for _ in 0..<12 {
            #expect(bench.grant(term: 1, version: 11).steps == ["arm"])
            #expect(bench.tell(.tick, after: .milliseconds(390)).steps.isEmpty)
        }
        #expect(bench.tell(.tick, after: .milliseconds(400)).steps == ["stop immediate"])
        #expect(bench.grant(term: 1, version: 11).steps.isEmpty)
    }

    @Test("a clean shutdown is an answer to prepare without a start: the end of the shutdown checkpoint (R6)")
    func answerWithoutStart() throws {
        var bench = try handedOver()
        let inspect = try #require(bench.machine.work).id
        // The order comes first: what is being read holds in any term.
        #expect(bench.order(.prepare(recover: false), term: 2, version: 12).steps == ["persist primary"])
        #expect(bench.tell(.completed(inspect, .inspected(clean(bench)))).steps == ["persist standby"])
        let report = bench.machine.report(at: bench.now)
        #expect(report.prepared?.position == WALPosition(timeline: .first, lsn: LSN(rawValue: 1200)))
        #expect(report.server == .down)
    }

    @Test("it follows its successor without a rewind, and without a cut first (R14)")
    func followsWithoutRewind() throws {
        var bench = try handedOver()
        bench.tell(.completed(try #require(bench.machine.work).id, .inspected(clean(bench))))
        bench.order(.prepare(recover: false), term: 2, version: 12)
        let history = [bench.primacy(1, 1, parent: 0, fork: 0), bench.primacy(2, 2, parent: 1, fork: 1200)]
        let start = bench.order(.follow(try bench.plan(history)), term: 2, version: 13)
        #expect(start.steps == ["persist standby", "start standby"])
        guard case .start(_, .standby(.upstream), _)? = start.last(where: { $0.id != nil }) else {
            Issue.record("it must be started with its upstream")
            return
        }
        bench.tell(.completed(try start.id, .started))
        #expect(bench.tell(.observed(bench.status(end: 1200))).steps == ["persist standby", "follow"])
    }

    @Test("WAL that nobody else has is rewound all the same (R14)")
    func tailIsRewound() throws {
        var bench = try handedOver()
        bench.tell(.completed(try #require(bench.machine.work).id, .inspected(clean(bench))))
        let history = [bench.primacy(1, 1, parent: 0, fork: 0), bench.primacy(2, 2, parent: 1, fork: 1100)]
        #expect(bench.order(.follow(try bench.plan(history)), term: 2, version: 13).steps.last == "make ready")
    }

    @Test("chosen again itself, it starts as a standby and is promoted (R7)")
    func chosenAgain() throws {
        var bench = try handedOver()
        bench.tell(.completed(try #require(bench.machine.work).id, .inspected(clean(bench))))
        bench.order(.prepare(recover: false), term: 2, version: 12)
        let start = bench.order(.promote(bench.promotion), term: 2, version: 13)
        #expect(start.steps == ["persist standby", "start standby"])
        bench.tell(.completed(try start.id, .started))
        bench.tell(.observed(bench.status(end: 1200)))
        #expect(bench.grant(term: 2, version: 13).steps == ["persist primary", "arm", "promote"])
    }

    @Test("an unclean end is no answer (R6)")
    func uncleanEnd() throws {
        var bench = try handedOver()
        var facts = clean(bench)
        facts.cleanShutdown = false
        bench.tell(.completed(try #require(bench.machine.work).id, .inspected(facts)))
        #expect(bench.order(.prepare(recover: false), term: 2, version: 12).steps == ["persist primary"])
        #expect(bench.machine.report(at: bench.now).prepared == nil)
        #expect(
            bench.order(.prepare(recover: true), term: 2, version: 13).steps == ["persist standby", "start standby"]
        )
    }

    @Test("a primary in office goes on in a later term that was given up, and stops if that is prepared again (R16)")
    func goesOn() throws {
        var bench = try primary()
        let govern = Order.Kind.govern(Governance(rules: [.birth(.async)], peers: []))
        #expect(bench.order(govern, term: 3, version: 12).steps.first == "persist primary")
        #expect(bench.machine.state.primaryOfTerm == Term(rawValue: 3) && bench.machine.state.isPrimaryInOffice)
        // A late `prepare` of that term, or the order to stop of the term before, finds nobody.
        #expect(bench.order(.prepare(recover: false), term: 3, version: 11).steps == ["refuse"])
        #expect(bench.order(handOver(stops: true), term: 1, version: 11).steps == ["refuse"])
        #expect(bench.grant(term: 3, version: 12).steps.contains("arm"))
        #expect(bench.order(.prepare(recover: false), term: 4, version: 13).steps.contains("stop immediate"))
        bench.tell(.serverDown)
        #expect(bench.machine.state.releasedTerm == Term(rawValue: 3))
    }

    @Test("whoever released a term does not go on in a later one (R4, R16)")
    func formerPrimaryDoesNotGoOn() throws {
        var bench = try handedOver()
        let govern = Order.Kind.govern(Governance(rules: [.birth(.async)], peers: []))
        #expect(bench.order(govern, term: 2, version: 12).steps == ["refuse"])
    }

    @Test("nothing under way holds up the stop of a primary whose term is over (R6)")
    func stopIsNotHeldUp() throws {
        var bench = try primary()
        let rule = Rule(
            voters: [MemberID(name: try bench.plan([]).primary, incarnation: Incarnation(number: 1))],
            required: 1,
            mode: .required
        )
        let govern = Order.Kind.govern(Governance(rules: [rule], peers: []))
        #expect(bench.order(govern, term: 1, version: 10).steps.last == "rules")
        #expect(bench.order(.prepare(recover: false), term: 2, version: 11).steps.contains("stop immediate"))
    }
}
