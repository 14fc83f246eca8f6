import ClusterModel
import InstanceDecision
import Testing

@testable import Simulation

@Suite("Traces: promotions, and what comes before and after")
struct PromotionTraces {
    @Test("C6: a new primary waits for its voters from the trigger on (R13)")
    func namesBeforeTrigger() {
        play(Setting(durability: .required), bites: [.without(.names, "I3")]) { it in
            it.born()
            it.sever(it.a, it.c)
            it.until("a commit on a and b alone") { $0.isPromised(on: [$0.a, $0.b]) }
            it.kill(it.a)
            it.until("b serves") { $0.isOpenPrimary($0.b, since: 2) }
            it.sever(it.b, it.c)
            it.pass(3)
            it.kill(it.b)
            it.until("c is promoted") { $0.c.server?.isPrimary == true }
            it.heal()
        }
    }

    @Test("C7: a promoted primary shows nothing before voters hold it (R23)")
    func opening() {
        play(Setting(durability: .required), bites: [.without(.opening, "I3")]) { it in
            it.born()
            it.sever(it.a, it.c)
            it.block(it.b, to: it.a)
            it.until("b holds what nobody was promised") { it in
                it.b.disk.folder.map { $0.flushed > it.world.oracle.chain.count + 2 } ?? false
            }
            it.kill(it.a)
            it.sever(it.b, it.c)
            it.until("b is promoted") { $0.b.server?.isPrimary == true }
            it.never("it opens alone", for: 8) { $0.isOpen($0.b) }
            it.join(it.b, it.c)
            it.until("it opens with c") { $0.isOpen($0.b) }
            it.heal()
        }
    }

    @Test("C8: after a crash PostgreSQL does not recover by itself, and shows nothing that nobody else has (R17)")
    func selfRestart() {
        play(Setting(durability: .required), bites: [.without(.selfRestart, "I3")]) { it in
            it.born()
            it.sever(it.a, it.b)
            it.sever(it.a, it.c)
            it.until("commits wait on a") { it in
                it.a.disk.folder.map { $0.flushed > it.world.oracle.chain.count + 2 } ?? false
            }
            it.crash(it.a)
            it.until("another serves") { it in it.term > 1 && it.leader !== it.a && it.leader.map(it.isOpen) ?? false }
            it.heal()
        }
    }

    @Test(
        "C9, A1: a change given up goes on in the new term, where it is, and all follow again",
        arguments: Durability.allCases
    )
    func goesOnInPlace(mode: Durability) {
        var timings = Timings()
        timings.leaseDuration = .seconds(12)
        play(Setting(durability: mode, timings: timings)) { it in
            it.born()
            let server = it.a.server?.number
            it.script.holds = { [c = it.c] order, host in order.name == "prepare" && host === c }
            it.cutOff(it.a)
            it.sever(it.a, it.b)
            it.sever(it.a, it.c)
            it.until("b has promised term 2") { $0.hasPrepared($0.b, 2) }
            let late = it.lastOrder("prepare", to: it.b)
            it.until("the broken connection is noticed") { it in
                it.a.leader.map { !$0.connections[it.a.index].isUp } ?? true
            }
            it.join(it.a, it.b)
            it.join(it.a, it.c)
            it.reconnect(it.a)
            it.until("a goes on in term 2") { it in
                it.record.phase == .steady && it.term == 2 && it.leader === it.a
                    && it.a.disk.state?.primaryOfTerm.rawValue == 2
            }
            it.until("b and c follow again") { $0.isReceiving($0.b, from: $0.a) && $0.isReceiving($0.c, from: $0.a) }
            for host in it.hosts { it.deliver(late, to: host) }
            it.pass(2)
            it.expect("what comes late is refused", it.wasRefused("was accepted already"))
            it.expect("it is the same server, on its timeline", it.a.server?.number == server)
            it.expect("nobody was promoted", it.world.oracle.failovers == 0)
            it.heal()
            it.expect("no further term was needed", it.term == 2)
        }
    }

    @Test("C11: a standby that connected to a new primary and received nothing outranks nobody (R6)")
    func connectedTimeline() {
        play(Setting(durability: .required), bites: [.without(.connectedTimeline, "I3")], seeds: 1...5) { it in
            it.born()
            it.sever(it.a, it.c)
            it.until("a commit on a and b alone") { $0.isPromised(on: [$0.a, $0.b]) }
            it.kill(it.a)
            it.sever(it.b, it.c)
            it.until("b is promoted") { $0.b.server?.isPrimary == true }
            it.pass(1)
            it.join(it.b, it.c)
            it.until("c connects") { $0.c.server?.receiver != nil }
            it.kill(it.b)
            // Else the old primary would be rewound to one that is gone.
            it.pass(4)
            it.joinAll()
            it.revive(it.a)
            it.until("a serves") { $0.isOpenPrimary($0.a, since: 3) }
            it.heal()
        }
    }

