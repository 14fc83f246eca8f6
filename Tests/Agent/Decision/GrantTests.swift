import ClusterModel
import Testing

@testable import InstanceDecision

extension Office {
    /// A primary in `async` that knows where the agents of its voters answer.
    static func asynchronous(_ names: [String] = ["a", "c"]) throws -> Office {
        var office = try Office(.async, required: 0, voters: names)
        try office.tellAgents(office.bench.machine.state.rules, version: 20)
        office.bench.grant(term: 2, version: 20)
        return office
    }

    mutating func tellAgents(_ rules: [Rule], version: UInt64) throws {
        let agents = ["a", "b", "c", "d"].enumerated().compactMap { index, text in
            InstanceName(text).map {
                AgentAddress(name: $0, endpoint: Endpoint(host: text, port: UInt16(7000 + index)))
            }
        }
        bench.order(.govern(Governance(rules: rules, peers: [], agents: agents)), term: 2, version: version)
    }

    /// Waits until the agents are asked; what they are asked, and when.
    mutating func awaitQuestion() throws -> (request: LeaseRequest, agents: [AgentAddress], at: MonotonicInstant) {
        for _ in 0..<40 {
            for case .askVoters(let request, let agents) in bench.tell(.tick, after: .milliseconds(50)) {
                return (request, agents, bench.now)
            }
        }
        throw NobodyAsked()
    }

    @discardableResult
    mutating func grants(_ text: String, _ sequence: UInt64, knows term: UInt64 = 2) throws -> [InstanceAction] {
        let voter = try #require(voters.first { $0.name.text == text })
        return bench.tell(
            .peerAnswered(
                LeaseAnswer(
                    sequence: sequence,
                    voter: voter,
                    highestTerm: Term(rawValue: term),
                    lease: term > 2 ? nil : .seconds(3)
                ),
                from: voter.name
            )
        )
    }

    private struct NobodyAsked: Error {}
}

@Suite("Leases among agents: asking")
struct AskingTests {
    @Test("half of the voters' agents extend the lease, counted from the asking, for an hour (R10)")
    func extends() throws {
        var office = try Office.asynchronous()
        for round in 1...7200 {
            let question = try office.awaitQuestion()
            #expect(question.agents.map(\.name.text) == ["a", "c"], "round \(round)")
            #expect(question.request.primary.name.text == "b" && question.request.term == Term(rawValue: 2))
            #expect(try office.grants("c", question.request.sequence).steps == ["arm"], "round \(round)")
            #expect(office.bench.machine.lease?.end == question.at + .seconds(3))
        }
        #expect(office.bench.machine.report(at: office.bench.now).leaderless?.extendedBy.map(\.text) == ["c"])
    }

