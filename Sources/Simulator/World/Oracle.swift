import ClusterModel

/// What was promised to clients so far, and by whom.
struct Oracle {
    /// Every record up to the last one that a client was promised or shown, as one chain.
    var chain: [WALRecord] = []
    /// Highest term whose primary has opened or acknowledged.
    var highestTerm: UInt64 = 0
    /// Timelines taken, and the term of each.
    var timelines: [UInt32: UInt64] = [:]
    var failovers = 0
    /// A disk lied about what it had flushed: what was promised may be lost.
    var isExcused = false
    /// The cluster went on from an old record, which is for people to mend (D116).
    var isForked = false
    /// Who is to be promoted by whatever an operator accepts, by number of the command.
    var asked: [UInt64: InstanceName] = [:]
    /// How much of what was promised each host had when its promotion was agreed to, a loss being accepted.
    var kept: [Int: Int] = [:]
    /// When a volume was lost last: what it had confirmed may be shown for a moment yet.
    var volumeLostAt: UInt64?
    /// Until when something is known to be wrong.
    var disturbedUntil: UInt64 = 0
    var lastAcknowledgedAt: UInt64 = 0
    /// Highest position that the recorded primary reported to a controller (`async`).
    var reportedEnd: UInt64?
    /// Host whose primary acknowledged last.
    var lastHost = 0
}

/// The invariants, checked whenever something happens that could break them.
extension World {
    // MARK: I1, I3

    func acknowledged(_ host: Host, _ server: ServerProcesses, _ index: Int) {
        coverage.acknowledged += 1
        if options.durability.isSynchronous, server.names.required == 0 { coverage.acknowledgedAlone += 1 }
        if server.term < oracle.highestTerm || server.term == 0 {
            violate(
                "I1",
                "'\(host.name)' acknowledged a commit as primary of term \(server.term) after term "
                    + "\(oracle.highestTerm) had begun"
            )
        }
        oracle.highestTerm = max(oracle.highestTerm, server.term)
        oracle.lastAcknowledgedAt = now
        oracle.lastHost = host.index
        promise(host, server.folder, through: index + 1, "acknowledged")
    }

    /// From now on these records are owed to clients.
    private func promise(_ host: Host, _ folder: DataFolder, through count: Int, _ how: String) {
        if oracle.isExcused { forgive(folder) }
        let known = oracle.chain.count
        if count <= known {
            if count > 0, oracle.chain[count - 1].id != folder.records[count - 1].id {
                violate("I3", "'\(host.name)' \(how) what lies on another branch than what was promised before")
            }
            return
        }
        if known > 0, folder.records[known - 1].id != oracle.chain[known - 1].id {
            violate("I3", "'\(host.name)' \(how) a record without one that was promised before")
        }
        oracle.chain.append(contentsOf: folder.records[known..<count])
    }

    /// What a lying disk lost is owed no longer.
    private func forgive(_ folder: DataFolder) {
        var common = min(oracle.chain.count, folder.records.count)
        while common > 0, oracle.chain[common - 1].id != folder.records[common - 1].id { common -= 1 }
        if common < folder.records.count { oracle.chain.removeLast(oracle.chain.count - common) }
    }

    private func holdsPromises(_ folder: DataFolder) -> Bool {
        if oracle.isExcused { forgive(folder) }
        guard let last = oracle.chain.last else { return true }
        return folder.records.count >= oracle.chain.count && folder.records[oracle.chain.count - 1].id == last.id
    }

    /// A server came out of recovery.
    func checkPromotion(_ host: Host, _ server: ServerProcesses, _ timeline: UInt32) {
        checkLeaseOfPrimary(host, server)
        if let other = oracle.timelines[timeline], other != server.term, server.term > 0, other > 0 {
            violate("I8", "timeline \(timeline) was taken twice: in term \(other) and in term \(server.term)")
        }
        oracle.timelines[timeline] = server.term
        // Nobody ordered it: it must not acknowledge, and its agent stops it.
        guard server.term > 0 else { return }
        oracle.failovers += 1
        // One that woke after its successor opened cannot acknowledge: nobody is left to wait for.
        guard server.term >= oracle.highestTerm, !holdsPromises(server.folder) else { return }
        if options.durability.isSynchronous {
            return violate(
                "I3",
                "'\(host.name)' became primary of term \(server.term) without a promised commit "
                    + "(\(server.folder.position), promised up to \(oracle.chain.last?.end ?? 0))"
            )
        }
        loseTail(host, server)
    }

