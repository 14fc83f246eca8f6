import ClusterDecision
import ClusterModel

/// A person who asks for switchovers, pauses automation and promotes by hand, at the worst of times.
///
/// Chance of its own: the faults of a seed come as they do without it.
extension World {
    func scheduleOperator() {
        guard options.brokenRule == nil, !plan.isCalm else { return }
        var chance = SplitMix64(seed: options.seed ^ 0x6f70_6572_6174_6f72)
        guard chance.chance(500) else { return }
        after(Time.seconds(8)) { $0.nextCommand(chance) }
    }

    private func nextCommand(_ chance: SplitMix64) {
        guard !isHealing else { return }
        var chance = chance
        // Now and then several at once.
        for _ in 0..<(chance.chance(100) ? 3 : 1) { command(randomCommand(&chance)) }
        let delay = chance.number(Time.milliseconds(50)...Time.seconds(5))
        after(delay) { $0.nextCommand(chance) }
    }

    private func randomCommand(_ chance: inout SplitMix64) -> ClusterCommand {
        let name = chance.pick(hosts)?.name
        switch chance.below(10) {
        case 0: return .abandon
        case 1: return .pause(reason: "simulated")
        case 2, 3: return .resume
        case 4, 5: if let name { return .promote(name, acceptsDataLoss: false, isDryRun: false) }
        case 6: return .switchover(to: name, by: "nobody", isDryRun: true)
        case 7: return .switchover(to: nil, by: "an agent", isDryRun: false)
        default: break
        }
        return .switchover(to: name, by: "an operator", isDryRun: false)
    }

    func command(_ command: ClusterCommand) {
        guard let process = controllers.first else { return }
        disturb(for: Time.seconds(2))
        let id = UInt64(nextNumber())
        trace("OPERATOR asks \(id): \(command)")
        tell(process, .command(command, id: id))
    }

    /// Nobody comes to resume by himself.
    func resumeAutomation() {
        // A command that a frozen controller got before may pause it yet.
        if store.record?.pauseReason != nil { command(.resume) }
        promoteTheBarred()
        after(Time.seconds(1)) { $0.resumeAutomation() }
    }

    /// Where all that may be promoted have lost their data, one that may not by itself is a person's to promote.
    private func promoteTheBarred() {
        guard let record = store.record, record.phase == .preparing, record.request == nil else { return }
        guard let barred = spec.instances.first(where: \.noFailover), let controller = controllers.first,
            controller.machine.waiting?.rule == "R8"
        else { return }
        command(.promote(barred.name, acceptsDataLoss: false, isDryRun: false))
    }
}
