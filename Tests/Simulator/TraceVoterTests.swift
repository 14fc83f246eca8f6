import ClusterModel
import InstanceDecision
import Testing

@testable import Simulation

@Suite("Traces: voters and their rules")
struct VoterTraces {
    @Test("C1: the old primary takes its successor's place among the voters: one answer is not enough (R7)")
    func successorsPlace() {
        play(Setting(durability: .required), bites: [.without(.voterSwap, "I3")]) { it in
            it.born()
            it.sever(it.a, it.c)
            it.until("a commit on a and b alone") { $0.isPromised(on: [$0.a, $0.b]) }
            it.kill(it.a)
            it.sever(it.b, it.c)
            it.until("b is promoted") { $0.b.server?.isPrimary == true }
            it.kill(it.b)
            it.never("c is promoted without the commit", for: 15) { $0.c.server?.isPrimary == true }
            it.expect("it says whom it waits for", it.wasExplained("needed"))
            it.joinAll()
            it.revive(it.a)
            it.until("somebody serves again") { it in it.leader.map(it.isOpen) ?? false }
            it.heal()
        }
    }

    @Test("C2: a voter leaves only when the others have flushed past the barrier (R12)")
    func barrier() {
        play(Setting(durability: .required), bites: [.without(.changeWithoutBarrier, "I3")]) { it in
            it.born()
            it.hang(it.c)
            it.until("a commit on a and b alone") { $0.isPromised(on: [$0.a, $0.b]) }
            it.kill(it.b)
            it.until("the rule is changed for c alone") { $0.voters == ["c"] }
            it.pass(3)
            it.kill(it.a)
            it.hang(it.c, false)
            it.never("c is promoted without the commit", for: 10) { $0.c.server?.isPrimary == true }
            it.revive(it.a)
            it.until("a serves again") { $0.isOpen($0.a) }
            it.heal()
        }
    }

    @Test("C3: a lower k is in the record before it is in force (R12)")
    func lowerCount() {
        let setting = Setting(durability: .preferred, standbys: 3, synchronousStandbys: 2)
        play(setting) { it in
            it.born()
            it.script.losesWrite = { $0.rules.count > 1 && $0.term.rawValue == 1 }
            it.sever(it.a, it.c)
            it.sever(it.a, it.d)
            it.pass(12)
            let names = it.a.server?.names.required
            it.expect("what is not in the record is not in force", names == 2 || names == nil)
            it.kill(it.a)
            it.cutOff(it.b)
            // Of {b, c, d} these two are enough for k = 2, which is what the record says.
            it.until("c or d serves") { $0.isOpen($0.c) || $0.isOpen($0.d) }
            it.heal()
        }
    }

    @Test("C3: while k is being lowered a promotion satisfies the old rule and the new one (R12)")
    func lowerCountInterrupted() {
        let setting = Setting(durability: .preferred, standbys: 3, synchronousStandbys: 2)
        play(setting) { it in
            it.born()
            // The change begins, and its end is never recorded.
            it.script.losesWrite = { $0.phase == .steady && $0.rules.count == 1 }
            it.sever(it.a, it.c)
            it.sever(it.a, it.d)
            it.until("a commit on a and b alone") { $0.record.rules.count > 1 && $0.isPromised(on: [$0.a, $0.b]) }
            it.kill(it.a)
            it.cutOff(it.b)
            it.never("c or d is promoted without the commit", for: 12) { it in
                it.c.server?.isPrimary == true || it.d.server?.isPrimary == true
            }
            it.script.losesWrite = { _ in false }
            it.reconnect(it.b)
            it.until("b serves") { $0.isOpenPrimary($0.b, since: 2) }
            it.heal()
        }
    }

    @Test("C4: no change of voters ends that the primary has not confirmed (R12)")
    func confirmation() {
        play(Setting(durability: .required), bites: [.without(.changeUnconfirmed, "I3")]) { it in
            it.born()
            it.script.holds = { [a = it.a] order, host in order.name == "govern" && host === a }
            it.hang(it.c)
            it.cutOff(it.b)
            it.until("a rule without b is begun") { $0.voters == ["c"] }
            it.pass(2)
            it.until("a commit on a and b alone") { $0.isPromised(on: [$0.a, $0.b]) }
            it.kill(it.a)
            it.hang(it.c, false)
            it.never("c is promoted without the commit", for: 10) { $0.c.server?.isPrimary == true }
            it.reconnect(it.b)
            it.until("b serves") { $0.isOpenPrimary($0.b, since: 2) }
            it.heal()
        }
    }

