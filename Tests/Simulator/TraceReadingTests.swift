import ClusterModel
import InstanceDecision
import Testing

@testable import Simulation

/// What a second reading of the protocol found.
@Suite("Traces: the second reading")
struct ReadingTraces {
    @Test("the candidate's one write assigns timeline, primary and place among the voters (R7)")
    func oneWrite() {
        play(Setting(durability: .required), bites: [.without(.voterSwap, nil)]) { it in
            it.born()
            it.kill(it.a)
            it.until("a candidate is recorded") { $0.record.phase == .promoting }
            let before = it.script.records.last { $0.phase == .preparing }
            let written = it.record
            it.expect(
                "until then a was primary, of timeline 1",
                before?.primary == it.a.name && before?.history.count == 1
            )
            it.expect(
                "a takes the candidate's place",
                written.rules.first?.voters.contains { $0.name == it.a.name } == true
            )
            it.expect("its timeline is new", written.history.last?.timeline.rawValue == 2)
            // Whoever leads next finishes just that.
            it.restartController()
            it.until("it serves") { it in it.record.phase == .steady && it.leader.map(it.isOpen) ?? false }
            it.expect("no other was chosen", it.record.primaryMember == written.primaryMember && it.term == 2)
            it.heal()
        }
    }

    @Test("a long tail on an old timeline does not outrank the new one (R7)")
    func timelineFirst() {
        play(Setting(durability: .required), bites: [.without(.positionWithoutTimeline, "I3")], seeds: 1...4) { it in
            it.born()
            it.sever(it.a, it.b)
            it.sever(it.a, it.c)
            it.until("a has a long tail") { it in
                it.a.disk.folder.map { $0.flushed > it.world.oracle.chain.count + 12 } ?? false
            }
            it.crash(it.a)
            it.until("a candidate is recorded") { $0.record.phase == .promoting }
            it.cutOff(it.a)
            it.until("it is promised something") { $0.term == 2 && $0.world.oracle.chain.last?.timeline == 2 }
            let dead = it.leader === it.c ? it.c : it.b
            let heir = it.leader === it.c ? it.b : it.c
            it.kill(dead)
            it.pass(4)
            it.joinAll()
            it.until("its standby serves") { $0.isOpenPrimary(heir, since: 3) }
            it.heal()
        }
    }

    @Test("a former primary that waits to be rewound keeps its word until its data change (D105)")
    func waitsToBeRewound() {
        play(Setting(durability: .required), bites: [.weak(.earlyRewinding, nil)]) { it in
            it.born()
            it.sever(it.a, it.b)
            it.sever(it.a, it.c)
            it.crash(it.a)
            it.until("its successor serves") { it in it.leader !== it.a && it.leader.map(it.isOpen) ?? false }
            it.until("a is to be rewound") { $0.wasExplained("to be rewound") }
            it.expect("a is a voter", it.voters.contains("a"))
            let dead = it.leader === it.c ? it.c : it.b
            it.kill(dead)
            it.joinAll()
            it.until("the two that are left serve") { it in
                it.leader.map { $0 !== dead && it.isOpen($0) } ?? false
            }
            it.heal()
        }
    }

    @Test("a timeline taken by hand outranks nobody (D8)")
    func takenByHand() {
        play(Setting(durability: .required), seeds: 1...4) { it in
            it.born()
            it.act { $0.stopAgent(it.c) }
            it.sever(it.a, it.c)
            it.sever(it.b, it.c)
            it.until("a commit on a and b alone") { $0.isPromised(on: [$0.a, $0.b]) }
            it.act { world in if let server = it.c.server { world.endRecovery(it.c, server) } }
            it.until("c is out of recovery") { $0.c.server?.isPrimary == true }
            it.kill(it.c)
            it.script.holds = { [b = it.b] order, host in order.name == "prepare" && host === b }
            it.crash(it.a)
            it.until("a term begins") { $0.record.phase == .preparing }
            it.kill(it.a)
            it.join(it.b, it.c)
            it.revive(it.c)
            it.pass(2)
            it.script.holds = { _, _ in false }
            it.never("anybody is promoted without the commit", for: 8) { it in
                it.b.server?.isPrimary == true || it.c.server?.isPrimary == true
            }
            it.joinAll()
            it.revive(it.a)
            it.until("somebody serves") { it in it.term > 1 && it.leader.map(it.isOpen) ?? false }
            it.heal()
        }
    }

