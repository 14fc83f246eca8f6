import ClusterModel
import InstanceDecision

/// What each action of the agent's core does to its server, step by step.
extension World {
    // MARK: Start and stop

    func start(_ host: Host, _ agent: AgentProcess, _ id: ActionID, _ launch: ServerLaunch) {
        host.starts += 1
        trace("[\(host.name)] launcher starts the server: \(launch)")
        later(host, agent, id, 500...5000) { world in
            // A stop, or a new launcher, came before it was on its way.
            guard !agent.machine.awaitsNothing(of: id) else { return }
            guard let folder = host.disk.folder else {
                return world.complete(id, .failed("there is no data directory"), host, agent)
            }
            world.configure(folder, launch, host)
            world.launch(host, folder) { world, server in
                guard let server else {
                    return world.inside(host, agent) {
                        $0.complete(id, .failed("the server did not come up"), host, agent)
                    }
                }
                world.awaitStart(host, agent, id, server)
            }
        }
    }

    private func awaitStart(_ host: Host, _ agent: AgentProcess, _ id: ActionID, _ server: ServerProcesses) {
        later(host, agent, id, 500...20_000) { world in
            guard host.server === server else { return }
            guard server.answersQueries else { return world.awaitStart(host, agent, id, server) }
            world.complete(id, .started, host, agent)
        }
    }

    private func configure(_ folder: DataFolder, _ launch: ServerLaunch, _ host: Host) {
        folder.writes += 1
        if !breaks(.commentFiles) { folder.commentedTimeline = 0 }
        switch launch {
        case .firstPrimary:
            folder.standbySignal = false
            folder.names = ""
            folder.gateIsOpen = false
            if host.leaseEnd.map({ $0 <= local(host) }) ?? true {
                violate("I4", "'\(host.name)' opens its gate as first primary without a live lease")
            }
        case .standby(let source):
            folder.standbySignal = !(breaks(.gate) && folder.wasPrimary)
            folder.names = folder.standbySignal ? standbySynchronousNames : folder.names
            folder.gateIsOpen = true
            host.leaseEnd = folder.standbySignal ? nil : host.leaseEnd
            switch source {
            case .nobody: folder.upstream = nil
            case .upstream(let upstream): folder.upstream = hostIndex(of: upstream.server)
            }
        }
    }

    // MARK: Standby

    func cut(_ host: Host, _ agent: AgentProcess, _ id: ActionID, waitForReplay: Bool) {
        guard let server = host.server, let folder = host.disk.folder else {
            return later(host, agent, id, 100...1000) { $0.complete(id, .failed("the server is gone"), host, agent) }
        }
        later(host, agent, id, 500...5000) { world in
            guard host.server === server, !server.isFrozen else {
                return world.later(host, agent, id, 500_000...2_000_000) {
                    $0.complete(id, .failed("the server does not answer"), host, agent)
                }
            }
            folder.writes += 1
            if !world.breaks(.commentFiles) { folder.commentedTimeline = 0 }
            if !world.breaks(.revocation) {
                folder.upstream = nil
                world.endReceiver(of: server)
            }
            let waits = waitForReplay && !world.breaks(.unreplayedPosition)
            let left = waits ? max(server.replayedAt, world.now) - world.now : 0
            let wait: ClosedRange<UInt64> = waits ? left / 1000 + 50_000...left / 1000 + 300_000 : 5_000...30_000
            world.later(host, agent, id, wait) { $0.endCut(host, agent, id, server, folder, waits: waits) }
        }
    }

    private func endCut(
        _ host: Host,
        _ agent: AgentProcess,
        _ id: ActionID,
        _ server: ServerProcesses,
        _ folder: DataFolder,
        waits: Bool
    ) {
        guard host.server === server, server.answersQueries, host.disk.folder === folder else {
            return complete(id, .failed("the server does not answer"), host, agent)
        }
        // It was still starting when the cut began.
        if waits, now < server.replayedAt {
            return later(host, agent, id, 10_000...50_000) {
                $0.endCut(host, agent, id, server, folder, waits: waits)
            }
        }
        // Somebody promoted it meanwhile.
        guard server.mode == .standby else {
            return complete(id, .failed("the server is out of recovery"), host, agent)
        }
        server.hasAnswered = agent.machine.answersPrepare
        var position = readPosition(server)
        if breaks(.connectedTimeline) {
            let timeline = max(position.timeline.rawValue, folder.connectedTimeline)
            position = WALPosition(timeline: Timeline(rawValue: timeline), lsn: position.lsn)
        }
        complete(id, .cut(position), host, agent)
    }

