import ClusterModel
import InstanceDecision

/// PostgreSQL as far as failover sees it, and the launcher that is its parent.
extension World {
    // MARK: Life

    func launch(_ host: Host, _ folder: DataFolder, _ done: @escaping (World, ServerProcesses?) -> Void) {
        guard host.isOn, host.launcherIsAlive, host.server == nil else { return done(self, nil) }
        let server = ServerProcesses(number: nextNumber(), folder: folder)
        host.server = server
        guard !folder.isDamaged, folder.flushed > 0, !host.disk.isStill, !fails(10) else {
            return soon(20_000...100_000) { world in
                guard host.server === server else { return }
                world.trace("[\(host.name)] the server does not come up")
                world.endServer(host, server, "it cannot start")
                done(world, nil)
            }
        }
        soon(30_000...400_000) { $0.finishStart(host, server, done) }
    }

    private func finishStart(
        _ host: Host,
        _ server: ServerProcesses,
        _ done: @escaping (World, ServerProcesses?) -> Void
    ) {
        on(host) { world in
            guard host.server === server else { return }
            if server.isFrozen || server.postmasterIsFrozen {
                return world.soon(20_000...60_000) { $0.finishStart(host, server, done) }
            }
            world.comeUp(host, server)
            done(world, server)
        }
    }

    private func comeUp(_ host: Host, _ server: ServerProcesses) {
        let folder = server.folder
        if folder.standbySignal, folder.commentedTimeline > max(folder.timeline, folder.connectedTimeline) {
            // The newest timeline is the goal of recovery, and there is no way to it.
            return trace("[\(host.name)] recovery waits for timeline \(folder.commentedTimeline) for ever")
        }
        folder.shutDownCleanly = false
        server.names = SynchronousNames(folder.names)
        server.gateIsOpen = folder.gateIsOpen
        server.mode = folder.standbySignal ? .standby : .primary
        server.recoveredCount = folder.flushed
        trace("[\(host.name)] server is up as \(folder.standbySignal ? "standby" : "primary"), \(folder.position)")
        if folder.standbySignal {
            server.replayLag = random.below(6)
            server.replayedAt = now + random.number(0...Time.milliseconds(250))
            folder.wasPrimary = false
            receive(host, server)
        } else {
            folder.wasPrimary = true
            server.term = host.disk.state?.primaryOfTerm.rawValue ?? 0
            checkLeaseOfPrimary(host, server)
            if server.gateIsOpen { checkOpening(host, server) }
        }
    }

    /// Every process is gone at this moment; the launcher says so.
    func endServer(_ host: Host, _ server: ServerProcesses, _ why: String, tells: Bool = true) {
        guard !server.isGone else { return }
        checkDemoted(host, server, why)
        disturb()
        trace("[\(host.name)] the server is down: \(why)")
        server.isGone = true
        host.agent?.beatenAt = nil
        server.pending = []
        if host.server === server { host.server = nil }
        host.lingering.removeAll { $0 === server }
        if !server.postmasterIsDead || server.folder === host.disk.folder { server.folder.loseUnflushed() }
        endReceiver(of: server)
        endSenders(of: server)
        if host.server == nil { host.leaseEnd = nil }
        if tells { tellServerDown(host) }
    }

    private func tellServerDown(_ host: Host) {
        let starts = host.starts
        soon(200...3000) { world in
            world.on(host) { world in
                guard let agent = host.agent else { return }
                world.inside(host, agent) { $0.give(.serverDown(starts: starts), host, agent) }
            }
        }
    }

    /// SIGKILL to the postmaster alone: its backends live on until the launcher has ended each.
    func killPostmaster(_ host: Host) {
        guard let server = host.server, !server.postmasterIsDead, !server.isGone else { return }
        if breaks(.selfRestart), server.isPrimary { return restartItself(host, server) }
        trace("[\(host.name)] the postmaster is killed")
        server.postmasterIsDead = true
        soon(500...4000) { $0.on(host) { $0.tellAgent(host, .postmasterExited) } }
        if breaks(.release) {
            // Called down at once; what is left goes on for a while.
            host.lingering.append(server)
            host.server = nil
            host.leaseEnd = nil
            server.folder = server.folder.copy()
            tellServerDown(host)
            soon(500_000...5_000_000) { $0.endServer(host, server, "its last backends ended", tells: false) }
            return strag(server, host, every: 50_000)
        }
        strag(server, host, every: 8_000)
        soon(8_000...45_000) { world in
            world.on(host) { $0.endServer(host, server, "no process is left after the postmaster's death") }
        }
    }