    @Test("a timeline taken by hand with the number that is assigned next counts for nobody (D82)")
    func numberTakenByHand() {
        play(Setting(durability: .required), seeds: 1...6) { it in
            it.born()
            it.act { $0.stopAgent(it.c) }
            it.sever(it.a, it.c)
            it.sever(it.b, it.c)
            it.act { world in if let server = it.c.server { world.endRecovery(it.c, server) } }
            it.until("c is out of recovery on timeline 2") { $0.c.server?.isPrimary == true }
            it.crash(it.a)
            it.until("another serves on timeline 2") { it in
                it.term == 2 && it.leader.map(it.isOpen) ?? false && it.world.oracle.chain.last?.timeline == 2
            }
            let dead = it.leader === it.a ? it.a : it.b
            let heir = it.leader === it.a ? it.b : it.a
            it.until("the other holds its commits") { $0.isPromised(on: [dead, heir]) }
            it.script.holds = { order, host in order.name == "prepare" && host === heir }
            it.crash(dead)
            it.until("a term begins") { $0.record.phase == .preparing }
            it.kill(dead)
            it.pass(2)
            it.kill(it.c)
            it.joinAll()
            it.revive(it.c)
            it.pass(2)
            it.script.holds = { _, _ in false }
            it.until("somebody serves") { it in it.term > 2 && it.leader.map(it.isOpen) ?? false }
            it.expect("it is not c", it.leader !== it.c)
            it.heal()
        }
    }

    @Test("an agent that slept does not call the heartbeats missing that it did not write (D83)")
    func sleptThroughHeartbeats() {
        var timings = Timings()
        timings.leaseDuration = .seconds(20)
        timings.hangTimeout = .seconds(5)
        play(Setting(durability: .required, timings: timings)) { it in
            it.born()
            it.act { $0.freezeAgent(it.a, Time.seconds(9)) }
            it.never("a is replaced", for: 20) { $0.term > 1 }
            it.heal()
        }
    }

    @Test(
        "a primary that hangs is replaced: its disk, its postmaster, or its stop that does not end (R9)",
        arguments: ["heartbeats are not flushed", "takes no new connections", "told to stop and does not end"]
    )
    func hangs(words: String) {
        var timings = Timings()
        timings.hangTimeout = .seconds(5)
        play(Setting(durability: .required, timings: timings)) { it in
            it.born()
            it.act { _ in it.a.hungUntil = .max }
            switch words.prefix(4) {
            case "hear": it.hang(it.a)
            case "take": it.act { $0.freezePostmaster(it.a, Time.seconds(60)) }
            default:
                it.ask(.switchover(to: it.b.name, by: "an operator", isDryRun: false))
                it.until("a shuts down") { $0.a.server?.isShuttingDown == true }
                it.hang(it.a)
            }
            it.until("another serves", within: 30) { it in
                it.leader !== it.a && it.term > 1 && it.leader.map(it.isOpen) ?? false
            }
            it.expect("and that is why", it.wasExplained(words))
            it.heal()
        }
    }

    @Test(
        "a promotion by hand beside an ordered one, on the same number, ends in one primary",
        arguments: [true, false]
    )
    func handBesideOrder(isCandidate: Bool) {
        play(Setting(durability: .required), seeds: 1...6) { it in
            it.born()
            it.kill(it.a)
            it.until("a candidate is recorded") { $0.record.phase == .promoting }
            let candidate = it.leader === it.c ? it.c : it.b
            let other = candidate === it.b ? it.c : it.b
            it.act { world in
                let host = isCandidate ? candidate : other
                if let server = host.server { world.endRecovery(host, server) }
            }
            it.pass(5)
            it.heal()
        }
    }

    @Test("comment-only history files of a promotion that did not come to its trigger do no harm (D6)")
    func commentFiles() {
        play(Setting(durability: .required), bites: [.without(.commentFiles, nil)]) { it in
            it.born()
            // Timeline 2 is used and given up, so that the next promotion needs a file for it.
            it.sever(it.a, it.c)
            it.until("a commit on a and b alone") { $0.isPromised(on: [$0.a, $0.b]) }
            it.kill(it.a)
            it.sever(it.b, it.c)
            it.until("b is promoted") { $0.b.server?.isPrimary == true }
            it.kill(it.b)
            it.joinAll()
            it.revive(it.a)
            it.until("files are placed for a third one") { it in
                it.hosts.contains { $0.disk.folder?.commentedTimeline ?? 0 > 0 }
            }
            let candidate = it.hosts.first { $0.disk.folder?.commentedTimeline ?? 0 > 0 } ?? it.a
            it.act { $0.killHost(candidate, Time.seconds(1)) }
            it.until("somebody serves", within: 60) { it in it.term > 2 && it.leader.map(it.isOpen) ?? false }
            it.heal()
        }
    }