    @Test("C12: a timeline is taken once, also where nobody saw its first owner (R7, R13)")
    func assignedTimeline() {
        play(Setting(durability: .required), bites: [.without(.ownTimeline, "I8")]) { it in
            it.born()
            it.sever(it.a, it.c)
            it.until("a commit on a and b alone") { $0.isPromised(on: [$0.a, $0.b]) }
            it.kill(it.a)
            it.sever(it.b, it.c)
            it.until("b is promoted") { $0.b.server?.isPrimary == true }
            it.kill(it.b)
            it.joinAll()
            it.revive(it.a)
            it.until("a serves") { $0.isOpenPrimary($0.a, since: 3) }
            it.expect("on a timeline of its own", it.record.history.last?.timeline.rawValue == 3)
            it.heal()
        }
    }

    @Test("T3: after a restart the position is read when replay has ended, not before (R6)")
    func replayedPosition() {
        play(Setting(durability: .required), bites: [.without(.unreplayedPosition, "I3")], seeds: 1...8) { it in
            it.born()
            it.sever(it.a, it.c)
            it.until("a commit on a and b alone") { $0.isPromised(on: [$0.a, $0.b]) }
            it.crash(it.a)
            it.kill(it.b)
            it.until("a term begins") { $0.record.phase == .preparing }
            it.kill(it.a)
            it.joinAll()
            it.revive(it.b)
            it.until("b serves") { $0.isOpenPrimary($0.b, since: 2) }
            it.heal()
        }
    }

    @Test("T5, T6: a server is called down when its last process is gone (R4)")
    func lastProcess() {
        play(Setting(durability: .async), bites: [.without(.release, "I3")], seeds: 1...5) { it in
            it.born()
            it.crash(it.a)
            it.until("another serves") { it in it.term > 1 && it.leader.map(it.isOpen) ?? false }
            it.pass(5)
            it.heal()
        }
    }

    @Test("T12: WAL past the fork of a primary that nobody received from is eligible (R7)")
    func tailPastAFork() {
        play(Setting(durability: .required), bites: [.weak(.strictAncestry, nil)]) { it in
            it.born()
            it.sever(it.a, it.c)
            it.until("a commit on a and b alone") { $0.isPromised(on: [$0.a, $0.b]) }
            it.sever(it.a, it.b)
            it.until("a holds a tail of its own") { it in
                it.a.disk.folder.map { $0.flushed > it.world.oracle.chain.count + 2 } ?? false
            }
            it.kill(it.a)
            it.sever(it.b, it.c)
            it.until("b is promoted") { $0.b.server?.isPrimary == true }
            it.kill(it.b)
            it.joinAll()
            it.revive(it.a)
            it.until("a, the last to hold the commit, serves") { $0.isOpenPrimary($0.a, since: 3) }
            it.heal()
        }
    }

    @Test("T13: without a leader a crashed primary stays down, and is back when there is one (R4, R17)")
    func crashWithoutLeader() {
        play(Setting(durability: .required), bites: [.without(.selfRestart, nil)]) { it in
            it.born()
            it.stopControllers()
            it.crash(it.a)
            it.pass(1)
            it.never("anybody serves", for: 20) { it in it.hosts.contains(where: it.isOpen) }
            it.startController()
            it.until("somebody serves again") { it in it.leader.map(it.isOpen) ?? false }
            it.heal()
        }
    }

    @Test("T16: to follow is a promise, kept across the agent's life (R1)")
    func followPromises() {
        play(Setting(durability: .required), bites: [.without(.volatilePromise, "I2")]) { it in
            it.born()
            let late = it.lastOrder("follow", to: it.c)
            it.script.holds = { [c = it.c] order, host in order.name == "prepare" && host === c }
            it.crash(it.a)
            it.until("c follows in term 2") { $0.c.agent?.machine.state.promised.term.rawValue == 2 }
            it.pass(2)
            it.restartAgent(it.c)
            it.pass(1)
            it.deliver(late, to: it.c)
            it.pass(1)
            it.expect("the late order is refused", it.wasRefused("was accepted already"))
            it.heal()
        }
    }
}