    /// Rule R17 broken: the postmaster starts its backends anew, and nobody is asked.
    private func restartItself(_ host: Host, _ server: ServerProcesses) {
        trace("[\(host.name)] the postmaster recovers from a crash by itself")
        server.pending = []
        server.folder.loseUnflushed()
        endSenders(of: server)
        server.recoveredCount = server.folder.flushed
        server.hasOpened = false
        soon(30_000...60_000) { world in
            if !server.isGone, server.gateIsOpen { world.checkOpening(host, server) }
        }
    }

    /// Backends without a postmaster go on committing for the clients they have.
    private func strag(_ server: ServerProcesses, _ host: Host, every microseconds: UInt64) {
        soon(1...microseconds) { world in
            guard !server.isGone, host.isOn else { return }
            if host.isRunning, !server.isFrozen { world.commit(host, server) }
            world.strag(server, host, every: microseconds)
        }
    }

    // MARK: Launcher

    func stopServer(_ host: Host, _ mode: StopMode) {
        trace("[\(host.name)] launcher stops the server (\(mode.rawValue))")
        guard let server = host.server, !server.isGone else {
            return tellServerDown(host)
        }
        switch mode {
        case .kill: soon(1000...10_000) { $0.kill(host, server, "every process was killed") }
        case .immediate:
            // SIGQUIT does nothing to a stopped process.
            soon(8_000...60_000) { world in
                world.on(host) { if !server.isStill { $0.endServer(host, server, "immediate shutdown") } }
            }
        case .fast:
            soon(5_000...80_000) { world in
                world.on(host) { world in if !server.isStill { world.shutDown(host, server) } }
            }
        }
    }

    /// Sessions end first; then the shutdown checkpoint is the last record; then senders drain.
    private func shutDown(_ host: Host, _ server: ServerProcesses) {
        guard !server.isGone, !server.isShuttingDown else { return }
        server.isShuttingDown = true
        server.gateIsOpen = false
        server.hasSessions = false
        server.pending = []
        soon(20_000...400_000) { $0.checkpointLast(host, server) }
    }

    /// One that is held up goes on with it when it can.
    private func checkpointLast(_ host: Host, _ server: ServerProcesses) {
        on(host) { world in
            guard !server.isGone else { return }
            guard !server.isFrozen, !host.disk.isHung else {
                return world.soon(20_000...100_000) { $0.checkpointLast(host, server) }
            }
            let folder = server.folder
            if server.isPrimary {
                folder.records.append(world.newRecord(timeline: folder.timeline, after: folder.insertEnd))
            }
            folder.flushed = folder.records.count
            folder.shutDownCleanly = true
            for link in server.senders { world.pump(link) }
            world.drain(host, server)
        }
    }

    private func drain(_ host: Host, _ server: ServerProcesses) {
        soon(1000...10_000) { world in
            world.on(host) { world in
                guard !server.isGone else { return }
                let isDone = server.senders.allSatisfy { !$0.senderIsAlive || $0.acknowledged >= server.folder.flushed }
                guard isDone, !server.isFrozen else { return world.drain(host, server) }
                world.endServer(host, server, "fast shutdown")
            }
        }
    }

    /// A process that waits for its disk cannot be ended, and does nothing either.
    private func kill(_ host: Host, _ server: ServerProcesses, _ why: String) {
        guard !server.isGone, host.isOn else { return }
        guard host.disk.isHung else { return endServer(host, server, why) }
        server.isFrozen = true
        server.isDoomed = true
        soon(50_000...200_000) { $0.kill(host, server, why) }
    }

    /// The launcher's own timer, on the machine's clock (R21).
    func armLease(_ host: Host, _ end: MonotonicInstant) {
        host.leaseEnd = end
        guard !breaks(.leaseTimer) else { return }
        let launcher = host.launcherNumber
        queue.add(at: max(host.clock.moment(end), now + 1)) { world in
            world.on(host) { $0.leaseTimerFires(host, end, launcher) }
        }
    }

