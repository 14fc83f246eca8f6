import ClusterModel
import Testing

@testable import InstanceDecision

@Suite("One instance's decisions")
struct InstanceMachineTests {
    private func running(_ change: (inout InstanceState) -> Void = { _ in }) throws -> Bench {
        var bench = try Bench.attached(change)
        let standby = StoppedFacts(
            systemIdentifier: bench.number,
            timeline: .first,
            cleanShutdown: true,
            wasPrimary: false,
            end: LSN(rawValue: 1000)
        )
        let start = try bench.tell(.completed(try bench.first.id, .inspected(standby))).id
        bench.tell(.completed(start, .started))
        var status = bench.status()
        // It received before, so that its position needs no replay first.
        status.receiver = ReceiverStatus(
            status: "streaming",
            timeline: .first,
            sender: Endpoint(host: "a", port: 1),
            sinceLastMessage: .zero
        )
        bench.tell(.observed(status))
        return bench
    }

    private func prepared(term: UInt64) throws -> Bench {
        var bench = try running()
        let cut = try bench.order(.prepare(recover: false), term: term, version: term * 10).id
        bench.tell(.completed(cut, .cut(bench.status().position)))
        return bench
    }

    @Test("a promotion follows promise, candidacy and lease, in that order (R6, R2, R13)")
    func promotionTranscript() throws {
        var bench = try running()
        let prepare = bench.order(.prepare(recover: false), term: 2, version: 5)
        // A cut only takes away: it begins while the promise is written, and is answered after.
        #expect(prepare.steps == ["cut", "persist standby"])
        let cut = try prepare.id
        #expect(bench.tell(.completed(cut, .cut(bench.status().position))).steps.isEmpty)
        #expect(bench.order(.promote(bench.promotion), term: 2, version: 6).steps == ["persist standby"])
        #expect(bench.grant(term: 2, version: 6).steps == ["persist primary", "arm", "promote"])
    }

    @Test("a server that took another timeline is stopped, and the controller learns which (R13)")
    func strayTimelineIsTold() throws {
        // Simulator, required seed 83806: the next candidate was given the timeline that this one had taken.
        var bench = try prepared(term: 2)
        bench.order(.promote(bench.promotion), term: 2, version: 21)
        let promoting = bench.grant(term: 2, version: 21)
        let stray = Timeline(rawValue: bench.promotion.timeline.rawValue + 1)
        let fork = Lineage.Fork(parent: .first, lsn: LSN(rawValue: 1000))
        let outcome = Outcome.promoted(timeline: stray, switchLSN: LSN(rawValue: 1100), fork: fork)
        #expect(bench.tell(.completed(try promoting.id, outcome)).steps.contains("stop immediate"))
        bench.tell(.serverDown)
        #expect(bench.machine.report(at: bench.now).stoppedTimeline == stray)
    }

    @Test("an order below what was accepted is refused and changes nothing (R1)")
    func lateOrderIsRefused() throws {
        var bench = try prepared(term: 3)
        let before = bench.machine.state
        let history = [bench.primacy(1, 1, parent: 0, fork: 0)]
        #expect(bench.order(.follow(try bench.plan(history)), term: 2, version: 99).steps == ["refuse"])
        #expect(bench.order(.follow(try bench.plan(history)), term: 3, version: 29).steps == ["refuse"])
        #expect(bench.machine.state == before)
    }

    @Test("no promotion on a lease of an earlier term (R2)")
    func oldLeasePermitsNothing() throws {
        // Simulator, seed 1510 and async 198: an answer that came after the release left a lease of the old term.
        var bench = try prepared(term: 2)
        bench.order(.promote(bench.promotion), term: 2, version: 21)
        bench.grant(term: 2, version: 21)
        bench.tell(.serverDown)
        #expect(bench.machine.state.releasedTerm == Term(rawValue: 2))
        bench.grant(term: 2, version: 21)
        #expect(bench.machine.lease == nil)
        let start = try bench.order(.prepare(recover: true), term: 3, version: 30).id
        bench.tell(.completed(start, .started))
        bench.tell(.observed(bench.status()))
        let work = try #require(bench.machine.work)
        bench.tell(.completed(work.id, .cut(bench.status().position)))
        #expect(!bench.order(.promote(bench.promotion), term: 3, version: 31).steps.contains("promote"))
        #expect(bench.grant(term: 3, version: 31).steps.contains("promote"))
    }

