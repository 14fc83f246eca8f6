import ClusterDecision
import ClusterModel
import InstanceDecision

/// Everything that an agent's core can ask for.
enum AgentRow: String, CaseIterable {
    case persist, armLease, startFirstPrimary, startCut, startFollowing, stopFast, stopImmediate, stopKill
    case cutAtOnce, cutAfterReplay, follow, promote, applyRules, applyRulesFromZero, openClients, checkpoint
    case checkpointFirst
    case initialize, clone, makeReadyToRewind, rewind, inspect, readLineage, cancelWork, attach, report, refuse, explain
    case askVoters, grantPeer, denyPeer

    /// Those with an answer, which may be that it failed.
    static let answered: [AgentRow] = [
        .startFirstPrimary, .startCut, .startFollowing, .cutAtOnce, .cutAfterReplay, .follow, .promote, .applyRules,
        .applyRulesFromZero, .openClients, .initialize, .clone, .makeReadyToRewind, .rewind, .inspect, .readLineage,
        .checkpointFirst,
    ]
}

extension InstanceAction {
    var row: AgentRow {
        switch self {
        case .persist: .persist
        case .armLease: .armLease
        case .start(_, .firstPrimary, _): .startFirstPrimary
        case .start(_, .standby(.nobody), _): .startCut
        case .start(_, .standby(.upstream), _): .startFollowing
        case .stop(.fast): .stopFast
        case .stop(.immediate): .stopImmediate
        case .stop(.kill): .stopKill
        case .cutReceiver(_, let waits): waits ? .cutAfterReplay : .cutAtOnce
        case .follow: .follow
        case .promote: .promote
        case .applyRules(_, let work): work.leavesZero ? .applyRulesFromZero : .applyRules
        case .openClients: .openClients
        case .checkpoint: .checkpoint
        case .checkpointFirst: .checkpointFirst
        case .initialize: .initialize
        case .clone: .clone
        case .makeReadyToRewind: .makeReadyToRewind
        case .rewind: .rewind
        case .inspect: .inspect
        case .readLineage: .readLineage
        case .cancelWork: .cancelWork
        case .attach: .attach
        case .report: .report
        case .refuse: .refuse
        case .askVoters: .askVoters
        case .answerPeer(let answer, _): answer.lease == nil ? .denyPeer : .grantPeer
        case .explain: .explain
        }
    }
}

/// Everything that the controller's core can ask for.
enum ControllerRow: String, CaseIterable {
    case store, load, sendInitialize, sendPrepare, sendPrepareToRecover, sendPromote, sendFollow, sendDiscard
    case sendHandOver, sendStop, sendCatchUp, reply
    case keepCopy
    case sendGovern, answerWithLease, answerWithoutLease, explain, concluded
}

extension ClusterAction {
    var row: ControllerRow {
        switch self {
        case .store: .store
        case .load: .load
        case .send(let order, _):
            switch order.kind {
            case .initialize: .sendInitialize
            case .prepare(let recover): recover ? .sendPrepareToRecover : .sendPrepare
            case .promote: .sendPromote
            case .follow(let plan): plan.discard == nil ? .sendFollow : .sendDiscard
            case .govern: .sendGovern
            case .catchUp: .sendCatchUp
            case .handOver(let plan): plan.stops ? .sendStop : .sendHandOver
            }
        case .answer(let answer, _): answer.lease == nil ? .answerWithoutLease : .answerWithLease
        case .keepCopy: .keepCopy
        case .explain: .explain
        case .concluded: .concluded
        case .reply: .reply
        }
    }
}

/// How the record goes from one phase to the next, and what else its changes are about.
enum RecordRow: String, CaseIterable {
    case formed, firstPrimaryChosen, firstPrimaryMade, termBegun, candidateRecorded, promotionConfirmed
    case promotionGivenUp, membersChanged, changeBegun, changeEnded
    case givenBack, requestBegun, requestChanged, requestEnded, paused, resumed

