import ClusterModel
import InstanceDecision
import Testing

/// Seen on real servers: the host of a rewound member died before it was consistent again.
///
/// The second rewind began
/// with a recovery in single-user mode, which wrote a checkpoint where the source has other records; `pg_rewind`
/// saw no divergence, and the standby never received again.
@Suite("Rejoin: a rewind that was interrupted")
struct InterruptedRewindTests {
    private let now = MonotonicInstant(nanoseconds: 1_000_000_000)

    /// A machine that was told to follow and has asked for the control file.
    private func inspecting() throws -> (InstanceMachine, ActionID) {
        let name = try #require(InstanceName("one"))
        var state = InstanceState()
        state.incarnation = Incarnation(number: 7)
        state.role = .rewinding
        state.promised = Stamp(term: Term(rawValue: 2), version: RecordVersion(rawValue: 9))
        let number = SystemIdentifier(rawValue: 42)
        var machine = InstanceMachine(configuration: InstanceConfiguration(name: name, timings: Timings()))
        _ = machine.handle(
            .attached(state: state, directory: .present(number), matches: true, server: .down),
            at: now
        )
        let history = [
            Primacy(
                term: Term(rawValue: 1),
                primary: nil,
                timeline: .first,
                parent: .none,
                forkLSN: .zero,
                why: "birth"
            ),
            Primacy(
                term: Term(rawValue: 2),
                primary: nil,
                timeline: Timeline(rawValue: 2),
                parent: .first,
                forkLSN: LSN(rawValue: 4096),
                why: "crash"
            ),
        ]
        let plan = FollowPlan(
            primary: try #require(InstanceName("two")),
            server: Endpoint(host: "127.0.0.1", port: 5432),
            systemIdentifier: number,
            history: history,
            peers: []
        )
        let actions = machine.handle(.order(Order(stamp: state.promised, kind: .follow(plan))), at: now)
        let ids = actions.compactMap { action -> ActionID? in if case .inspect(let id) = action { id } else { nil } }
        return (machine, try #require(ids.first))
    }

    private func facts(cleanShutdown: Bool, wasPrimary: Bool) -> Outcome {
        .inspected(
            StoppedFacts(
                systemIdentifier: SystemIdentifier(rawValue: 42),
                timeline: .first,
                cleanShutdown: cleanShutdown,
                wasPrimary: wasPrimary,
                end: .zero
            )
        )
    }

    @Test("one whose server was killed before it was consistent is copied anew, never recovered alone")
    func copiedAnew() throws {
        var (machine, id) = try inspecting()
        let actions = machine.handle(.completed(id, facts(cleanShutdown: false, wasPrimary: false)), at: now)
        #expect(actions.contains { if case .clone = $0 { true } else { false } })
        #expect(!actions.contains { if case .rewind = $0 { true } else { false } })
        #expect(!actions.contains { if case .start = $0 { true } else { false } })
        #expect(machine.state.role == .cloning)
    }

    @Test(
        "one that pg_rewind had not finished is rewound again",
        arguments: [(true, true), (false, true), (true, false)]
    )
    func rewoundAgain(cleanShutdown: Bool, wasPrimary: Bool) throws {
        var (machine, id) = try inspecting()
        let actions = machine.handle(
            .completed(id, facts(cleanShutdown: cleanShutdown, wasPrimary: wasPrimary)),
            at: now
        )
        #expect(actions.steps == ["make ready"])
        let rewind = try machine.handle(.completed(actions.id, .readyToRewind), at: now)
        #expect(rewind.steps == ["rewind"])
    }
}

/// Seen on real servers: a standby that received nothing was told to discard its data; while its server stopped, a
/// plain order to follow came, and it was started again as it was, over and over.
@Suite("Rejoin: a standby pointed elsewhere by hand")
struct StrayTests {
    @Test("is cut, judged and follows the recorded primary again (D52)")
    func comesBack() throws {
        var bench = try Bench.attached { _ in }
        bench.attach(bench.machine.state, .running(lease: nil))
        var seen = bench.status()
        seen.receiver = ReceiverStatus(
            status: "streaming",
            timeline: .first,
            sender: Endpoint(host: "a", port: 1),
            sinceLastMessage: .zero
        )
        bench.tell(.observed(seen))
        let follow = try bench.order(
            .follow(bench.plan([bench.primacy(1, 1, parent: 0, fork: 0)])),
            term: 1,
            version: 1
        )
        #expect(follow.steps.contains("follow"))
        try bench.tell(.completed(follow.id, .following))
        #expect(bench.tell(.observed(seen)).steps.isEmpty)
        seen.receiver?.sender = Endpoint(host: "c", port: 1)
        let cut = bench.tell(.observed(seen))
        #expect(cut.steps == ["cut"])
        let again = try bench.tell(.completed(cut.id, .cut(seen.position)))
        #expect(again.steps.contains("follow"))
    }
}

@Suite("Rejoin: an order to discard")
struct DiscardTests {
    private let now = MonotonicInstant(nanoseconds: 1_000_000_000)
    private let stamp = Stamp(term: Term(rawValue: 2), version: RecordVersion(rawValue: 9))
    private let number = SystemIdentifier(rawValue: 42)

