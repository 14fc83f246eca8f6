import ClusterModel
import Testing

@testable import Simulation

@Suite("Traces: leases in async")
struct LeaseTraces {
    @Test("A2: with a confirmation a full lease is counted, and nobody opens before it is over (R3, D21)")
    func confirmationIsALease() {
        play(Setting(durability: .async), bites: [.without(.shortHorizon, "I1")]) { it in
            it.born()
            it.cutOff(it.b)
            it.until("b votes no more") { $0.record.rules.count == 1 && $0.voters == ["c"] }
            it.cutOff(it.a)
            it.sever(it.a, it.b)
            it.sever(it.a, it.c)
            it.until("c serves") { $0.isOpenPrimary($0.c, since: 2) }
            it.heal()
        }
    }

    @Test("A3: a change that the primary did not confirm ends nobody's vote (R12)")
    func unconfirmedChange() {
        play(Setting(durability: .async), bites: [.without(.changeUnconfirmed, nil)]) { it in
            it.born()
            it.script.holds = { [a = it.a] order, host in order.name == "govern" && host === a }
            it.cutOff(it.b)
            it.until("a rule without b is begun") { $0.voters == ["c"] }
            it.pass(2)
            it.kill(it.a)
            it.never("c alone is enough", for: 12) { $0.c.server?.isPrimary == true }
            it.reconnect(it.b)
            it.until("b or c serves") { it in it.term > 1 && it.leader.map(it.isOpen) ?? false }
            it.heal()
        }
    }

    @Test("A4: a primary that went on without a lease confirms its first voter only under one (R2)")
    func leaseBeforeFirstVoter() {
        let setting = Setting(durability: .async, standbys: 1)
        play(setting) { it in
            it.sever(it.a, it.b)
            it.until("a serves and has no voter") { $0.isOpen($0.a) && $0.voters.isEmpty }
            it.stopControllers()
            it.pass(10)
            it.expect("a runs on", it.isOpen(it.a))
            it.script.losesAnswer = { [a = it.a] host in host === a }
            it.joinAll()
            it.startController()
            it.until("b is to vote") { $0.record.rules.count > 1 }
            // No grant of a controller comes; b's agent grants one, and only then b may vote.
            it.until("that is confirmed") { $0.record.rules.count == 1 && $0.voters == ["b"] }
            it.expect("a holds a lease, and was never stopped", it.isOpen(it.a) && it.term == 1)
            it.expect("which b granted", it.wasExplained("extend the lease of term 1"))
            it.script.losesAnswer = { _ in false }
            it.until("b votes") { $0.record.rules.count == 1 && $0.voters == ["b"] }
            it.heal()
        }
    }

    @Test("T10: who lacks more than the limit of what was reported waits for the old primary (R8)")
    func beyondTheLimit() {
        play(Setting(durability: .async, standbys: 1), bites: [.without(.noLimit, "I3")]) { it in
            it.born()
            it.sever(it.a, it.b)
            it.until("a is far ahead") { it in
                guard let ahead = it.a.disk.folder, let behind = it.b.disk.folder else { return false }
                return ahead.flushedEnd > behind.flushedEnd + 60_000
            }
            it.pass(1)
            it.kill(it.a)
            it.never("b is promoted", for: 15) { $0.b.server?.isPrimary == true }
            it.expect("it says why", it.wasExplained("beyond maximumLagOnFailover"))
            it.heal()
        }
    }
}
