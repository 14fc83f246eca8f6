import ClusterDecision
import ClusterModel
import InstanceDecision

/// The agent's shell: one queue of events, and the actions of each decision done in order.
extension World {
    func startAgent(_ host: Host) {
        guard host.isOn, host.launcherIsAlive, host.agent == nil else { return }
        if let state = host.disk.state, state.promised.term < host.promised {
            violate("I2", "'\(host.name)' promised term \(host.promised) and knows of \(state.promised.term) only")
        }
        var timings = spec.timings
        if breaks(.shortHorizon) { timings.leaseDuration = timings.leaseDuration * 3 }
        let configuration = InstanceConfiguration(name: host.name, timings: timings)
        let agent = AgentProcess(number: nextNumber(), machine: InstanceMachine(configuration: configuration))
        agent.machine.weakness = weakness
        host.agent = agent
        trace("[\(host.name)] agent starts")
        attach(host, agent)
        connectSoon(host)
        schedulePoll(host, agent)
        scheduleReadiness(host, agent)
    }

    func stopAgent(_ host: Host) {
        guard host.agent != nil else { return }
        host.agent = nil
        disturb()
        trace("[\(host.name)] agent is gone")
        disconnect(host, seenAfter: 1000...50_000)
    }

    /// Tells a machine what launcher and disk hold.
    ///
    /// What was begun before is on disk when it is read; the launcher may have been asked before that.
    func attach(_ host: Host, _ agent: AgentProcess) {
        agent.launcherNumber = host.launcherNumber
        var view = LauncherView.down
        let lease = host.leaseEnd.map { $0 - local(host) }
        if let server = host.server { view = server.isShuttingDown ? .stopping(lease: lease) : .running(lease: lease) }
        give(.attached(view), host, agent)
    }

    private func attached(_ view: LauncherView, _ host: Host) -> InstanceEvent {
        let folder = host.disk.folder
        var directory: DataDirectory = folder.map { .present($0.systemIdentifier) } ?? .empty
        if host.disk.isForeign { directory = .foreign(reason: "it is not a data directory") }
        let known = host.disk.state.flatMap { $0.incarnation ?? $0.copyOf }
        let matches = folder != nil && folder?.incarnation == known
        let copied = matches && folder?.isCopy == true ? "their control file was born when the disk was put back" : nil
        return .attached(
            state: host.disk.state,
            directory: directory,
            matches: matches,
            copied: copied,
            server: view
        )
    }

    // MARK: Events

    /// Tells the agent, if there is one, of what the launcher saw.
    func tellAgent(_ host: Host, _ event: InstanceEvent) {
        guard let agent = host.agent else { return }
        inside(host, agent) { $0.give(.event(event), host, agent) }
    }

    func give(_ input: AgentInput, _ host: Host, _ agent: AgentProcess) {
        guard host.agent === agent else { return }
        agent.inbox.append(input)
        if !agent.isBusy { work(host, agent) }
    }

    private func work(_ host: Host, _ agent: AgentProcess) {
        while host.agent === agent, !agent.isBusy, !agent.inbox.isEmpty {
            switch agent.inbox.removeFirst() {
            case .report: sendReport(host, agent)
            case .serverDown(let starts): if starts == host.starts { decide(.serverDown, host, agent) }
            case .event(let event): decide(event, host, agent)
            case .attached(let view): decide(attached(view, host), host, agent)
            }
        }
    }

    private func decide(_ event: InstanceEvent, _ host: Host, _ agent: AgentProcess) {
        let promised = agent.machine.state.promised
        if case .order(let order) = event { cover(admissionRow(order, agent.machine)) }
        agent.actions = agent.machine.handle(event, at: local(host))
        if agent.machine.state.promised.term < promised.term {
            violate("I2", "'\(host.name)' fell from term \(promised.term) to \(agent.machine.state.promised.term)")
        }
        if case .order(let order) = event {
            let isRefused = agent.actions.contains { if case .refuse = $0 { true } else { false } }
            coverage.orders[order.name + (isRefused ? " refused" : " taken"), default: 0] += 1
            if !isRefused, !plan.steps.isEmpty { host.taken.append(order) }
        }
        let hasSteps = agent.actions.contains { action in
            switch action {
            case .explain, .report, .refuse, .armLease: false
            default: true
            }
        }
        if hasSteps, agent.machine.wantsCloseLook { hurryPoll(host, agent) }
        perform(host, agent)
        scheduleWake(host, agent)
    }

