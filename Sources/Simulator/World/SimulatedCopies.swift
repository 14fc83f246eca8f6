import ClusterModel
import InstanceDecision

/// Making data directories: initdb, base backup, rewind, and reading the control file.
extension World {
    func initialize(_ host: Host, _ agent: AgentProcess, _ id: ActionID) {
        checkOwnDirectory(host)
        later(host, agent, id, 300_000...1_500_000) { world in
            guard !world.fails(20), !host.disk.isStill else {
                return world.complete(id, .failed("initdb failed"), host, agent)
            }
            let number = SystemIdentifier(rawValue: world.random.next() >> 1)
            let folder = DataFolder(
                systemIdentifier: number,
                incarnation: world.newIncarnation(host),
                records: [world.newRecord(timeline: 1, after: 0x100_0000)]
            )
            folder.names = ""
            host.disk.folder = folder
            world.complete(id, .initialized(folder.incarnation, number), host, agent)
        }
    }

    func clone(_ host: Host, _ agent: AgentProcess, _ id: ActionID, _ upstream: Upstream) {
        checkOwnDirectory(host)
        if breaks(.deletedFirst) {
            checkLastCopy(host)
            host.disk.folder = nil
        }
        later(host, agent, id, 200_000...3_000_000) { world in
            if host.server != nil { return world.complete(id, .foundServer, host, agent) }
            guard let source = world.source(upstream, for: host), !world.fails(30), !host.disk.isStill else {
                return world.complete(id, .failed("pg_basebackup could not read the primary"), host, agent)
            }
            let folder = DataFolder(
                systemIdentifier: source.systemIdentifier,
                incarnation: world.newIncarnation(host),
                records: Array(source.records.prefix(source.flushed))
            )
            folder.upstream = world.hostIndex(of: upstream.server)
            folder.highestHistoryFile = source.timeline
            world.checkLastCopy(host)
            host.disk.folder = folder
            world.trace("[\(host.name)] copied: \(folder.position)")
            world.complete(id, .cloned(folder.incarnation, folder.systemIdentifier), host, agent)
        }
    }

    func makeReadyToRewind(_ host: Host, _ agent: AgentProcess, _ id: ActionID, _ upstream: Upstream) {
        awaitCheckpoint(host, agent, id, upstream, until: now + Time.seconds(10))
    }

    /// Before its first checkpoint a new primary would be taken for the old timeline.
    private func awaitCheckpoint(
        _ host: Host,
        _ agent: AgentProcess,
        _ id: ActionID,
        _ upstream: Upstream,
        until deadline: UInt64
    ) {
        later(host, agent, id, 20_000...100_000) { world in
            if host.server != nil { return world.complete(id, .foundServer, host, agent) }
            guard host.disk.folder != nil, !agent.cancelled.contains(id) else { return }
            guard world.now < deadline, !world.fails(10) else {
                return world.complete(id, .failed("the primary did not checkpoint in time"), host, agent)
            }
            guard let source = world.source(upstream, for: host), source.isCheckpointed else {
                return world.awaitCheckpoint(host, agent, id, upstream, until: deadline)
            }
            world.complete(id, .readyToRewind, host, agent)
        }
    }

    func rewind(_ host: Host, _ agent: AgentProcess, _ id: ActionID, _ upstream: Upstream) {
        later(host, agent, id, 20_000...100_000) { world in
            if host.server != nil { return world.complete(id, .foundServer, host, agent) }
            guard let folder = host.disk.folder, !agent.cancelled.contains(id) else { return }
            guard world.source(upstream, for: host) != nil else {
                return world.complete(id, .sourceLost("the primary does not answer"), host, agent)
            }
            // Single-user recovery of a directory in archive recovery is refused (D7).
            guard folder.shutDownCleanly || folder.wasPrimary else {
                return world.complete(id, .failed("the standby did not shut down cleanly"), host, agent)
            }
            // Recovered to a clean shutdown first; the control file is the last thing that pg_rewind writes.
            folder.shutDownCleanly = true
            folder.wasPrimary = true
            world.checkLastCopy(host)
            folder.isDamaged = true
            world.finishRewind(host, agent, id, upstream, folder)
        }
    }

    private func finishRewind(
        _ host: Host,
        _ agent: AgentProcess,
        _ id: ActionID,
        _ upstream: Upstream,
        _ folder: DataFolder
    ) {
        later(host, agent, id, 200_000...1_500_000) { world in
            guard host.server == nil, host.disk.folder === folder, !agent.cancelled.contains(id) else { return }
            guard let source = world.source(upstream, for: host) else {
                return world.complete(id, .sourceLost("pg_rewind lost the primary"), host, agent)
            }
            guard !world.fails(50), !host.disk.isStill else {
                return world.complete(id, .failed("pg_rewind failed"), host, agent)
            }
            folder.records = Array(source.records.prefix(source.flushed))
            folder.flushed = folder.records.count
            // What the source does not have is removed.
            folder.highestHistoryFile = max(source.highestHistoryFile, source.timeline)
            folder.isDamaged = false
            folder.wasPrimary = false
            folder.shutDownCleanly = false
            world.trace("[\(host.name)] rewound: \(folder.position)")
            world.complete(id, .rewound, host, agent)
        }
    }

    /// A running primary that can be copied from.
    private func source(_ upstream: Upstream, for host: Host) -> DataFolder? {
        guard let index = hostIndex(of: upstream.server), network.reaches(index, host.index) else { return nil }
        guard hosts[index].isRunning, let server = hosts[index].server, server.isPrimary, server.takesConnections,
            server.folder.systemIdentifier == upstream.systemIdentifier
        else { return nil }
        return server.folder
    }

    func inspect(_ host: Host, _ agent: AgentProcess, _ id: ActionID) {
        later(host, agent, id, 5000...50_000) { world in
            if host.server != nil { return world.complete(id, .foundServer, host, agent) }
            guard let folder = host.disk.folder, !world.fails(10) else {
                return world.complete(id, .failed("there is no data, or it cannot be read"), host, agent)
            }
            let facts = StoppedFacts(
                systemIdentifier: folder.systemIdentifier,
                timeline: Timeline(rawValue: folder.timeline),
                cleanShutdown: folder.shutDownCleanly,
                wasPrimary: folder.wasPrimary,
                end: folder.shutDownCleanly ? LSN(rawValue: folder.flushedEnd) : .zero
            )
            world.complete(id, .inspected(facts), host, agent)
        }
    }

    func readLineage(_ host: Host, _ agent: AgentProcess, _ id: ActionID, _ timeline: Timeline) {
        later(host, agent, id, 500...5000) { world in
            guard let folder = host.disk.folder, !world.fails(10) else {
                return world.complete(id, .failed("there is no data"), host, agent)
            }
            world.complete(id, .lineage(folder.lineage(of: timeline)), host, agent)
        }
    }

    func fails(_ perMille: Int) -> Bool { !isHealing && plan.isTroubled && random.chance(perMille) }

    private func newIncarnation(_ host: Host) -> Incarnation {
        let number = UInt32(truncatingIfNeeded: random.next())
        return Incarnation(number: breaks(.nameOnly) ? UInt32(host.index + 1) : number)
    }

    func newRecord(timeline: UInt32, after end: UInt64) -> WALRecord {
        lastRecord += 1
        return WALRecord(id: lastRecord, timeline: timeline, end: end + 64 + random.number(0...1500))
    }
}
