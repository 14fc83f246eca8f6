import ClusterModel
import Testing

@testable import InstanceDecision

/// A primary of term 2 whose rule waits for k of `voters`, opened, with a lease granted just now.
struct Office {
    var bench: Bench
    let voters: [MemberID]

    init(_ mode: Durability = .required, required: Int = 1, voters names: [String] = ["a", "c"]) throws {
        var made = try Bench()
        voters = try names.map {
            MemberID(name: try #require(InstanceName($0)), incarnation: Incarnation(number: 7))
        }
        var state = InstanceState()
        state.incarnation = Incarnation(number: 2)
        state.role = .primary
        state.promised = Stamp(term: Term(rawValue: 2), version: RecordVersion(rawValue: 20))
        state.primaryOfTerm = Term(rawValue: 2)
        state.rules = [Rule(voters: voters, required: required, mode: mode)]
        made.attach(state, .running(lease: .seconds(3)))
        bench = made
        bench.grant(term: 2, version: 20)
        look(flushed: [], at: 1000)
    }

    /// What the server shows: these voters have flushed up to there, through slots of their own unless told.
    @discardableResult
    mutating func look(
        flushed names: [String],
        at end: UInt64,
        ownSlot: Bool = true,
        state: String = "streaming",
        after delay: Duration = .milliseconds(10)
    ) -> [InstanceAction] {
        var status = bench.status(timeline: 2, end: end, inRecovery: false)
        status.clientsAdmitted = true
        status.senders = voters.filter { names.contains($0.name.text) }.map {
            SenderStatus(
                applicationName: $0.applicationName,
                usesOwnSlot: ownSlot,
                state: state,
                flushLSN: LSN(rawValue: end)
            )
        }
        return bench.tell(.observed(status), after: delay)
    }

    /// Half a second of life without a leader: one heartbeat, one look; what was done, as steps.
    mutating func interval(_ number: UInt64, flushed names: [String]) -> [String] {
        let begunAt = bench.now
        let written = bench.tell(.beaten(LSN(rawValue: 1000 + number * 10), begunAt: begunAt)).steps
        let seen = look(flushed: names, at: 1000 + number * 10, after: .milliseconds(490)).steps
        return written + bench.tell(.tick, after: .zero).steps + seen
    }

    mutating func answer(term: UInt64, lease: Duration?) -> [InstanceAction] {
        let stamp = Stamp(term: Term(rawValue: term), version: RecordVersion(rawValue: 30))
        let sentAt = bench.now
        return bench.tell(.answered(ReportAnswer(sequence: 9, stamp: stamp, lease: lease), sentAt: sentAt))
    }
}

@Suite("Life without a leader")
struct FailsafeTests {
    @Test("with one of two standbys dead the other's flushes extend the lease for an hour (R10)")
    func dataPlaneExtends() throws {
        var office = try Office()
        for number in 1...7200 {
            let steps = office.interval(UInt64(number), flushed: ["c"])
            #expect(steps.allSatisfy { $0 == "arm" }, "interval \(number): \(steps)")
        }
        #expect(!office.bench.machine.lapsed)
        #expect(office.bench.machine.report(at: office.bench.now).opened)
    }

    @Test("the lease counts from before the heartbeat's writing (R10)")
    func countsFromBeforeWriting() throws {
        var office = try Office()
        let begunAt = office.bench.now + .milliseconds(100)
        office.bench.tell(.beaten(LSN(rawValue: 1100), begunAt: begunAt), after: .milliseconds(400))
        #expect(office.look(flushed: ["a"], at: 1099).steps.isEmpty)
        #expect(office.look(flushed: ["a"], at: 1100).steps == ["arm"])
        #expect(office.bench.machine.lease?.end == begunAt + .seconds(3))
        // The same heartbeat proves nothing twice.
        #expect(office.look(flushed: ["a"], at: 1200).steps.isEmpty)
    }

    @Test("a sender without its own slot, or not streaming, proves nothing (R10, R12)")
    func strangersProveNothing() throws {
        var office = try Office()
        office.bench.tell(.beaten(LSN(rawValue: 1100), begunAt: office.bench.now), after: .milliseconds(400))
        #expect(office.look(flushed: ["a"], at: 1200, ownSlot: false).steps.isEmpty)
        #expect(office.look(flushed: ["a"], at: 1200, state: "catchup").steps.isEmpty)
        #expect(office.look(flushed: ["a"], at: 1200).steps == ["arm"])
    }

    @Test("during a change each recorded rule must be satisfied (R10, R12)")
    func allRulesHold() throws {
        var office = try Office()
        let both = [office.bench.machine.state.rules[0], Rule(voters: office.voters, required: 2, mode: .required)]
        office.bench.order(.govern(Governance(rules: both, peers: [])), term: 2, version: 21)
        #expect(office.bench.machine.state.rules == both)
        office.bench.tell(.beaten(LSN(rawValue: 1100), begunAt: office.bench.now), after: .milliseconds(100))
        #expect(!office.look(flushed: ["a"], at: 1200).steps.contains("arm"))
        #expect(office.look(flushed: ["a", "c"], at: 1200).steps.contains("arm"))
    }

