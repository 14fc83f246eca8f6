import ClusterDecision
import ClusterModel

/// I7: a healthy primary in sight of k voters is neither replaced nor demoted; and I5: no last copy is deleted.
extension World {
    /// How long all must have been well before a failover is a fault of ours.
    static let calmSpan = Time.seconds(5)

    /// Something is being done to the world, or was until then.
    func disturb(for span: UInt64 = 0) { oracle.disturbedUntil = max(oracle.disturbedUntil, now + span) }

    func watchHealth() {
        after(Time.milliseconds(200)) { world in
            if !world.isHealthy { world.disturb() }
            world.watchHealth()
        }
    }

    /// All was well for a while, so that nothing may end the primacy.
    var mustStay: Bool { now > oracle.disturbedUntil + World.calmSpan && isHealthy }

    /// The recorded primary is open, in sight of a controller and of enough voters.
    var isHealthy: Bool {
        guard !network.isChaotic, !store.isDown, controllers.count == 1, let leader = controllers.first,
            store.record?.request == nil,
            !leader.isFrozen, leader.actionsToLive == nil,
            leader.leadership?.isCertain(at: leader.clock.local(now)) ?? true, let record = store.record,
            record.phase == .steady,
            let primary = record.primary.flatMap(host(of:)), let server = primary.server
        else { return false }
        guard isSeen(primary), server.isPrimary, server.takesConnections, server.gateIsOpen,
            server.term == record.term.rawValue
        else { return false }
        return record.rules.allSatisfy { rule in
            let near = rule.voters.filter { voter in
                server.senders.contains { isHealthy($0) && $0.application == voter.applicationName }
            }
            return near.count >= rule.required
        }
    }

    private func isHealthy(_ link: ReplicationLink) -> Bool {
        link.senderIsAlive && link.receiverIsAlive && link.isProven && !link.receiver.isFrozen
            && isSeen(hosts[link.target]) && network.reaches(link.source, link.target)
    }

    private func isSeen(_ host: Host) -> Bool {
        guard let agent = host.agent, let leader = host.leader else { return false }
        return host.isRunning && host.launcherIsAlive && !host.disk.isStill && !agent.isFrozen
            && agent.actionsToLive == nil && !agent.failsNextPersist && leader.connections[host.index].isUp
            && !network.isCutOff[host.index] && !network.isMute[host.index]
    }

    func checkReplaced(_ before: ClusterRecord?, _ record: ClusterRecord) {
        guard let before, before.phase == .steady, record.phase == .preparing else { return }
        if let reason = before.pauseReason, record.request == nil {
            violate("I7", "'\(before.primary?.text ?? "none")' is replaced although automation is paused (\(reason))")
        }
        guard mustStay else { return }
        violate("I7", "'\(before.primary?.text ?? "none")' is replaced although it and its voters are well")
    }

    /// No term begins while somebody who can be asked still receives from the primary (R9), unless the primary's own
    /// agent gave it up.
    func checkEvidence(_ before: ClusterRecord?, _ record: ClusterRecord, _ process: ControllerProcess) {
        guard let before, before.phase == .steady, record.phase == .preparing,
            // What people ask for needs no loss.
            before.request == nil, record.request == nil, let primary = before.primary.flatMap(host(of:))
        else { return }
        // A record that was lost goes on in a new term, whoever is well.
        let isRebuilt = record.version.rawValue > before.version.rawValue + ClusterMachine.versionLeap
        if isRebuilt, coverage.faults["recordRestored"] != nil { return }
        // What its own agent says against it needs no other witness.
        if now < primary.hungUntil { return }
        if let last = process.reports[primary.index]?.report {
            let isGivenUp =
                !last.state.isPrimaryInOffice || last.state.incarnation != before.primaryIncarnation
            if isGivenUp { return }
        }
        for host in hosts where host !== primary && process.connections[host.index].isUp {
            guard let (report, at) = process.reports[host.index], now - at < Time.milliseconds(400),
                report.server == .standby, let receiver = report.status?.receiver, receiver.status == "streaming",
                receiver.sender == primary.spec.server
            else { continue }
            let silence = (receiver.sinceLastMessage ?? .zero) + report.statusAge
            guard silence < .milliseconds(600) else { continue }
            violate("I7", "'\(primary.name)' is replaced although '\(host.name)' receives from it (R9)")
        }
    }

    /// A record that was put back is known to be old only from whoever accepted more (R1, D116): unheard, nobody can
    /// tell, and what a term loses that begins by it is not the controller's doing.
    func excuseOldRecord(_ before: ClusterRecord?, _ record: ClusterRecord, _ process: ControllerProcess) {
        guard let before, before.phase == .steady, record.phase == .preparing, !oracle.isExcused,
            coverage.faults["recordRestored"] != nil
        else { return }
        let knowing = hosts.filter { knowsMore($0, than: before) }
        let isHeard = knowing.contains { host in
            process.connections[host.index].isUp && process.reports[host.index] != nil
        }
        guard !knowing.isEmpty, !isHeard else { return }
        trace("nobody who knows of a later record is heard")
        oracle.isExcused = true
        oracle.isForked = true
    }

    func checkDemoted(_ host: Host, _ server: ServerProcesses, _ why: String) {
        guard server.isPrimary, host.server === server, host.name == store.record?.primary, mustStay else { return }
        violate("I7", "'\(host.name)' is ended although it and its voters are well: \(why)")
    }

    /// What is on this disk is about to be given up: somebody else must hold all that was promised.
    func checkLastCopy(_ host: Host) {
        guard let last = oracle.chain.last, !oracle.isExcused else { return }
        let count = oracle.chain.count
        func holds(_ folder: DataFolder?) -> Bool {
            guard let folder, !folder.isDamaged, folder.flushed >= count else { return false }
            return folder.records[count - 1].id == last.id
        }
        guard holds(host.disk.folder) else { return }
        let others = hosts.filter { $0 !== host && (holds($0.disk.folder) || holds($0.hiddenDisk?.folder)) }
        if others.isEmpty {
            violate("I5", "'\(host.name)' gives up the last copy of what was acknowledged")
        }
    }

    /// What is not this cluster's is never written over (R5).
    func checkOwnDirectory(_ host: Host) {
        if host.disk.isForeign { violate("I5", "'\(host.name)' writes over a directory that is not the cluster's") }
    }

    /// A disk that lied loses power: what it held back is gone, and with it, perhaps, a promise.
    func losePower(_ host: Host) {
        guard host.disk.lies, let folder = host.disk.folder else { return }
        host.disk.lies = false
        let lost = min(random.below(4), folder.flushed - 1)
        guard lost > 0 else { return }
        trace("[\(host.name)] the disk had lied: \(lost) records are gone")
        folder.records.removeLast(folder.records.count - (folder.flushed - lost))
        folder.flushed = folder.records.count
        // A promise counts on disks that keep their word; also one that is made of what it told just before.
        oracle.isExcused = true
    }
}