    @Test("from its trigger on a candidate is a primary; one that is overtaken stops and comes back (R13)")
    func triggered() {
        play(Setting(durability: .required), bites: [.without(.opening, "I3")]) { it in
            it.born()
            it.kill(it.a)
            it.until("a promotion is triggered") { it in it.hosts.contains { $0.server?.isPromoting == true } }
            let first = it.hosts.first { $0.server?.isPromoting == true } ?? it.b
            let other = first === it.b ? it.c : it.b
            it.cutOff(first)
            it.sever(first, other)
            it.until("it is out of recovery") { _ in first.server?.isPrimary == true }
            it.revive(it.a)
            it.sever(first, it.a)
            it.until("another serves in a later term") { it in
                it.term > 2 && it.leader !== first && it.leader.map(it.isOpen) ?? false
            }
            it.expect("the first never opened", first.server?.hasOpened != true)
            it.heal()
        }
    }

    @Test("a member whose rewind did not end counts for nobody (R6)")
    func halfRewound() {
        play(Setting(durability: .required)) { it in
            it.born()
            it.sever(it.a, it.b)
            it.sever(it.a, it.c)
            it.until("a has a tail") { it in
                it.a.disk.folder.map { $0.flushed > it.world.oracle.chain.count + 2 } ?? false
            }
            it.crash(it.a)
            it.until("a candidate is recorded") { $0.record.phase == .promoting }
            it.join(it.a, it.b)
            it.join(it.a, it.c)
            it.until("a is half rewound") { $0.a.disk.folder?.isDamaged == true }
            it.act { $0.killHost(it.a, Time.milliseconds(200)) }
            let dead = it.leader === it.c ? it.c : it.b
            let voted = it.record.rules.contains { $0.voters.contains { $0.name == it.a.name } }
            it.kill(dead)
            it.expect("a is a voter still", voted)
            it.never("anybody is promoted by its answer", for: 12) { it in it.record.phase == .promoting }
            it.revive(dead)
            it.until("somebody serves") { it in it.term > 2 && it.leader.map(it.isOpen) ?? false }
            it.heal()
        }
    }

    @Test("a first primary of required opens when it has a voter, not before (R24)")
    func birth() {
        play(Setting(durability: .required), bites: [.without(.openingAtBirth, "I3")]) { it in
            it.sever(it.a, it.b)
            it.sever(it.a, it.c)
            it.until("a is primary") { $0.a.server?.isPrimary == true }
            it.never("it opens alone", for: 10) { $0.isOpen($0.a) }
            it.join(it.a, it.b)
            it.join(it.a, it.c)
            it.born()
            it.heal()
        }
    }

    @Test("leaving k = 0 is in force when a checkpoint has proven it (R12)")
    func leavingZero() {
        play(Setting(durability: .preferred, standbys: 1)) { it in
            it.born()
            it.kill(it.b)
            it.until("a is alone by its rule") { $0.record.newestRule.required == 0 && $0.record.rules.count == 1 }
            it.revive(it.b)
            it.until("commits wait for b again") { $0.record.rules.count == 1 && $0.voters == ["b"] }
            it.kill(it.a)
            it.until("b serves, with all of it") { $0.isOpenPrimary($0.b, since: 2) }
            it.heal()
        }
    }

    @Test("by a record older than its agents nothing is decided; it is rebuilt from their copies (R1)")
    func oldRecord() {
        play(Setting(durability: .required)) { it in
            it.born()
            let old = it.record
            it.kill(it.a)
            it.until("somebody serves in term 2") { it in it.term == 2 && it.leader.map(it.isOpen) ?? false }
            it.pass(1)
            let newest = it.record
            it.stopControllers()
            it.act { $0.store.record = old }
            it.startController()
            it.until("it is rebuilt") { $0.term == 2 }
            it.expect("it says why", it.wasExplained("the record is older than the cluster"))
            it.expect("with the same primary", it.record.primaryMember == newest.primaryMember)
            it.expect("and the same history", it.record.history == newest.history)
            it.heal()
            it.expect("no other term was needed", it.term == 2)
        }
    }