    private func plan(discard: Incarnation?) throws -> Order {
        let history = [
            Primacy(
                term: Term(rawValue: 1),
                primary: nil,
                timeline: .first,
                parent: .none,
                forkLSN: .zero,
                why: "birth"
            )
        ]
        let plan = FollowPlan(
            primary: try #require(InstanceName("two")),
            server: Endpoint(host: "127.0.0.1", port: 5432),
            systemIdentifier: number,
            history: history,
            peers: [],
            discard: discard
        )
        return Order(stamp: stamp, kind: .follow(plan))
    }

    @Test("it holds, whatever comes after, and the data keeps its vote until the copy is complete")
    func holds() throws {
        let name = try #require(InstanceName("one"))
        var state = InstanceState()
        state.incarnation = Incarnation(number: 7)
        state.role = .standby
        state.promised = stamp
        var machine = InstanceMachine(configuration: InstanceConfiguration(name: name, timings: Timings()))
        _ = machine.handle(
            .attached(state: state, directory: .present(number), matches: true, server: .running(lease: nil)),
            at: now
        )
        let actions = machine.handle(.order(try plan(discard: Incarnation(number: 7))), at: now)
        #expect(actions.contains(.stop(.fast)))
        _ = machine.handle(.order(try plan(discard: nil)), at: now)
        let afterwards = machine.handle(.serverDown, at: now)
        let ids = afterwards.compactMap { action -> ActionID? in
            if case .clone(let id, _, _) = action { id } else { nil }
        }
        let id = try #require(ids.first)
        #expect(machine.state.role == .standby && machine.state.incarnation == Incarnation(number: 7))
        _ = machine.handle(.completed(id, .cloned(Incarnation(number: 8), number)), at: now)
        #expect(machine.state.role == .cloning && machine.state.incarnation == Incarnation(number: 8))
    }

    /// Seed 2005 in `required`: a standby promoted by hand was stopped to be copied anew, and then started again as
    /// it was, for ever.
    @Test("a standby on a timeline that the record never gave is stopped once, and copied")
    func unknownTimeline() throws {
        let name = try #require(InstanceName("one"))
        var state = InstanceState()
        state.incarnation = Incarnation(number: 7)
        state.role = .standby
        state.promised = stamp
        var machine = InstanceMachine(configuration: InstanceConfiguration(name: name, timings: Timings()))
        _ = machine.handle(
            .attached(state: state, directory: .present(number), matches: true, server: .running(lease: nil)),
            at: now
        )
        var status = ServerStatus(
            inRecovery: true,
            position: WALPosition(timeline: Timeline(rawValue: 4), lsn: LSN(rawValue: 9)),
            systemIdentifier: number,
            capacity: CapacitySettings(
                maxConnections: 1,
                maxWorkerProcesses: 1,
                maxWALSenders: 1,
                maxPreparedTransactions: 1,
                maxLocksPerTransaction: 1
            )
        )
        status.receiver = ReceiverStatus(
            status: "streaming",
            timeline: Timeline(rawValue: 4),
            sender: Endpoint(host: "127.0.0.1", port: 5432),
            sinceLastMessage: .zero
        )
        _ = machine.handle(.observed(status), at: now)
        let actions = machine.handle(.order(try plan(discard: nil)), at: now)
        #expect(actions.contains(.stop(.fast)))
        let afterwards = machine.handle(.serverDown, at: now)
        #expect(afterwards.contains { if case .clone = $0 { true } else { false } })
        #expect(!afterwards.contains { if case .start = $0 { true } else { false } })
    }
}

/// Seed 4763 in `required`: the word that a copy was complete could not be written; the agent came again, and took
/// the copy for a standby without an incarnation, which never votes.
@Suite("Rejoin: a copy whose completion was not kept")
struct ForgottenCopyTests {
    private let now = MonotonicInstant(nanoseconds: 1_000_000_000)

