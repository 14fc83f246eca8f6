import ClusterModel
import InstanceDecision

/// One of three instances in a steered run.
///
/// When such a run begins the primary is `a`, and chance says which standby is `b`. From the moment that somebody is
/// recorded or opens as primary, that one is `b`.
enum Part { case a, b, c }

/// What a steered run waits for before it goes on.
enum Moment {
    /// Nobody has been told of anything for a while, and the record is steady.
    case steady
    /// A candidate is recorded, not yet promoted.
    case candidate
    /// It is out of recovery.
    case promoted
    /// It admits clients.
    case opened
    /// Its receiver is connected to that one.
    case receives(Part, from: Part)
    /// Its state file says that it is a standby.
    case isStandby(Part)
    /// Its agent runs in the world's eyes, and its directory has an incarnation again.
    case isCopied(Part)
    /// Its server runs as a standby.
    case isUp(Part)
    /// Its disk is empty.
    case isOff(Part)
    /// The loss of its disk is one that must be survived.
    case canLose(Part)
    /// One rule is recorded, with so many acknowledgements.
    case ruled(by: Int)
}

/// One step of a steered run.
enum Steer {
    case wait(ClosedRange<Int>)
    case until(Moment)
    case sever(Part, Part)
    case join(Part, Part)
    /// Receivers connect and nothing comes.
    case starve(Part, from: Part)
    case feed(Part, from: Part)
    /// Its agent and the controllers lose each other.
    case cutOff(Part)
    case rejoin(Part)
    case killPostmaster(Part)
    case killHost(Part, ClosedRange<Int>)
    case powerOn(Part)
    case loseVolume(Part)
    /// Somebody points a standby at another server.
    case pointAt(Part, Part)
    /// What it was once ordered arrives once more.
    case repeatOrder(PastOrder, Part)
    /// The controller is gone for so long.
    case killController(ClosedRange<Int>)
    /// It stands still, and no other comes to lead.
    case freezeController(ClosedRange<Int>)
    case pause
    case resume
}

/// An order of the past.
enum PastOrder {
    /// To follow whoever was primary then.
    case follow
    /// That no commit waits for anybody.
    case singleServer
}

/// Where a steered run stands.
final class SteeredRun {
    let steps: [Steer]
    var place = 0
    var parts: [Host]
    /// Given up if that moment has not come by then.
    var deadline: UInt64 = 0
    /// A primary of a later term takes the part of `b`.
    let term: UInt64

    init(steps: [Steer], parts: [Host], term: UInt64) {
        self.steps = steps
        self.parts = parts
        self.term = term
    }

    func host(_ part: Part) -> Host {
        switch part {
        case .a: parts[0]
        case .b: parts[1]
        case .c: parts[min(2, parts.count - 1)]
        }
    }
}

/// Faults in the one order that matters: what chance brings about once in thousands of seeds.
///
/// Each step is a fault of the random walk or its end; only the moment is chosen. What comes between two steps is
/// left to chance.
extension World {
    func scheduleSteering() {
        guard !plan.steps.isEmpty else { return }
        after(Time.seconds(6)) { $0.beginSteering() }
    }

    private func beginSteering() {
        guard !isHealing else { return }
        guard isHealthy, let record = store.record, record.rules.count == 1, let name = record.primary,
            let primary = host(of: name), hosts.allSatisfy({ $0 === primary || $0.server?.receiver != nil })
        else { return after(Time.milliseconds(200)) { $0.beginSteering() } }
        var others = hosts.filter { $0 !== primary }
        if random.chance(500) { others.reverse() }
        let run = SteeredRun(steps: plan.steps, parts: [primary] + others, term: record.term.rawValue)
        trace("STEERED run: \(run.parts.map(\.name.text).joined(separator: ", "))")
        steer(run)
    }

    private func steer(_ run: SteeredRun) {
        while !isHealing, run.place < run.steps.count {
            let step = run.steps[run.place]
            switch step {
            case .wait(let milliseconds):
                run.place += 1
                let delay = random.number(
                    Time.milliseconds(milliseconds.lowerBound)...Time.milliseconds(milliseconds.upperBound)
                )
                return after(delay) { $0.steer(run) }
            case .until(let moment):
                if !hasCome(moment, run) {
                    if run.deadline == 0 { run.deadline = now + Time.seconds(15) }
                    if now > run.deadline { return endSteering(run) }
                    return after(Time.milliseconds(1)) { $0.steer(run) }
                }
                run.deadline = 0
            default:
                disturb(for: Time.seconds(3))
                trace("STEERED \(step)")
                take(step, run)
            }
            run.place += 1
        }
        endSteering(run)
    }

