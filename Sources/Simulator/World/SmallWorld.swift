import ClusterDecision
import ClusterModel
import InstanceDecision

/// One record of WAL in a small world: its position is its place.
struct SmallRecord: Hashable {
    var timeline: UInt32
    /// Unique: a commit's number, or what stands for the switch to a timeline.
    var id: UInt32
}

/// A running server of a small world.
struct SmallServer: Hashable {
    var isPrimary = false
    var isUp = false
    /// Whom its settings point at.
    var upstream: Int?
    var names = ""
    var gateIsOpen = false
    var term: UInt64 = 0
    /// What it came out of recovery with.
    var recovered = 0
    /// For each host: how far its receiver is known to have flushed; nil without a connection.
    var known: [Int?]
    /// Commits that wait: places of their records.
    var pending: [Int] = []
}

/// One machine of a small world.
struct SmallHost: Hashable {
    var machine: InstanceMachine
    var state: InstanceState?
    var records: [SmallRecord] = []
    var incarnation: Incarnation?
    var wasPrimary = false
    var server: SmallServer?
    /// Long work under way.
    var work: InstanceAction?
    /// Start under way.
    var start: InstanceAction?
    /// Milliseconds since the beginning.
    var clock: UInt64 = 0
    /// Orders that are on their way; they come in any order, late, or never.
    var orders: [Order] = []
    var isIsolated = false
    /// The controller knows no connection.
    var isCutOff = false
    var copies: UInt32 = 0
}

/// One controller of a small world.
struct SmallController: Hashable {
    var machine: ClusterMachine
    /// Milliseconds since the beginning.
    var clock: UInt64 = 0
    /// A compare-and-swap under way.
    var store: ClusterRecord?
    var replaced = RecordVersion.none
}

/// What an exhaustive search may do, and how often.
struct SmallLimits: Hashable {
    var commits = 1
    var faults = 1
    var repeats = 1
    var jumps = 2
    var terms: UInt64 = 3
}

/// A cluster small enough to try everything: the production cores, and a world that is a value.
struct SmallWorld: Hashable {
    var spec: ClusterSpec
    var hosts: [SmallHost]
    var controllers: [SmallController]
    var record: ClusterRecord?
    var limits: SmallLimits
    /// What clients were promised, as one chain.
    var chain: [SmallRecord] = []
    var highestTerm: UInt64 = 0
    var lastCommit: UInt32 = 0
    var violation: String?
    var rule: BrokenRule?

    init(standbys: Int, controllers count: Int, durability: Durability, limits: SmallLimits, rule: BrokenRule?) {
        let names = ["a", "b", "c", "d"].compactMap { InstanceName($0) }
        let instances = names.prefix(standbys + 1).enumerated().map { index, name in
            InstanceSpec(name: name, server: Endpoint(host: name.text, port: UInt16(index + 1)))
        }
        guard let name = ClusterName("small") else { fatalError("the cluster's name is valid") }
        let spec = ClusterSpec(name: name, durability: durability, instances: instances)
        self.spec = spec
        self.limits = limits
        self.rule = rule
        hosts = instances.map { instance in
            var machine = InstanceMachine(
                configuration: InstanceConfiguration(name: instance.name, timings: spec.timings)
            )
            machine.weakness = rule?.weakness
            return SmallHost(machine: machine)
        }
        var machine = ClusterMachine(spec: spec)
        machine.weakness = rule?.weakness
        controllers = Array(repeating: SmallController(machine: machine), count: count)
    }

    static let start: UInt64 = 1_000_000_000_000
    /// Milliseconds: longer than every short retry and than a lease.
    static let jump: UInt64 = 3200

    func now(_ clock: UInt64) -> MonotonicInstant {
        MonotonicInstant(nanoseconds: SmallWorld.start + clock * 1_000_000)
    }

    // MARK: Agents

    mutating func give(_ event: InstanceEvent, to index: Int) {
        let actions = hosts[index].machine.handle(event, at: now(hosts[index].clock))
        perform(actions, index)
        hosts[index].machine.forgetStory()
    }

