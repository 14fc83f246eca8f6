import ClusterDecision
import ClusterModel
import InstanceDecision

/// Nanoseconds, by name.
enum Time {
    static func milliseconds(_ count: Int) -> UInt64 { UInt64(count) * 1_000_000 }
    static func seconds(_ count: Int) -> UInt64 { UInt64(count) * 1_000_000_000 }
}

/// A cluster in virtual time: the two production cores, everything around them simulated from one seed.
///
/// Nothing here decides for the cluster; what the cores ask for is done as the production shells do it, and
/// everything that can go wrong on the way does.
final class World {
    let options: SimulationOptions
    let spec: ClusterSpec
    var random: SplitMix64
    var queue = EventQueue()
    var now: UInt64 = 0
    var events = 0
    var hosts: [Host] = []
    var network: SimulatedNetwork
    var store = SimulatedStore()
    /// Those alive; more than one where an election goes wrong.
    var controllers: [ControllerProcess] = []
    var plan: FaultPlan
    var oracle = Oracle()
    var coverage = Coverage()
    var violation: Violation?
    var trace: [String] = []
    /// Of a world whose faults are told step by step.
    var script: Script?
    /// Left out of the cores without a rule of the simulator's being broken.
    private let leftOut: Weakness?
    /// Once everything is to be well again.
    var isHealing = false
    var isDone = false
    /// The next order also reaches an instance that it is not for.
    var isMisdirecting = false
    /// The first order of each name; that of a switchover is known before anybody asks for one.
    var pastOrders = [Order(stamp: .none, kind: .handOver(HandOver(stops: false, deadline: .seconds(10))))]
    var lastNumber = 0
    /// Who asked what, while no leader answered.
    var questions: [UInt64: Question] = [:]
    var lastRecord: UInt64 = 0

    init(_ options: SimulationOptions, setting: Setting? = nil) {
        self.options = options
        leftOut = setting?.weakness
        var random = SplitMix64(seed: options.seed)
        let isAsync = options.durability == .async
        let focus = setting == nil ? options.focus : nil
        let usual = isAsync ? 1 + random.below(4) : 2 + random.below(3)
        let count = setting.map { $0.standbys + 1 } ?? focus?.instances ?? usual
        let usualLease = random.chance(600) ? 3 : 2 + random.below(isAsync ? 6 : 19)
        var timings = Timings()
        timings.leaseDuration = .seconds(focus == nil ? usualLease : focus?.leaseSeconds ?? 3)
        if options.seed.isMultiple(of: 2) { timings.hangTimeout = .seconds(5) }
        if focus?.isImpatient ?? random.chance(300) { timings.rebuildAfter = .seconds(5) }
        var spec = World.makeSpec(count: count, options, setting?.timings ?? timings)
        if let setting {
            spec.synchronousStandbys = setting.synchronousStandbys
            for place in spec.instances.indices { spec.instances[place].noFailover = false }
        }
        self.spec = spec
        for (index, instance) in spec.instances.enumerated() {
            let clock = HostClock(offset: random.number(1...1 << 50), rate: 960 + UInt64(random.below(81)))
            hosts.append(Host(index: index, spec: instance, clock: clock))
        }
        network = SimulatedNetwork(count: count)
        plan = FaultPlan(&random, isCalm: options.seed % 16 == 0 && focus == nil, options.durability)
        if let focus { plan.focus(on: focus, &random) }
        self.random = random
    }

    private static func makeSpec(count: Int, _ options: SimulationOptions, _ timings: Timings) -> ClusterSpec {
        let names = ["a", "b", "c", "d"].compactMap { InstanceName($0) }
        // In some worlds one of several standbys may not be promoted on its own (R8).
        let isBarred = options.focus?.barsSecond ?? (options.seed % 7 == 3 && count > 2)
        let instances = names.prefix(count).enumerated().map { index, name in
            InstanceSpec(
                name: name,
                server: Endpoint(host: "host-\(name)", port: 5432 + UInt16(index)),
                noFailover: isBarred && index == 1,
                agent: Endpoint(host: "host-\(name)", port: 7431)
            )
        }
        guard let name = ClusterName("simulated") else { fatalError("the cluster's name is valid") }
        // With three standbys and more, two of them sometimes.
        let isDouble = count > 3 && options.durability.isSynchronous
        let isAsked = options.focus.map { $0.synchronousStandbys == 2 } ?? (options.seed % 3 == 0)
        return ClusterSpec(
            name: name,
            durability: options.durability,
            synchronousStandbys: isDouble && isAsked ? 2 : 1,
            instances: instances,
            timings: timings,
            maximumLagOnFailover: 30_000
        )
    }

