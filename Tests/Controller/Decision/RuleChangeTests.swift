import ClusterModel
import Testing

@testable import ClusterDecision

@Suite("Changes of voters, k and mode")
struct RuleChangeTests {
    private func step(
        _ desk: inout Desk,
        streaming: [String],
        silent: [String] = [],
        barrier: UInt64? = nil,
        flushed: UInt64 = 1000,
        after delay: Duration = .milliseconds(400)
    ) throws {
        for name in streaming where !silent.contains(name) {
            try desk.report(name, receivingFrom: "a", after: .milliseconds(1))
        }
        let senders = try streaming.map { name in
            SenderStatus(
                applicationName: try desk.member(name).applicationName,
                usesOwnSlot: true,
                state: "streaming",
                flushLSN: LSN(rawValue: flushed)
            )
        }
        let version = desk.stored?.version ?? .none
        desk.now = desk.now + delay
        try desk.reportPrimary("a") { report in
            report.status?.senders = senders
            report.confirmation = barrier.map { RuleConfirmation(version: version, barrier: LSN(rawValue: $0)) }
        }
    }

    private func pass(_ desk: inout Desk, _ seconds: Int, streaming: [String], silent: [String] = []) throws {
        for _ in 0..<(seconds * 5 / 2) { try step(&desk, streaming: streaming, silent: silent) }
    }

    private func rule(_ desk: Desk, _ required: Int, _ names: [String], _ mode: Durability) throws -> Rule {
        Rule(voters: try names.map(desk.member), required: required, mode: mode)
    }

    @Test("a voter that is gone for long is taken out: both rules recorded, names confirmed, barrier, new rule alone")
    func narrowing() throws {
        var desk = try Desk.steady(.required)
        try step(&desk, streaming: ["b", "c"])
        let before = try #require(desk.stored).rules
        try pass(&desk, 4, streaming: ["b"])
        #expect(desk.stored?.rules == before)
        desk.log = []
        try pass(&desk, 2, streaming: ["b"])
        let narrow = try rule(desk, 1, ["b"], .required)
        #expect(desk.stored?.rules == before + [narrow])
        #expect(desk.log.filter { !$0.hasPrefix("follow") }.prefix(2) == ["store steady", "govern a"])
        // Confirmed, but b has not flushed past the barrier.
        try step(&desk, streaming: ["b"], barrier: 1001)
        #expect(desk.stored?.rules.count == 2)
        try step(&desk, streaming: ["b"], barrier: 1001, flushed: 1001)
        #expect(desk.stored?.rules == [narrow])
    }

    @Test("a confirmation of an earlier version ends no change (R1)")
    func staleConfirmation() throws {
        var desk = try Desk.steady(.required)
        try step(&desk, streaming: ["b", "c"])
        try pass(&desk, 6, streaming: ["b"])
        #expect(desk.stored?.rules.count == 2)
        let earlier = RecordVersion(rawValue: 9)
        let name = try desk.member("b").applicationName
        try desk.reportPrimary("a") { report in
            report.confirmation = RuleConfirmation(version: earlier, barrier: .zero)
            report.status?.senders = [
                SenderStatus(applicationName: name, usesOwnSlot: true, state: "streaming", flushLSN: LSN(rawValue: 1))
            ]
        }
        #expect(desk.stored?.rules.count == 2)
    }

    @Test("required: k is never lowered; the cluster says whom commits wait for")
    func requiredWaits() throws {
        var desk = try Desk.steady(.required, ["a", "b"])
        try step(&desk, streaming: ["b"])
        let before = try #require(desk.stored).rules
        try pass(&desk, 30, streaming: [])
        #expect(desk.stored?.rules == before)
        #expect(desk.machine.waiting?.text.contains("commits wait: 1 of b") == true)
        try step(&desk, streaming: ["b"])
        #expect(desk.machine.waiting == nil)
    }

    @Test("what an agent reported before its connection broke makes nobody a voter (R12)")
    func reportOfAnEarlierConnection() throws {
        var desk = try Desk.steady(.required)
        try step(&desk, streaming: ["b", "c"])
        try pass(&desk, 6, streaming: ["b"])
        try step(&desk, streaming: ["b"], barrier: 1001, flushed: 1001)
        let narrow = try rule(desk, 1, ["b"], .required)
        #expect(desk.stored?.rules == [narrow])
        let name = try desk.member("c").name
        try desk.report("c", receivingFrom: "a")
        desk.tell(.disconnected(name))
        desk.now = desk.now + .milliseconds(100)
        desk.tell(.connected(name))
        try step(&desk, streaming: ["b", "c"], silent: ["c"])
        #expect(desk.stored?.rules == [narrow])
        try step(&desk, streaming: ["b", "c"])
        #expect(desk.stored?.rules == [narrow, try rule(desk, 1, ["b", "c"], .required)])
    }