    init?(from before: ClusterRecord?, to record: ClusterRecord) {
        guard let before else {
            self = .formed
            return
        }
        switch (before.phase, record.phase) {
        case (.forming, .initializing): self = .firstPrimaryChosen
        case (.initializing, .steady): self = .firstPrimaryMade
        case (.steady, .preparing): self = .termBegun
        case (.preparing, .promoting): self = .candidateRecorded
        case (.promoting, .steady): self = .promotionConfirmed
        case (.promoting, .preparing): self = .promotionGivenUp
        case (.preparing, .steady): self = .givenBack
        default:
            if let row = RecordRow(request: before, record) {
                self = row
            } else if before.members != record.members {
                self = .membersChanged
            } else if before.rules.count < record.rules.count {
                self = .changeBegun
            } else if before.rules.count > record.rules.count {
                self = .changeEnded
            } else {
                return nil
            }
        }
    }
}

extension RecordRow {
    /// Changes that people asked for.
    private init?(request before: ClusterRecord, _ record: ClusterRecord) {
        if before.pauseReason != record.pauseReason {
            self = record.pauseReason == nil ? .resumed : .paused
            return
        }
        guard before.request != record.request else { return nil }
        if before.request == nil {
            self = .requestBegun
        } else {
            self = record.request == nil ? .requestEnded : .requestChanged
        }
    }
}

extension Coverage {
    /// The number of seeds from which on a row never taken, or a fault never injected, fails a run.
    ///
    /// The rarest row is taken about once in a thousand seeds.
    public static let completeFrom: UInt64 = 10_000

    /// Every row there is, derived from the cores' own enumerations and tables.
    public static let expectedRows: [String] = {
        // To look anew takes a view of the launcher that is out of date, which one seed in many thousands has.
        var rows = AgentRow.allCases.filter { $0 != .attach }.map { "agent: \($0.rawValue)" }
        rows += AgentRow.answered.map { "agent: \($0.rawValue) failed" }
        rows += ControllerRow.allCases.map { "controller: \($0.rawValue)" }
        rows += RecordRow.allCases.map { "record: \($0.rawValue)" }
        rows += admissionTable.map { "order: \($0.order) to \($0.situation.rawValue) \(verdict($0.refusal != nil))" }
        for row in admissionTable where row.situation == .standby {
            rows += ["order: \(row.order), stale", "order: \(row.order), no launcher"]
        }
        rows += Explanation.Kind.allCases.map { "explains: \($0.rawValue)" }
        rows += hangs.map { "hang: \($0.way)" }
        rows += ["second word asked", "loss accepted", "loss happened"].map { "operator: \($0)" }
        return rows
    }()

    /// How a primary hangs, and what is said of it then.
    static let hangs: [(way: String, words: String)] = [
        ("disk", "heartbeats are not flushed"), ("postmaster", "takes no new connections"),
    ]

    /// Every fault there is.
    public static let expectedFaults: [String] =
        Fault.allCases.map(\.rawValue) + ["storeAnswerLost", "recordRestored", "snapshotRestored"]

    /// Rows that were never taken.
    public var rowsMissing: [String] { Self.expectedRows.filter { rows[$0] == nil } }

    /// Faults that were never injected.
    public var faultsMissing: [String] { Self.expectedFaults.filter { faults[$0] == nil } }

    static func verdict(_ isRefused: Bool) -> String { isRefused ? "refused" : "taken" }
}

extension World {
    func cover(_ row: String) { coverage.rows[row, default: 0] += 1 }

    func cover(_ action: InstanceAction, _ agent: AgentProcess) {
        let row = action.row
        cover("agent: \(row.rawValue)")
        if let id = action.id { agent.rows[id] = row }
    }

    func cover(_ id: ActionID, _ outcome: Outcome, _ agent: AgentProcess) {
        guard let row = agent.rows.removeValue(forKey: id), case .failed = outcome else { return }
        cover("agent: \(row.rawValue) failed")
    }

    /// Which row of the admission table an order meets; to be asked before the core takes it.
    func admissionRow(_ order: Order, _ machine: InstanceMachine) -> String {
        if machine.isWithoutLauncher { return "order: \(order.name), no launcher" }
        guard order.stamp.isCurrent(comparedTo: machine.state.promised) else { return "order: \(order.name), stale" }
        let situation = machine.situation(for: order.stamp.term)
        let row = admissionTable.first { $0.order == order.name && $0.situation == situation }
        return "order: \(order.name) to \(situation.rawValue) \(Coverage.verdict(row?.refusal != nil))"
    }
}
