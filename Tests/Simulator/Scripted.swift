import ClusterModel
import InstanceDecision
import Testing

@testable import Simulation

/// A simulated cluster that a test drives step by step; every step is void once a promise is broken.
final class Scripted {
    let world: World
    let script: Script
    /// A step that was waited for and did not come.
    private(set) var missing: String?

    init(_ setting: Setting, without rule: BrokenRule?, seed: UInt64) {
        let options = SimulationOptions(seed: seed, durability: setting.durability, brokenRule: rule, trace: true)
        world = World(options, setting)
        guard let script = world.script else { fatalError("a world of a setting has a script") }
        self.script = script
    }

    var a: Host { world.hosts[0] }
    var b: Host { world.hosts[1] }
    var c: Host { world.hosts[2] }
    var d: Host { world.hosts[3] }
    var hosts: [Host] { world.hosts }

    /// As stored.
    var record: ClusterRecord { world.store.record ?? ClusterRecord(forming: world.spec.name, mode: .required) }
    var term: UInt64 { record.term.rawValue }
    var leader: Host? { record.primary.flatMap { world.host(of: $0) } }
    var voters: [String] { record.newestRule.voters.map(\.name.text) }

    private var isOver: Bool { world.violation != nil || missing != nil }

    // MARK: Waiting

    /// Lets things happen until that is so; ends the script if it does not come to that.
    func until(_ what: String, within seconds: Int = 40, _ condition: (Scripted) -> Bool) {
        guard !isOver else { return }
        let came = world.run(for: Time.seconds(seconds)) { _ in condition(self) }
        if !came, world.violation == nil { missing = what }
    }

    /// Lets so much time pass.
    func pass(_ seconds: Int) {
        guard !isOver else { return }
        let end = world.now + Time.seconds(seconds)
        _ = world.run(for: Time.seconds(seconds)) { $0.now >= end }
    }

    /// Ends the script if that is not so now.
    func expect(_ what: String, _ condition: Bool) {
        if !isOver, !condition { missing = what }
    }

    /// Lets time pass in which that must not become so.
    func never(_ what: String, for seconds: Int, _ condition: (Scripted) -> Bool) {
        guard !isOver else { return }
        if world.run(for: Time.seconds(seconds), until: { _ in condition(self) }) { missing = "never: " + what }
    }

    /// A steady cluster in which everybody votes and clients are served.
    func born() {
        until("birth") { it in
            it.record.phase == .steady && it.record.rules.count == 1
                && it.record.newestRule.voters.count == it.hosts.count - 1
                && it.record.newestRule.mode == it.world.spec.durability
                && it.a.server?.hasOpened == true
                && it.hosts.dropFirst().allSatisfy { $0.disk.state?.role == .standby }
                && it.world.oracle.chain.count > 5
        }
        pass(1)
    }

    /// Everything is mended; ends well if a writable primary and all its standbys come back.
    func heal() {
        guard !isOver else { return }
        script.holds = { _, _ in false }
        script.losesAnswer = { _ in false }
        script.losesWrite = { _ in false }
        world.heal()
        until("all is well", within: 130) { $0.world.isDone }
    }

    // MARK: What is so

    /// Whether the last commit that clients were promised is on exactly these disks.
    func isPromised(on holders: [Host]) -> Bool {
        guard world.oracle.chain.last != nil else { return false }
        return hosts.allSatisfy { host in holds(host) == holders.contains { $0 === host } }
    }

    func holds(_ host: Host) -> Bool {
        let chain = world.oracle.chain
        guard let last = chain.last, let folder = host.disk.folder, folder.flushed >= chain.count else { return false }
        return folder.records[chain.count - 1].id == last.id
    }

    func isOpen(_ host: Host) -> Bool { host.server.map { $0.isPrimary && $0.gateIsOpen && !$0.isGone } ?? false }

    func isReceiving(_ host: Host, from source: Host) -> Bool {
        host.server?.receiver.map { $0.source == source.index && $0.receiverIsAlive } ?? false
    }

    func hasPrepared(_ host: Host, _ term: UInt64) -> Bool {
        guard let agent = host.agent else { return false }
        var machine = agent.machine
        return machine.report(at: world.local(host)).prepared?.term.rawValue == term
    }

    func isOpenPrimary(_ host: Host, since term: UInt64 = 1) -> Bool {
        record.phase == .steady && leader === host && self.term >= term && isOpen(host)
    }

    func wasExplained(_ words: String) -> Bool { script.explanations.contains { $0.description.contains(words) } }
    func wasRefused(_ words: String) -> Bool { script.refusals.contains { $0.reason.contains(words) } }