    @Test("preferred: with all voters gone the fallback to k = 0 is recorded first, and taken back when one returns")
    func fallback() throws {
        var desk = try Desk.steady(.preferred)
        try step(&desk, streaming: ["b", "c"])
        try pass(&desk, 4, streaming: [])
        #expect(desk.stored?.rules.count == 1)
        desk.log = []
        try pass(&desk, 2, streaming: [])
        let single = try rule(desk, 0, [], .preferred)
        #expect(desk.stored?.rules.count == 2 && desk.stored?.newestRule == single)
        #expect(desk.log.filter { !$0.hasPrefix("follow") }.prefix(2) == ["store steady", "govern a"])
        try step(&desk, streaming: [], barrier: 5000)
        #expect(desk.stored?.rules == [single])
        // Back: both rules, then the barrier, then k = 1 alone.
        try pass(&desk, 2, streaming: ["c"])
        let back = try rule(desk, 1, ["c"], .preferred)
        #expect(desk.stored?.rules == [single, back])
        try step(&desk, streaming: ["c"], barrier: 6000, flushed: 6000)
        #expect(desk.stored?.rules == [back])
        try step(&desk, streaming: ["b", "c"])
        let wide = try rule(desk, 1, ["b", "c"], .preferred)
        #expect(desk.stored?.rules == [back, wide])
    }

    @Test("preferred: a voter whose agent is dead but that still streams keeps k at 1")
    func silentVoterCounts() throws {
        var desk = try Desk.steady(.preferred, ["a", "b"])
        try step(&desk, streaming: ["b"])
        let before = try #require(desk.stored).rules
        try pass(&desk, 10, streaming: ["b"], silent: ["b"])
        #expect(desk.stored?.rules == before)
    }

    @Test("at k = 0 nobody but the old primary can be promoted, and it is said (R7, R19)")
    func singleServer() throws {
        var desk = try Desk.steady(.preferred)
        var record = try #require(desk.stored)
        record.rules = [.birth(.preferred)]
        desk.stored = record
        desk.tell(.recordLoaded(record))
        try desk.reportRelease("a")
        for _ in 0..<4 {
            try desk.reportPrepared("b", term: 2)
            try desk.reportPrepared("c", term: 2)
        }
        #expect(desk.stored?.phase == .preparing)
        #expect(desk.machine.waiting?.text.contains("single server") == true)
        #expect(desk.log.contains("recover a"))
        try desk.reportPrepared("a", term: 2, at: 2000)
        #expect(desk.stored?.phase == .promoting && desk.stored?.primary?.text == "a")
    }

    @Test("a promotion whose old primary is gone begins with the narrowed rule (R7, R12)")
    func narrowedAtPromotion() throws {
        var desk = try Desk.steady(.required)
        try step(&desk, streaming: ["b", "c"])
        desk.tell(.disconnected(try desk.member("a").name))
        try desk.report("b")
        try desk.report("c")
        try desk.reportPrepared("b", term: 2)
        try desk.reportPrepared("c", term: 2)
        #expect(desk.stored?.primary?.text == "b")
        let expected = [try rule(desk, 1, ["a", "c"], .required), try rule(desk, 1, ["c"], .required)]
        #expect(desk.stored?.rules == expected)
    }

    @Test("one that only restarts stays a voter")
    func reachableStaysVoter() throws {
        var desk = try Desk.steady(.preferred)
        try step(&desk, streaming: ["b", "c"])
        try desk.reportRelease("a")
        try desk.reportPrepared("b", term: 2)
        try desk.reportPrepared("c", term: 2)
        let swapped = try rule(desk, 1, ["a", "c"], .preferred)
        #expect(desk.stored?.rules == [swapped])
    }

    /// b in office in term 2, promoted and not open yet.
    private func reportPromoted(_ desk: inout Desk, streaming: [String] = []) throws {
        let version = desk.stored?.version ?? .none
        let sure = desk.stored?.rules.count ?? 0 > 1
        try desk.reportPrimary("b", term: 2, streamingTo: streaming) { report in
            report.opened = false
            report.promotion = PromotionResult(
                term: Term(rawValue: 2),
                timeline: Timeline(rawValue: 2),
                switchLSN: LSN(rawValue: 1100),
                forkLSN: LSN(rawValue: 1000)
            )
            if sure { report.confirmation = RuleConfirmation(version: version, barrier: LSN(rawValue: 1100)) }
        }
    }

