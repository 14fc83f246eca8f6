import ClusterDecision
import ClusterModel
import Testing

/// One controller's core with a record store that obeys and instances that say what a test has them say.
struct Desk {
    let number = SystemIdentifier(rawValue: 42)
    var machine: ClusterMachine
    var now = MonotonicInstant(nanoseconds: 1_000_000_000)
    var stored: ClusterRecord?
    /// What was ordered, as `prepare b`, and stored, as `store preparing`.
    var log: [String] = []
    var waits: [String] = []
    var leases: [String] = []
    /// Copies of the record that were given to members, as `9 b`.
    var copies: [String] = []
    /// Answers to commands, as `refused: because`.
    var replies: [String] = []
    /// What was explained: kind, rule and words.
    var told: [Explanation] = []
    var lastCommand: UInt64 = 0

    init(
        _ durability: Durability,
        _ names: [String],
        failoverDisabled: Bool = false,
        synchronousStandbys: Int = 1
    ) throws {
        let instances = try names.map { text in
            InstanceSpec(name: try #require(InstanceName(text)), server: Endpoint(host: text, port: 1))
        }
        let spec = ClusterSpec(
            name: try #require(ClusterName("c")),
            durability: durability,
            synchronousStandbys: synchronousStandbys,
            instances: instances,
            maximumLagOnFailover: 100,
            failoverDisabled: failoverDisabled
        )
        machine = ClusterMachine(spec: spec)
    }

    /// A steady cluster whose first instance is primary of term 1 and whose others vote.
    static func steady(
        _ durability: Durability,
        _ names: [String] = ["a", "b", "c"],
        failoverDisabled: Bool = false,
        synchronousStandbys: Int = 1
    ) throws -> Desk {
        var desk = try Desk(
            durability,
            names,
            failoverDisabled: failoverDisabled,
            synchronousStandbys: synchronousStandbys
        )
        var record = ClusterRecord(forming: desk.machine.spec.name, mode: durability)
        let members = try names.map { try desk.member($0) }
        record.version = RecordVersion(rawValue: 9)
        record.term = Term(rawValue: 1)
        record.phase = .steady
        record.primary = members.first?.name
        record.primaryIncarnation = members.first?.incarnation
        record.systemIdentifier = desk.number
        record.members = members.sorted()
        let required = durability.isSynchronous ? synchronousStandbys : 0
        record.rules = [Rule(voters: Array(members.dropFirst()), required: required, mode: durability)]
        record.highestTimeline = .first
        record.history = [
            Primacy(
                term: record.term,
                primary: members.first,
                timeline: .first,
                parent: .none,
                forkLSN: .zero,
                why: "birth"
            )
        ]
        desk.stored = record
        desk.tell(.recordLoaded(record))
        return desk
    }

    func member(_ text: String) throws -> MemberID {
        let name = try #require(InstanceName(text))
        return MemberID(name: name, incarnation: Incarnation(number: UInt32(text.utf8.first ?? 0)))
    }

    mutating func tell(_ event: ClusterEvent, after delay: Duration = .milliseconds(10)) {
        now = now + delay
        var actions = machine.handle(event, at: now)
        while !actions.isEmpty {
            let action = actions.removeFirst()
            switch action {
            case .store(let record, _):
                stored = record
                log.append("store \(record.phase.rawValue)")
                actions += machine.handle(.recordStored, at: now)
            case .send(let order, let name):
                log.append("\(order.name) \(name)")
                if case .prepare(recover: true) = order.kind { log.append("recover \(name)") }
            case .answer(let answer, let name): if answer.lease != nil { leases.append(name.text) }
            case .explain(let explanation):
                waits.append(explanation.rule)
                told.append(explanation)
            case .reply(let answer, _): replies.append("\(answer.ending): \(answer.text)")
            case .keepCopy(let record, let name): copies.append("\(record.version) \(name)")
            case .load: log.append("load")
            case .concluded(let summary): log.append("concluded \(summary.to)")
            }
        }
    }

    /// A report with what every running standby or primary says, changed as the test wants.
    mutating func report(
        _ text: String,
        receivingFrom source: String? = nil,
        at end: UInt64 = 1000,
        timeline: UInt32 = 1,
        after delay: Duration = .milliseconds(10),
        _ change: (inout InstanceReport) -> Void = { _ in }
    ) throws {
        let member = try member(text)
        var state = InstanceState()
        state.incarnation = member.incarnation
        state.role = .standby
        let capacity = CapacitySettings(
            maxConnections: 1,
            maxWorkerProcesses: 1,
            maxWALSenders: 1,
            maxPreparedTransactions: 1,
            maxLocksPerTransaction: 1
        )
        let position = WALPosition(timeline: Timeline(rawValue: timeline), lsn: LSN(rawValue: end))
        var report = InstanceReport(sequence: 1, state: state, directory: .present(number), server: .standby)
        var status = ServerStatus(inRecovery: true, position: position, systemIdentifier: number, capacity: capacity)
        if let source {
            status.receiver = ReceiverStatus(
                status: "streaming",
                timeline: .first,
                sender: Endpoint(host: source, port: 1),
                sinceLastMessage: .milliseconds(100)
            )
        }
        report.status = status
        change(&report)
        tell(.report(member.name, report), after: delay)
    }

    /// The primary of that term, opened.
    mutating func reportPrimary(
        _ text: String,
        term: UInt64 = 1,
        at end: UInt64 = 1000,
        _ change: (inout InstanceReport) -> Void = { _ in }
    ) throws {
        let rules = stored?.rules ?? []
        try report(text, at: end) { report in
            report.state.role = .primary
            report.state.primaryOfTerm = Term(rawValue: term)
            report.server = .primary
            report.status?.inRecovery = false
            report.rules = rules
            report.opened = true
            change(&report)
        }
    }

    /// The primary's server is gone to its last process.
    mutating func reportRelease(_ text: String, term: UInt64 = 1) throws {
        try report(text) { report in
            report.state.role = .primary
            report.state.primaryOfTerm = Term(rawValue: term)
            report.state.releasedTerm = Term(rawValue: term)
            report.server = .down
            report.status = nil
            report.downFor = .milliseconds(20)
        }
    }

    mutating func reportPrepared(_ text: String, term: UInt64, at end: UInt64 = 1000, timeline: UInt32 = 1) throws {
        let position = WALPosition(timeline: Timeline(rawValue: timeline), lsn: LSN(rawValue: end))
        try report(text, at: end, timeline: timeline) { report in
            report.prepared = PreparedAnswer(term: Term(rawValue: term), position: position)
        }
    }

    /// The primary, with those standbys streaming from it.
    mutating func reportPrimary(
        _ text: String,
        term: UInt64 = 1,
        at end: UInt64 = 1000,
        streamingTo standbys: [String],
        _ change: (inout InstanceReport) -> Void = { _ in }
    ) throws {
        let senders = try standbys.map { standby in
            SenderStatus(
                applicationName: try member(standby).applicationName,
                usesOwnSlot: true,
                state: "streaming",
                flushLSN: LSN(rawValue: end)
            )
        }
        try reportPrimary(text, term: term, at: end) { report in
            report.status?.senders = senders
            change(&report)
        }
    }

    /// A former primary that shut down cleanly and answers from its control file.
    mutating func reportShutDown(_ text: String, released: UInt64, prepared term: UInt64, at end: UInt64) throws {
        let position = WALPosition(timeline: .first, lsn: LSN(rawValue: end))
        try report(text) { report in
            report.state.primaryOfTerm = Term(rawValue: released)
            report.state.releasedTerm = Term(rawValue: released)
            report.server = .down
            report.status = nil
            report.prepared = PreparedAnswer(term: Term(rawValue: term), position: position)
        }
    }

    mutating func ask(_ command: ClusterCommand) {
        lastCommand += 1
        tell(.command(command, id: lastCommand))
    }

    mutating func askSwitchover(to text: String? = nil, isDryRun: Bool = false) {
        ask(.switchover(to: text.flatMap { InstanceName($0) }, by: "an operator", isDryRun: isDryRun))
    }

    mutating func askPromotion(of text: String, accepts: Bool = false, isOff: Bool = false) throws {
        let name = try #require(InstanceName(text))
        ask(.promote(name, acceptsDataLoss: accepts, oldPrimaryIsOff: isOff, isDryRun: false))
    }
}