    @Test("without voters and without a leader the server is not stopped, but off the route (R10)")
    func lapseDoesNotStop() throws {
        var office = try Office(voters: ["a"])
        for number in 1...20 {
            let steps = office.interval(UInt64(number), flushed: [])
            #expect(steps.allSatisfy { $0 == "arm" }, "interval \(number): \(steps)")
        }
        #expect(office.bench.machine.lapsed)
        let report = office.bench.machine.report(at: office.bench.now)
        #expect(!report.opened && report.fault.contains("commits wait"))
        // The standby is back: a proof again, and the route.
        #expect(office.interval(30, flushed: ["a"]).contains("arm"))
        #expect(!office.bench.machine.lapsed)
        #expect(office.bench.machine.report(at: office.bench.now).opened)
    }

    @Test("the launcher's timer is never behind the agent's word, and ends the server of an agent that hangs (R21)")
    func launcherIsWound() throws {
        var office = try Office(voters: ["a"])
        var end = office.bench.now + .seconds(3)
        for _ in 1...200 {
            guard let wake = office.bench.machine.wakeAt(after: office.bench.now) else {
                Issue.record("nothing wakes a primary whose lease ends")
                return
            }
            #expect(wake < end - .milliseconds(500), "the launcher's timer acts first")
            for case .armLease(let until) in office.bench.tell(.tick, after: wake - office.bench.now) { end = until }
            #expect(end <= office.bench.now + .seconds(3))
        }
    }

    @Test("a leader that answers and does not grant, or any higher term, ends it (R10)", arguments: [2, 3] as [UInt64])
    func leaderOrHigherTermEndsIt(term: UInt64) throws {
        var office = try Office(voters: ["a"])
        for number in 1...20 { _ = office.interval(UInt64(number), flushed: []) }
        #expect(office.bench.machine.lapsed)
        let stops = office.answer(term: term, lease: nil).steps
        #expect(stops.contains("stop kill") || stops.contains("stop immediate"))
    }

    @Test("voters extend nothing once a higher term was named (R10)")
    func higherTermIsFinal() throws {
        var office = try Office()
        _ = office.answer(term: 3, lease: nil)
        office.bench.tell(.beaten(LSN(rawValue: 1100), begunAt: office.bench.now))
        #expect(office.look(flushed: ["a", "c"], at: 1200).steps.isEmpty)
        #expect(office.bench.tell(.tick, after: .milliseconds(2600)).steps.contains("stop immediate"))
    }

    @Test("prepare of a higher term stops a primary that goes on without a leader (R6, R10)")
    func prepareStopsIt() throws {
        var office = try Office(voters: ["a"])
        for number in 1...20 { _ = office.interval(UInt64(number), flushed: []) }
        #expect(office.bench.order(.prepare(recover: false), term: 3, version: 40).steps.last == "stop kill")
    }

    @Test("in async flushes extend no lease, only grants do (R10)")
    func asyncIsFenced() throws {
        var office = try Office(.async, required: 0)
        var steps: [String] = []
        for number in 1...8 { steps += office.interval(UInt64(number), flushed: ["a", "c"]) }
        #expect(steps.contains("stop immediate"))
        #expect(!steps.contains("arm"))
    }

    @Test(
        "whom nobody can replace goes on without a lease, and stays on the route (R2)",
        arguments: Durability.allCases
    )
    func irreplaceable(mode: Durability) throws {
        var office = try Office(mode, required: 0, voters: [])
        for number in 1...20 {
            let steps = office.interval(UInt64(number), flushed: [])
            #expect(steps.allSatisfy { $0 == "arm" }, "interval \(number): \(steps)")
        }
        #expect(office.bench.machine.report(at: office.bench.now).opened)
    }

    @Test("a rule by which others could replace it is confirmed only under a lease (R2)")
    func confirmsUnderLease() throws {
        var office = try Office(.async, required: 0, voters: [])
        for number in 1...20 { _ = office.interval(UInt64(number), flushed: []) }
        let voter = MemberID(name: try #require(InstanceName("a")), incarnation: Incarnation(number: 7))
        let rules = [Rule.birth(.async), Rule(voters: [voter], required: 0, mode: .async)]
        let order = office.bench.order(.govern(Governance(rules: rules, peers: [])), term: 2, version: 40)
        #expect(order.steps == ["persist primary"])
        let granted = office.bench.grant(term: 2, version: 40)
        #expect(granted.steps.contains("rules"))
    }

    @Test("an agent that comes to a primary without a leader knows its rules from disk (R10)")
    func rulesSurviveTheAgent() throws {
        var office = try Office()
        let state = office.bench.machine.state
        office.bench = try Bench()
        office.bench.attach(state, .running(lease: .seconds(2)))
        office.look(flushed: ["c"], at: 1000)
        for number in 1...20 {
            let steps = office.interval(UInt64(number), flushed: ["c"])
            #expect(!steps.contains { $0.hasPrefix("stop") }, "interval \(number): \(steps)")
        }
    }
}