    @Test("1 + 1 in preferred goes on alone at once, in required it waits for a member", arguments: [1, 0])
    func changeAtPromotion(required: Int) throws {
        let mode: Durability = required == 1 ? .required : .preferred
        var desk = try Desk.steady(mode, ["a", "b"])
        try desk.reportRelease("a")
        try desk.reportPrepared("b", term: 2)
        let swapped = try rule(desk, 1, ["a"], mode)
        // Whatever becomes of the candidate, the old primary alone satisfies the rule (D100).
        #expect(desk.stored?.phase == .promoting && desk.stored?.rules == [swapped])
        let begin = desk.now
        for _ in 0..<4 { try reportPromoted(&desk) }
        #expect(desk.stored?.phase == .steady)
        #expect(desk.stored?.rules == (required == 1 ? [swapped] : [.birth(.preferred)]))
        #expect(desk.now - begin < .seconds(1))
        #expect(desk.log.contains("govern b") == (required == 0))
    }

    @Test(
        "a standby that follows the new primary at once is waited for; one that is gone is not",
        arguments: [true, false]
    )
    func voterThatFollows(isThere: Bool) throws {
        var desk = try Desk.steady(.preferred, ["a", "b"])
        try desk.reportRelease("a")
        try desk.reportPrepared("b", term: 2)
        #expect(desk.stored?.primary?.text == "b")
        try desk.reportShutDown("a", released: 1, prepared: 2, at: 1000)
        if !isThere { desk.tell(.disconnected(try desk.member("a").name)) }
        for _ in 0..<3 { try reportPromoted(&desk) }
        let swapped = try rule(desk, 1, ["a"], .preferred)
        #expect(desk.stored?.rules == (isThere ? [swapped] : [.birth(.preferred)]))
    }

    @Test("a controller that comes while a primary opens gives nobody up whom it cannot have heard yet (R11, R12)")
    func controllerComesBeforeOpening() throws {
        var first = try Desk.steady(.preferred, ["a", "b"])
        try first.reportRelease("a")
        try first.reportPrepared("b", term: 2)
        try reportPromoted(&first)
        var desk = try Desk(.preferred, ["a", "b"])
        var record = try #require(first.stored)
        record.rules = [try rule(first, 1, ["a"], .preferred)]
        desk.stored = record
        desk.tell(.recordLoaded(record))
        for _ in 0..<4 { try reportPromoted(&desk) }
        #expect(desk.stored?.rules == record.rules)
        for _ in 0..<10 where desk.stored?.rules == record.rules {
            desk.now = desk.now + .milliseconds(400)
            try reportPromoted(&desk)
        }
        #expect(desk.stored?.newestRule == .birth(.preferred))
    }

    @Test("1 + 1: a candidate that dies before it is primary leaves the old one free to go on (R7, D100)")
    func candidateDiesAlone() throws {
        var desk = try Desk.steady(.preferred, ["a", "b"])
        try desk.reportPrimary("a", streamingTo: ["b"])
        desk.tell(.disconnected(try desk.member("a").name))
        try desk.report("b")
        try desk.reportPrepared("b", term: 2)
        #expect(desk.stored?.phase == .promoting && desk.stored?.primary?.text == "b")
        // Back, with everything; now b's machine is gone for good.
        try desk.report("a", at: 1000) { $0.prepared = nil }
        desk.tell(.disconnected(try desk.member("b").name))
        try desk.report("a", at: 1000)
        #expect(desk.stored?.phase == .preparing && desk.stored?.term == Term(rawValue: 3))
        try desk.reportPrepared("a", term: 3)
        #expect(desk.stored?.phase == .promoting && desk.stored?.primary?.text == "a")
    }

    @Test("the mode changes by the same steps (R12)")
    func modeChange() throws {
        var desk = try Desk.steady(.preferred)
        var record = try #require(desk.stored)
        record.rules = [try rule(desk, 0, ["b", "c"], .async)]
        desk.stored = record
        desk.tell(.recordLoaded(record))
        try step(&desk, streaming: ["b", "c"])
        let next = try rule(desk, 1, ["b", "c"], .preferred)
        #expect(desk.stored?.rules == record.rules + [next])
        try step(&desk, streaming: ["b", "c"], barrier: 900)
        #expect(desk.stored?.rules == [next])
    }