    @Test("C5: a late copy of an earlier order of the same term is refused (R1)")
    func lateOrder() {
        let setting = Setting(durability: .preferred, standbys: 1)
        play(setting, bites: [.weak(.termOnly, nil)]) { it in
            it.born()
            it.kill(it.b)
            it.until("a is alone by its rule") { $0.record.rules == [Rule(voters: [], required: 0, mode: .preferred)] }
            let alone = it.lastOrder("govern", to: it.a) { order in
                if case .govern(let governance) = order.kind { governance.rules.last?.required == 0 } else { false }
            }
            it.revive(it.b)
            it.until("commits wait for b again") { it in
                it.record.rules.count == 1 && it.voters == ["b"] && it.isPromised(on: [it.a, it.b])
            }
            it.pass(1)
            it.sever(it.a, it.b)
            it.deliver(alone, to: it.a)
            it.pass(2)
            it.kill(it.a)
            it.until("b serves") { $0.isOpenPrimary($0.b, since: 2) }
            it.expect("it was refused", it.wasRefused("was accepted already"))
            it.heal()
        }
    }

    @Test("a store that loses writes stops no primary, though its voters are gone: commits wait (R10, D80)")
    func unknownRecord() {
        play(Setting(durability: .required)) { it in
            it.born()
            it.hang(it.c)
            it.sever(it.a, it.b)
            it.script.losesWrite = { _ in true }
            it.until("a rule without b is tried") { $0.wasExplained("the answer was lost") }
            let term = it.term
            it.never("a is stopped, or a term begins", for: 20) { !$0.isOpen($0.a) || $0.term > term }
            it.heal()
        }
    }

    @Test("C10: the recorded primary's own answer stands for voters that are gone for ever (R7)")
    func ownAnswer() {
        play(Setting(durability: .required), bites: [.weak(.noOwnAnswer, nil)]) { it in
            it.born()
            it.kill(it.c)
            it.crash(it.a)
            it.until("somebody serves without c") { it in it.term > 1 && it.leader.map(it.isOpen) ?? false }
            it.expect("c was not needed", !it.c.isOn)
            it.heal()
        }
    }

    @Test("C13: a member that comes back with another volume is not the voter whose name it bears (R5)")
    func lostVolume() {
        play(Setting(durability: .required), bites: [.without(.nameOnly, "I1")]) { it in
            it.born()
            let late = it.lastOrder("follow", to: it.c)
            it.cutOff(it.a)
            it.sever(it.a, it.b)
            it.sever(it.a, it.c)
            it.until("b or c serves in term 2") { it in it.term == 2 && it.leader.map(it.isOpen) ?? false }
            // Which of the two has lost nothing, plays the other's part.
            let successor = it.leader === it.c ? it.c : it.b
            let lost = it.leader === it.c ? it.b : it.c
            it.pass(1)
            it.script.holds = { _, host in host === lost }
            it.loseVolume(lost)
            it.join(it.a, lost)
            it.until("its agent is back") { _ in lost.agent.map { !$0.machine.isWithoutLauncher } ?? false }
            it.deliver(late, to: lost)
            it.until("it receives from the old primary") { $0.isReceiving(lost, from: $0.a) }
            it.pass(3)
            it.expect("the old primary runs on", it.isOpen(it.a))
            it.expect("the new one is in office", it.leader === successor)
            it.heal()
        }
    }

    @Test(
        "1 + 1: in required nothing opens before a member has joined; preferred is alone by its rule (R12, R23)"
    )
    func oneAndOne() {
        play(Setting(durability: .required, standbys: 1)) { it in
            it.born()
            it.kill(it.a)
            it.until("b is promoted") { $0.b.server?.isPrimary == true }
            it.never("b opens with what only it has", for: 15) { $0.isOpen($0.b) }
            it.heal()
        }
        play(Setting(durability: .preferred, standbys: 1)) { it in
            it.born()
            it.kill(it.a)
            it.until("b serves alone") { $0.isOpenPrimary($0.b, since: 2) }
            it.until("and is a single server by its rule") { $0.record.newestRule.required == 0 }
            it.heal()
        }
    }

    @Test("voters that lose their data again and again leave no dead end (R12, D104)")
    func lostAgainAndAgain() {
        play(Setting(durability: .required)) { it in
            it.born()
            it.script.holds = { [a = it.a] order, host in order.name == "govern" && host === a }
            for count in 2...5 {
                it.loseVolume(it.b)
                it.loseVolume(it.c)
                it.until("\(count) rules are recorded") { $0.record.rules.count == count }
            }
            it.loseVolume(it.b)
            it.loseVolume(it.c)
            it.until("one that nobody meets takes their place") { it in
                it.record.rules.count == 2 && it.record.rules.first?.isSingleServer == true
            }
            it.kill(it.a)
            it.never("anybody else is promoted", for: 10) { it in
                it.b.server?.isPrimary == true || it.c.server?.isPrimary == true
            }
            it.revive(it.a)
            it.script.holds = { _, _ in false }
            it.until("a serves again") { $0.isOpenPrimary($0.a, since: 2) }
            it.heal()
        }
    }
}