    // MARK: Running

    func run() -> SimulationResult {
        trace("seed \(options.seed): \(hosts.count) instances, \(options.durability.rawValue), \(plan.summary)")
        startController()
        for host in hosts { after(random.number(0...Time.milliseconds(300))) { $0.startAgent(host) } }
        scheduleClients()
        scheduleFaults()
        scheduleSteering()
        scheduleOperator()
        scheduleRecordLoss()
        scheduleSnapshots()
        watchHealth()
        after(plan.safetySpan) { $0.heal() }
        while violation == nil, !isDone, let (moment, step) = queue.removeFirst() {
            now = moment
            events += 1
            step(self)
        }
        return SimulationResult(
            seed: options.seed,
            durability: options.durability,
            violation: violation,
            events: events,
            virtualNanoseconds: now,
            coverage: coverage,
            failovers: oracle.failovers,
            trace: trace
        )
    }

    /// Does that so many nanoseconds from now.
    func after(_ delay: UInt64, _ step: @escaping EventQueue.Step) { queue.add(at: now + delay, step) }

    /// Does that after a random number of microseconds.
    func soon(_ microseconds: ClosedRange<UInt64>, _ step: @escaping EventQueue.Step) {
        after(random.number(microseconds) * 1000, step)
    }

    func nextNumber() -> Int {
        lastNumber += 1
        return lastNumber
    }

    func trace(_ text: @autoclosure () -> String) {
        guard options.trace else { return }
        let micros = now / 1000
        let fraction = String(micros % 1_000_000 + 1_000_000).dropFirst()
        trace.append("\(micros / 1_000_000).\(fraction)  " + text())
    }

    func violate(_ invariant: String, _ text: String) {
        guard violation == nil else { return }
        violation = Violation(invariant: invariant, text: text, nanoseconds: now)
        trace("VIOLATION \(invariant): \(text)")
    }

    func breaks(_ rule: BrokenRule) -> Bool { options.brokenRule == rule && !options.isFair }

    var weakness: Weakness? { options.isFair ? nil : leftOut ?? options.brokenRule?.weakness }

    func local(_ host: Host) -> MonotonicInstant { host.clock.local(now) }

    func host(of name: InstanceName) -> Host? { hosts.first { $0.name == name } }

    func hostIndex(of endpoint: Endpoint) -> Int? { hosts.firstIndex { $0.spec.server == endpoint } }

    // MARK: Machines that stand still

    /// Does that on a host: at once, when it wakes, or never if it is off by then.
    func on(_ host: Host, _ step: @escaping EventQueue.Step) {
        guard host.isOn else { return }
        if host.isPaused { host.deferred.append(step) } else { step(self) }
    }

    /// Does that in this life of an agent: at once, when it thaws, or never.
    func inside(_ host: Host, _ agent: AgentProcess, _ step: @escaping EventQueue.Step) {
        guard host.isOn, host.agent === agent else { return }
        if host.isPaused {
            host.deferred.append { $0.inside(host, agent, step) }
        } else if agent.isFrozen {
            agent.deferred.append(step)
        } else {
            step(self)
        }
    }

    /// The next step of work that the agent's core asked for, unless it was cancelled meanwhile.
    func later(
        _ host: Host,
        _ agent: AgentProcess,
        _ id: ActionID,
        _ microseconds: ClosedRange<UInt64>,
        _ step: @escaping EventQueue.Step
    ) {
        later(host, agent, microseconds) { if !agent.cancelled.contains(id) { step($0) } }
    }

    func later(
        _ host: Host,
        _ agent: AgentProcess,
        _ microseconds: ClosedRange<UInt64>,
        _ step: @escaping EventQueue.Step
    ) {
        soon(microseconds) { $0.inside(host, agent, step) }
    }
}
