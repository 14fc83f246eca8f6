import ClusterModel
import Testing

@testable import ClusterDecision

/// Where the record holds as many rules as it can, and none of them comes to its end.
@Suite("Changes of voters without room for another")
struct RuleRoomTests {
    private func copy(_ desk: Desk, _ name: String, _ number: UInt32) throws -> MemberID {
        MemberID(name: try desk.member(name).name, incarnation: Incarnation(number: number))
    }

    /// `a` in office; the voters of every recorded rule have lost their data since.
    private func full(_ mode: Durability) throws -> Desk {
        var desk = try Desk.steady(mode)
        var record = try #require(desk.stored)
        record.rules = try (1...5).map { number in
            Rule(voters: [try copy(desk, "b", number), try copy(desk, "c", number)], required: 1, mode: mode)
        }
        #expect(record.faults.isEmpty)
        desk.stored = record
        desk.tell(.recordLoaded(record))
        return desk
    }

    private func stream(_ desk: inout Desk, _ standbys: [String], barrier: UInt64? = nil) throws {
        for name in standbys { try desk.report(name, receivingFrom: "a", after: .milliseconds(1)) }
        let version = desk.stored?.version ?? .none
        desk.now = desk.now + .milliseconds(400)
        try desk.reportPrimary("a", streamingTo: standbys) { report in
            report.confirmation = barrier.map { RuleConfirmation(version: version, barrier: LSN(rawValue: $0)) }
        }
    }

    @Test("they give way to one that nobody meets, and that to the next (R12, D104)", arguments: [1, 0])
    func givesWay(isRequired: Int) throws {
        let mode: Durability = isRequired == 1 ? .required : .preferred
        var desk = try full(mode)
        try stream(&desk, ["b"])
        let next = Rule(voters: [try desk.member("b")], required: 1, mode: mode)
        let rules = try #require(desk.stored).rules
        #expect(rules.count == 2 && rules.last == next && rules.first?.isSingleServer == true)
        #expect(desk.stored?.faults == [])
        #expect(desk.log.contains("govern a"))
        #expect(desk.told.contains { $0.kind == .rules && $0.text.contains("nobody but 'a' itself") })
        try stream(&desk, ["b"], barrier: 900)
        #expect(desk.stored?.rules == [next])
    }

    @Test("until the next is in force only the primary's own answer permits a promotion (R7, D104)")
    func ownAnswerOnly() throws {
        var desk = try full(.required)
        try stream(&desk, ["b"])
        try desk.reportRelease("a")
        for _ in 0..<4 {
            try desk.reportPrepared("b", term: 2)
            try desk.reportPrepared("c", term: 2)
        }
        #expect(desk.stored?.phase == .preparing)
        #expect(desk.machine.waiting?.text.contains("no number of voters suffices") == true)
        try desk.reportPrepared("a", term: 2, at: 2000)
        #expect(desk.stored?.phase == .promoting && desk.stored?.primary?.text == "a")
        #expect(desk.stored?.rules.first?.isSingleServer == true)
    }

    @Test("voters whose senders may judge by older names are named still (R12, D104)")
    func sendersStayNamed() throws {
        var desk = try full(.required)
        var record = try #require(desk.stored)
        let (there, half) = (try desk.member("c"), try copy(desk, "b", 5))
        record.rules[2] = Rule(voters: [there], required: 1, mode: .required)
        desk.stored = record
        desk.tell(.recordLoaded(record))
        // The old copy of b is gone, and its sender is not yet.
        try desk.report("b", receivingFrom: "a", after: .milliseconds(1))
        let names = [try desk.member("b"), half].map(\.applicationName)
        desk.now = desk.now + .milliseconds(400)
        try desk.reportPrimary("a") { report in
            report.status?.senders = zip(names, ["streaming", "catchup"]).map { name, state in
                SenderStatus(applicationName: name, usesOwnSlot: true, state: state, flushLSN: LSN(rawValue: 1000))
            }
        }
        let merged = try #require(desk.stored?.rules.first)
        #expect(merged.required == 0 && merged.voters == [there, half].sorted())
    }

    @Test("with room left, rules are recorded beside each other as ever (D11)")
    func roomLeft() throws {
        var desk = try full(.required)
        var record = try #require(desk.stored)
        record.rules.removeLast()
        desk.stored = record
        desk.tell(.recordLoaded(record))
        try stream(&desk, ["b"])
        #expect(desk.stored?.rules.count == 5 && desk.stored?.rules.prefix(4) == record.rules[...])
    }
}

/// As a proof by exhaustion: every two rules over four standbys, every set of answers, every candidate.
@Suite("One rule instead of many")
struct MergedRuleTests {
    private let members: [MemberID] = ["a", "b", "c", "d", "e"].compactMap { text in
        InstanceName(text).map { MemberID(name: $0, incarnation: Incarnation(number: 1)) }
    }

    private func list(_ set: Int) -> [MemberID] { members.indices.filter { set & (1 << $0) != 0 }.map { members[$0] } }

    private var rules: [Rule] {
        (0..<16).flatMap { set -> [Rule] in
            let voters = list(set << 1)
            let synchronous = (voters.isEmpty ? 0...0 : 1...min(3, voters.count)).map {
                Rule(voters: voters, required: $0, mode: .required)
            }
            return synchronous + [Rule(voters: voters, required: 0, mode: .async)]
        }
    }

    /// Sets of answers that meet `taken`, and not every one of `dropped`.
    private func wronglyMet(_ taken: Rule, _ dropped: [Rule]) -> Int {
        (0..<32).count { set in taken.isMet(by: list(set)) && !dropped.allSatisfy { $0.isMet(by: list(set)) } }
    }

    /// The same, now and after the promotion of each member with the primary's own answer.
    private func mistakes(_ merge: ([Rule]) -> Rule, _ dropped: [Rule]) -> Int {
        let merged = merge(dropped)
        return members.reduce(wronglyMet(merged, dropped)) { count, candidate in
            let swapped = dropped.map { $0.promoting(candidate, replacing: members[0]) }
            return count + wronglyMet(merged.promoting(candidate, replacing: members[0]), swapped)
        }
    }

    @Test("whoever meets it meets all that it stands for, also after a promotion (R7, D104)")
    func standsForAll() {
        var tried = 0
        for one in rules {
            for other in rules {
                tried += 1
                #expect(mistakes({ Rule.metByNobody(insteadOf: $0) { _ in true } }, [one, other]) == 0)
                let merged = Rule.metByNobody(insteadOf: [one, other]) { _ in true }
                // Senders judge by the names of rules that are in force where commits wait for somebody.
                let named = [one, other].filter { $0.required > 0 }.flatMap(\.voters)
                #expect(named.allSatisfy(merged.voters.contains))
                #expect(merged.isSingleServer && merged.required == 0)
            }
        }
        #expect(tried > 1500)
    }

    @Test("the proof notices where the newest rule alone, or one of all voters, stands for the others")
    func proofNotices() {
        let (b, c, d) = (members[1], members[2], members[3])
        let rules = [
            Rule(voters: [b, c], required: 1, mode: .required), Rule(voters: [c, d], required: 1, mode: .required),
        ]
        #expect(mistakes({ $0[1] }, rules) > 0)
        #expect(mistakes({ Rule(voters: $0.flatMap(\.voters), required: 2, mode: .required) }, rules) > 0)
    }
}
