import ClusterModel

/// A machine whose disk is put back to what it was, data, state file and copy of the record, as from a backup (R5, D102).
extension World {
    /// Chance of its own: the faults of a seed come as they do without it.
    func scheduleSnapshots() {
        let isAsked = options.brokenRule == .copiesTaken
        guard options.brokenRule == nil || isAsked, !plan.isCalm, plan.steps.isEmpty else { return }
        var chance = SplitMix64(seed: options.seed ^ 0x736e_6170_7368_6f74)
        for _ in 0..<(isAsked ? 8 : chance.chance(150) ? 1 : 0) {
            let host = hosts[Int(chance.number(0...UInt64(hosts.count - 1)))]
            let taken = chance.number(Time.seconds(6)...Time.seconds(25))
            let age = chance.number(Time.milliseconds(300)...Time.seconds(8))
            let span = chance.number(Time.milliseconds(300)...Time.seconds(5))
            after(taken) { world in
                guard let disk = host.disk.snapshot else { return }
                world.after(age) { $0.putBack(disk, host, span) }
            }
        }
    }

    private func putBack(_ disk: Disk, _ host: Host, _ span: UInt64) {
        guard !isHealing, canLose(host) else { return }
        trace("FAULT the disk of '\(host.name)' is put back: \(disk.folder?.position.description ?? "no data")")
        coverage.faults["snapshotRestored", default: 0] += 1
        disturb(for: span)
        killHost(host, span)
        host.disk = disk
        oracle.volumeLostAt = now
        host.promised = disk.state?.promised.term ?? .none
    }
}

extension Disk {
    /// A copy of a disk that holds data of this cluster, as its file system shows it after a loss of power.
    var snapshot: Disk? {
        guard let folder, !folder.isDamaged, !isForeign, !lies, !isStill else { return nil }
        var copy = self
        copy.folder = folder.snapshot()
        return copy
    }
}
