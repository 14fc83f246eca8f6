import ClusterModel
import InstanceDecision

/// Streaming replication and commits: what is sent, flushed, acknowledged.
extension World {
    // MARK: Connections

    /// The receiver of a standby tries again and again, as long as it has an upstream.
    func receive(_ host: Host, _ server: ServerProcesses) {
        soon(1000...20_000) { $0.tryReceiver(host, server) }
    }

    private func tryReceiver(_ host: Host, _ server: ServerProcesses) {
        guard !server.isGone, server.mode == .standby, !server.isPromoting, server.receiver == nil else { return }
        defer { if server.receiver == nil { soon(150_000...200_000) { $0.tryReceiver(host, server) } } }
        guard let index = server.folder.upstream, index != host.index, host.isRunning, server.answersQueries else {
            return
        }
        let source = hosts[index]
        guard source.isRunning, let sender = source.server, sender.takesConnections, network.reaches(index, host.index)
        else {
            return
        }
        guard server.folder.systemIdentifier == sender.folder.systemIdentifier else { return }
        let application = MemberID(name: host.name, incarnation: server.folder.incarnation).applicationName
        // The slot is taken until the server notices that its former sender talks to nobody.
        guard !sender.senders.contains(where: { $0.senderIsAlive && $0.application == application }) else { return }
        // "Highest timeline of the primary is behind recovery timeline": it ends before it has told anything.
        guard sender.folder.timeline >= server.folder.timeline else { return }
        server.folder.connectedTimeline = max(server.folder.connectedTimeline, sender.folder.timeline)
        guard server.folder.isPrefix(of: sender.folder) else { return claim(host, server, source, sender, application) }
        let link = ReplicationLink(
            from: index,
            sender,
            to: host.index,
            server,
            application: application,
            now: now
        )
        link.acknowledged = server.folder.flushed
        server.receiver = link
        server.hasReceived = true
        sender.senders.append(link)
        server.folder.highestHistoryFile = max(server.folder.highestHistoryFile, sender.folder.timeline)
        trace("[\(host.name)] receives from \(source.name)")
        pump(link)
        keepAlive(link)
        settleCommits(source, sender)
    }

    /// A receiver tells its own end as flushed before it finds that the histories do not fit (D5).
    private func claim(
        _ host: Host,
        _ server: ServerProcesses,
        _ source: Host,
        _ sender: ServerProcesses,
        _ application: String
    ) {
        let link = ReplicationLink(
            from: source.index,
            sender,
            to: host.index,
            server,
            application: application,
            now: now
        )
        link.receiverIsAlive = false
        link.isProven = false
        let end = server.folder.flushedEnd
        link.acknowledged = sender.folder.records.count { $0.end <= end }
        sender.senders.append(link)
        settleCommits(source, sender)
        soon(5_000...60_000) { $0.endSender(link) }
    }

    /// SIGTERM to the receiver, or its end with its server; the sender hears of it if it can.
    func endReceiver(of server: ServerProcesses) {
        guard let link = server.receiver else { return }
        server.receiver = nil
        link.receiverIsAlive = false
        if network.carries(link.target, link.source) { soon(500...20_000) { $0.endSender(link) } }
        if !server.isGone { receive(hosts[link.target], server) }
    }

    private func endSender(_ link: ReplicationLink) {
        guard link.senderIsAlive else { return }
        link.senderIsAlive = false
        link.sender.senders.removeAll { $0 === link }
    }

    func endSenders(of server: ServerProcesses) {
        for link in server.senders {
            link.senderIsAlive = false
            guard network.carries(link.source, link.target) else { continue }
            soon(500...25_000) { $0.receiverHearsEnd(link) }
        }
        server.senders = []
    }

    private func receiverHearsEnd(_ link: ReplicationLink) {
        guard link.receiverIsAlive, link.receiver.receiver === link else { return }
        on(hosts[link.target]) { world in
            guard link.receiverIsAlive, !link.receiver.isFrozen else { return }
            world.endReceiver(of: link.receiver)
        }
    }

    /// Both ends give the other up after two silent seconds.
    private func keepAlive(_ link: ReplicationLink) {
        after(Time.milliseconds(700)) { world in
            guard link.senderIsAlive || link.receiverIsAlive else { return }
            let source = world.hosts[link.source]
            let target = world.hosts[link.target]
            let sends = link.senderIsAlive && source.isRunning && !link.sender.isFrozen
            let hears = link.receiverIsAlive && target.isRunning && !link.receiver.isFrozen
            let replies = world.network.carries(link.target, link.source)
            if sends && hears && world.network.carries(link.source, link.target) { link.heardAt = world.now }
            if sends && hears && replies { link.repliedAt = world.now }
            if sends && !link.receiverIsAlive && replies { world.endSender(link) }
            if hears && world.now - link.heardAt > Time.seconds(2) { world.endReceiver(of: link.receiver) }
            if sends && world.now - link.repliedAt > Time.seconds(2) { world.endSender(link) }
            world.keepAlive(link)
        }
    }

    // MARK: Streaming

