import ClusterModel

/// Copies of the record beside the data, and a store that loses the record or has an old one put back (R1).
extension World {
    func keep(_ record: ClusterRecord, _ host: Host, _ process: ControllerProcess) {
        let number = process.connections[host.index].number
        soon(500...20_000) { world in
            guard process.connections[host.index].number == number, process.connections[host.index].isUp,
                host.isRunning, host.agent != nil, !host.disk.isStill, !world.network.isCutOff[host.index]
            else { return }
            if let kept = host.disk.copy, !RecordLabel(kept).mayBeReplaced(by: RecordLabel(record)) { return }
            host.disk.copy = record
        }
    }

    /// Chance of its own: the faults of a seed come as they do without it.
    func scheduleRecordLoss() {
        guard options.brokenRule == nil, !plan.isCalm else { return }
        var chance = SplitMix64(seed: options.seed ^ 0x7265_636f_7264)
        guard chance.chance(150) else { return }
        let (moment, isLost) = (chance.number(Time.seconds(9)...Time.seconds(30)), chance.chance(500))
        after(Time.seconds(8)) { world in
            let old = world.store.record
            world.after(moment - Time.seconds(8)) { $0.restoreRecord(isLost ? nil : old) }
        }
    }

    /// What no agent has a copy of is lost for good, and no cluster goes on by itself from that.
    private func restoreRecord(_ old: ClusterRecord?) {
        guard !isHealing, let record = store.record, record.phase == .steady || record.phase == .preparing,
            hosts.allSatisfy({ isEnough($0.disk, record) }),
            // What a primary showed before is explained by the record that it opened under.
            hosts.contains(where: { $0.server.map { $0.isPrimary && $0.gateIsOpen } ?? false })
        else { return }
        trace("FAULT record \(record.version) becomes \(old?.version.description ?? "lost")")
        coverage.faults["recordRestored", default: 0] += 1
        disturb(for: Time.seconds(8))
        store.record = old
        // Whoever leads has it in its memory until it writes or another comes.
        controllers.forEach(stopController)
        soon(10_000...1_000_000) { $0.startController() }
    }

    /// Members may have accepted more than their copies show, as long as nobody became primary, joined or lost its word.
    private func isEnough(_ disk: Disk, _ record: ClusterRecord) -> Bool {
        // Data that were put back have no word of their own (D102).
        guard let copy = disk.copy, disk.folder?.isCopy != true else { return false }
        if copy.version == record.version { return true }
        guard let incarnation = disk.state?.incarnation, keepTheirWord(record) else { return false }
        return copy.primaryMember == record.primaryMember && copy.members == record.members
            && copy.members.contains { $0.incarnation == incarnation }
            && copy.history.last?.timeline == record.history.last?.timeline
    }

    /// Whether everybody whom the record knows is there as it knows him: whose data were made anew has no word any more.
    private func keepTheirWord(_ record: ClusterRecord) -> Bool {
        let present = hosts.compactMap { host in
            host.disk.state?.incarnation.map { MemberID(name: host.name, incarnation: $0) }
        }
        return (record.members + record.rules.flatMap(\.voters)).allSatisfy(present.contains)
    }
}
