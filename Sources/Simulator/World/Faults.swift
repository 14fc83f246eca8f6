import ClusterModel
import InstanceDecision

/// Faults, injected from the seed until the world is healed.
extension World {
    func scheduleFaults() {
        guard !plan.isCalm, !plan.kinds.isEmpty else { return }
        after(plan.firstAt) { $0.nextFault() }
    }

    private func nextFault() {
        guard !isHealing else { return }
        inject()
        after(random.number(plan.spacing / 8...plan.spacing * 2)) { $0.nextFault() }
    }

    private func inject() {
        guard let kind = random.pick(plan.kinds), let victim = victim() else { return }
        let usual =
            random.chance(250)
            ? random.number(Time.seconds(4)...Time.seconds(12))
            : random.number(Time.milliseconds(50)...Time.seconds(4))
        let span = plan.span.map { random.number($0) } ?? usual
        trace("FAULT \(kind.rawValue) at \(victim.name) for \(span / 1_000_000) ms")
        disturb(for: span * 2)
        if injected(kind, victim, span) { coverage.faults[kind.rawValue, default: 0] += 1 }
    }

    /// Does it; false where it cannot be done just now.
    private func injected(_ kind: Fault, _ victim: Host, _ span: UInt64) -> Bool {
        switch kind {
        case .postmasterKilled: killPostmaster(victim)
        case .postmasterFrozen: freezePostmaster(victim, span)
        case .serverFrozen: freezeServer(victim, span)
        case .agentKilled: killAgent(victim, span / 4)
        case .agentKilledBetweenActions: victim.agent?.actionsToLive = random.below(12)
        case .agentFrozen: freezeAgent(victim, span)
        case .launcherKilled: killLauncher(victim, span / 4)
        case .hostKilled: killHost(victim, span)
        case .hostPaused: pause(victim, span)
        case .allHostsKilled: for host in hosts { killHost(host, span / 2 + random.number(0...Time.seconds(1))) }
        case .networkChaos:
            network.isChaotic = true
            after(span * 2) { $0.network.isChaotic = false }
        case .connectionBroken: disconnect(victim, seenAfter: 1000...50_000)
        case .orderMisdirected: isMisdirecting = true
        case .promotedByHand: return promoteByHand(victim)
        case .upstreamEditedByHand: return editUpstream(victim)
        case .membersLost: loseMembers(victim)
        case .controllerKilled, .controllerKilledBetweenActions, .controllerFrozen, .twoControllers, .storeDown:
            return troubleController(kind, span)
        case .controllerCutOff, .reportsLost, .serversSevered, .oneWayPartition, .hostIsolated:
            troubleNetwork(kind, victim, span)
        case .stateWriteFails, .stateFileTorn, .diskFull, .diskHangs, .fsyncLies, .volumeLost, .foreignDirectory:
            return troubleDisk(kind, victim, span)
        }
        return true
    }

    /// The primary more often than the others.
    private func victim() -> Host? {
        if random.chance(500), let primary = hosts.first(where: { $0.server?.isPrimary == true }) { return primary }
        return random.pick(hosts)
    }

    // MARK: Processes

    func freezeServer(_ host: Host, _ span: UInt64) {
        guard let server = host.server, !server.isFrozen else { return }
        server.isFrozen = true
        host.hungUntil = max(host.hungUntil, now + span + Time.seconds(3))
        after(span) { world in
            guard !server.isGone, server.isFrozen, !server.isDoomed else { return }
            server.isFrozen = false
            world.trace("[\(host.name)] the server wakes")
            world.settleCommits(host, server)
        }
    }

    func freezePostmaster(_ host: Host, _ span: UInt64) {
        guard let server = host.server, !server.postmasterIsFrozen else { return }
        server.postmasterIsFrozen = true
        host.hungUntil = max(host.hungUntil, now + span + Time.seconds(3))
        after(span) { _ in server.postmasterIsFrozen = false }
    }

    private func killAgent(_ host: Host, _ span: UInt64) {
        stopAgent(host)
        after(span) { $0.startAgent(host) }
    }

    func freezeAgent(_ host: Host, _ span: UInt64) {
        guard let agent = host.agent, !agent.isFrozen else { return }
        agent.isFrozen = true
        disconnect(host, seenAfter: 1_500_000...2_500_000)
        after(span) { world in if host.agent === agent { world.thaw(host) } }
    }