    private func scheduleWake(_ host: Host, _ agent: AgentProcess) {
        guard let wake = agent.machine.wakeAt(after: local(host)) else {
            agent.wakeAt = nil
            return
        }
        let moment = max(host.clock.moment(wake), now + 1)
        guard agent.wakeAt != moment else { return }
        agent.wakeAt = moment
        queue.add(at: moment) { world in
            world.inside(host, agent) { world in
                guard agent.wakeAt == moment else { return }
                agent.wakeAt = nil
                world.give(.event(.tick), host, agent)
            }
        }
    }

    // MARK: Actions

    /// Does what is left of a decision; a persist holds up the rest until it is on disk.
    private func perform(_ host: Host, _ agent: AgentProcess) {
        while host.agent === agent, !agent.isBusy, !agent.actions.isEmpty {
            if let left = agent.actionsToLive {
                if left <= 0 {
                    trace("[\(host.name)] agent dies between two actions")
                    stopAgent(host)
                    return soon(10_000...2_000_000) { $0.startAgent(host) }
                }
                agent.actionsToLive = left - 1
            }
            let action = agent.actions.removeFirst()
            cover(action, agent)
            if case .persist(let state) = action {
                persist(state, host, agent)
            } else {
                perform(action, host, agent)
            }
        }
    }

    private func persist(_ state: InstanceState, _ host: Host, _ agent: AgentProcess) {
        agent.isBusy = true
        later(host, agent, 100...2500) { world in
            if host.disk.isHung { return world.persist(state, host, agent) }
            if agent.failsNextPersist || host.disk.isFull {
                world.trace("[\(host.name)] the state file cannot be written: the agent starts over")
                world.stopAgent(host)
                return world.soon(10_000...500_000) { $0.startAgent(host) }
            }
            if let before = host.disk.state, state.promised.term < before.promised.term {
                world.violate(
                    "I2",
                    "'\(host.name)' wrote a promise of \(state.promised.term) over \(before.promised.term)"
                )
            }
            if !(world.breaks(.volatilePromise) && world.onlyPromises(state, host)) { host.disk.state = state }
            host.promised = max(host.promised, state.promised.term)
            agent.isBusy = false
            world.perform(host, agent)
            world.work(host, agent)
            world.scheduleWake(host, agent)
        }
    }

    private func onlyPromises(_ state: InstanceState, _ host: Host) -> Bool {
        guard var before = host.disk.state else { return false }
        before.promised = state.promised
        return before == state
    }

    private func perform(_ action: InstanceAction, _ host: Host, _ agent: AgentProcess) {
        switch action {
        case .persist: break
        case .armLease(let end): armLease(host, end)
        case .start(let id, let launch, _): start(host, agent, id, launch)
        case .stop(let mode): stopServer(host, mode)
        case .cutReceiver(let id, let waits): cut(host, agent, id, waitForReplay: waits)
        case .follow(let id, let upstream, _): follow(host, agent, id, upstream)
        case .promote(let id, let work): promote(host, agent, id, work)
        case .applyRules(let id, let work): applyRules(host, agent, id, work)
        case .openClients(let id): openClients(host, agent, id)
        case .checkpoint: checkpoint(host)
        case .checkpointFirst(let id): checkpointFirst(host, agent, id)
        case .initialize(let id): initialize(host, agent, id)
        case .clone(let id, let upstream, _): clone(host, agent, id, upstream)
        case .makeReadyToRewind(let id, let upstream): makeReadyToRewind(host, agent, id, upstream)
        case .rewind(let id, let upstream): rewind(host, agent, id, upstream)
        case .inspect(let id): inspect(host, agent, id)
        case .readLineage(let id, let timeline): readLineage(host, agent, id, timeline)
        case .cancelWork(let id): agent.cancelled.append(id)
        case .attach: attach(host, agent)
        case .report: sendReport(host, agent)
        case .refuse(let refusal):
            script?.refusals.append(refusal)
            trace("[\(host.name)] refuses \(refusal.order) of \(refusal.stamp): \(refusal.reason)")
            send(.refused(host.name, refusal), from: host)
        case .askVoters(let request, let agents): ask(request, agents, host, agent)
        case .answerPeer(let answer, let question): self.answer(answer, question, host)
        case .explain(let explanation):
            coverage.explanations[explanation.kind.rawValue, default: 0] += 1
            cover("explains: \(explanation.kind.rawValue)")
            script?.explanations.append(explanation)
            trace("[\(host.name)] \(explanation)")
        }
    }

