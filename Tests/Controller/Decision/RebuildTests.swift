import ClusterDecision
import ClusterModel
import Testing

@Suite("Making a member's data anew (R15)")
struct RebuildTests {
    private func steady(_ names: [String] = ["a", "b", "c"]) throws -> Desk {
        var desk = try Desk.steady(.required, names)
        for name in names.dropFirst() { try desk.report(name, receivingFrom: "a") }
        try desk.reportPrimary("a", streamingTo: Array(names.dropFirst()))
        desk.log = []
        desk.told = []
        return desk
    }

    private func ask(_ desk: inout Desk, _ name: String, mayWait: Bool = false, dryRun: Bool = false) throws -> String {
        let name = try #require(InstanceName(name))
        desk.ask(.rebuild(name, commitsMayWait: mayWait, isDryRun: dryRun))
        return try #require(desk.replies.last)
    }

    /// What the last order to that instance told it to discard.
    private func discarded(_ desk: inout Desk, _ name: String) throws -> [Incarnation?] {
        let member = try desk.member(name)
        var state = InstanceState()
        state.incarnation = member.incarnation
        state.role = .standby
        var report = InstanceReport(sequence: 1, state: state, directory: .present(desk.number), server: .standby)
        report.following = Following(term: Term(rawValue: 1), primary: try desk.member("a").name)
        desk.now = desk.now + .milliseconds(600)
        return desk.machine.handle(.report(member.name, report), at: desk.now).compactMap { action in
            guard case .send(let order, member.name) = action, case .follow(let plan) = order.kind else { return nil }
            return .some(plan.discard)
        }
    }

    @Test("a standby is told to discard until it has, and says so only for that incarnation")
    func told() throws {
        var desk = try steady()
        #expect(try ask(&desk, "b").hasPrefix("done: 'b' is made anew as a copy of 'a'"))
        let own = try desk.member("b").incarnation
        #expect(try discarded(&desk, "b") == [own])
        #expect(try discarded(&desk, "b") == [own])
        #expect(try discarded(&desk, "c") == [])
        #expect(desk.told.contains { $0.rule == "R15" && $0.evidence.contains { $0.contains("\(own)") } })
        try desk.report("b", receivingFrom: "a") { $0.state.incarnation = Incarnation(number: 77) }
        #expect(try discarded(&desk, "b").allSatisfy { $0 == nil })
    }

    @Test("the primary is never made anew, nor anybody while no primary serves: it may be the last copy (R19)")
    func lastCopy() throws {
        var desk = try steady()
        #expect(try ask(&desk, "a", mayWait: true).contains("refused: 'a' is the primary"))
        #expect(try ask(&desk, "x").contains("usage: there is no instance 'x'"))
        try desk.reportPrimary("a", streamingTo: ["b", "c"]) { $0.opened = false }
        #expect(try ask(&desk, "b", mayWait: true).contains("may be the last copy"))
        desk.tell(.disconnected(try desk.member("a").name))
        #expect(try ask(&desk, "b", mayWait: true).contains("may be the last copy"))
        #expect(!desk.log.contains("follow b") || desk.told.allSatisfy { $0.rule != "R15" })
    }

    @Test("a voter without which commits would wait is made anew only if that is accepted (R12)")
    func neededVoter() throws {
        var desk = try steady(["a", "b"])
        let refusal = try ask(&desk, "b")
        #expect(refusal.hasPrefix("refused: ") && refusal.contains("--commits-may-wait"))
        #expect(try ask(&desk, "b", dryRun: true).contains("would be refused: commits wait for 1 of b"))
        #expect(try discarded(&desk, "b") == [])
        #expect(try ask(&desk, "b", mayWait: true).hasPrefix("done: "))
        // One that does not stream is of no use to any commit.
        var other = try steady(["a", "b"])
        try other.reportPrimary("a", streamingTo: [])
        #expect(try ask(&other, "b").hasPrefix("done: "))
    }

    @Test("who was just told to discard its data counts no more for those that are asked about next")
    func twoInARow() throws {
        var desk = try steady()
        #expect(try ask(&desk, "b").hasPrefix("done: "))
        let refusal = try ask(&desk, "c")
        #expect(refusal.hasPrefix("refused: ") && refusal.contains("--commits-may-wait"), "\(refusal)")
        // In `async` nothing waits, but three copies at once are one too many.
        var free = try Desk.steady(.async, ["a", "b", "c", "d"])
        for name in ["b", "c", "d"] { try free.report(name, receivingFrom: "a") }
        try free.reportPrimary("a", streamingTo: ["b", "c", "d"])
        #expect(try ask(&free, "b").hasPrefix("done: "))
        #expect(try ask(&free, "c").hasPrefix("done: "))
        #expect(try ask(&free, "d").contains("b and c are being copied"))
    }

    @Test("a rehearsal changes nothing")
    func dryRun() throws {
        var desk = try steady()
        #expect(try ask(&desk, "b", dryRun: true).contains("'b' would be made anew"))
        #expect(try discarded(&desk, "b") == [])
    }

    @Test("no more than two are copied from the primary at once; the others wait for their turn")
    func copyLimit() throws {
        let names = ["a", "b", "c", "d", "e"]
        var desk = try Desk.steady(.async, names)
        try desk.reportPrimary("a")
        func empty(_ name: String, activity: String = "") throws {
            try desk.report(name) { report in
                report.state = InstanceState()
                report.directory = .empty
                report.server = .down
                report.status = nil
                report.activity = activity
            }
        }
        desk.log = []
        for name in names.dropFirst() { try empty(name) }
        #expect(desk.log.filter { $0.hasPrefix("follow") } == ["follow b", "follow c"])
        for name in ["b", "c"] { try empty(name, activity: "cloning") }
        desk.now = desk.now + .milliseconds(900)
        for name in ["b", "c"] { try empty(name, activity: "cloning: 3 of 9 MB") }
        desk.log = []
        for name in ["d", "e"] { try empty(name) }
        #expect(!desk.log.contains("follow d") && !desk.log.contains("follow e"))
        try desk.report("b", receivingFrom: "a")
        for name in ["d", "e"] { try empty(name) }
        #expect(desk.log.contains("follow d") && !desk.log.contains("follow e"))
    }
}