    func follow(_ host: Host, _ agent: AgentProcess, _ id: ActionID, _ upstream: Upstream) {
        later(host, agent, id, 500...10_000) { world in
            guard let server = host.server, server.mode == .standby, server.answersQueries else {
                return world.complete(id, .failed("the server does not answer"), host, agent)
            }
            let source = world.hostIndex(of: upstream.server)
            if world.fails(30) {
                world.followLater(host, server, source)
                return world.complete(id, .failed("the write timed out"), host, agent)
            }
            server.folder.writes += 1
            if !world.breaks(.commentFiles) { server.folder.commentedTimeline = 0 }
            if server.folder.upstream != source || server.receiver?.source != source {
                server.folder.upstream = source
                server.hasAnswered = false
                world.endReceiver(of: server)
                world.receive(host, server)
            }
            server.folder.gateIsOpen = true
            server.gateIsOpen = true
            world.later(host, agent, id, 1000...10_000) { $0.complete(id, .following, host, agent) }
        }
    }

    /// A write that timed out may be done after all, unless what came later has ended it (D13).
    private func followLater(_ host: Host, _ server: ServerProcesses, _ source: Int?) {
        let folder = server.folder
        let writes = folder.writes
        soon(10_000...3_000_000) { world in
            guard folder.writes == writes || world.breaks(.lateFollow) else { return }
            folder.upstream = source
            if !world.breaks(.lateFollow) { server.hasAnswered = false }
            if host.server === server { world.receive(host, server) }
        }
    }

    // MARK: Promotion (R13)

    func promote(_ host: Host, _ agent: AgentProcess, _ id: ActionID, _ work: PromotionWork) {
        later(host, agent, id, 1000...15_000) { world in
            guard let server = host.server, server.mode == .standby, server.answersQueries else {
                return world.complete(id, .failed("the server does not answer"), host, agent)
            }
            let folder = server.folder
            let foreign = world.breaks(.ownTimeline) ? 0 : work.foreignTimelines.map(\.rawValue).max() ?? 0
            folder.commentedTimeline = foreign
            folder.highestHistoryFile = max(folder.highestHistoryFile, foreign)
            folder.names = world.breaks(.names) ? "" : work.synchronousNames
            server.names = SynchronousNames(folder.names)
            folder.gateIsOpen = false
            server.gateIsOpen = false
            world.endSenders(of: server)
            world.later(host, agent, id, 1000...10_000) { $0.trigger(host, agent, id, work, server) }
        }
    }

    private func trigger(
        _ host: Host,
        _ agent: AgentProcess,
        _ id: ActionID,
        _ work: PromotionWork,
        _ server: ServerProcesses
    ) {
        guard host.server === server, server.answersQueries else {
            return complete(id, .failed("the server is gone"), host, agent)
        }
        if host.leaseEnd.map({ $0 <= local(host) }) ?? true {
            violate("I4", "'\(host.name)' is triggered without a live lease")
        }
        server.isPromoting = !server.isPrimary
        server.orderedTerm = work.term.rawValue
        // A hand was faster; from here on it is an ordered primary all the same.
        if server.isPrimary { server.term = server.orderedTerm }
        let isFailing = fails(10)
        soon(20_000...80_000) { $0.endRecovery(host, server) }
        if isFailing { soon(20_000...80_000) { $0.endServer(host, server, "the promotion fails") } }
        awaitPromotion(host, agent, id, work, server, until: now + Time.seconds(20))
    }

