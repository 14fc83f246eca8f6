import ClusterDecision
import ClusterModel
import InstanceDecision

/// One thing that may happen next in a small world.
///
/// Hosts, controllers and what is on its way to them have numbers, from 0.
public enum SmallStep: Hashable, Sendable, CustomStringConvertible {
    case deliver(Int, Int, again: Bool)
    case swap(Int), swapAndDie(Int), swapUnanswered(Int), swapDropped(Int)
    case work(Int), stream(Int), commit(Int), jump(Int), jumpController(Int)
    case serverDies(Int), agentDies(Int), agentDiesBetween(Int, Int, after: Int), hostDies(Int), controllerDies(Int)
    case isolate(Int), rejoin(Int), cutOff(Int)

    /// As it stands in a test that takes it again.
    public var code: String {
        switch self {
        case .deliver(let index, let place, let again): return ".deliver(\(index), \(place), again: \(again))"
        case .agentDiesBetween(let index, let place, let done):
            return ".agentDiesBetween(\(index), \(place), after: \(done))"
        default:
            let payload = Mirror(reflecting: self).children.first
            return ".\(payload?.label ?? "")(\(payload.map { "\($0.value)" } ?? ""))"
        }
    }

    /// Something goes wrong.
    var isFault: Bool {
        switch self {
        case .swapAndDie, .swapUnanswered, .swapDropped, .serverDies, .agentDies, .agentDiesBetween, .hostDies,
            .controllerDies, .isolate, .cutOff:
            true
        case .deliver, .swap, .work, .stream, .commit, .jump, .jumpController, .rejoin: false
        }
    }

    /// In words.
    public var description: String {
        func name(_ index: Int) -> String { ["a", "b", "c", "d"][index] }
        return switch self {
        case .deliver(let index, let place, let again):
            "order \(place + 1) reaches \(name(index))\(again ? ", and will come again" : "")"
        case .swap(let place): "controller \(place + 1) stores the record"
        case .swapAndDie(let place): "controller \(place + 1) stores the record and dies"
        case .swapUnanswered(let place): "controller \(place + 1) stores the record and gets no answer"
        case .swapDropped(let place): "the record of controller \(place + 1) is lost on its way"
        case .work(let index): "\(name(index)) ends its work"
        case .stream(let index): "\(name(index)) receives"
        case .commit(let index): "a client commits at \(name(index))"
        case .jump(let index): "time passes at \(name(index))"
        case .jumpController(let place): "time passes at controller \(place + 1)"
        case .serverDies(let index): "\(name(index))'s server dies"
        case .agentDies(let index): "\(name(index))'s agent dies and comes back"
        case .agentDiesBetween(let index, let place, let done):
            "order \(place + 1) reaches \(name(index)), whose agent dies after \(done) actions"
        case .hostDies(let index): "\(name(index)) loses power and comes back"
        case .controllerDies(let place): "controller \(place + 1) dies and comes back"
        case .isolate(let index): "\(name(index)) is cut off from all"
        case .rejoin(let index): "\(name(index)) is back on the network"
        case .cutOff(let index): "\(name(index))'s agent loses its controller"
        }
    }
}

extension SmallWorld {
    /// Everything that could happen now.
    var steps: [SmallStep] {
        var steps: [SmallStep] = []
        let isOpen = (record?.term.rawValue ?? 0) <= limits.terms
        for place in controllers.indices {
            if controllers[place].store != nil {
                steps.append(.swap(place))
                if limits.faults > 0 { steps += [.swapAndDie(place), .swapUnanswered(place), .swapDropped(place)] }
            }
            if limits.jumps > 0 { steps.append(.jumpController(place)) }
            if limits.faults > 0 { steps.append(.controllerDies(place)) }
        }
        guard isOpen else { return steps.filter { if case .swap = $0 { true } else { false } } }
        for index in hosts.indices {
            let host = hosts[index]
            for place in host.orders.indices {
                steps.append(.deliver(index, place, again: false))
                if limits.repeats > 0 { steps.append(.deliver(index, place, again: true)) }
                if limits.faults > 0 { steps += (0...2).map { .agentDiesBetween(index, place, after: $0) } }
            }
            if host.work != nil { steps.append(.work(index)) }
            if canStream(index) { steps.append(.stream(index)) }
            if let server = host.server, server.isPrimary, server.gateIsOpen, limits.commits > 0 {
                steps.append(.commit(index))
            }
            if limits.jumps > 0 { steps.append(.jump(index)) }
            if host.isIsolated || host.isCutOff { steps.append(.rejoin(index)) }
            guard limits.faults > 0 else { continue }
            if host.server != nil { steps.append(.serverDies(index)) }
            steps += [.agentDies(index), .hostDies(index)]
            if !host.isIsolated && !host.isCutOff { steps += [.isolate(index), .cutOff(index)] }
        }
        return steps
    }

