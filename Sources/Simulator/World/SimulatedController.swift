import ClusterDecision
import ClusterModel
import InstanceDecision

/// The stored record: what survives every controller.
struct SimulatedStore {
    var record: ClusterRecord?
    /// Who leads, where that is claimed.
    var claim: LeadershipClaim?
    /// Neither read nor written.
    var isDown = false
}

/// One life of the controller: the production core and what its shell keeps.
final class ControllerProcess {
    let number: Int
    var machine: ClusterMachine
    let clock: HostClock
    var isAlive = true
    /// Stopped, to wake and believe that it still leads.
    var isFrozen = false
    /// What became due while it was frozen.
    var deferred: [EventQueue.Step] = []
    /// Dies before that many more actions are done.
    var actionsToLive: Int?
    var connections: [ControlConnection]
    var wakeAt: UInt64 = 0
    /// Nil where everybody alive believes that he leads.
    var leadership: LeadershipMachine?
    var leadershipWakeAt: UInt64 = 0
    /// What each instance reported last, and when that came.
    var reports: [(report: InstanceReport, at: UInt64)?]

    init(number: Int, machine: ClusterMachine, clock: HostClock, count: Int) {
        self.number = number
        self.clock = clock
        self.machine = machine
        connections = Array(repeating: ControlConnection(), count: count)
        reports = Array(repeating: nil, count: count)
    }

    /// Whether it serves agents and people.
    var leads: Bool { leadership?.leads ?? true }
}

extension World {
    /// Starts one if there is none.
    func startController() {
        if controllers.isEmpty { addController() }
    }

    /// Starts one, whoever leads already.
    func addController() {
        let process = ControllerProcess(
            number: nextNumber(),
            machine: newMachine(),
            clock: HostClock(offset: random.number(1...1 << 50), rate: 960 + UInt64(random.below(81))),
            count: hosts.count
        )
        controllers.append(process)
        trace("controller \(process.number) starts")
        beginLeading(process)
        for host in hosts { connectSoon(host) }
    }

    func newMachine() -> ClusterMachine {
        var machine = ClusterMachine(spec: toldSpec)
        machine.weakness = weakness
        return machine
    }

    /// The specification, as the controllers are told it.
    private var toldSpec: ClusterSpec {
        var told = spec
        if breaks(.noLimit) { told.maximumLagOnFailover = 1 << 40 }
        return told
    }

    func stopController(_ process: ControllerProcess) {
        guard process.isAlive else { return }
        process.isAlive = false
        disturb()
        controllers.removeAll { $0 === process }
        trace("controller \(process.number) is killed")
        // Whoever is left comes to lead, and reads the record anew.
        if controllers.count == 1, controllers[0].leads { load(controllers[0]) }
        for host in hosts where host.leader === process {
            host.leader = nil
            connectSoon(host)
        }
    }

    func thaw(_ process: ControllerProcess) {
        guard process.isFrozen else { return }
        trace("controller \(process.number) thaws")
        process.isFrozen = false
        let due = process.deferred
        process.deferred = []
        // Its timer may fire before it reads what has come meanwhile (D50).
        if random.chance(500) { tell(process, .tick) }
        for step in due { step(self) }
    }

    func load(_ process: ControllerProcess) {
        soon(200...20_000) { world in
            if world.store.isDown { return world.after(Time.seconds(1)) { $0.load(process) } }
            world.tell(process, .recordLoaded(world.store.record))
        }
    }

    func tell(_ process: ControllerProcess, _ event: ClusterEvent) {
        guard process.isAlive else { return }
        if process.isFrozen { return process.deferred.append { $0.tell(process, event) } }
        guard process.leads else { return }
        let moment = process.clock.local(now)
        let before = process.machine.record
        let actions = process.machine.handle(event, at: moment)
        for action in actions {
            if let left = process.actionsToLive {
                if left <= 0 {
                    trace("controller dies between two actions")
                    stopController(process)
                    return soon(10_000...2_000_000) { $0.startController() }
                }
                process.actionsToLive = left - 1
            }
            perform(action, process)
        }
        if process.machine.record != before, let record = process.machine.record { tellRecord(record) }
        let wake = process.clock.moment(process.machine.wakeAt(after: process.clock.local(now)))
        if process.wakeAt <= now || wake < process.wakeAt {
            process.wakeAt = wake
            queue.add(at: max(wake, now + 1)) { world in
                if process.wakeAt == wake { world.tell(process, .tick) }
            }
        }
    }

    private func tellRecord(_ record: ClusterRecord) {
        trace(
            "record \(record.version): term \(record.term) \(record.phase.rawValue), primary "
                + "\(record.primaryMember?.description ?? "none"), rules \(record.rules)"
        )
    }

