import ClusterModel
import Testing

@testable import ClusterDecision

@Suite("A record that was lost or put back from an old copy")
struct RecordRebuildTests {
    /// A controller with nothing, or an old record; the agents keep what `desk.stored` was.
    private func forgetful(old: ClusterRecord?) throws -> (desk: Desk, lost: ClusterRecord) {
        var desk = try Desk.steady(.required)
        var lost = try #require(desk.stored)
        lost.version = RecordVersion(rawValue: 30)
        lost.pauseReason = "kept"
        desk.machine = ClusterMachine(spec: desk.machine.spec)
        desk.stored = old
        desk.tell(.recordLoaded(old))
        return (desk, lost)
    }

    private func members(
        _ names: [String],
        _ desk: inout Desk,
        promised: UInt64 = 30,
        rounds: Int = 5
    ) throws {
        let stamp = Stamp(term: Term(rawValue: 1), version: RecordVersion(rawValue: promised))
        for _ in 0..<rounds {
            for name in names where name == "a" {
                try desk.reportPrimary("a", streamingTo: ["b", "c"]) { $0.state.promised = stamp }
            }
            for name in names where name != "a" {
                try desk.report(name, receivingFrom: "a", after: .milliseconds(250)) { $0.state.promised = stamp }
            }
        }
    }

    @Test(
        "is rebuilt from the newest copy when all have answered, and its versions leap (R1)",
        arguments: [true, false]
    )
    func rebuilt(isLost: Bool) throws {
        var old = try #require(Desk.steady(.required).stored)
        old.version = RecordVersion(rawValue: 4)
        var (desk, lost) = try forgetful(old: isLost ? nil : old)
        desk.tell(.copy(try desk.member("b").name, lost))
        desk.tell(.copy(try desk.member("c").name, old))
        try members(["a", "b", "c"], &desk)
        lost.version = RecordVersion(rawValue: 30 + ClusterMachine.versionLeap)
        #expect(desk.stored == lost && desk.machine.record == lost)
        #expect(desk.told.contains { $0.kind == .record && $0.text.contains("that 'b' keeps") })
        // From then on it leads on: a primary is granted leases, members get the new copy.
        try members(["a", "b", "c"], &desk, promised: 1030)
        #expect(desk.leases.contains("a") && desk.copies.contains("1030 c"))
    }

    @Test("a copy that is newer than the record shows that the record is old, whatever the members accepted (R1)")
    func copyIsAhead() throws {
        var old = try #require(Desk.steady(.required).stored)
        old.version = RecordVersion(rawValue: 4)
        var (desk, lost) = try forgetful(old: old)
        desk.tell(.copy(try desk.member("b").name, lost))
        try members(["a", "b", "c"], &desk, promised: 4, rounds: 1)
        #expect(desk.copies.isEmpty, "an old record would be put in the newer one's place")
        try members(["a", "b", "c"], &desk, promised: 4)
        #expect(desk.stored?.version == RecordVersion(rawValue: 30 + ClusterMachine.versionLeap))
    }

    @Test("nobody is answered while the record is old: a primary goes on as without a leader (R1, R10)")
    func nobodyIsAnswered() throws {
        var old = try #require(Desk.steady(.required).stored)
        old.version = RecordVersion(rawValue: 4)
        var (desk, _) = try forgetful(old: old)
        let stamp = Stamp(term: Term(rawValue: 1), version: RecordVersion(rawValue: 30))
        for name in ["a", "b"] {
            let member = try desk.member(name)
            var report = InstanceReport(
                sequence: 1,
                state: InstanceState(),
                directory: .present(desk.number),
                server: .standby
            )
            report.state.incarnation = member.incarnation
            report.state.promised = stamp
            let actions = desk.machine.handle(.report(member.name, report), at: desk.now)
            #expect(!actions.contains { if case .answer = $0 { true } else { false } })
        }
        try members(["a", "b", "c"], &desk)
        #expect(desk.machine.waiting?.text.contains("no member that answers keeps a copy") == true)
        #expect(desk.stored == old)
    }