    mutating func perform(_ actions: [InstanceAction], _ index: Int) {
        var (isDown, attachesAnew) = (false, false)
        for action in actions {
            switch action {
            case .persist(let state):
                if let before = hosts[index].state, state.promised.term < before.promised.term {
                    violation = "I2: '\(spec.instances[index].name)' forgot a promise"
                }
                hosts[index].state = state
            case .start:
                hosts[index].start = action
                hosts[index].server = nil
            case .stop:
                hosts[index].start = nil
                endServer(index)
                isDown = true
            case .cutReceiver, .follow, .promote, .applyRules, .openClients, .checkpointFirst, .initialize, .clone,
                .makeReadyToRewind, .rewind, .inspect, .readLineage:
                hosts[index].work = action
            case .cancelWork(let id): if hosts[index].work?.id == id { hosts[index].work = nil }
            case .attach:
                hosts[index].work = nil
                attachesAnew = true
            case .armLease, .checkpoint, .report, .refuse, .askVoters, .answerPeer, .explain: break
            }
        }
        if attachesAnew { attach(index) }
        if isDown { give(.serverDown, to: index) }
    }

    mutating func endServer(_ index: Int) {
        if let server = hosts[index].server { hosts[index].wasPrimary = server.isPrimary }
        hosts[index].server = nil
        for other in hosts.indices { hosts[other].server?.known[index] = nil }
    }

    /// A new agent finds what the old one left.
    mutating func restartAgent(_ index: Int) {
        var machine = InstanceMachine(
            configuration: InstanceConfiguration(name: spec.instances[index].name, timings: spec.timings)
        )
        machine.weakness = rule?.weakness
        hosts[index].machine = machine
        hosts[index].work = nil
        if hosts[index].start != nil {
            // It finishes its start without anybody who waits for it.
            hosts[index].start = nil
            hosts[index].server = nil
        }
        attach(index)
    }

    mutating func attach(_ index: Int) {
        let host = hosts[index]
        let directory: DataDirectory = host.incarnation == nil ? .empty : .present(SmallWorld.system)
        let matches = host.incarnation != nil && host.incarnation == host.state?.incarnation
        let view: LauncherView = host.server == nil ? .down : .running(lease: .seconds(3))
        give(.attached(state: host.state, directory: directory, matches: matches, server: view), to: index)
    }

    static let system = SystemIdentifier(rawValue: 7)

    // MARK: Controllers

    mutating func tell(_ event: ClusterEvent, _ place: Int) {
        let actions = controllers[place].machine.handle(event, at: now(controllers[place].clock))
        for action in actions {
            switch action {
            case .store(let record, let replaced):
                controllers[place].store = record
                controllers[place].replaced = replaced
            case .load: tell(.recordLoaded(record), place)
            case .send(let order, let name): post(order, name)
            case .answer(let answer, let name):
                guard let index = hosts.indices.first(where: { spec.instances[$0].name == name }) else { continue }
                give(.answered(answer, sentAt: now(hosts[index].clock)), to: index)
            case .keepCopy, .explain, .concluded, .reply: break
            }
        }
        controllers[place].machine.forgetStory()
    }

    /// The newest few are kept: what is dropped is lost.
    private mutating func post(_ order: Order, _ name: InstanceName) {
        guard let index = hosts.indices.first(where: { spec.instances[$0].name == name }) else { return }
        guard !hosts[index].isIsolated, !hosts[index].isCutOff, !hosts[index].orders.contains(order) else { return }
        hosts[index].orders.append(order)
        if hosts[index].orders.count > 3 { hosts[index].orders.removeFirst() }
    }

    mutating func restartController(_ place: Int) {
        var machine = ClusterMachine(spec: spec)
        machine.weakness = rule?.weakness
        controllers[place].machine = machine
        controllers[place].store = nil
        tell(.recordLoaded(record), place)
    }

    /// The compare-and-swap reaches the store.
    mutating func swap(_ place: Int, isAnswered: Bool = true) {
        guard var wanted = controllers[place].store else { return }
        controllers[place].store = nil
        guard (record?.version ?? .none) == controllers[place].replaced else {
            return tell(.recordConflict(record), place)
        }
        if let record, wanted.term < record.term { violation = "I2: the record's term fell" }
        if rule == .voterSwap, let record { wanted = wanted.withoutSwap(after: record) }
        let isAsWanted = wanted == controllers[place].machine.wanted
        record = wanted
        guard isAnswered else { return tell(.recordUnknown(reason: "no answer"), place) }
        tell(isAsWanted ? .recordStored : .recordConflict(wanted), place)
    }
}
