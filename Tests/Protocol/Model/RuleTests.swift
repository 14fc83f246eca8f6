import ClusterModel
import Testing

@Suite("Quorum rules")
struct RuleTests {
    private let members: [MemberID] = (1...5).compactMap { number in
        InstanceName("m\(number)").map { MemberID(name: $0, incarnation: Incarnation(number: UInt32(number))) }
    }

    private func subsets(_ of: [MemberID]) -> [[MemberID]] {
        (0..<(1 << of.count)).map { bits in of.indices.filter { bits & (1 << $0) != 0 }.map { of[$0] } }
    }

    @Test("every set of answers that suffices meets every set of k voters, for all V and k up to 4")
    func answersMeetEveryCommitQuorum() {
        var checked = 0
        for count in 1...4 {
            let voters = Array(members.prefix(count))
            for required in 1...count {
                let rule = Rule(voters: voters, required: required, mode: .required)
                for answered in subsets(voters) {
                    let quorums = subsets(voters).filter { $0.count == required }
                    let meetsAll = quorums.allSatisfy { quorum in quorum.contains(where: answered.contains) }
                    #expect(rule.isMet(by: answered) == meetsAll)
                    checked += 1
                }
            }
        }
        #expect(checked == 2 + 4 * 2 + 8 * 3 + 16 * 4)
    }

    @Test("after the swap every commit of the old rule is still on k of the new voters (R7)")
    func swapKeepsCommits() {
        let old = members[4]
        for count in 1...4 {
            let voters = Array(members.prefix(count))
            for required in 1...count {
                let rule = Rule(voters: voters, required: required, mode: .required)
                for candidate in voters {
                    let next = rule.promoting(candidate, replacing: old)
                    #expect(!next.voters.contains(candidate))
                    #expect(next.voters.count == count && next.required == required)
                    // The old primary holds everything; each holder but the candidate is still a voter.
                    for holders in subsets(voters) where holders.count >= required {
                        let kept = next.voters.filter { holders.contains($0) || $0 == old }
                        #expect(kept.count >= required)
                    }
                }
            }
        }
    }

    @Test("a candidate outside the voters leaves them as they are")
    func outsiderChangesNothing() {
        let rule = Rule(voters: Array(members.prefix(2)), required: 1, mode: .required)
        #expect(rule.promoting(members[3], replacing: members[4]) == rule)
    }

    @Test("the recorded primary that is its own successor leaves the voters as they are")
    func samePrimaryAgain() {
        let rule = Rule(voters: Array(members.prefix(2)), required: 1, mode: .required)
        #expect(rule.promoting(members[4], replacing: members[4]) == rule)
    }

    @Test("a rule without voters is met by nobody")
    func birthIsMetByNobody() {
        #expect(Rule.birth(.required).answersNeeded == nil)
        #expect(!Rule.birth(.async).isMet(by: members))
    }

    @Test("answers of others than voters do not count")
    func strangersDoNotCount() {
        let rule = Rule(voters: [members[0]], required: 1, mode: .required)
        #expect(!rule.isMet(by: [members[1], members[2]]))
    }

    @Test("in async half of the voters, rounded up, would grant, and the rest plus one promotes")
    func asyncGrants() {
        let needed = (1...4).map { Rule(voters: Array(members.prefix($0)), required: 0, mode: .async).answersNeeded }
        #expect(needed == [1, 2, 2, 3])
    }

    @Test("names are written as PostgreSQL reads them")
    func namesForPostgres() {
        let rule = Rule(voters: [members[1], members[0]], required: 1, mode: .required)
        #expect(rule.synchronousStandbyNames == "ANY 1 (m1_00000001, m2_00000002)")
        #expect(Rule.birth(.required).synchronousStandbyNames.isEmpty)
        #expect(!standbySynchronousNames.isEmpty)
    }
}