    @Test("once shown to be old it stays so, though whoever showed it has forgotten (R1)")
    func forgottenWitness() throws {
        var old = try #require(Desk.steady(.required).stored)
        old.version = RecordVersion(rawValue: 4)
        var (desk, lost) = try forgetful(old: old)
        let witness = try desk.member("c").name
        desk.tell(.copy(witness, lost))
        try members(["a", "b"], &desk, promised: 4, rounds: 1)
        // Its own volume is back in place of the one on which it had kept that.
        desk.tell(.disconnected(witness))
        desk.tell(.connected(witness))
        desk.tell(.copy(witness, old))
        try members(["a", "b", "c"], &desk, promised: 4)
        #expect(desk.stored == old)
        #expect(desk.machine.waiting?.text.contains("'c' told of term 1, record version 30") == true)
    }

    @Test("who went on from an old record as primary is not passed over: that is for people to say (R1)")
    func fork() throws {
        var old = try #require(Desk.steady(.required).stored)
        old.version = RecordVersion(rawValue: 10)
        old.term = Term(rawValue: 3)
        var (desk, _) = try forgetful(old: old)
        desk.tell(.copy(try desk.member("c").name, old))
        let other = Stamp(term: Term(rawValue: 2), version: RecordVersion(rawValue: 30))
        for _ in 0..<40 {
            for name in ["a", "c"] {
                try desk.report(name, after: .milliseconds(125)) { $0.state.promised = old.stamp }
            }
            try desk.report("b", after: .milliseconds(250)) { report in
                report.state.promised = other
                report.state.primaryOfTerm = other.term
            }
        }
        #expect(desk.stored == old)
        #expect(desk.machine.waiting?.text.contains("the cluster went on from an old record") == true)
    }

    @Test("a promise that nobody became primary by stands in nobody's way once all answer (R1)")
    func lonelyPromise() throws {
        var old = try #require(Desk.steady(.required).stored)
        old.version = RecordVersion(rawValue: 20)
        var (desk, _) = try forgetful(old: old)
        for name in ["a", "b"] { desk.tell(.copy(try desk.member(name).name, old)) }
        let lonely = Stamp(term: Term(rawValue: 2), version: RecordVersion(rawValue: 12))
        for _ in 0..<40 where desk.stored?.term == old.term {
            try desk.reportPrimary("a") { $0.state.promised = old.stamp }
            try desk.report("b", receivingFrom: "a", after: .milliseconds(250)) { $0.state.promised = old.stamp }
            try desk.report("c", after: .milliseconds(250)) { $0.state.promised = lonely }
        }
        #expect(desk.stored?.term == Term(rawValue: 3) && desk.stored?.version.rawValue ?? 0 > 1000)
    }

    @Test("is not rebuilt from a copy that some member knows to be older than what it accepted, unless all answer (R1)")
    func copyIsOlder() throws {
        var (desk, lost) = try forgetful(old: nil)
        desk.tell(.copy(try desk.member("b").name, lost))
        try members(["a", "b"], &desk, promised: 31, rounds: 9)
        #expect(desk.stored?.phase == .forming)
        #expect(desk.machine.waiting?.text.contains("accepted term 1, record version 31") == true)
    }

    @Test("with a member missing it takes the copy's primary, and too few missing to have made another (R1, R7)")
    func someAreMissing() throws {
        // Of b and c one answer makes no primary in this rule: two would be needed.
        var (desk, lost) = try forgetful(old: nil)
        desk.tell(.copy(try desk.member("b").name, lost))
        try members(["a", "b"], &desk, rounds: 9)
        #expect(desk.stored?.phase == .steady)
        // The primary is missing: it may have become of a later term, or given way to one.
        (desk, lost) = try forgetful(old: nil)
        desk.tell(.copy(try desk.member("b").name, lost))
        try members(["b", "c"], &desk, rounds: 9)
        #expect(desk.stored?.phase == .forming && desk.machine.waiting?.text.contains("missing: a") == true)
        // Both voters are: they suffice for a promotion.
        (desk, lost) = try forgetful(old: nil)
        desk.tell(.copy(try desk.member("a").name, lost))
        let stamp = lost.stamp
        for _ in 0..<9 {
            desk.now = desk.now + .milliseconds(400)
            try desk.reportPrimary("a") { $0.state.promised = stamp }
        }
        #expect(desk.stored?.phase == .forming && desk.machine.waiting?.text.contains("missing: b, c") == true)
        // While a term is prepared, who is missing may be its candidate.
        (desk, lost) = try forgetful(old: nil)
        lost.phase = .preparing
        desk.tell(.copy(try desk.member("b").name, lost))
        try members(["a", "b"], &desk, rounds: 9)
        #expect(desk.stored?.phase == .forming)
    }