    private func awaitPromotion(
        _ host: Host,
        _ agent: AgentProcess,
        _ id: ActionID,
        _ work: PromotionWork,
        _ server: ServerProcesses,
        until deadline: UInt64
    ) {
        later(host, agent, id, 10_000...20_000) { world in
            guard host.server === server, world.now < deadline else {
                return world.complete(id, .failed("the server is gone, or still in recovery"), host, agent)
            }
            guard server.isPrimary, server.answersQueries else {
                return world.awaitPromotion(host, agent, id, work, server, until: deadline)
            }
            let folder = server.folder
            let switchRecord = folder.records[server.recoveredCount - 1]
            if work.emptiesNames && agent.machine.state.promised.term == work.term {
                folder.names = ""
                server.names = SynchronousNames("")
            }
            let last = server.recoveredCount > 1 ? folder.records[server.recoveredCount - 2] : nil
            world.complete(
                id,
                .promoted(
                    timeline: world.breaks(.ownTimeline) ? work.timeline : Timeline(rawValue: switchRecord.timeline),
                    switchLSN: LSN(rawValue: switchRecord.end),
                    fork: Lineage.Fork(
                        parent: Timeline(rawValue: last?.timeline ?? 0),
                        lsn: LSN(rawValue: last?.end ?? 0)
                    )
                ),
                host,
                agent
            )
            if world.breaks(.opening) { world.openGate(host, server) }
        }
    }

    // MARK: In office

    func applyRules(_ host: Host, _ agent: AgentProcess, _ id: ActionID, _ work: RulesWork) {
        later(host, agent, id, 500...5000) { world in
            guard let server = host.server, server.isPrimary, server.takesConnections else {
                return world.complete(id, .failed("the server does not answer"), host, agent)
            }
            server.folder.names = work.synchronousNames
            // Settings reach the processes one by one; the one that switches waiting on may be busy for long, unless a
            // checkpoint proves that it has read them.
            let leavesZero = work.leavesZero && !world.breaks(.zeroWithoutCheckpoint)
            let isUnproven = server.names.required == 0 && !work.synchronousNames.isEmpty && !leavesZero
            world.soon(isUnproven ? 1000...3_000_000 : 1000...30_000) { world in
                guard !server.isGone, server.folder.names == work.synchronousNames else { return }
                server.names = SynchronousNames(work.synchronousNames)
            }
            let slowest: ClosedRange<UInt64> = leavesZero ? 40_000...200_000 : 31_000...90_000
            world.later(host, agent, id, slowest) { world in
                guard host.server === server, server.takesConnections else {
                    return world.complete(id, .failed("the server does not answer"), host, agent)
                }
                world.complete(id, .rulesApplied(barrier: LSN(rawValue: server.folder.insertEnd)), host, agent)
            }
        }
    }

    func openClients(_ host: Host, _ agent: AgentProcess, _ id: ActionID) {
        later(host, agent, id, 1000...10_000) { world in
            guard let server = host.server, server.isPrimary, server.takesConnections else {
                return world.complete(id, .failed("the server does not answer"), host, agent)
            }
            world.openGate(host, server)
            world.later(host, agent, id, 1000...10_000) { world in
                guard host.server === server else { return }
                world.complete(id, .opened, host, agent)
            }
        }
    }

    func openGate(_ host: Host, _ server: ServerProcesses) {
        server.folder.gateIsOpen = true
        server.gateIsOpen = true
        checkOpening(host, server)
    }

    func checkpointFirst(_ host: Host, _ agent: AgentProcess, _ id: ActionID) {
        later(host, agent, id, 30_000...1_000_000) { world in
            guard let server = host.server, server.isPrimary, server.takesConnections else {
                return world.complete(id, .failed("the server does not answer"), host, agent)
            }
            server.folder.isCheckpointed = true
            world.complete(id, .checkpointed, host, agent)
        }
    }

    func checkpoint(_ host: Host) {
        guard let server = host.server else { return }
        soon(30_000...500_000) { world in
            guard !server.isGone, server.isPrimary else { return }
            guard server.answersQueries else {
                return world.tellAgent(host, .checkpointFailed("the server does not answer"))
            }
            server.folder.isCheckpointed = true
        }
    }
}