    @Test("a late answer is a short lease, a very late one none (R2)")
    func lateAnswer() throws {
        var bench = try prepared(term: 2)
        bench.order(.promote(bench.promotion), term: 2, version: 21)
        let stamp = Stamp(term: Term(rawValue: 2), version: RecordVersion(rawValue: 21))
        let answer = ReportAnswer(sequence: 1, stamp: stamp, lease: .seconds(60))
        let sentAt = bench.now
        let late = bench.tell(.answered(answer, sentAt: sentAt), after: .milliseconds(2600))
        #expect(late.steps.isEmpty && bench.machine.lease == nil)
        let second = bench.now
        bench.tell(.answered(answer, sentAt: second), after: .milliseconds(1000))
        // Never more than was configured here, counted from the sending.
        #expect(bench.machine.lease?.end == second + .seconds(3))
    }

    @Test("a primary without renewal is stopped before its lease ends, then killed (R3)")
    func fencing() throws {
        var bench = try prepared(term: 2)
        var promotion = bench.promotion
        let voter = MemberID(name: try #require(InstanceName("a")), incarnation: Incarnation(number: 1))
        promotion.rules = [Rule(voters: [voter], required: 0, mode: .async)]
        bench.order(.promote(promotion), term: 2, version: 21)
        bench.grant(term: 2, version: 21)
        #expect(bench.tell(.tick, after: .milliseconds(2400)).steps.isEmpty)
        #expect(bench.tell(.tick, after: .milliseconds(150)).steps.contains("stop immediate"))
        #expect(bench.tell(.tick, after: .milliseconds(500)).steps.contains("stop kill"))
        #expect(bench.tell(.serverDown).steps.first == "persist primary")
        #expect(bench.machine.state.releasedTerm == Term(rawValue: 2))
    }

    @Test("a new term cancels a follow half done, so that it cannot undo the cut (R6)")
    func newTermCancelsFollow() throws {
        // Simulator, required seed 1743: the rest of an old 'follow' pointed a prepared standby at the old primary.
        var bench = try running()
        let plan = try bench.plan([bench.primacy(1, 1, parent: 0, fork: 0)])
        #expect(bench.order(.follow(plan), term: 1, version: 3).steps.last == "follow")
        #expect(
            bench.order(.prepare(recover: false), term: 2, version: 4).steps == ["cancel", "cut", "persist standby"]
        )
    }

    @Test("a rewind that failed is begun again, whatever the control file said before it (R6)")
    func failedRewindIsBegunAgain() throws {
        // Simulator, async seed 1777: facts read before the rewind let a half-rewound directory start.
        var bench = try Bench.attached { state in
            state.role = .primary
            state.primaryOfTerm = Term(rawValue: 1)
            state.releasedTerm = Term(rawValue: 1)
        }
        let history = [bench.primacy(1, 1, parent: 0, fork: 0), bench.primacy(2, 2, parent: 1, fork: 500)]
        let inspect = try bench.order(.follow(try bench.plan(history)), term: 2, version: 5).id
        let crashed = StoppedFacts(
            systemIdentifier: bench.number,
            timeline: .first,
            cleanShutdown: false,
            wasPrimary: true,
            end: .zero
        )
        let ready = bench.tell(.completed(inspect, .inspected(crashed)))
        let rewind = try bench.tell(.completed(ready.id, .readyToRewind))
        #expect(rewind.steps == ["persist rewinding", "rewind"])
        bench.tell(.completed(try rewind.id, .failed("lost the connection")))
        #expect(bench.tell(.tick, after: .seconds(1)).steps == ["inspect"])
    }

    @Test("an agent that comes to a running primary has it checkpoint, since rewinds wait for that (R14)")
    func newAgentCheckpoints() throws {
        // Simulator, async seed 998: the checkpoint was due in the agent that died.
        var bench = try Bench()
        var state = InstanceState()
        state.incarnation = Incarnation(number: 2)
        state.role = .primary
        state.primaryOfTerm = Term(rawValue: 2)
        state.promised = Stamp(term: Term(rawValue: 2), version: RecordVersion(rawValue: 9))
        let event = InstanceEvent.attached(
            state: state,
            directory: .present(bench.number),
            matches: true,
            server: .running(lease: .seconds(2))
        )
        #expect(bench.tell(event).steps.contains("checkpoint"))
    }