    /// The world after that.
    func after(_ step: SmallStep) -> SmallWorld {
        var next = self
        next.take(step)
        next.calm()
        return next
    }

    private mutating func take(_ step: SmallStep) {
        switch step {
        case .deliver(let index, let place, let again):
            let order = hosts[index].orders[place]
            if again { limits.repeats -= 1 } else { hosts[index].orders.remove(at: place) }
            give(.order(order), to: index)
        case .swap(let place): swap(place)
        case .swapAndDie(let place):
            limits.faults -= 1
            swap(place)
            restartController(place)
        case .swapUnanswered(let place):
            limits.faults -= 1
            swap(place, isAnswered: false)
        case .swapDropped(let place):
            limits.faults -= 1
            controllers[place].store = nil
            tell(.recordUnknown(reason: "no answer"), place)
        case .work(let index): endWork(index)
        case .stream(let index): stream(index)
        case .commit(let index): commit(index)
        case .jump(let index):
            limits.jumps -= 1
            hosts[index].clock += SmallWorld.jump
            give(.tick, to: index)
        case .jumpController(let place):
            limits.jumps -= 1
            controllers[place].clock += SmallWorld.jump
            tell(.tick, place)
        default: fail(step)
        }
    }

    private mutating func fail(_ step: SmallStep) {
        if case .rejoin = step {} else { limits.faults -= 1 }
        switch step {
        case .serverDies(let index):
            endServer(index)
            hosts[index].start = nil
            if let work = hosts[index].work, needsServer(work) { hosts[index].work = nil }
            give(.serverDown, to: index)
        case .agentDies(let index): restartAgent(index)
        case .agentDiesBetween(let index, let place, let done):
            let order = hosts[index].orders.remove(at: place)
            let actions = hosts[index].machine.handle(.order(order), at: now(hosts[index].clock))
            let steps = actions.filter { if case .explain = $0 { false } else { true } }
            perform(Array(steps.prefix(done)), index)
            restartAgent(index)
        case .hostDies(let index):
            endServer(index)
            hosts[index].start = nil
            restartAgent(index)
        case .controllerDies(let place): restartController(place)
        case .isolate(let index):
            hosts[index].isIsolated = true
            for place in controllers.indices { tell(.disconnected(spec.instances[index].name), place) }
        case .rejoin(let index):
            hosts[index].isIsolated = false
            hosts[index].isCutOff = false
            for other in hosts.indices where other != index {
                hosts[other].server?.known[index] = nil
                hosts[index].server?.known[other] = nil
            }
        case .cutOff(let index):
            hosts[index].isCutOff = true
            for place in controllers.indices { tell(.disconnected(spec.instances[index].name), place) }
        default: break
        }
    }

    private func needsServer(_ action: InstanceAction) -> Bool {
        switch action {
        case .cutReceiver, .follow, .promote, .applyRules, .openClients: true
        default: false
        }
    }

    /// What needs nobody else is done at once: starts, short work, polls, reports.
    ///
    /// What can be late, lost or repeated
    /// are orders, writes of the record, WAL, promotions and copies.
    mutating func calm() {
        defer { forgetStaleOrders() }
        for _ in 0..<12 {
            let before = self
            for index in hosts.indices {
                if hosts[index].start != nil { endStart(index) }
                if let work = hosts[index].work, isShort(work) { endWork(index) }
                look(index)
                guard !hosts[index].isIsolated, !hosts[index].isCutOff else { continue }
                for place in controllers.indices { report(index, place) }
            }
            if violation != nil || self == before { return }
        }
    }

    /// Whoever got one would refuse it, and nothing else (R1): whether it ever comes makes no difference.
    private mutating func forgetStaleOrders() {
        for index in hosts.indices {
            let promised = hosts[index].machine.state.promised
            hosts[index].orders.removeAll { !$0.stamp.isCurrent(comparedTo: promised) }
        }
    }

    private func isShort(_ action: InstanceAction) -> Bool {
        switch action {
        case .promote, .clone, .rewind, .initialize: false
        default: true
        }
    }

    private mutating func report(_ index: Int, _ place: Int) {
        var copy = hosts[index].machine
        let report = copy.report(at: now(hosts[index].clock))
        tell(.connected(spec.instances[index].name), place)
        tell(.report(spec.instances[index].name, report), place)
    }

    /// A poll: the agent sees its server as it is.
    private mutating func look(_ index: Int) {
        guard let seen = status(index), hosts[index].machine.isServerUp, hosts[index].start == nil else { return }
        if hosts[index].machine.lastSeen != seen { give(.observed(seen), to: index) }
    }
}