    /// In `async` the loss is bounded by what the last report did not show, plus the limit.
    private func loseTail(_ host: Host, _ server: ServerProcesses) {
        var common = min(oracle.chain.count, server.folder.records.count)
        while common > 0, oracle.chain[common - 1].id != server.folder.records[common - 1].id { common -= 1 }
        let kept = common > 0 ? oracle.chain[common - 1].end : 0
        let end = oracle.chain.last?.end ?? 0
        if let reported = oracle.reportedEnd {
            let behind = min(reported, end) > kept ? min(reported, end) - kept : 0
            if behind > spec.maximumLagOnFailover {
                violate(
                    "I3",
                    "'\(host.name)' became primary of term \(server.term) \(behind) bytes behind what the old one "
                        + "had reported; the limit is \(spec.maximumLagOnFailover)"
                )
            }
        }
        trace("\(end - kept) bytes are lost, as 'async' allows")
        oracle.chain.removeLast(oracle.chain.count - common)
        oracle.reportedEnd = nil
    }

    // MARK: Opening

    /// A primary lets clients in.
    func checkOpening(_ host: Host, _ server: ServerProcesses) {
        guard server.isPrimary, !server.hasOpened, !server.isGone else { return }
        server.hasOpened = true
        guard server.term > 0 else { return }
        trace("[\(host.name)] admits clients as primary of term \(server.term)")
        // In `required` the fence of a primary that slept is that its voters are gone, not its lease (R7): opening, it
        // shows what k voters hold, and acknowledges nothing.
        if server.term < oracle.highestTerm, options.durability == .async {
            violate("I1", "'\(host.name)' opened in term \(server.term) after term \(oracle.highestTerm) had begun")
        }
        oracle.highestTerm = max(oracle.highestTerm, server.term)
        checkOnlyWriter(host, server)
        checkHistory(host, server)
        if owesCopies(host) { checkCopies(host, server) }
        // One that slept through its successor's opening cannot have that one's commits; what it shows was promised.
        guard holdsPromises(server.folder) || server.term < oracle.highestTerm else {
            return violate("I3", "'\(host.name)' opened in term \(server.term) without a promised commit")
        }
        promise(host, server.folder, through: server.recoveredCount, "showed")
    }

    /// In `async` nothing but the lease keeps two primaries apart.
    private func checkOnlyWriter(_ host: Host, _ server: ServerProcesses) {
        guard options.durability == .async else { return }
        for other in hosts where other !== host && other.isRunning {
            guard let rival = other.server, rival.isPrimary, rival.term > 0, rival.gateIsOpen, !rival.isFrozen else {
                continue
            }
            violate("I1", "'\(host.name)' opened while '\(other.name)' of term \(rival.term) still admits clients")
        }
    }

    private func checkHistory(_ host: Host, _ server: ServerProcesses) {
        // An old copy of the record was put in its place and says nothing of this.
        guard (store.record?.term.rawValue ?? 0) >= server.term else { return }
        let timeline = server.folder.records[server.recoveredCount - 1].timeline
        let explains = store.record?.history.contains { entry in
            entry.term.rawValue == server.term && entry.timeline.rawValue == timeline
                && entry.primary?.name == host.name
                && !entry.why.isEmpty
        }
        if explains != true {
            violate("I8", "no entry explains '\(host.name)' as primary of term \(server.term) on timeline \(timeline)")
        }
    }

    /// What it shows must be on another member, too (R23).
    private func checkCopies(_ host: Host, _ server: ServerProcesses) {
        let index = server.recoveredCount - 1
        let record = server.folder.records[index]
        let justLost = oracle.volumeLostAt.map { now - $0 < Time.seconds(3) } ?? false
        let copies = hosts.filter { other in
            guard other !== host, let folder = other.hiddenDisk?.folder ?? other.disk.folder,
                folder.flushed > index
            else { return false }
            return folder.records[index].id == record.id
        }
        if copies.isEmpty && !oracle.isExcused && !justLost {
            violate(
                "I3",
                "'\(host.name)' admits clients in term \(server.term), but nobody else has what it shows (R23)"
            )
        }
    }

    // MARK: I4, I8

    func checkLeaseOfPrimary(_ host: Host, _ server: ServerProcesses) {
        guard server.term > 0 || breaks(.gate) else { return }
        if host.leaseEnd.map({ $0 <= local(host) && !breaks(.leaseTimer) }) ?? true {
            violate("I4", "'\(host.name)' runs as primary without a live lease")
        }
    }

    /// The record's own laws.
    func checkNewRecord(_ record: ClusterRecord) {
        for fault in record.faults { violate("I8", "the record is impossible: \(fault)") }
        for (one, next) in zip(record.history, record.history.dropFirst()) {
            // A primary that goes on in place keeps its timeline.
            if next.timeline > one.timeline || next.timeline == one.timeline && next.primary == one.primary { continue }
            violate("I8", "timeline \(next.timeline) follows timeline \(one.timeline) in the history")
        }
        let recorded = record.history.last?.term ?? .none
        if record.phase == .steady && record.rules.count == 1 && recorded != record.term {
            violate("I8", "the record is steady in term \(record.term), its history ends with term \(recorded)")
        }
        if plan.isCalm && record.term.rawValue > 1 {
            violate("I7", "a failover without any fault: \(record.history.last?.why ?? "")")
        }
    }
}