    /// Sends what is flushed and not yet sent.
    func pump(_ link: ReplicationLink) {
        guard link.senderIsAlive, !link.pumpIsScheduled else { return }
        link.pumpIsScheduled = true
        soon(200...2500) { $0.arrive(link) }
    }

    private func arrive(_ link: ReplicationLink) {
        link.pumpIsScheduled = false
        guard link.senderIsAlive, link.receiverIsAlive, link.receiver.receiver === link else { return }
        let isStill = !hosts[link.source].isRunning || !hosts[link.target].isRunning || link.receiver.isFrozen
        guard !isStill, !link.sender.isFrozen, !hosts[link.target].disk.isStill,
            network.carries(link.source, link.target), network.feeds(link.target, from: link.source)
        else {
            link.pumpIsScheduled = true
            return soon(100_000...200_000) { $0.arrive(link) }
        }
        let source = link.sender.folder
        let target = link.receiver.folder
        link.heardAt = now
        if source.flushed > target.flushed {
            if link.receiver.hasAnswered {
                violate("I3", "'\(hosts[link.target].name)' received WAL after it had answered 'prepare' (R6)")
            }
            target.records.append(contentsOf: source.records[target.flushed..<source.flushed])
            target.flushed = target.records.count
        }
        let count = target.flushed
        soon(200...3000) { $0.acknowledge(link, count) }
        for onward in link.receiver.senders { pump(onward) }
    }

    private func acknowledge(_ link: ReplicationLink, _ count: Int) {
        let source = hosts[link.source]
        guard link.senderIsAlive, network.carries(link.target, link.source) else {
            // Lost on the way; the next reply tells all.
            if link.senderIsAlive, link.receiverIsAlive { pump(link) }
            return
        }
        on(source) { world in
            guard link.senderIsAlive, !link.sender.isFrozen else { return }
            link.acknowledged = max(link.acknowledged, count)
            link.repliedAt = world.now
            world.settleCommits(source, link.sender)
            if link.sender.folder.flushed > count { world.pump(link) }
        }
    }

    // MARK: Commits

    /// Clients commit wherever they are let in.
    func scheduleClients() {
        soon(20_000...500_000) { world in
            for host in world.hosts where host.isRunning {
                for server in [host.server].compactMap(\.self) + host.lingering { world.commit(host, server) }
            }
            world.scheduleClients()
        }
    }

    func commit(_ host: Host, _ server: ServerProcesses) {
        guard server.isPrimary, !server.isGone, !server.isFrozen else { return }
        if server.gateIsOpen && !server.postmasterIsDead && !server.postmasterIsFrozen { server.hasSessions = true }
        guard server.hasSessions, server.gateIsOpen || server.postmasterIsDead else { return }
        let index = append(server)
        soon(200...2000) { world in
            guard !server.isGone, !server.isFrozen, host.isRunning else { return }
            guard world.flush(host, server, through: index) else { return }
            server.pending.append(PendingCommit(index: index))
            world.settleCommits(host, server)
        }
    }

    private func append(_ server: ServerProcesses) -> Int {
        let folder = server.folder
        folder.records.append(newRecord(timeline: folder.records.last?.timeline ?? 1, after: folder.insertEnd))
        return folder.records.count - 1
    }

    /// Makes it safe; false if the disk does not.
    ///
    /// A write that fails is the end of every process.
    private func flush(_ host: Host, _ server: ServerProcesses, through index: Int) -> Bool {
        guard !host.disk.isFull else {
            endServer(host, server, "PANIC: no space is left")
            return false
        }
        guard !host.disk.isHung, index < server.folder.records.count else { return false }
        server.folder.flushed = max(server.folder.flushed, index + 1)
        for link in server.senders { pump(link) }
        return true
    }

    /// The agent's heartbeat (R22).
    func beat(_ host: Host) {
        guard let server = host.server, server.isPrimary, server.answersQueries else { return }
        let index = append(server)
        host.agent?.beatenAt = host.agent?.beatenAt ?? now
        if let agent = host.agent {
            let begunAt = local(host)
            let end = server.folder.records[index].end
            later(host, agent, 100...1000) { world in
                world.give(.event(.beaten(LSN(rawValue: end), begunAt: begunAt)), host, agent)
            }
        }
        soon(200...2000) { world in
            guard !server.isGone, !server.isFrozen, host.isRunning else { return }
            if world.flush(host, server, through: index) { host.agent?.beatenAt = world.now }
        }
    }

    /// Acknowledges every commit for which enough of the names have flushed.
    func settleCommits(_ host: Host, _ server: ServerProcesses) {
        guard !server.pending.isEmpty, !server.isGone, !server.isFrozen, host.isRunning else { return }
        var waiting: [PendingCommit] = []
        for commit in server.pending {
            let names = server.names.applications.filter { name in
                server.senders.contains { $0.senderIsAlive && $0.application == name && $0.acknowledged > commit.index }
            }
            if names.count >= server.names.required {
                acknowledged(host, server, commit.index)
            } else {
                waiting.append(commit)
            }
        }
        server.pending = waiting
    }
}