    func thaw(_ host: Host) {
        guard let agent = host.agent, agent.isFrozen else { return }
        trace("[\(host.name)] the agent thaws")
        agent.isFrozen = false
        let due = agent.deferred
        agent.deferred = []
        for step in due { inside(host, agent, step) }
    }

    /// When a launcher dies all that it started dies with it.
    private func killLauncher(_ host: Host, _ span: UInt64) {
        guard host.isOn, host.launcherIsAlive else { return }
        host.launcherIsAlive = false
        host.launcherNumber += 1
        if let server = host.server { endServer(host, server, "the launcher died", tells: false) }
        let next = host.launcherNumber
        soon(500...10_000) { world in
            world.on(host) { world in
                guard !host.launcherIsAlive, let agent = host.agent else { return }
                world.inside(host, agent) { world in
                    // Old news to an agent that has come to the next launcher meanwhile.
                    if agent.launcherNumber != next { world.give(.event(.launcherLost), host, agent) }
                }
            }
        }
        after(span + Time.milliseconds(15)) { $0.restartLauncher(host) }
    }

    func restartLauncher(_ host: Host) {
        guard host.isOn, !host.launcherIsAlive else { return }
        host.launcherIsAlive = true
        guard let agent = host.agent else { return startAgent(host) }
        soon(11_000...50_000) { world in
            world.inside(host, agent) { world in
                world.give(.event(.launcherLost), host, agent)
                world.attach(host, agent)
            }
        }
    }

    // MARK: Machines

    func killHost(_ host: Host, _ span: UInt64) {
        guard host.isOn else { return }
        disturb()
        disconnect(host, seenAfter: 1_000_000...2_500_000)
        stopAgent(host)
        for server in [host.server].compactMap(\.self) + host.lingering {
            endServer(host, server, "the machine lost power", tells: false)
        }
        losePower(host)
        host.isOn = false
        host.isPaused = false
        host.deferred = []
        host.launcherNumber += 1
        host.leaseEnd = nil
        after(span) { $0.powerOn(host) }
    }

    func powerOn(_ host: Host) {
        guard !host.isOn else { return }
        trace("[\(host.name)] the machine comes back")
        host.isOn = true
        host.launcherIsAlive = true
        startAgent(host)
    }

    func pause(_ host: Host, _ span: UInt64) {
        guard host.isRunning else { return }
        host.isPaused = true
        disconnect(host, seenAfter: 1_500_000...2_500_000)
        after(span) { $0.wake(host) }
    }

    func wake(_ host: Host) {
        guard host.isOn, host.isPaused else { return }
        trace("[\(host.name)] the machine wakes")
        host.isPaused = false
        wakeLauncher(host)
        let due = host.deferred
        host.deferred = []
        for step in due { on(host, step) }
        if let server = host.server { settleCommits(host, server) }
    }

    // MARK: People

    func promoteByHand(_ host: Host) -> Bool {
        // What it holds is given up afterwards, so that others must be enough; whether the primary still runs is not
        // asked: the record may be about to assign the very timeline that is taken here.
        guard canLose(host), let primary = store.record?.primary, primary != host.name else { return false }
        guard let server = host.server, server.mode == .standby, server.answersQueries else { return false }
        server.isPromoting = true
        soon(20_000...80_000) { $0.endRecovery(host, server) }
        return true
    }

    /// Somebody points a standby at another server; one that has answered is left alone, since nothing can be
    /// promised of a cut that people undo.
    private func editUpstream(_ host: Host) -> Bool {
        guard let server = host.server, mayBePointed(host, server), store.record?.phase == .steady,
            let other = random.pick(hosts), other !== host
        else { return false }
        point(host, server, at: other)
        return true
    }

    func mayBePointed(_ host: Host, _ server: ServerProcesses) -> Bool {
        server.mode == .standby && server.answersQueries && !server.hasAnswered
            && host.agent?.machine.answersPrepare != true
    }

    func point(_ host: Host, _ server: ServerProcesses, at other: Host) {
        server.folder.upstream = other.index
        endReceiver(of: server)
        receive(host, server)
    }
}
