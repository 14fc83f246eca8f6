import ClusterDecision
import ClusterModel
import Testing

/// Controllers over one stored claim, in seeded virtual time: reads and writes take long, get lost, and controllers
/// freeze and die at any moment.
private struct Council {
    struct Member {
        var machine: LeadershipMachine
        let rate: UInt64
        var frozenUntil: UInt64 = 0
        var nextTick: UInt64 = 0
        var isDead = false
        var lifetime = 0
    }

    static let duration = Duration.seconds(3)
    var members: [Member] = []
    var stored: LeadershipClaim?
    var random: UInt64
    var now: UInt64 = 1
    /// What comes when, and for whom in which of its lives.
    var mail: [(at: UInt64, who: Int, lifetime: Int, event: LeadershipEvent)] = []
    var writes: [(at: UInt64, who: Int, lifetime: Int, claim: LeadershipClaim, version: UInt64?)] = []
    var turns = 0

    init(seed: UInt64, count: Int) {
        random = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        for index in 0..<count { members.append(Member(machine: Self.machine(index, 0), rate: 980 + pick(41))) }
    }

    private static func machine(_ index: Int, _ life: Int) -> LeadershipMachine {
        LeadershipMachine(
            holder: "\(index)-\(life)",
            address: Endpoint(host: "c", port: UInt16(index + 1)),
            duration: duration
        )
    }

    mutating func pick(_ bound: UInt64) -> UInt64 {
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        return random % bound
    }

    func local(_ who: Int) -> MonotonicInstant {
        MonotonicInstant(nanoseconds: UInt64(who + 1) << 40 + now / 1000 * members[who].rate)
    }

    func certain() -> [Int] {
        members.indices.filter { !members[$0].isDead && members[$0].machine.isCertain(at: local($0)) }
    }

    mutating func tell(_ who: Int, _ event: LeadershipEvent) {
        for action in members[who].machine.handle(event, at: local(who)) {
            let life = members[who].lifetime
            let delay = pick(20) == 0 ? pick(2_000_000_000) : 100_000 + pick(5_000_000)
            switch action {
            case .read:
                if pick(30) == 0 {
                    mail.append((now + delay, who, life, .failed(reason: "storage hangs")))
                } else {
                    mail.append((now + delay, who, life, .read(stored, holderIsDead: holderIsDead())))
                }
            case .store(let claim, let version): writes.append((now + delay, who, life, claim, version))
            case .began: turns += 1
            case .ended, .explain: break
            }
        }
        members[who].nextTick = now + 50_000_000
    }

    private func holderIsDead() -> Bool {
        guard let stored else { return false }
        return !members.indices.contains { !members[$0].isDead && "\($0)-\(members[$0].lifetime)" == stored.holder }
    }

    /// Five milliseconds of the world.
    mutating func step() {
        now += 5_000_000
        for write in writes.filter({ $0.at <= now }) {
            let isAlive = members[write.who].lifetime == write.lifetime && !members[write.who].isDead
            guard isAlive else { continue }
            let event: LeadershipEvent
            if stored?.version == write.version {
                stored = write.claim
                event = pick(15) == 0 ? .failed(reason: "the answer was lost") : .stored
            } else {
                event = .conflict(stored)
            }
            mail.append((now + 100_000 + pick(3_000_000), write.who, write.lifetime, event))
        }
        writes.removeAll { $0.at <= now }
        for letter in mail.filter({ $0.at <= now && members[$0.who].frozenUntil <= now }) {
            mail.removeAll { $0.at == letter.at && $0.who == letter.who && $0.event == letter.event }
            if members[letter.who].lifetime == letter.lifetime, !members[letter.who].isDead {
                tell(letter.who, letter.event)
            }
        }
        for who in members.indices where !members[who].isDead && members[who].frozenUntil <= now {
            if members[who].nextTick <= now { tell(who, .tick) }
        }
    }

    mutating func trouble() {
        let who = Int(pick(UInt64(members.count)))
        switch pick(3) {
        case 0: members[who].frozenUntil = now + pick(10_000_000_000)
        case 1: members[who].isDead = true
        default:
            guard members[who].isDead else { return }
            members[who].isDead = false
            members[who].lifetime += 1
            members[who].machine = Self.machine(who, members[who].lifetime)
        }
    }
}

