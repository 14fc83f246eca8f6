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
        // A primary that is gone is what makes people accept a loss.
        let kind = oldPrimaryIsOff && chance.chance(500) ? 5 : chance.below(10)
        let name = chance.pick(hosts)?.name
        switch kind {
        case 0: return .abandon
        case 1: return .pause(reason: "simulated")
        case 2, 3: return .resume
        case 4: if let name { return .promote(name, acceptsDataLoss: false, isDryRun: false) }
        case 5:
            // Whoever vouches that the old primary is off has looked.
            let isOff = oldPrimaryIsOff && chance.chance(800)
            if let name { return .promote(name, acceptsDataLoss: true, oldPrimaryIsOff: isOff, isDryRun: false) }
        case 6: return .switchover(to: name, by: "nobody", isDryRun: true)
        case 7: return .switchover(to: nil, by: "an agent", isDryRun: false)
        default: break
        }
        return .switchover(to: name, by: "an operator", isDryRun: false)
    }

    func command(_ command: ClusterCommand) {
        guard let process = controllers.first(where: \.leads) else { return }
        disturb(for: Time.seconds(2))
        let id = UInt64(nextNumber())
        if case .promote(let name, acceptsDataLoss: true, _, isDryRun: false) = command { oracle.asked[id] = name }
        trace("OPERATOR asks \(id): \(command)")
        tell(process, .command(command, id: id))
    }

    /// No process of the recorded primary's server is left; without a grant none comes up as primary again.
    private var oldPrimaryIsOff: Bool {
        guard let host = store.record?.primary.flatMap(host(of:)) else { return false }
        return host.server == nil && host.lingering.isEmpty
    }

    /// What came of an accepted loss; from a yes on the candidate must keep all of the promised that it holds now.
    func heard(_ answer: CommandAnswer, _ id: UInt64) {
        script?.replies.append(answer)
        trace("controller replies to \(id): \(answer.ending), \(answer.text)")
        guard let name = oracle.asked.removeValue(forKey: id), let host = host(of: name) else { return }
        if answer.ending == .refused, answer.text.contains("--old-primary-is-off") {
            cover("operator: second word asked")
        }
        guard answer.ending == .done, answer.text.contains("may be lost") else { return }
        cover("operator: loss accepted")
        oracle.kept[host.index] = host.disk.folder.map(promisedCount) ?? 0
    }

    /// A candidate is recorded: on an operator's word alone if those that answered do not satisfy every rule (R7, R19).
    ///
    /// From this write on it is the recorded primary, and what it lacks is given up.
    ///
    /// `answered` had prepared for it when it was decided.
    func noteAcceptedLoss(_ before: ClusterRecord?, _ record: ClusterRecord, by answered: [MemberID]) {
        guard let before, before.phase == .preparing, record.phase == .promoting, let request = before.request,
            request.acceptsDataLoss, request.candidate == record.primary,
            let candidate = record.primary.flatMap(host(of:))
        else { return }
        let isOwn = before.primaryMember.map(answered.contains) ?? false
        guard !isOwn, !before.rules.allSatisfy({ $0.isMet(by: answered) }) else { return }
        guard let folder = candidate.disk.folder else { return }
        let count = promisedCount(folder)
        if !oracle.isExcused, count < min(oracle.kept[candidate.index] ?? 0, oracle.chain.count) {
            violate("I3", "'\(candidate.name)' lacks what it had when its promotion was agreed to")
        }
        oracle.kept = [:]
        guard count < oracle.chain.count else { return }
        trace("\(oracle.chain.count - count) promised records that '\(candidate.name)' lacks are lost, as was accepted")
        cover("operator: loss happened")
        oracle.chain.removeLast(oracle.chain.count - count)
    }

    /// Whose answers in that term this controller has got.
    func prepared(for term: Term, _ process: ControllerProcess) -> [MemberID] {
        hosts.compactMap { host in
            guard let (report, at) = process.reports[host.index], now - at <= Time.milliseconds(1500),
                process.connections[host.index].isUp, report.prepared?.term == term
            else { return nil }
            return report.state.incarnation.map { MemberID(name: host.name, incarnation: $0) }
        }
    }

    /// How much of what was promised is there.
    private func promisedCount(_ folder: DataFolder) -> Int {
        var common = min(oracle.chain.count, folder.flushed)
        while common > 0, oracle.chain[common - 1].id != folder.records[common - 1].id { common -= 1 }
        return common
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
        guard let record = store.record, record.phase == .preparing,
            let barred = spec.instances.first(where: \.noFailover), record.request?.candidate != barred.name,
            let controller = controllers.first, controller.machine.waiting?.rule == "R8"
        else { return }
        command(.promote(barred.name, acceptsDataLoss: false, isDryRun: false))
    }
}