    @Test("it is made anew, also by the machine that saw it complete")
    func madeAnew() throws {
        let number = SystemIdentifier(rawValue: 42)
        let stamp = Stamp(term: Term(rawValue: 2), version: RecordVersion(rawValue: 9))
        var state = InstanceState()
        state.role = .cloning
        state.promised = stamp
        let name = try #require(InstanceName("one"))
        var machine = InstanceMachine(configuration: InstanceConfiguration(name: name, timings: Timings()))
        _ = machine.handle(.attached(state: state, directory: .empty, matches: false, server: .down), at: now)
        let plan = FollowPlan(
            primary: try #require(InstanceName("two")),
            server: Endpoint(host: "127.0.0.1", port: 5432),
            systemIdentifier: number,
            history: [],
            peers: []
        )
        let order = Order(stamp: stamp, kind: .follow(plan))
        let actions = machine.handle(.order(order), at: now)
        let ids = actions.compactMap { action -> ActionID? in if case .clone(let id, _, _) = action { id } else { nil }
        }
        let id = try #require(ids.first)
        _ = machine.handle(.completed(id, .cloned(Incarnation(number: 8), number)), at: now)
        _ = machine.handle(.launcherLost, at: now)
        _ = machine.handle(
            .attached(state: state, directory: .present(number), matches: false, server: .down),
            at: now
        )
        let afterwards = machine.handle(.order(order), at: now)
        #expect(afterwards.contains { if case .clone = $0 { true } else { false } })
        #expect(!afterwards.contains { if case .start = $0 { true } else { false } })
    }
}

@Suite("Rejoin: a former primary that somebody promoted again")
struct PromotedAgainTests {
    @Test("what has been a standby since, and ran as primary again without an order, is made anew (R14)")
    func promotedUnseen() throws {
        // Simulator, required seed 80129: promoted by hand while its agent could not write, and taken for what it was.
        for hasRecovered in [true, false] {
            var bench = try Bench.attached { state in
                state.role = .standby
                (state.primaryOfTerm, state.releasedTerm) = (Term(rawValue: 1), Term(rawValue: 1))
                state.hasRecovered = hasRecovered
            }
            let facts = StoppedFacts(
                systemIdentifier: bench.number,
                timeline: .first,
                cleanShutdown: false,
                wasPrimary: true,
                end: .zero
            )
            let steps = bench.tell(.completed(try bench.first.id, .inspected(facts)))
            #expect(bench.machine.state.tainted == hasRecovered)
            #expect(steps.steps.contains("start standby") != hasRecovered, "\(steps.steps)")
        }
    }

    @Test("a former primary that comes up in recovery keeps in mind that it did (R14)")
    func recovered() throws {
        var bench = try Bench.attached { state in
            state.role = .standby
            (state.primaryOfTerm, state.releasedTerm) = (Term(rawValue: 1), Term(rawValue: 1))
        }
        bench.attach(bench.machine.state, .running(lease: nil))
        #expect(!bench.machine.state.hasRecovered)
        bench.tell(.observed(bench.status()))
        #expect(bench.machine.state.hasRecovered)
    }
}
