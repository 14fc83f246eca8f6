import ClusterModel
import InstanceDecision

/// A cluster whose size and faults are not drawn but told, step by step.
struct Setting {
    var durability: Durability
    var standbys = 2
    var synchronousStandbys = 1
    var timings = Timings()
    /// Left out of both cores, beyond what a `BrokenRule` leaves out.
    var weakness: Weakness?
}

/// What a script holds back or loses, and what it saw.
final class Script {
    /// Kept from its receiver; to be delivered late, or never.
    var holds: (Order, Host) -> Bool = { _, _ in false }
    /// The controller's answer to a report does not arrive.
    var losesAnswer: (Host) -> Bool = { _ in false }
    /// The write is not done, and nobody learns that.
    var losesWrite: (ClusterRecord) -> Bool = { _ in false }
    /// Every order that was sent, in order of sending, delivered or not.
    var orders: [(order: Order, host: Host)] = []
    /// Every state of the record, in order of writing.
    var records: [ClusterRecord] = []
    /// From both cores.
    var explanations: [Explanation] = []
    var refusals: [OrderRefusal] = []
    var replies: [CommandAnswer] = []
}

extension World {
    /// A world of that setting, in which nothing goes wrong by itself.
    convenience init(_ options: SimulationOptions, _ setting: Setting) {
        self.init(options, setting: setting)
        plan.isScripted = true
        plan.isCalm = false
        plan.kinds = []
        plan.losesStoreAnswers = false
        script = Script()
        startController()
        for host in hosts { after(random.number(0...Time.milliseconds(300))) { $0.startAgent(host) } }
        scheduleClients()
        watchHealth()
    }

    /// Goes on until that is so, or the span is over; true if it is so and no promise was broken.
    func run(for span: UInt64, until isDone: (World) -> Bool) -> Bool {
        let deadline = now + span
        while violation == nil {
            if isDone(self) { return true }
            guard let (moment, step) = queue.removeFirst() else { return false }
            guard moment <= deadline else {
                queue.add(at: moment, step)
                now = deadline
                return isDone(self)
            }
            now = moment
            events += 1
            step(self)
        }
        return false
    }
}