    private func perform(_ action: ClusterAction, _ process: ControllerProcess) {
        cover("controller: \(action.row.rawValue)")
        switch action {
        case .store(let record, let replaced):
            checkEvidence(process.machine.record, record, process)
            compareAndSwap(record, replaced, process)
        case .load: load(process)
        case .send(let order, let name):
            guard let host = host(of: name) else { return }
            trace("controller orders \(order.name) of \(order.stamp) to \(name)")
            send(order, to: host, process)
        case .answer(let answer, let name):
            guard let host = host(of: name) else { return }
            send(answer, to: host, process)
        case .keepCopy(let record, let name):
            guard let host = host(of: name) else { return }
            keep(record, host, process)
        case .explain(let explanation):
            coverage.explanations[explanation.kind.rawValue, default: 0] += 1
            cover("explains: \(explanation.kind.rawValue)")
            script?.explanations.append(explanation)
            coverHang(explanation)
            trace("controller: \(explanation)")
        case .reply(let answer, let id): heard(answer, id)
        case .concluded(let summary): trace("controller concludes: \(summary.to) is primary of term \(summary.term)")
        }
    }

    /// The answer may be lost, with or without the write being done.
    private func compareAndSwap(_ wanted: ClusterRecord, _ replaced: RecordVersion, _ process: ControllerProcess) {
        let isLost = plan.losesStoreAnswers && !isHealing && random.chance(60)
        let isToldSo = script?.losesWrite(wanted) ?? false
        let isDropped = isToldSo || isLost && random.chance(500)
        if isLost { coverage.faults["storeAnswerLost", default: 0] += 1 }
        let answered = prepared(for: wanted.term, process)
        soon(300...8000) { world in
            // A write of a controller that has died since may still take effect.
            if !process.isAlive, world.random.chance(500) { return }
            if world.store.isDown {
                return world.soon(500_000...2_000_000) { $0.tell(process, .recordUnknown(reason: "no answer")) }
            }
            guard (world.store.record?.version ?? .none) == replaced || world.breaks(.blindWrite) else {
                let current = world.store.record
                return world.soon(100...2000) { $0.tell(process, .recordConflict(current)) }
            }
            var record = wanted
            if world.breaks(.voterSwap), let before = world.store.record { record = record.withoutSwap(after: before) }
            if world.breaks(.oldRule) { record.rules = Array(record.rules.suffix(1)) }
            if !isDropped {
                world.noteAcceptedLoss(world.store.record, record, by: answered)
                world.excuseOldRecord(world.store.record, record, process)
                world.recordStored(record)
            }
            world.soon(100...3000) { world in
                if isLost || isToldSo, !world.breaks(.unrecordedStep) {
                    world.tell(process, .recordUnknown(reason: "the answer was lost"))
                } else {
                    world.tell(process, record == wanted ? .recordStored : .recordConflict(record))
                }
            }
        }
    }

    private func recordStored(_ record: ClusterRecord) {
        if let before = store.record, record.term < before.term {
            violate("I2", "the record's term fell from \(before.term) to \(record.term)")
        }
        checkReplaced(store.record, record)
        if let row = RecordRow(from: store.record, to: record) { cover("record: \(row.rawValue)") }
        store.record = record
        script?.records.append(record)
        checkNewRecord(record)
    }

    // MARK: Connections

    func connectSoon(_ host: Host) { soon(5_000...300_000) { $0.connect(host) } }

    /// To whichever controller answers first.
    private func connect(_ host: Host) {
        guard host.isOn, host.agent != nil else { return }
        if let process = host.leader, process.connections[host.index].isUp { return }
        guard host.isRunning, host.agent?.isFrozen == false, !network.isCutOff[host.index],
            !network.isMute[host.index], let process = random.pick(controllers.filter { !$0.isFrozen && $0.leads })
        else { return connectSoon(host) }
        host.leader = process
        process.connections[host.index] = ControlConnection(number: nextNumber(), isUp: true)
        tell(process, .connected(host.name))
        if let copy = host.disk.copy { tell(process, .copy(host.name, copy)) }
        if let agent = host.agent { give(.report, host, agent) }
    }

    /// The connection ends; the controller sees it after a while.
    func disconnect(_ host: Host, seenAfter microseconds: ClosedRange<UInt64>) {
        guard let process = host.leader, process.connections[host.index].isUp else { return }
        let number = process.connections[host.index].number
        soon(microseconds) { world in
            guard process.isAlive, process.connections[host.index].number == number,
                process.connections[host.index].isUp
            else { return }
            process.connections[host.index].isUp = false
            world.tell(process, .disconnected(host.name))
            world.connectSoon(host)
        }
    }

    // MARK: Messages

