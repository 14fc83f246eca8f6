import ClusterDecision
import ClusterModel
import InstanceDecision

/// The stored record: what survives every controller.
struct SimulatedStore {
    var record: ClusterRecord?
}

/// One life of the controller: the production core and what its shell keeps.
final class ControllerProcess {
    let number: Int
    var machine: ClusterMachine
    var connections: [ControlConnection]
    var wakeAt: UInt64 = 0
    /// Highest position that a primary reported to this life.
    var reportedPrimaryEnd: UInt64?

    init(number: Int, machine: ClusterMachine, count: Int) {
        self.number = number
        self.machine = machine
        connections = Array(repeating: ControlConnection(), count: count)
    }
}

extension World {
    func startController() {
        guard controller == nil else { return }
        let process = ControllerProcess(
            number: nextNumber(),
            machine: ClusterMachine(spec: spec),
            count: hosts.count
        )
        controller = process
        trace("controller starts")
        load(process)
        for host in hosts { connectSoon(host) }
    }

    func stopController() {
        guard let process = controller else { return }
        controller = nil
        trace("controller is killed")
        for host in hosts where process.connections[host.index].isUp { connectSoon(host) }
    }

    private func load(_ process: ControllerProcess) {
        soon(200...20_000) { world in world.tell(process, .recordLoaded(world.store.record)) }
    }

    func tell(_ process: ControllerProcess, _ event: ClusterEvent) {
        guard controller === process else { return }
        let moment = controllerClock.local(now)
        let before = process.machine.record
        let actions = process.machine.handle(event, at: moment)
        for action in actions { perform(action, process) }
        if process.machine.record != before, let record = process.machine.record { tellRecord(record) }
        let wake = controllerClock.moment(process.machine.wakeAt(after: controllerClock.local(now)))
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
        switch action {
        case .store(let record, let replaced): compareAndSwap(record, replaced, process)
        case .load: load(process)
        case .send(let order, let name):
            guard let host = host(of: name) else { return }
            trace("controller orders \(order.name) of \(order.stamp) to \(name)")
            send(order, to: host, process)
        case .answer(let answer, let name):
            guard let host = host(of: name) else { return }
            send(answer, to: host, process)
        case .explain(let explanation):
            coverage.explanations[explanation.kind.rawValue, default: 0] += 1
            trace("controller: \(explanation)")
        case .reply(let answer, let id): trace("controller replies to \(id): \(answer.ending), \(answer.text)")
        case .concluded(let summary): trace("controller concludes: \(summary.to) is primary of term \(summary.term)")
        }
    }

    /// The answer may be lost, with or without the write being done.
    private func compareAndSwap(_ wanted: ClusterRecord, _ replaced: RecordVersion, _ process: ControllerProcess) {
        let isLost = plan.losesStoreAnswers && !isHealing && random.chance(60)
        let isDropped = isLost && random.chance(500)
        if isLost { coverage.faults["storeAnswerLost", default: 0] += 1 }
        soon(300...8000) { world in
            // A write of a controller that has died since may still take effect.
            if world.controller !== process, world.random.chance(500) { return }
            guard (world.store.record?.version ?? .none) == replaced else {
                let current = world.store.record
                return world.soon(100...2000) { $0.tell(process, .recordConflict(current)) }
            }
            var record = wanted
            if world.breaks(.voterSwap), let before = world.store.record { record = world.withoutSwap(record, before) }
            if world.breaks(.oldRule) { record.rules = Array(record.rules.suffix(1)) }
            if !isDropped {
                world.recordStored(record)
            }
            world.soon(100...3000) { world in
                if isLost {
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
        store.record = record
        checkNewRecord(record)
    }

    /// Rule R7 broken: the candidate leaves the voters and nobody takes its place.
    private func withoutSwap(_ wanted: ClusterRecord, _ before: ClusterRecord) -> ClusterRecord {
        guard wanted.phase == .promoting, before.phase == .preparing, let old = before.primaryMember else {
            return wanted
        }
        var record = wanted
        record.rules = wanted.rules.map { rule in
            guard rule.voters.count > 1 else { return rule }
            return Rule(voters: rule.voters.filter { $0 != old }, required: rule.required, mode: rule.mode)
        }
        return record
    }

    // MARK: Connections

    func connectSoon(_ host: Host) { soon(5_000...300_000) { $0.connect(host) } }

    private func connect(_ host: Host) {
        guard host.isOn, host.agent != nil else { return }
        guard let process = controller, !process.connections[host.index].isUp else { return }
        guard host.isRunning, host.agent?.isFrozen == false, !network.isCutOff[host.index] else {
            return connectSoon(host)
        }
        process.connections[host.index] = ControlConnection(number: nextNumber(), isUp: true)
        tell(process, .connected(host.name))
        if let agent = host.agent { give(.report, host, agent) }
    }

    /// The connection ends; the controller sees it after a while.
    func disconnect(_ host: Host, seenAfter microseconds: ClosedRange<UInt64>) {
        guard let process = controller, process.connections[host.index].isUp else { return }
        let number = process.connections[host.index].number
        soon(microseconds) { world in
            guard world.controller === process, process.connections[host.index].number == number,
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
        let copies = network.isChaotic && random.chance(breaks(.staleOrders) ? 900 : 250) ? 2 : 1
        let number = process.connections[host.index].number
        for copy in 0..<copies {
            // A duplicate may come in an hour, to whoever lives there then.
            let isStray = copy > 0
            let delay = isStray ? random.number(Time.milliseconds(1)...Time.seconds(30)) : latencyDown(host, process)
            if !isStray, losesMessage || !process.connections[host.index].isUp { continue }
            after(delay) { world in
                guard !world.network.isCutOff[host.index], let agent = host.agent else { return }
                if !isStray {
                    guard world.controller === process, process.connections[host.index].number == number else { return }
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
        let number = process.connections[host.index].number
        let copies = network.isChaotic && random.chance(100) ? 2 : 1
        for _ in 0..<copies {
            after(latencyDown(host, process)) { world in
                guard process.connections[host.index].number == number, !world.network.isCutOff[host.index] else {
                    return
                }
                world.inside(host, agent) { world in
                    guard let sentAt = agent.sent[answer.sequence] else { return }
                    world.give(.event(.answered(answer, sentAt: sentAt)), host, agent)
                }
            }
        }
    }

    /// Sends a report or a refusal to the controller.
    func send(_ event: ClusterEvent, from host: Host) {
        guard let process = controller, process.connections[host.index].isUp, !losesMessage else { return }
        let number = process.connections[host.index].number
        var delay = latency()
        if !network.isChaotic {
            delay = max(now + delay, process.connections[host.index].lastArrivalUp + 1) - now
            process.connections[host.index].lastArrivalUp = now + delay
        }
        after(delay) { world in
            guard world.controller === process, process.connections[host.index].number == number,
                process.connections[host.index].isUp, !world.network.isCutOff[host.index]
            else { return }
            world.noteReport(event, process)
            world.tell(process, event)
        }
    }

    private func noteReport(_ event: ClusterEvent, _ process: ControllerProcess) {
        guard case .report(let name, let report) = event, let status = report.status, !status.inRecovery else { return }
        guard name == store.record?.primary, report.state.primaryOfTerm == store.record?.term else { return }
        process.reportedPrimaryEnd = max(process.reportedPrimaryEnd ?? 0, status.position.lsn.rawValue)
    }
}