    @Test("the first primary admits nobody before the record names it (R24, I8)")
    func firstPrimaryWaitsForTheRecord() throws {
        // Simulator, async seed 348.
        var bench = try Bench()
        bench.tell(.attached(state: nil, directory: .empty, matches: false, server: .down))
        let birth = Initialization(rules: [.birth(.async)], members: [])
        let initialize = try bench.order(.initialize(birth), term: 1, version: 2).id
        bench.tell(.completed(initialize, .initialized(Incarnation(number: 1), bench.number)))
        let start = bench.grant(term: 1, version: 2)
        #expect(start.steps == ["arm", "start primary"])
        bench.tell(.completed(try start.id, .started))
        #expect(bench.tell(.observed(bench.status(inRecovery: false))).steps.isEmpty)
        let govern = Order.Kind.govern(Governance(rules: [.birth(.async)], peers: []))
        #expect(bench.order(govern, term: 1, version: 3).steps.contains("open"))
    }

    @Test("a first primary that was recorded before it came up comes up under 'govern', once it has a lease (R24)")
    func firstPrimaryComesUpLate() throws {
        // Simulator, required seed 16316: its agent froze between the end of initdb and the lease.
        var bench = try Bench()
        bench.tell(.attached(state: nil, directory: .empty, matches: false, server: .down))
        let birth = Initialization(rules: [.birth(.required)], members: [])
        let initialize = try bench.order(.initialize(birth), term: 1, version: 2).id
        bench.tell(.completed(initialize, .initialized(Incarnation(number: 1), bench.number)))
        let govern = Order.Kind.govern(Governance(rules: [.birth(.required)], peers: []))
        #expect(bench.order(govern, term: 1, version: 3).steps == ["persist primary"])
        #expect(bench.grant(term: 1, version: 3).steps == ["arm", "start primary"])
    }

    @Test("data given up for a new copy does not come back by a restart of the agent (R14)")
    func dataGivenUpStaysGivenUp() throws {
        // Simulator, required seed 31886: the agent died between giving up and stopping the server.
        var bench = try Bench()
        var state = InstanceState()
        state.role = .cloning
        bench.attach(state, .running(lease: nil))
        bench.tell(.observed(bench.status()))
        #expect(bench.machine.state.role == .cloning)
        let plan = try bench.plan([bench.primacy(1, 1, parent: 0, fork: 0)])
        #expect(bench.order(.follow(plan), term: 1, version: 3).steps.last == "stop fast")
        #expect(bench.tell(.serverDown).steps.last != "start standby")
    }

    @Test("a standby out of recovery without an order is stopped and counts no more (R5)")
    func roguePrimary() throws {
        var bench = try running()
        let actions = bench.tell(.observed(bench.status(timeline: 2, inRecovery: false)))
        #expect(actions.steps == ["persist standby", "stop immediate"])
        #expect(bench.machine.state.tainted)
    }

    @Test("a directory that is not the one of its state file is a new member (R5)")
    func strangeDirectory() throws {
        var bench = try Bench()
        var state = InstanceState()
        state.incarnation = Incarnation(number: 2)
        state.role = .standby
        bench.tell(.attached(state: state, directory: .present(bench.number), matches: false, server: .down))
        #expect(bench.machine.state.tainted && bench.machine.state.incarnation == nil)
    }

    @Test("WAL is judged by the whole recorded chain (R14)")
    func ancestryOfPositions() throws {
        let bench = try Bench()
        let history = [
            bench.primacy(1, 1, parent: 0, fork: 0), bench.primacy(2, 2, parent: 1, fork: 500),
            bench.primacy(3, 4, parent: 2, fork: 900), bench.primacy(4, 5, parent: 2, fork: 800),
        ]
        func judged(_ timeline: UInt32, _ end: UInt64) -> Ancestry {
            ancestry(of: WALPosition(timeline: Timeline(rawValue: timeline), lsn: LSN(rawValue: end)), in: history)
        }
        #expect(judged(5, 9999) == .prefix)
        #expect(judged(2, 800) == .prefix)
        #expect(judged(1, 500) == .prefix)
        for (timeline, end) in [(2, 801), (1, 501), (4, 850)] as [(UInt32, UInt64)] {
            guard case .diverged = judged(timeline, end) else {
                Issue.record("timeline \(timeline) at \(end) must have diverged")
                continue
            }
        }
        guard case .unknown = judged(3, 10) else {
            Issue.record("timeline 3 was never recorded")
            return
        }
    }
}
