import ClusterModel
import InstanceDecision
import Testing

@Suite("A primary and its rules")
struct GovernTests {
    private let voter = InstanceName("c").map { MemberID(name: $0, incarnation: Incarnation(number: 3)) }
    private let other = InstanceName("d").map { MemberID(name: $0, incarnation: Incarnation(number: 4)) }

    /// A primary in office, out of recovery, under a lease.
    private func primary(names: String = "") throws -> Bench {
        var bench = try Bench()
        var state = InstanceState()
        state.incarnation = Incarnation(number: 2)
        state.role = .primary
        state.primaryOfTerm = Term(rawValue: 1)
        state.promised = Stamp(term: Term(rawValue: 1), version: RecordVersion(rawValue: 1))
        bench.attach(state, .running(lease: .seconds(3)))
        bench.grant(term: 1, version: 1)
        var status = bench.status(inRecovery: false)
        status.synchronousNames = names
        bench.tell(.observed(status))
        return bench
    }

    private func rule(_ required: Int, _ voters: [MemberID?], _ mode: Durability = .preferred) -> Rule {
        Rule(voters: voters.compactMap(\.self), required: required, mode: mode)
    }

    private func work(_ rules: [Rule], shown names: String = "ANY 1 (c_00000003)") throws -> RulesWork {
        var bench = try primary(names: names)
        let actions = bench.order(.govern(Governance(rules: rules, peers: [])), term: 1, version: 2)
        for action in actions { if case .applyRules(_, let work) = action { return work } }
        Issue.record("no names were put in force: \(actions.steps)")
        return RulesWork(synchronousNames: "", leavesZero: false, peers: [])
    }

    @Test("clients that get in outdate what pg_isready said before (R9)")
    func openingOutdatesReadiness() throws {
        // Simulator, preferred seed 65686: a word of before the opening counted as five seconds of silence.
        var bench = try primary()
        let actions = bench.order(.govern(Governance(rules: [.birth(.preferred)], peers: [])), term: 1, version: 2)
        bench.tell(.readiness(2))
        #expect(bench.machine.report(at: bench.now).isReady == 2)
        for case .openClients(let id) in actions { bench.tell(.completed(id, .opened)) }
        let report = bench.machine.report(at: bench.now)
        #expect(report.opened && report.isReady == nil)
    }

    @Test("leaving k = 0 takes its checkpoint whichever of the older rules had waited for nobody (R12)")
    func leavingZero() throws {
        let one = rule(1, [voter])
        let next = rule(1, [other])
        let zero = rule(0, [])
        #expect(try !work([one, next]).leavesZero)
        #expect(try work([zero, next]).leavesZero)
        // The fallback was overtaken, and may have been put in force before that.
        #expect(try work([one, zero, next]).leavesZero)
        #expect(try work([one, next], shown: "").leavesZero)
        #expect(try !work([one, zero]).leavesZero)
    }

    @Test("senders of every recorded rule's voters are ended, not only of those last named (R12)")
    func sendersOfAllRules() throws {
        let work = try work([rule(1, [voter]), rule(1, [other])])
        #expect(work.voters == [voter, other].compactMap(\.self))
        #expect(work.synchronousNames == "ANY 1 (d_00000004)")
    }

    @Test("only a rule that waits for more than an older one must end all senders (R12)")
    func raising() throws {
        let one = rule(1, [voter])
        let both = rule(1, [voter, other])
        let two = rule(2, [voter, other])
        for rules in [[one, both], [both, one], [two, both]] { #expect(try !work(rules).raisesCount) }
        #expect(try work([both, two]).raisesCount && work([rule(0, []), one]).raisesCount)
        #expect(try work([both, two, rule(2, [other, voter])]).raisesCount)
    }

    @Test("alone by its rule, `preferred` opens at once; `required` waits for a voter (R23, R24)")
    func openingAlone() throws {
        for mode in [Durability.preferred, .required] {
            var bench = try primary()
            let governance = Governance(rules: [.birth(mode)], peers: [])
            let actions = bench.order(.govern(governance), term: 1, version: 2)
            #expect(actions.steps.contains("open") == (mode == .preferred))
        }
    }

    @Test("with both rules recorded clients wait for the voters of each (R23)")
    func openingUnderBoth() throws {
        var bench = try primary(names: "ANY 1 (c_00000003)")
        let governance = Governance(rules: [rule(0, []), rule(1, [voter])], peers: [])
        let id = try bench.order(.govern(governance), term: 1, version: 2).id
        bench.tell(.completed(id, .rulesApplied(barrier: LSN(rawValue: 1000))))
        var status = bench.status(inRecovery: false)
        status.synchronousNames = "ANY 1 (c_00000003)"
        #expect(!bench.tell(.observed(status)).steps.contains("open"))
        status.senders = [
            SenderStatus(
                applicationName: "c_00000003",
                usesOwnSlot: true,
                state: "streaming",
                flushLSN: LSN(rawValue: 1000)
            )
        ]
        #expect(bench.tell(.observed(status)).steps.contains("open"))
    }
}