    func complete(_ id: ActionID, _ outcome: Outcome, _ host: Host, _ agent: AgentProcess) {
        guard !agent.cancelled.contains(id) else { return }
        cover(id, outcome, agent)
        give(.event(.completed(id, outcome)), host, agent)
    }

    private func sendReport(_ host: Host, _ agent: AgentProcess) {
        let report = agent.machine.report(at: local(host))
        agent.sent[report.sequence] = local(host)
        if report.sequence > 64 { agent.sent[report.sequence - 64] = nil }
        send(.report(host.name, report), from: host)
    }

    // MARK: Polls

    private func schedulePoll(_ host: Host, _ agent: AgentProcess) {
        let isEager = agent.machine.wantsCloseLook
        let delay = isEager ? Time.milliseconds(20) : spec.timings.reportInterval.nanosecondsCount
        let due = now + delay
        agent.nextPoll = due
        queue.add(at: due) { world in
            world.inside(host, agent) { world in
                guard agent.nextPoll == due else { return }
                world.poll(host, agent, isRegular: !isEager)
                world.schedulePoll(host, agent)
            }
        }
    }

    private func hurryPoll(_ host: Host, _ agent: AgentProcess) {
        if agent.nextPoll > now + Time.milliseconds(25) { schedulePoll(host, agent) }
    }

    private func poll(_ host: Host, _ agent: AgentProcess, isRegular: Bool) {
        agent.polls += 1
        if isRegular || agent.polls % 25 == 0 {
            give(.report, host, agent)
            beat(host)
        }
        guard let server = host.server, !server.isGone else { return }
        guard server.answersQueries else {
            askReadiness(host, agent)
            if isRegular || agent.polls % 10 == 0 {
                later(host, agent, 200_000...300_000) { $0.give(.event(.unobserved), host, agent) }
            }
            return
        }
        let seen = status(of: host, server)
        later(host, agent, 300...3000) { $0.give(.event(.observed(seen)), host, agent) }
    }
}

extension World {
    /// `pg_isready` every 5 s, every second while something is wrong.
    private func scheduleReadiness(_ host: Host, _ agent: AgentProcess, quiet: Int = 1) {
        later(host, agent, 1_000_000...1_000_000) { world in
            let isDue = agent.machine.isSuspect || quiet >= 5
            if isDue { world.askReadiness(host, agent) }
            world.scheduleReadiness(host, agent, quiet: isDue ? 1 : quiet + 1)
        }
    }

    /// What `pg_isready` says, which asks the postmaster: one at a time, and it waits for an answer for a while.
    private func askReadiness(_ host: Host, _ agent: AgentProcess) {
        guard let server = host.server, !server.isGone, !agent.asksReadiness else { return }
        let isMute = server.isStill || server.postmasterIsDead
        agent.asksReadiness = true
        later(host, agent, isMute ? 2_000_000...2_100_000 : 1000...20_000) { world in
            agent.asksReadiness = false
            guard host.server === server else { return }
            let code = server.isStill || server.postmasterIsDead ? 2 : server.mode == .starting ? 1 : 0
            world.give(.event(.readiness(code)), host, agent)
        }
    }

    /// Which way of hanging made a controller replace a primary.
    func coverHang(_ explanation: Explanation) {
        guard explanation.kind == .evidence else { return }
        for (way, words) in Coverage.hangs where explanation.text.contains(words) { cover("hang: \(way)") }
    }
}

extension Duration {
    var nanosecondsCount: UInt64 { UInt64(max(0, wholeNanoseconds)) }
}
