import ClusterModel
import InstanceDecision
import Testing

/// One instance's core with a clock and a disk that obeys: a test reads as a transcript.
struct Bench {
    let number = SystemIdentifier(rawValue: 42)
    var machine: InstanceMachine
    var now = MonotonicInstant(nanoseconds: 1_000_000_000)
    /// What it wanted when it came to its launcher.
    var first: [InstanceAction] = []

    init() throws {
        let name = try #require(InstanceName("b"))
        machine = InstanceMachine(configuration: InstanceConfiguration(name: name, timings: Timings()))
    }

    /// An agent that comes to a stopped server in that state.
    static func attached(_ change: (inout InstanceState) -> Void) throws -> Bench {
        var bench = try Bench()
        var state = InstanceState()
        state.incarnation = Incarnation(number: 2)
        state.role = .standby
        change(&state)
        bench.attach(state, .down)
        return bench
    }

    mutating func attach(_ state: InstanceState, _ view: LauncherView) {
        first = tell(.attached(state: state, directory: .present(number), matches: true, server: view))
    }

    @discardableResult
    mutating func tell(_ event: InstanceEvent, after delay: Duration = .milliseconds(10)) -> [InstanceAction] {
        now = now + delay
        return machine.handle(event, at: now)
    }

    @discardableResult
    mutating func order(_ kind: Order.Kind, term: UInt64, version: UInt64) -> [InstanceAction] {
        let stamp = Stamp(term: Term(rawValue: term), version: RecordVersion(rawValue: version))
        return tell(.order(Order(stamp: stamp, kind: kind)))
    }

    /// The controller grants a lease of that term on a report sent just now.
    @discardableResult
    mutating func grant(term: UInt64, version: UInt64) -> [InstanceAction] {
        let stamp = Stamp(term: Term(rawValue: term), version: RecordVersion(rawValue: version))
        return tell(.answered(ReportAnswer(sequence: 1, stamp: stamp, lease: .seconds(3)), sentAt: now))
    }

    func status(timeline: UInt32 = 1, end: UInt64 = 1000, inRecovery: Bool = true) -> ServerStatus {
        let capacity = CapacitySettings(
            maxConnections: 1,
            maxWorkerProcesses: 1,
            maxWALSenders: 1,
            maxPreparedTransactions: 1,
            maxLocksPerTransaction: 1
        )
        let position = WALPosition(timeline: Timeline(rawValue: timeline), lsn: LSN(rawValue: end))
        var status = ServerStatus(
            inRecovery: inRecovery,
            position: position,
            systemIdentifier: number,
            capacity: capacity
        )
        status.insertLSN = inRecovery ? .zero : position.lsn
        return status
    }

    func primacy(_ term: UInt64, _ timeline: UInt32, parent: UInt32, fork: UInt64) -> Primacy {
        Primacy(
            term: Term(rawValue: term),
            primary: nil,
            timeline: Timeline(rawValue: timeline),
            parent: Timeline(rawValue: parent),
            forkLSN: LSN(rawValue: fork),
            why: "test"
        )
    }

    func plan(_ history: [Primacy]) throws -> FollowPlan {
        FollowPlan(
            primary: try #require(InstanceName("a")),
            server: Endpoint(host: "a", port: 1),
            systemIdentifier: number,
            history: history,
            peers: []
        )
    }

    var promotion: Promotion {
        Promotion(
            timeline: Timeline(rawValue: 2),
            rules: [.birth(.async)],
            peers: [],
            history: [primacy(1, 1, parent: 0, fork: 0)]
        )
    }
}

extension [InstanceAction] {
    /// Names of the steps, without what is only told.
    var steps: [String] {
        compactMap { action in
            switch action {
            case .persist(let state): "persist \(state.role.rawValue)"
            case .armLease: "arm"
            case .start(_, .firstPrimary, _): "start primary"
            case .start(_, .standby, _): "start standby"
            case .stop(let mode): "stop \(mode.rawValue)"
            case .cutReceiver: "cut"
            case .follow: "follow"
            case .promote: "promote"
            case .applyRules: "rules"
            case .openClients: "open"
            case .checkpoint, .checkpointFirst: "checkpoint"
            case .initialize: "initialize"
            case .clone: "clone"
            case .makeReadyToRewind: "make ready"
            case .rewind: "rewind"
            case .inspect: "inspect"
            case .readLineage: "read lineage"
            case .cancelWork: "cancel"
            case .attach: "attach"
            case .refuse: "refuse"
            case .askVoters: "ask"
            case .answerPeer(let answer, _): answer.lease == nil ? "deny" : "grant"
            case .report, .explain: nil
            }
        }
    }

    var id: ActionID {
        get throws { try #require(compactMap(\.id).last) }
    }
}
