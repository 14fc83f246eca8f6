import ClusterModel
import Testing

@testable import ClusterDecision

/// R12 as a proof by exhaustion: every pair of rules over four standbys with k up to 3, interrupted at every step,
/// every set of members gone, then a second failover at once.
@Suite("Changes of voters, k and mode: every interruption")
struct RuleProofTests {
    /// `a` is the primary; a set of members is a number with one bit each.
    private let members: [MemberID]
    private var rules: [Rule] = []
    /// For each rule: whether production finds it met, by set of answers.
    private var met: [[Bool]] = []
    /// For each rule: by which sets of standbys alone a commit can have been acknowledged.
    private var holders: [[Int]] = []

    init() throws {
        members = try ["a", "b", "c", "d", "e"].map { text in
            let name = try #require(InstanceName(text))
            return MemberID(name: name, incarnation: Incarnation(number: UInt32(text.utf8.first ?? 0)))
        }
        for voters in 0..<32 where voters & 1 == 0 {
            let count = voters.nonzeroBitCount
            for required in (count == 0 ? 0...0 : 1...min(3, count)) {
                _ = add(Rule(voters: list(voters), required: required, mode: .preferred))
            }
        }
    }

    private func list(_ set: Int) -> [MemberID] { members.indices.filter { set & (1 << $0) != 0 }.map { members[$0] } }

    private mutating func add(_ rule: Rule) -> Int {
        if let known = rules.firstIndex(of: rule) { return known }
        rules.append(rule)
        met.append((0..<32).map { rule.isMet(by: list($0)) })
        let voters = members.indices.filter { rule.voters.contains(members[$0]) }.map { 1 << $0 }.reduce(0, |)
        holders.append((0..<32).filter { $0 & ~voters == 0 && $0.nonzeroBitCount == rule.required })
        return rules.count - 1
    }

    /// The steps of R12 as the record and the names in force can stand at an interruption: the old rule alone, both
    /// with commits acknowledged by either, the new one alone.
    private func stages(_ old: Int, _ new: Int) -> [(recorded: [Int], inForce: [Int])] {
        [([old], [old]), ([old, new], [old]), ([old, new], [old, new]), ([old, new], [new]), ([new], [new])]
    }

    /// Sets of answers, without the primary's own, that permit a promotion.
    private func quorums(_ recorded: [Int], without primary: Int) -> [Int] {
        (0..<32).filter { set in set & (1 << primary) == 0 && recorded.allSatisfy { met[$0][set] } }
    }

    /// Counts acknowledged commits that a permitted promotion misses, at the first failover and at one right after it.
    private mutating func missed(
        _ stages: (Int, Int) -> [(recorded: [Int], inForce: [Int])]
    ) -> (worlds: Int, missed: Int) {
        var worlds = 0
        var missed = 0
        let count = rules.count
        // Every rule after every possible candidate, as production records it.
        var swapped: [[Int]] = []
        for index in 0..<count {
            let rule = rules[index]
            swapped.append((0..<5).map { add(rule.promoting(members[$0], replacing: members[0])) })
        }
        for old in 0..<count {
            for new in 0..<count {
                for stage in stages(old, new) {
                    let answers = quorums(stage.recorded, without: 0)
                    for commit in stage.inForce.flatMap({ holders[$0] }) {
                        for answered in answers {
                            worlds += 1
                            if answered & commit == 0 { missed += 1 }
                            missed += missedNext(stage.recorded, commit, answered, swapped)
                        }
                    }
                }
            }
        }
        return (worlds, missed)
    }

    /// The candidate is one of those that hold the commit; it dies at once, before anything was streamed.
    private func missedNext(_ recorded: [Int], _ commit: Int, _ answered: Int, _ swapped: [[Int]]) -> Int {
        var missed = 0
        for candidate in 1..<5 where answered & commit & (1 << candidate) != 0 {
            let next = recorded.map { swapped[$0][candidate] }
            let holding = (commit | 1) & ~(1 << candidate)
            for again in quorums(next, without: candidate) where again & holding == 0 { missed += 1 }
        }
        return missed
    }