    private func latency() -> UInt64 {
        if network.isChaotic && random.chance(100) { return random.number(Time.milliseconds(20)...Time.seconds(2)) }
        return random.number(100_000...2_000_000)
    }

    /// A connection keeps its order, except where chaos is wanted.
    private func latencyDown(_ host: Host, _ process: ControllerProcess) -> UInt64 {
        let delay = latency()
        guard !network.isChaotic else { return delay }
        let arrival = max(now + delay, process.connections[host.index].lastArrivalDown + 1)
        process.connections[host.index].lastArrivalDown = arrival
        return arrival - now
    }

    private var losesMessage: Bool { network.isChaotic && random.chance(150) }

    private func send(_ order: Order, to host: Host, _ process: ControllerProcess) {
        let copies = network.isChaotic && random.chance(breaks(.staleOrders) || breaks(.nameOnly) ? 900 : 250) ? 2 : 1
        let number = process.connections[host.index].number
        let living = host.agent
        script?.orders.append((order, host))
        if script?.holds(order, host) == true { return }
        misdirect(order)
        for copy in 0..<copies {
            // A duplicate may come in an hour, to whoever lives there then.
            let isStray = copy > 0
            let delay = isStray ? random.number(Time.milliseconds(1)...Time.seconds(30)) : latencyDown(host, process)
            if !isStray, losesMessage || !process.connections[host.index].isUp { continue }
            after(delay) { world in
                guard !world.network.isCutOff[host.index], let agent = host.agent else { return }
                // An empty volume has nothing to compare it with: only the end of the agent's connection ends it.
                if case .initialize = order.kind, agent !== living { return }
                if !isStray {
                    guard process.isAlive, process.connections[host.index].number == number else { return }
                }
                world.inside(host, agent) { $0.give(.event(.order($0.restamped(order, agent))), host, agent) }
            }
        }
    }

    /// Rule R1 broken: whatever comes late is made to look current.
    private func restamped(_ order: Order, _ agent: AgentProcess) -> Order {
        let floor = agent.machine.state.promised
        guard breaks(.staleOrders), !order.stamp.isCurrent(comparedTo: floor) else { return order }
        return Order(stamp: floor, kind: order.kind)
    }

    private func send(_ answer: ReportAnswer, to host: Host, _ process: ControllerProcess) {
        guard process.connections[host.index].isUp, !losesMessage, let agent = host.agent else { return }
        if script?.losesAnswer(host) == true { return }
        let number = process.connections[host.index].number
        let copies = network.isChaotic && random.chance(100) ? 2 : 1
        var answer = answer
        if breaks(.shortHorizon) { answer.lease = answer.lease.map { $0 * 3 } }
        for _ in 0..<copies {
            after(latencyDown(host, process)) { world in
                guard process.connections[host.index].number == number, !world.network.isCutOff[host.index] else {
                    return
                }
                world.inside(host, agent) { world in
                    guard var sentAt = agent.sent[answer.sequence] else { return }
                    if world.breaks(.lateLease) { sentAt = world.local(host) }
                    world.give(.event(.answered(answer, sentAt: sentAt)), host, agent)
                }
            }
        }
    }

    /// Sends a report or a refusal to the controller.
    func send(_ event: ClusterEvent, from host: Host) {
        guard let process = host.leader, process.connections[host.index].isUp, !losesMessage else { return }
        let number = process.connections[host.index].number
        var delay = latency()
        if !network.isChaotic {
            delay = max(now + delay, process.connections[host.index].lastArrivalUp + 1) - now
            process.connections[host.index].lastArrivalUp = now + delay
        }
        after(delay) { world in
            guard process.isAlive, process.connections[host.index].number == number,
                process.connections[host.index].isUp, !world.network.isCutOff[host.index],
                !world.network.isMute[host.index]
            else { return }
            if case .report(_, let report) = event { process.reports[host.index] = (report, world.now) }
            world.noteReport(event)
            world.tell(process, event)
        }
    }

    private func noteReport(_ event: ClusterEvent) {
        guard case .report(let name, let report) = event, let status = report.status, !status.inRecovery else { return }
        guard name == store.record?.primary, report.state.primaryOfTerm == store.record?.term else { return }
        oracle.reportedEnd = max(oracle.reportedEnd ?? 0, status.position.lsn.rawValue)
    }
}

extension ClusterRecord {
    /// Rule R7 broken: the candidate leaves the voters and nobody takes its place.
    func withoutSwap(after before: ClusterRecord) -> ClusterRecord {
        guard phase == .promoting, before.phase == .preparing, let old = before.primaryMember else { return self }
        var record = self
        record.rules = rules.map { rule in
            guard rule.voters.count > 1 else { return rule }
            return Rule(voters: rule.voters.filter { $0 != old }, required: rule.required, mode: rule.mode)
        }
        return record
    }
}