    @Test("a record that is rebuilt without the rule of a single server gives its commits to nobody else (R1, D110)")
    func lostRuleOfSingleServer() {
        play(Setting(durability: .preferred, standbys: 1)) { it in
            it.born()
            let old = it.record
            it.kill(it.b)
            it.until("a is a single server") { $0.record.newestRule.required == 0 && $0.record.rules.count == 1 }
            it.until("it acknowledged alone") { $0.isPromised(on: [$0.a]) }
            it.stopControllers()
            it.sever(it.a, it.b)
            it.act { world in
                world.store.record = nil
                for host in world.hosts { host.disk.copy = old }
            }
            it.crash(it.a)
            it.revive(it.b)
            it.script.holds = { [a = it.a] order, host in order.name == "prepare" && host === a }
            it.startController()
            it.until("it is rebuilt") { $0.term > 1 }
            it.never("b takes over", for: 8) { $0.b.server?.isPrimary == true }
            it.script.holds = { _, _ in false }
            it.until("a serves") { $0.isOpenPrimary($0.a, since: 2) }
            it.heal()
        }
    }

    @Test("a server that is held up in its shutdown ends when it goes on")
    func heldUpInShutdown() {
        play(Setting(durability: .required)) { it in
            it.born()
            let server = it.b.server
            it.act { $0.stopServer(it.b, .fast) }
            it.until("it shuts down") { _ in server?.isShuttingDown == true }
            it.act { _ in server?.isFrozen = true }
            it.never("it ends", for: 3) { _ in server?.isGone == true }
            it.act { _ in server?.isFrozen = false }
            it.until("it has ended", within: 5) { _ in server?.isGone == true }
            it.heal()
        }
    }

    @Test("a standby that is promoted by hand as it is cut does not answer on the assigned timeline (D111)")
    func promotedAsItIsCut() {
        play(Setting(durability: .required, standbys: 1), seeds: 1...6) { it in
            it.born()
            it.sever(it.a, it.b)
            it.cutOff(it.b)
            it.crash(it.a)
            it.until("a is primary on timeline 2") { $0.a.disk.folder?.timeline == 2 && $0.record.phase == .steady }
            it.script.holds = { [b = it.b] order, host in order.name == "prepare" && host === b }
            it.reconnect(it.b)
            it.kill(it.a)
            it.until("b is to answer in term 3") { it in it.term == 3 && it.lastOrder("prepare", to: it.b) != nil }
            it.act { world in if let server = it.b.server { world.endRecovery(it.b, server) } }
            it.deliver(it.lastOrder("prepare", to: it.b), to: it.b)
            it.script.holds = { _, _ in false }
            it.never("b is chosen", for: 8) { $0.leader === $0.b }
            it.joinAll()
            it.revive(it.a)
            it.until("a serves") { $0.isOpenPrimary($0.a, since: 3) }
            it.heal()
        }
    }

    @Test("what a person gives up is lost, and nothing else; one writer is not for sale (R19, D33)")
    func acceptedLoss() {
        play(Setting(durability: .required)) { it in
            it.born()
            it.sever(it.a, it.b)
            it.until("a commit on a and c alone") { $0.isPromised(on: [$0.a, $0.c]) }
            it.kill(it.a, it.c)
            it.pass(4)
            it.ask(.promote(it.b.name, acceptsDataLoss: false, isDryRun: false))
            it.pass(1)
            it.expect("the price is named first", it.wasReplied(.refused, "--accept-data-loss"))
            it.ask(.promote(it.b.name, acceptsDataLoss: true, isDryRun: false))
            it.pass(1)
            it.expect("then the old primary is asked about", it.wasReplied(.refused, "--old-primary-is-off"))
            it.expect("nothing was begun", it.term == 1)
            it.ask(.promote(it.b.name, acceptsDataLoss: true, oldPrimaryIsOff: true, isDryRun: false))
            let promised = it.world.oracle.chain.count
            it.until("b is primary") { $0.b.server?.isPrimary == true }
            it.expect("what only the others had is given up", it.world.oracle.chain.count < promised)
            it.heal()
            it.expect("b is in office still", it.leader === it.b)
        }
    }
}