    @Test("whose commits wait for nobody's disk is told once, and shown as long as it is so (R12)")
    func weakened() throws {
        var desk = try Desk.steady(.preferred)
        let line = "role app commits with synchronous_commit = off"
        for _ in 0..<3 { try desk.reportPrimary("a", streamingTo: ["b", "c"]) { $0.weakened = [line] } }
        #expect(desk.told.filter { $0.kind == .fault && $0.evidence == [line] }.count == 1)
        #expect(desk.machine.view(at: desk.now)?.warnings == [line])
        // What a standby says is of no account.
        try desk.report("b", receivingFrom: "a") { $0.weakened = ["else"] }
        #expect(desk.machine.view(at: desk.now)?.warnings == [line])
        try desk.reportPrimary("a", streamingTo: ["b", "c"])
        #expect(desk.machine.view(at: desk.now)?.warnings == [])
    }

    @Test("a change that can be completed is not overtaken, and its record holds no rule twice")
    func oneChangeAtATime() throws {
        var desk = try Desk.steady(.preferred)
        try step(&desk, streaming: ["b", "c"])
        try pass(&desk, 6, streaming: ["b"])
        let before = try #require(desk.stored).rules
        #expect(before.count == 2)
        // c is back before the primary has confirmed: the change is finished first.
        try step(&desk, streaming: ["b", "c"])
        #expect(desk.stored?.rules == before)
        // Now b is gone as well: the change cannot be completed. What replaces it is recorded already, and comes last.
        try pass(&desk, 1, streaming: ["c"])
        let narrow = try rule(desk, 1, ["b"], .preferred)
        let wide = try rule(desk, 1, ["b", "c"], .preferred)
        #expect(before == [wide, narrow])
        #expect(desk.stored?.rules == [narrow, wide])
    }
}

@Suite("Who should vote")
struct VoterPolicyTests {
    private let members: [MemberID] = ["b", "c", "d"].compactMap { text in
        InstanceName(text).map { MemberID(name: $0, incarnation: Incarnation(number: 1)) }
    }

    /// Every state of three members: 0 well, 1 streams without its agent, 2 missing, 3 given up; 4 streams, given up.
    private func views(_ states: Int) -> [VoterView] {
        members.indices.map { index in
            let state = [0, 1, 2, 3, 4][states / [1, 5, 25][index] % 5]
            return VoterView(
                member: members[index],
                flows: [0, 1, 4].contains(state),
                answers: state == 0,
                isLost: state >= 3
            )
        }
    }

    private func rules(_ mode: Durability) -> [Rule] {
        (0..<8).flatMap { set in
            let voters = members.indices.filter { set & (1 << $0) != 0 }.map { members[$0] }
            let least = mode == .async || voters.isEmpty ? 0 : 1
            return (least...(mode == .async ? 0 : voters.count)).map { Rule(voters: voters, required: $0, mode: mode) }
        }
    }

    @Test("in every state: what is begun can be completed, k stays within what was asked, and it settles at once")
    func everyState() {
        var begun = 0
        for mode in Durability.allCases {
            for target in 1...3 {
                let policy = VoterPolicy(mode: mode, target: target)
                for rule in Durability.allCases.flatMap(rules) {
                    for states in 0..<125 {
                        let views = views(states)
                        guard let next = policy.rule(after: rule, among: views) else { continue }
                        begun += 1
                        check(next, after: rule, policy, views)
                    }
                }
            }
        }
        #expect(begun > 10_000)
    }

    private func check(_ next: Rule, after rule: Rule, _ policy: VoterPolicy, _ views: [VoterView]) {
        let streaming = next.voters.filter { voter in views.contains { $0.member == voter && $0.flows } }.count
        #expect(next.mode == policy.mode && streaming >= next.required && next.voters.count >= next.required)
        switch policy.mode {
        case .async: #expect(next.required == 0)
        case .required:
            #expect(next.required == policy.target || (next.required == rule.required && rule.required > 0))
        case .preferred:
            #expect(next.required <= policy.target)
            // Never alone while somebody streams who was not given up.
            #expect(next.required > 0 || !views.contains { $0.isWell })
            #expect(next.required > 0 || next.voters.isEmpty)
        }
        #expect(policy.rule(after: next, among: views) == nil, "\(rule) to \(next) does not settle: \(views)")
    }
}
