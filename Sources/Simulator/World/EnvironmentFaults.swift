import ClusterModel

/// Faults of what the cluster stands on: controllers and their store, network, disks.
extension World {
    // MARK: Controllers

    func troubleController(_ kind: Fault, _ span: UInt64) -> Bool {
        guard let process = random.pick(controllers) else { return false }
        switch kind {
        case .controllerKilled:
            stopController(process)
            after(span) { $0.startController() }
        case .controllerKilledBetweenActions: process.actionsToLive = random.below(12)
        case .storeDown:
            store.isDown = true
            after(span) { $0.store.isDown = false }
        case .controllerFrozen:
            process.isFrozen = true
            for host in hosts where host.leader === process { disconnect(host, seenAfter: 1_500_000...2_500_000) }
            // Another is elected; this one wakes and knows nothing of it.
            after(Time.seconds(2)) { if process.isFrozen, $0.controllers.count < 2 { $0.addController() } }
            after(span) { $0.thaw(process) }
            after(span + Time.seconds(2)) { $0.leaveOneController() }
        default:
            guard controllers.count < 2 else { return false }
            addController()
            for host in hosts where random.chance(500) { disconnect(host, seenAfter: 1000...50_000) }
            after(span * 2) { $0.leaveOneController() }
        }
        return true
    }

    /// The election has settled it.
    func leaveOneController() {
        guard controllers.count > 1 else { return }
        while controllers.count > 1, let process = random.pick(controllers) { stopController(process) }
    }

    // MARK: Network

    func troubleNetwork(_ kind: Fault, _ victim: Host, _ span: UInt64) {
        switch kind {
        case .reportsLost:
            network.isMute[victim.index] = true
            disconnect(victim, seenAfter: 1_500_000...2_500_000)
            after(span) { $0.network.isMute[victim.index] = false }
        case .serversSevered:
            if let other = random.pick(hosts), other !== victim { sever([(victim.index, other.index)], span) }
        case .oneWayPartition:
            guard let other = random.pick(hosts), other !== victim else { return }
            network.block(victim.index, other.index)
            after(span) { $0.network.join(victim.index, other.index) }
        case .hostIsolated:
            cutOff(victim, span)
            if breaks(.leaseTimer) { freezeAgent(victim, span) }
            sever(hosts.indices.filter { $0 != victim.index }.map { (victim.index, $0) }, span)
        default: cutOff(victim, span)
        }
    }

    func cutOff(_ host: Host, _ span: UInt64) {
        network.isCutOff[host.index] = true
        disconnect(host, seenAfter: 1_500_000...2_500_000)
        after(span) { $0.network.isCutOff[host.index] = false }
    }

    private func sever(_ pairs: [(Int, Int)], _ span: UInt64) {
        for (one, other) in pairs { network.sever(one, other) }
        after(span) { world in for (one, other) in pairs { world.network.join(one, other) } }
    }

    // MARK: Disks

    func troubleDisk(_ kind: Fault, _ host: Host, _ span: UInt64) -> Bool {
        switch kind {
        case .diskFull:
            host.disk.isFull = true
            after(span) { _ in host.disk.isFull = false }
        case .diskHangs:
            host.disk.isHung = true
            host.hungUntil = max(host.hungUntil, now + span + Time.seconds(3))
            after(span) { _ in host.disk.isHung = false }
        case .fsyncLies:
            // Harmless until the power goes; then what the disk held back is gone.
            host.disk.lies = true
            after(span) { $0.killHost(host, Time.seconds(1)) }
        case .stateFileTorn:
            guard canLose(host) else { return false }
            // No agent attaches to it, until somebody gives it up and removes it (D106).
            stopAgent(host)
            host.disk.state = nil
            oracle.volumeLostAt = now
            host.promised = .none
            after(span / 4) { $0.startAgent(host) }
        case .volumeLost:
            guard canLose(host) else { return false }
            killHost(host, span)
            loseDisk(host)
        case .foreignDirectory: return mountForeign(host, span)
        default: host.agent?.failsNextPersist = true
        }
        return true
    }

    func loseDisk(_ host: Host) {
        trace("[\(host.name)] the volume is lost")
        host.disk = Disk()
        oracle.volumeLostAt = now
        host.promised = .none
    }

    /// Somebody mounts another volume and, after a while, the right one again.
    private func mountForeign(_ host: Host, _ span: UInt64) -> Bool {
        guard host.isOn, host.hiddenDisk == nil else { return false }
        killHost(host, Time.milliseconds(500))
        host.hiddenDisk = host.disk
        host.disk = Disk(isForeign: true)
        after(span + Time.seconds(1)) { $0.mountOwn(host) }
        return true
    }

    func mountOwn(_ host: Host) {
        guard let own = host.hiddenDisk else { return }
        killHost(host, Time.milliseconds(500))
        host.hiddenDisk = nil
        host.disk = own
    }

    /// Whether the cluster must survive the loss of what this host holds.
    ///
    /// It must where the record's primary or enough of its voters stay, so that R7 can be met without it. More than one in a row is beyond every promise.
    func canLose(_ host: Host) -> Bool {
        guard let record = store.record, record.phase == .steady, host.isOn, host.hiddenDisk == nil,
            let primary = record.primaryMember
        else { return false }
        // By an old copy of the record nothing can be judged.
        guard hosts.allSatisfy({ !knowsMore($0, than: record) }) else { return false }
        let others = hosts.filter { $0 !== host && isIntact($0) }
        if members(others).contains(primary) { return true }
        // Without a word of its own, how much `async` loses with the primary is for people to judge (R8, R19).
        guard record.newestRule.mode == .required, record.rules.count == 1 else { return false }
        // Whoever does not receive may be about to be rewound, and counts for nobody then.
        let near = members(others.filter { isReceiving($0, from: primary) })
        return record.rules.allSatisfy { $0.isMet(by: near) }
    }

    /// Whether it accepted an order of a later version: then the record is an old copy.
    func knowsMore(_ host: Host, than record: ClusterRecord) -> Bool {
        guard let promised = host.disk.state?.promised else { return false }
        return promised.term > record.term || promised.version > record.version
    }

    private func members(_ hosts: [Host]) -> [MemberID] {
        hosts.compactMap { host in
            (host.disk.folder?.incarnation ?? host.disk.state?.incarnation).map {
                MemberID(name: host.name, incarnation: $0)
            }
        }
    }

    private func isIntact(_ host: Host) -> Bool {
        if breaks(.deletedFirst) { return host.disk.state?.role == .standby }
        guard let folder = host.disk.folder, let state = host.disk.state, !folder.isDamaged, !folder.isCopy,
            !state.tainted, host.server?.isUnordered != true
        else { return false }
        if breaks(.earlyDiscard), state.role == .cloning { return true }
        return (state.role == .standby || state.role == .primary) && state.incarnation == folder.incarnation
    }

    private func isReceiving(_ host: Host, from primary: MemberID) -> Bool {
        if breaks(.earlyDiscard) || breaks(.deletedFirst) { return true }
        guard let link = host.server?.receiver, link.receiverIsAlive else { return false }
        return hosts[link.source].name == primary.name
    }
}
