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

    @Test("one that pg_rewind had finished is started again, never recovered alone")
    func startedAgain() throws {
        var (machine, id) = try inspecting()
        let actions = machine.handle(.completed(id, facts(cleanShutdown: false, wasPrimary: false)), at: now)
        #expect(actions.contains { if case .start(_, .standby(.upstream), _) = $0 { true } else { false } })
        #expect(!actions.contains { if case .rewind = $0 { true } else { false } })
        #expect(machine.state.role == .rewinding)
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
        #expect(actions.contains { if case .rewind = $0 { true } else { false } })
        #expect(!actions.contains { if case .start = $0 { true } else { false } })
    }

    @Test("an order to discard it holds, whatever comes after")
    func discardHolds() throws {
        var (machine, id) = try inspecting()
        _ = machine.handle(.completed(id, facts(cleanShutdown: false, wasPrimary: false)), at: now)
        let plan = FollowPlan(
            primary: try #require(InstanceName("two")),
            server: Endpoint(host: "127.0.0.1", port: 5432),
            systemIdentifier: SystemIdentifier(rawValue: 42),
            history: [],
            peers: [],
            discard: Incarnation(number: 7)
        )
        let stamp = Stamp(term: Term(rawValue: 2), version: RecordVersion(rawValue: 9))
        let actions = machine.handle(.order(Order(stamp: stamp, kind: .follow(plan))), at: now)
        #expect(actions.contains(.stop(.fast)))
        #expect(machine.state.role == .cloning && machine.state.incarnation == nil)
        var later = plan
        later.discard = nil
        _ = machine.handle(.order(Order(stamp: stamp, kind: .follow(later))), at: now)
        let afterwards = machine.handle(.serverDown, at: now)
        #expect(afterwards.contains { if case .clone = $0 { true } else { false } })
    }
}