    @Test("a copy that cannot be a record of this cluster is not taken (R1)")
    func hostileCopies() throws {
        var (desk, lost) = try forgetful(old: nil)
        lost.rules = []
        desk.tell(.copy(try desk.member("b").name, lost))
        try members(["a", "b", "c"], &desk)
        #expect(desk.stored?.phase == .forming)
        #expect(desk.machine.waiting?.text.contains("no record of this cluster") == true)
    }

    /// One reports as a standby of term 1 that accepted more than any copy shows.
    private func promisedMore(
        _ names: [String],
        _ desk: inout Desk,
        rounds: Int = 14,
        _ change: @escaping (inout InstanceReport) -> Void = { _ in }
    ) throws {
        for _ in 0..<rounds {
            try desk.reportPrimary("a", streamingTo: ["b", "c"]) {
                $0.state.promised = Stamp(term: Term(rawValue: 1), version: RecordVersion(rawValue: 30))
                $0.state.primaryOfTerm = Term(rawValue: 1)
            }
            for name in names {
                try desk.report(name, receivingFrom: "a", after: .milliseconds(250)) {
                    $0.state.promised = Stamp(term: Term(rawValue: 3), version: RecordVersion(rawValue: 33))
                    if name == "c" { change(&$0) }
                }
            }
        }
    }

    @Test("is rebuilt in a new term where members accepted more and nobody became primary by it (R1)")
    func acceptedMore() throws {
        var (desk, lost) = try forgetful(old: nil)
        desk.tell(.copy(try desk.member("b").name, lost))
        try promisedMore(["b", "c"], &desk, rounds: 12)
        let record = try #require(desk.stored)
        let written = desk.log.filter { $0.hasPrefix("store") }
        #expect(written.contains("store preparing"))
        #expect(record.term > Term(rawValue: 3) && record.version >= RecordVersion(rawValue: 1033))
        // What a lost rule may have demanded, all together hold.
        let all = [try desk.member("b"), try desk.member("c")]
        #expect(record.rules.contains { $0.voters == all && $0.required == 1 })
        // The primary in office answers: it goes on.
        let first = try desk.member("a")
        #expect(record.phase == .steady && record.primary == first.name)
    }

    @Test(
        "is not rebuilt where what was lost may have made somebody primary (R1)",
        arguments: ["missing", "primary", "timeline", "volume"]
    )
    func mayHaveSuccessor(what: String) throws {
        var (desk, lost) = try forgetful(old: nil)
        if what == "timeline" {
            // Whoever joined since may have lost data that were promoted, and others follow what those began.
            let newcomer = try desk.member("b")
            lost.members.removeAll { $0 == newcomer }
            lost.rules = [Rule(voters: lost.members.filter { $0.name != lost.primary }, required: 1, mode: .required)]
        }
        desk.tell(.copy(try desk.member("b").name, lost))
        try promisedMore(what == "missing" ? ["b"] : ["b", "c"], &desk) { report in
            switch what {
            case "primary": report.state.primaryOfTerm = Term(rawValue: 2)
            case "timeline": report.status?.position.timeline = Timeline(rawValue: 2)
            case "volume": report.state.incarnation = Incarnation(number: 7777)
            default: break
            }
        }
        #expect(desk.stored?.phase == .forming)
        #expect(desk.machine.waiting?.text.contains("accepted term 3, record version 33") == true)
    }

    @Test("a timeline taken by hand does not stand for a primary where no incarnation is new (R1, D110)")
    func timelineTakenByHand() throws {
        var (desk, lost) = try forgetful(old: nil)
        desk.tell(.copy(try desk.member("b").name, lost))
        try promisedMore(["b", "c"], &desk, rounds: 12) { $0.status?.position.timeline = Timeline(rawValue: 2) }
        let record = try #require(desk.stored)
        #expect(record.phase == .steady && record.primary == lost.primary)
        #expect(record.history.allSatisfy { $0.timeline == .first })
    }