    func wasReplied(_ ending: CommandAnswer.Ending, _ words: String) -> Bool {
        script.replies.contains { $0.ending == ending && $0.text.contains(words) }
    }

    /// The latest order of that name to that host.
    func lastOrder(_ name: String, to host: Host, where isIt: (Order) -> Bool = { _ in true }) -> Order? {
        script.orders.last { $0.order.name == name && $0.host === host && isIt($0.order) }?.order
    }

    // MARK: What is done to it

    func act(_ step: (World) -> Void) {
        guard !isOver else { return }
        world.disturb(for: Time.seconds(20))
        step(world)
    }

    private var forever: UInt64 { Time.seconds(1_000_000) }

    func kill(_ hosts: Host...) { act { world in for host in hosts { world.killHost(host, forever) } } }
    func revive(_ hosts: Host...) { act { world in for host in hosts { world.powerOn(host) } } }
    func crash(_ host: Host) { act { $0.killPostmaster(host) } }
    func sever(_ one: Host, _ other: Host) { act { $0.network.sever(one.index, other.index) } }
    func join(_ one: Host, _ other: Host) { act { $0.network.join(one.index, other.index) } }
    func joinAll() { act { $0.network.heal() } }
    func block(_ one: Host, to other: Host) { act { $0.network.block(one.index, other.index) } }
    func cutOff(_ host: Host) { act { $0.cutOff(host, forever) } }
    func reconnect(_ host: Host) { act { $0.network.isCutOff[host.index] = false } }
    func hang(_ host: Host, _ isHung: Bool = true) { act { _ in host.disk.isHung = isHung } }
    func restartAgent(_ host: Host) {
        act { world in
            world.stopAgent(host)
            world.startAgent(host)
        }
    }
    func loseVolume(_ host: Host) {
        act { world in
            world.killHost(host, Time.milliseconds(300))
            host.disk = Disk()
            host.promised = .none
            world.oracle.volumeLostAt = world.now
        }
    }
    func stopControllers() { act { world in world.controllers.forEach(world.stopController) } }
    func startController() { act { $0.startController() } }
    func restartController() {
        stopControllers()
        startController()
    }
    func ask(_ command: ClusterCommand) { act { $0.command(command) } }

    /// An order comes: late, or once more.
    func deliver(_ order: Order?, to host: Host) {
        guard !isOver else { return }
        guard let order, let agent = host.agent else { return missing = "an order to deliver" }
        act { $0.give(.event(.order(order)), host, agent) }
    }
}

/// A point that is left out, and the invariant that must notice.
struct Bite {
    var rule: BrokenRule?
    var weakness: Weakness?
    /// Nil where the script cannot go on instead.
    var invariant: String?

    static func without(_ rule: BrokenRule, _ invariant: String?) -> Bite { Bite(rule: rule, invariant: invariant) }
    static func weak(_ weakness: Weakness, _ invariant: String?) -> Bite {
        Bite(weakness: weakness, invariant: invariant)
    }
}

/// Plays a script: fair it must come to its end; with a point left out it must not.
func play(
    _ setting: Setting,
    bites: [Bite] = [],
    seeds: ClosedRange<UInt64> = 1...3,
    sourceLocation: SourceLocation = #_sourceLocation,
    _ steps: (Scripted) -> Void
) {
    for seed in seeds {
        let fair = Scripted(setting, without: nil, seed: seed)
        steps(fair)
        let outcome = fair.world.violation.map { "\($0)" } ?? fair.missing
        guard let outcome else { continue }
        let story = fair.world.trace.suffix(120).joined(separator: "\n")
        Issue.record("seed \(seed): \(outcome)\n\(story)", sourceLocation: sourceLocation)
        return
    }
    for bite in bites {
        var weakened = setting
        weakened.weakness = bite.weakness
        var story = ""
        let endings = seeds.map { seed in
            let broken = Scripted(weakened, without: bite.rule, seed: seed)
            steps(broken)
            if story.isEmpty { story = broken.world.trace.suffix(120).joined(separator: "\n") }
            return broken.world.violation?.invariant ?? broken.missing.map { "missing: \($0)" } ?? "nothing"
        }
        let isNoticed = endings.contains { ending in
            bite.invariant.map { $0 == ending } ?? ending.hasPrefix("missing")
        }
        let point = bite.rule?.rawValue ?? bite.weakness?.rawValue ?? ""
        #expect(isNoticed, "without \(point): \(endings)\n\(story)", sourceLocation: sourceLocation)
    }
}