@Suite("Leadership among controllers")
struct LeadershipTests {
    @Test("never are two certain to lead at once, whatever freezes, dies or is lost; in the end somebody is (R11)")
    func oneLeads() {
        var turns = 0
        for seed in UInt64(1)...12 {
            var council = Council(seed: seed, count: 2 + Int(seed % 2))
            for step in 1...6000 {
                council.step()
                if step.isMultiple(of: 140) { council.trouble() }
                if council.certain().count > 1 { Issue.record("two lead, seed \(seed), step \(step)") }
            }
            for who in council.members.indices where council.members[who].isDead {
                council.members[who].isDead = false
                council.members[who].lifetime += 1
                council.members[who].machine = LeadershipMachine(
                    holder: "\(who)-\(council.members[who].lifetime)",
                    address: Endpoint(host: "c", port: 1),
                    duration: Council.duration
                )
            }
            var waited = 0
            while council.certain().isEmpty, waited < 6000 {
                council.step()
                waited += 1
            }
            #expect(waited < 6000, "seed \(seed): nobody leads")
            turns += council.turns
        }
        #expect(turns > 40)
    }

    @Test("a leader that wakes after its turn is not certain of anything, and learns who leads (R11)")
    func frozenLeader() {
        var now = MonotonicInstant(nanoseconds: 1_000_000_000)
        let address = Endpoint(host: "one", port: 1)
        var machine = LeadershipMachine(holder: "one", address: address, duration: .seconds(3))
        #expect(machine.handle(.tick, at: now) == [.read])
        let claim = LeadershipClaim(holder: "one", address: address, turn: 1, version: 1)
        #expect(machine.handle(.read(nil, holderIsDead: false), at: now) == [.store(claim, replacing: nil)])
        let asked = now
        now = now + .milliseconds(50)
        #expect(machine.handle(.stored, at: now).contains(.began))
        #expect(machine.isCertain(at: asked + .milliseconds(2999)))
        #expect(!machine.isCertain(at: asked + .milliseconds(3000)))
        now = now + .seconds(20)
        #expect(!machine.isCertain(at: now) && machine.leads)
        let renewal = machine.handle(.tick, at: now)
        #expect(renewal.count == 1)
        let successor = LeadershipClaim(holder: "two", address: Endpoint(host: "two", port: 2), turn: 2, version: 7)
        #expect(machine.handle(.conflict(successor), at: now).contains(.ended))
        #expect(!machine.leads && machine.claim?.address.host == "two")
    }

    @Test("a rival's claim is taken over when it has not changed for long enough, and not before (R11)")
    func rivalGrowsOld() {
        var now = MonotonicInstant(nanoseconds: 1_000_000_000)
        var machine = LeadershipMachine(holder: "b", address: Endpoint(host: "b", port: 1), duration: .seconds(3))
        let first = now
        var claim = LeadershipClaim(holder: "a", address: Endpoint(host: "a", port: 1), turn: 1, version: 1)
        #expect(machine.handle(.tick, at: now) == [.read])
        _ = machine.handle(.read(claim, holderIsDead: false), at: now)
        now = first + .milliseconds(3249)
        _ = machine.handle(.tick, at: now)
        #expect(machine.handle(.read(claim, holderIsDead: false), at: now).isEmpty)
        claim.version = 2
        now = now + .milliseconds(300)
        _ = machine.handle(.tick, at: now)
        #expect(machine.handle(.read(claim, holderIsDead: false), at: now).isEmpty)
        now = now + .milliseconds(3250)
        _ = machine.handle(.tick, at: now)
        guard case .store(let taken, replacing: 2) = machine.handle(.read(claim, holderIsDead: false), at: now).last
        else {
            Issue.record("an old claim was not taken over")
            return
        }
        #expect(taken.turn == 2 && taken.version == 3)
    }

    @Test("a controller that is not certain to lead neither answers, grants nor writes (R11)")
    func uncertainDoesNothing() throws {
        var desk = try Desk.steady(.required)
        desk.tell(.leading(until: desk.now + .seconds(3)))
        try desk.reportPrimary("a")
        #expect(desk.leases == ["a"])
        desk.now = desk.now + .seconds(3)
        try desk.reportRelease("a")
        try desk.report("b")
        try desk.report("c")
        #expect(desk.leases == ["a"] && !desk.log.contains("store preparing"))
        desk.tell(.leading(until: desk.now + .seconds(3)))
        #expect(desk.log.contains("store preparing"))
    }
}