    @Test("nobody is asked while a leader grants, nor once it withholds (R10)")
    func notWithALeader() throws {
        var office = try Office.asynchronous()
        for _ in 1...50 {
            #expect(!office.bench.tell(.tick, after: .milliseconds(450)).steps.contains("ask"))
            office.bench.grant(term: 2, version: 20)
        }
        _ = office.answer(term: 2, lease: nil)
        for _ in 1...40 { #expect(!office.bench.tell(.tick, after: .milliseconds(100)).steps.contains("ask")) }
    }

    @Test("grants of different rounds are not added up, and one of another incarnation is none (R10)")
    func oneRound() throws {
        var office = try Office.asynchronous(["a", "c", "d"])
        let first = try office.awaitQuestion().request.sequence
        #expect(try office.grants("a", first).steps.isEmpty)
        let second = try office.awaitQuestion().request.sequence
        #expect(try office.grants("c", second).steps.isEmpty)
        #expect(try office.grants("c", second).steps.isEmpty)
        let stranger = MemberID(name: office.voters[0].name, incarnation: Incarnation(number: 8))
        var answer = LeaseAnswer(sequence: second, voter: stranger, highestTerm: .none, lease: .seconds(3))
        #expect(office.bench.tell(.peerAnswered(answer, from: stranger.name)).steps.isEmpty)
        // Who answers in another's name is not believed.
        answer.voter = office.voters[0]
        #expect(office.bench.tell(.peerAnswered(answer, from: office.voters[2].name)).steps.isEmpty)
        #expect(try office.grants("c", first).steps == ["arm"])
    }

    @Test("a higher term that any of them knows of ends it: the server is stopped (R10)")
    func higherTerm() throws {
        var office = try Office.asynchronous()
        let sequence = try office.awaitQuestion().request.sequence
        _ = try office.grants("a", sequence, knows: 3)
        #expect(!(try office.grants("c", sequence).steps.contains("arm")))
        #expect(office.bench.tell(.tick, after: .milliseconds(1500)).steps.contains("stop immediate"))
    }

    @Test("without grants the server is stopped before its lease ends, and the explanation counts them (R3, R10)")
    func nobodyGrants() throws {
        var office = try Office.asynchronous()
        let granted = office.bench.now
        var last: [InstanceAction] = []
        while office.bench.now < granted + .seconds(3), !last.steps.contains("stop immediate") {
            last = office.bench.tell(.tick, after: .milliseconds(10))
        }
        #expect(office.bench.now <= granted + .milliseconds(2520))
        let told = last.contains { action in
            guard case .explain(let explanation) = action else { return false }
            return explanation.rule == "R3" && explanation.evidence.contains { $0.contains("1 of 2 voters") }
        }
        #expect(told)
    }

    @Test("during a change each recorded rule needs its own grants, and its own flushes (R10, R12)")
    func allRules() throws {
        var office = try Office.asynchronous()
        let rules = [
            Rule(voters: [office.voters[0]], required: 0, mode: .async),
            Rule(voters: office.voters, required: 1, mode: .required),
        ]
        try office.tellAgents(rules, version: 21)
        let sequence = try office.awaitQuestion().request.sequence
        let begunAt = office.bench.now - .milliseconds(200)
        #expect(try office.grants("a", sequence).steps.isEmpty)
        office.bench.tell(.beaten(LSN(rawValue: 1100), begunAt: begunAt))
        #expect(office.look(flushed: ["c"], at: 1200).steps.contains("arm"))
        // The earlier of the two proofs counts.
        #expect(office.bench.machine.lease?.end == begunAt + .seconds(3))
    }

    @Test("an agent that comes to a primary without a leader asks with what the state file tells (R10)")
    func afterRestart() throws {
        var office = try Office.asynchronous()
        let state = office.bench.machine.state
        office.bench = try Bench()
        office.bench.attach(state, .running(lease: .milliseconds(1600)))
        office.look(flushed: [], at: 1000)
        let question = try office.awaitQuestion()
        #expect(question.agents.count == 2)
        #expect(try office.grants("a", question.request.sequence).steps == ["arm"])
    }
}

@Suite("Leases among agents: granting")
struct GrantingTests {
    private func voter() throws -> Bench {
        var bench = try Bench.attached { state in
            state.promised = Stamp(term: Term(rawValue: 2), version: RecordVersion(rawValue: 9))
        }
        _ = bench.tell(.completed(try bench.first.id, .started))
        bench.tell(.observed(bench.status()))
        return bench
    }