    /// Everything is let well, and the next run begins once it is.
    private func endSteering(_ run: SteeredRun) {
        guard !isHealing else { return }
        trace("STEERED run ends after step \(run.place) of \(run.steps.count)")
        network.heal()
        for host in hosts where !host.isOn { after(random.number(0...Time.seconds(2))) { $0.powerOn(host) } }
        after(Time.seconds(2)) { $0.beginSteering() }
    }

    private func hasCome(_ moment: Moment, _ run: SteeredRun) -> Bool {
        switch moment {
        case .steady: return isHealthy && store.record?.rules.count == 1
        case .candidate:
            guard let record = store.record, record.phase == .promoting, record.term.rawValue > run.term,
                let name = record.primary, let host = host(of: name)
            else { return false }
            return bind(host, run)
        case .promoted, .opened:
            let found = hosts.first { host in
                guard let server = host.server, server.isPrimary else { return false }
                return server.term > run.term
            }
            guard let found else { return false }
            if case .opened = moment, found.server?.hasOpened != true { return false }
            return bind(found, run)
        case .receives(let part, let source):
            guard let link = run.host(part).server?.receiver, link.receiverIsAlive else { return false }
            return hosts[link.source] === run.host(source)
        case .isStandby(let part): return run.host(part).disk.state?.role == .standby
        case .isCopied(let part): return run.host(part).disk.state?.incarnation != nil
        case .isUp(let part):
            guard let server = run.host(part).server else { return false }
            return server.mode == .standby && server.answersQueries
        case .isOff(let part): return run.host(part).disk.folder == nil
        case .canLose(let part): return canLose(run.host(part))
        case .ruled(let count):
            guard let record = store.record else { return false }
            return record.rules.count == 1 && record.newestRule.required == count
        }
    }

    /// Who succeeds `a` is `b` from now on; false if `a` succeeds itself.
    private func bind(_ successor: Host, _ run: SteeredRun) -> Bool {
        guard successor !== run.parts[0] else { return false }
        run.parts = [run.parts[0], successor] + run.parts.dropFirst().filter { $0 !== successor }
        return true
    }

    private func take(_ step: Steer, _ run: SteeredRun) {
        switch step {
        case .wait, .until: break
        case .sever(let one, let other): network.sever(run.host(one).index, run.host(other).index)
        case .join(let one, let other): network.join(run.host(one).index, run.host(other).index)
        case .starve(let part, let source): network.starve(run.host(part).index, of: run.host(source).index)
        case .feed(let part, let source): network.feed(run.host(part).index, from: run.host(source).index)
        case .cutOff(let part):
            network.isCutOff[run.host(part).index] = true
            disconnect(run.host(part), seenAfter: 1_500_000...2_500_000)
        case .rejoin(let part): network.isCutOff[run.host(part).index] = false
        case .killPostmaster(let part): killPostmaster(run.host(part))
        case .killHost(let part, let milliseconds):
            killHost(run.host(part), Time.milliseconds(milliseconds.lowerBound + random.below(milliseconds.count)))
        case .powerOn(let part): powerOn(run.host(part))
        case .loseVolume(let part):
            guard canLose(run.host(part)) else { return }
            killHost(run.host(part), Time.milliseconds(500))
            loseDisk(run.host(part))
        case .pointAt(let part, let source):
            guard let server = run.host(part).server, mayBePointed(run.host(part), server) else { return }
            point(run.host(part), server, at: run.host(source))
        case .repeatOrder(let past, let part):
            let host = run.host(part)
            guard let agent = host.agent, let order = host.taken.last(where: past.isMeant) else { return }
            inside(host, agent) { $0.give(.event(.order(order)), host, agent) }
        case .killController(let milliseconds):
            let span = Time.milliseconds(milliseconds.lowerBound + random.below(milliseconds.count))
            controllers.forEach(stopController)
            after(span) { $0.startController() }
        case .freezeController(let milliseconds):
            guard let process = controllers.first else { return }
            let span = Time.milliseconds(milliseconds.lowerBound + random.below(milliseconds.count))
            process.isFrozen = true
            after(span) { $0.thaw(process) }
        case .pause: command(.pause(reason: "simulated"))
        case .resume: command(.resume)
        }
    }
}

extension PastOrder {
    func isMeant(_ order: Order) -> Bool {
        switch (self, order.kind) {
        case (.follow, .follow): true
        case (.singleServer, .govern(let governance)): governance.rules.last?.required == 0
        default: false
        }
    }
}