    /// The copy's primary, down, says that it was in office of a later term, and released that.
    private func wentOn(_ desk: inout Desk, _ change: @escaping (inout InstanceReport) -> Void = { _ in }) throws {
        let stamp = Stamp(term: Term(rawValue: 2), version: RecordVersion(rawValue: 33))
        for _ in 0..<14 {
            try desk.report("a") { report in
                report.stoppedTimeline = .first
                report.state.role = .primary
                report.state.promised = stamp
                report.state.primaryOfTerm = stamp.term
                report.state.releasedTerm = stamp.term
                report.state.rules = [Rule(voters: [], required: 0, mode: .preferred)]
                report.server = .down
                report.status = nil
                change(&report)
            }
            for name in ["b", "c"] {
                try desk.report(name, after: .milliseconds(250)) { $0.state.promised = stamp }
            }
        }
    }

    @Test("a primary that went on in place in a lost term has no successor (R1, R16, D110)")
    func primaryWentOn() throws {
        var (desk, lost) = try forgetful(old: nil)
        desk.tell(.copy(try desk.member("b").name, lost))
        try wentOn(&desk)
        let record = try #require(desk.stored)
        #expect(record.phase == .preparing && record.term == Term(rawValue: 3) && record.primary == lost.primary)
        let last = try #require(record.history.last)
        #expect(last.term == Term(rawValue: 2) && last.timeline == .first && !last.why.isEmpty)
        // What was lost may have assigned a timeline for each term.
        #expect(record.highestTimeline > .first)
    }

    @Test("one that tells no timeline, or another, may have been promoted anew: it is waited for (R1, D110)")
    func timelineIsNotTold() throws {
        for told in [nil, Timeline(rawValue: 2)] {
            var (desk, lost) = try forgetful(old: nil)
            desk.tell(.copy(try desk.member("b").name, lost))
            try wentOn(&desk) { $0.stoppedTimeline = told }
            #expect(desk.stored?.phase == .forming && desk.machine.waiting?.rule == "R1")
        }
    }

    @Test("nothing is rebuilt in a new term while an order of the lost record may still be carried out (R1, R2)")
    func ordersRunOut() throws {
        var (desk, lost) = try forgetful(old: nil)
        desk.tell(.copy(try desk.member("b").name, lost))
        try promisedMore(["b", "c"], &desk, rounds: 9)
        #expect(desk.stored?.phase == .forming)
        // A candidate that was promoted at the last moment of its lease says so.
        try promisedMore(["b", "c"], &desk) { $0.state.primaryOfTerm = Term(rawValue: 3) }
        #expect(desk.stored?.phase == .forming)
    }

    @Test(
        "a lost rule of a single server holds: only the primary's own answer counts (R1, R12, D110)",
        arguments: [1, 2] as [UInt64]
    )
    func lostSingleServer(inOfficeOf term: UInt64) throws {
        var (desk, lost) = try forgetful(old: nil)
        lost.rules = [Rule(voters: lost.newestRule.voters, required: 1, mode: .preferred)]
        lost.pauseReason = nil
        desk.tell(.copy(try desk.member("b").name, lost))
        try wentOn(&desk) { report in
            report.state.primaryOfTerm = Term(rawValue: term)
            report.state.releasedTerm = Term(rawValue: term)
        }
        try desk.reportPrepared("b", term: 3)
        try desk.reportPrepared("c", term: 3)
        #expect(desk.stored?.phase == .preparing, "they may lack what it acknowledged alone")
        try desk.reportPrepared("a", term: 3)
        #expect(desk.stored?.phase == .promoting && desk.stored?.primary?.text == "a")
    }

    @Test("a primary that was promoted anew in a lost term is not taken for one that went on (R1, D110)")
    func primaryPromotedAnew() throws {
        for isInOffice in [true, false] {
            var (desk, lost) = try forgetful(old: nil)
            desk.tell(.copy(try desk.member("b").name, lost))
            try wentOn(&desk) { report in
                if isInOffice {
                    report.state.releasedTerm = Term(rawValue: 1)
                } else {
                    report.stoppedTimeline = Timeline(rawValue: 2)
                }
            }
            #expect(desk.stored?.phase == .forming)
        }
    }
}