    private func asks(_ bench: inout Bench, term: UInt64 = 2, from text: String = "a") throws -> [InstanceAction] {
        let name = try #require(InstanceName(text))
        let primary = MemberID(name: try #require(InstanceName("a")), incarnation: Incarnation(number: 1))
        return bench.tell(
            .asked(LeaseRequest(sequence: 5, term: Term(rawValue: term), primary: primary), from: name, question: 77)
        )
    }

    private func boundSpan(_ bench: inout Bench, version: UInt64 = 10) throws -> Duration {
        let since = bench.now
        for _ in 0..<500 {
            let steps = bench.order(.prepare(recover: false), term: 3, version: version).steps
            if !steps.contains("refuse") { return bench.now - since }
        }
        Issue.record("it never prepares")
        return .zero
    }

    @Test("whoever grants prepares only when that is over, and grants nothing once asked to prepare (R10)")
    func isBound() throws {
        var bench = try voter()
        // On disk before it is told.
        #expect(try asks(&bench).steps == ["persist standby", "grant"])
        #expect(try asks(&bench).steps == ["grant"])
        let refusal = bench.order(.prepare(recover: false), term: 3, version: 10)
        #expect(refusal.steps == ["refuse"])
        #expect(bench.machine.state.promised.term == Term(rawValue: 2))
        #expect(try asks(&bench).steps == ["deny"])
        #expect(bench.machine.report(at: bench.now).boundFor ?? .zero > .seconds(3))
        let span = try boundSpan(&bench)
        #expect(span > .milliseconds(3200) && span < .milliseconds(3260))
        #expect(bench.machine.state.promised.term == Term(rawValue: 3))
        #expect(bench.machine.report(at: bench.now).boundFor == nil)
        #expect(try asks(&bench).steps == ["deny"])
    }

    @Test("its next agent does not know when it granted, and is bound from its start on (R10)")
    func restart() throws {
        var bench = try voter()
        _ = try asks(&bench)
        let state = bench.machine.state
        bench = try Bench()
        bench.attach(state, .running(lease: nil))
        bench.tell(.observed(bench.status()))
        #expect(try boundSpan(&bench) > .milliseconds(3200))
        // Where nothing was granted in this term, nobody waits.
        let later = bench.machine.state
        bench = try Bench()
        bench.attach(later, .running(lease: nil))
        #expect(bench.order(.prepare(recover: false), term: 4, version: 11).steps.contains("refuse") == false)
    }

    @Test("to follow in a later term does not end what was granted: its primary may not know of that term (R10, R16)")
    func followKeepsIt() throws {
        var bench = try voter()
        _ = try asks(&bench)
        let plan = try bench.plan([bench.primacy(1, 1, parent: 0, fork: 0)])
        bench.order(.follow(plan), term: 3, version: 10)
        #expect(bench.machine.state.promised.term == Term(rawValue: 3))
        #expect(bench.order(.prepare(recover: false), term: 4, version: 11).steps.contains("refuse"))
    }

    @Test("who promised or heard of a higher term does not grant, and says which it was (R10)")
    func higherTerm() throws {
        var bench = try voter()
        bench.order(.prepare(recover: false), term: 3, version: 10)
        let actions = try asks(&bench)
        guard case .answerPeer(let answer, let question) = actions.last else {
            Issue.record("no answer: \(actions.steps)")
            return
        }
        #expect(answer.lease == nil && answer.highestTerm == Term(rawValue: 3) && question == 77)
        var other = try voter()
        let stamp = Stamp(term: Term(rawValue: 3), version: RecordVersion(rawValue: 10))
        other.tell(.answered(ReportAnswer(sequence: 1, stamp: stamp, lease: nil), sentAt: other.now))
        #expect(try asks(&other).steps == ["deny"])
    }

    @Test("nothing is granted to who asks in another's name, nor by a member that does not count (R10)")
    func strangers() throws {
        var bench = try voter()
        #expect(try asks(&bench, from: "c").steps == ["deny"])
        var empty = try Bench.attached {
            $0.role = .none
            $0.incarnation = nil
        }
        #expect(try asks(&empty).steps == ["deny"])
        for role in [DurableRole.rewinding, .cloning] {
            var bench = try Bench.attached { $0.role = role }
            #expect(try asks(&bench).steps == ["deny"], "\(role.rawValue)")
        }
        var office = try Office.asynchronous()
        #expect(try asks(&office.bench).steps == ["deny"])
    }
}