    /// A machine that slept has its timers fire before anything else.
    func wakeLauncher(_ host: Host) {
        guard let end = host.leaseEnd, end <= local(host), !breaks(.leaseTimer) else { return }
        leaseTimerFires(host, end, host.launcherNumber)
    }

    private func leaseTimerFires(_ host: Host, _ end: MonotonicInstant, _ launcher: Int) {
        guard host.leaseEnd == end, host.launcherIsAlive, host.launcherNumber == launcher else { return }
        guard let server = host.server else { return }
        trace("[\(host.name)] the lease ends: the launcher kills the server")
        host.leaseEnd = nil
        kill(host, server, "the lease ended")
    }

    // MARK: Promotion

    /// PostgreSQL's own part: independent of the agent from the trigger on.
    func endRecovery(_ host: Host, _ server: ServerProcesses) {
        guard !server.isGone, host.server === server, server.mode == .standby else { return }
        guard host.isRunning, !server.isStill else {
            return soon(50_000...100_000) { $0.endRecovery(host, server) }
        }
        // All of the WAL is replayed first.
        if now < server.replayedAt { return queue.add(at: server.replayedAt) { $0.endRecovery(host, server) } }
        let folder = server.folder
        endReceiver(of: server)
        let timeline = max(folder.timeline, folder.highestHistoryFile) + 1
        folder.records.append(newRecord(timeline: timeline, after: folder.flushedEnd))
        folder.flushed = folder.records.count
        folder.highestHistoryFile = timeline
        folder.commentedTimeline = 0
        folder.standbySignal = false
        folder.wasPrimary = true
        folder.isCheckpointed = false
        server.mode = .primary
        server.isPromoting = false
        server.term = server.orderedTerm
        server.recoveredCount = folder.flushed
        trace("[\(host.name)] out of recovery on timeline \(timeline)")
        checkPromotion(host, server, timeline)
        for link in server.senders { pump(link) }
    }

    // MARK: What a poll sees

    /// What a query tells of the position: as far as it has replayed, until a receiver has run.
    func readPosition(_ server: ServerProcesses) -> WALPosition {
        let folder = server.folder
        guard server.mode == .standby, !server.hasReceived, now < server.replayedAt else { return folder.position }
        let record = folder.records[max(0, folder.flushed - 1 - server.replayLag)]
        return WALPosition(timeline: Timeline(rawValue: record.timeline), lsn: LSN(rawValue: record.end))
    }

    func status(of host: Host, _ server: ServerProcesses) -> ServerStatus {
        let folder = server.folder
        let capacity = CapacitySettings(
            maxConnections: 100,
            maxWorkerProcesses: 8,
            maxWALSenders: 10,
            maxPreparedTransactions: 0,
            maxLocksPerTransaction: 64
        )
        var seen = ServerStatus(
            inRecovery: !server.isPrimary,
            position: readPosition(server),
            systemIdentifier: folder.systemIdentifier,
            capacity: capacity
        )
        seen.insertLSN = LSN(rawValue: server.isPrimary ? folder.insertEnd : 0)
        seen.replayLSN = LSN(rawValue: folder.flushedEnd)
        seen.clientsAdmitted = server.gateIsOpen
        seen.synchronousNames = folder.names
        seen.serverVersion = 150_018
        if server.isPrimary { seen.heartbeatAge = host.agent?.beatenAt.map { .nanoseconds(Int64(now - $0)) } }
        if let link = server.receiver, link.receiverIsAlive {
            seen.receiver = ReceiverStatus(
                status: "streaming",
                timeline: Timeline(rawValue: link.sender.folder.timeline),
                sender: spec.instances[link.source].server,
                sinceLastMessage: .nanoseconds(Int64(now - link.heardAt))
            )
        }
        seen.senders = server.senders.filter(\.senderIsAlive).map { link in
            // With a rule switched off a folder may be rewound under a server that still runs.
            let count = min(link.acknowledged, folder.records.count)
            let end = count > 0 ? folder.records[count - 1].end : 0
            return SenderStatus(
                applicationName: link.application,
                usesOwnSlot: true,
                state: link.isProven || breaks(.unprovenSender) ? "streaming" : "startup",
                flushLSN: LSN(rawValue: end)
            )
        }
        return seen
    }
}