    @Test("no acknowledged commit is missed, wherever the change stops and whoever is gone (R7, R12)")
    func nothingIsMissed() {
        var proof = self
        let result = proof.missed(stages)
        #expect(result.missed == 0)
        #expect(result.worlds > 50_000)
    }

    @Test("the proof notices a change that is recorded too late, or whose old rule is dropped too early")
    func proofNotices() {
        var late = self
        let namesFirst = late.missed { old, new in [([old], [old, new])] }
        #expect(namesFirst.missed > 0)
        var early = self
        let withoutBarrier = early.missed { old, new in [([new], [old, new])] }
        #expect(withoutBarrier.missed > 0)
    }

    @Test("the rule that a promotion begins with never admits a quorum that misses what the candidate holds (R12)")
    func promotionNarrows() {
        // Both rules are recorded until the barrier; afterwards the new one alone, everything on k of its voters.
        let policy = VoterPolicy(mode: .preferred, target: 3)
        var begun = 0
        for rule in rules {
            for prepared in 0..<16 {
                for reachable in 0..<16 {
                    let next = policy.ruleAtPromotion(
                        rule,
                        prepared: list(prepared << 1),
                        reachable: list(reachable << 1)
                    )
                    guard let next else { continue }
                    begun += 1
                    #expect(next != rule && next.required <= rule.required)
                    #expect(next.voters.allSatisfy(rule.voters.contains))
                    // Its barrier can be passed by those that follow at once: nothing waits for who is gone.
                    #expect(next.voters.filter(list(prepared << 1).contains).count >= next.required)
                }
            }
        }
        #expect(begun > 100)
    }
}

/// The same with the production controller deciding: a record at each stage, the primary gone, and every set of
/// standbys answering.
@Suite("Promotion in the middle of a change")
struct PromotionProofTests {
    private let names = ["b", "c", "d"]

    private func list(_ set: Int) -> [String] { names.indices.filter { set & (1 << $0) != 0 }.map { names[$0] } }

    private func rules(_ desk: Desk) throws -> [(rule: Rule, holders: [Set<String>])] {
        var found: [(Rule, [Set<String>])] = []
        for set in 0..<8 {
            let voters = list(set)
            for required in (voters.isEmpty ? 0...0 : 1...voters.count) {
                let rule = Rule(voters: try voters.map(desk.member), required: required, mode: .preferred)
                let holders = (0..<8).filter { $0 & ~set == 0 && $0.nonzeroBitCount == required }
                found.append((rule, holders.map { Set(list($0)) }))
            }
        }
        return found
    }

    @Test("whoever is promoted holds every commit that a rule in force acknowledged", arguments: 0..<4)
    func promotedHoldsAll(part: Int) throws {
        let desk = try Desk.steady(.preferred, ["a", "b", "c", "d"])
        let rules = try rules(desk)
        var promoted = 0
        for (index, old) in rules.enumerated() where index % 4 == part {
            for new in rules {
                for answered in 1..<8 {
                    let answers = list(answered)
                    for holders in old.holders + new.holders {
                        let candidate = try candidate(desk, [old.rule, new.rule], answers, holders)
                        guard let candidate else { continue }
                        promoted += 1
                        #expect(holders.contains(candidate), "\(old.rule), \(new.rule): \(answers), \(holders)")
                    }
                }
            }
        }
        #expect(promoted > 100)
    }

    /// Who is recorded as candidate when those answer; holders of the commit are ahead.
    private func candidate(
        _ start: Desk,
        _ rules: [Rule],
        _ answers: [String],
        _ holders: Set<String>
    ) throws -> String? {
        var desk = start
        var record = try #require(desk.stored)
        record.rules = rules[0] == rules[1] ? [rules[0]] : rules
        record.term = Term(rawValue: 2)
        record.phase = .preparing
        desk.stored = record
        desk.tell(.recordLoaded(record))
        for name in answers { try desk.reportPrepared(name, term: 2, at: holders.contains(name) ? 1000 : 900) }
        return desk.stored?.phase == .promoting ? desk.stored?.primary?.text : nil
    }
}
