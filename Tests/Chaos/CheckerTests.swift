import ChaosChecker
import Testing

@Suite("Chaos: the judges")
struct CheckerTests {
    @Test("a history in which all was kept is clean")
    func clean() {
        var forgery = Forgery()
        for number in 1...20 { forgery.add(number) }
        forgery.transfer(21)
        forgery.total(22, 800)
        forgery.register(.write, 23, from: 50, to: 60)
        forgery.register(.read, 24, from: 61, to: 62, value: 23)
        #expect(forgery.verdict().anomalies.isEmpty)
    }

    @Test("an acknowledged element that is missing is lost")
    func lostElement() {
        var forgery = Forgery()
        forgery.add(1)
        forgery.add(2, isFound: false)
        #expect(forgery.verdict().anomalies.map(\.number) == [2])
        #expect(forgery.wrongs == [.lostAcknowledged])
    }

    @Test("an acknowledged transfer that is missing is lost")
    func lostTransfer() {
        var forgery = Forgery()
        forgery.transfer(1, isFound: false)
        #expect(forgery.wrongs == [.lostAcknowledged])
    }

    @Test("an element of unknown fate may be there or not", arguments: [true, false])
    func unknown(isFound: Bool) {
        var forgery = Forgery()
        forgery.add(1, .unknown, isFound: isFound)
        #expect(forgery.verdict().anomalies.isEmpty)
    }

    @Test("an element that the server refused must not be there")
    func refused() {
        var forgery = Forgery()
        forgery.add(1, .failed, isFound: true)
        #expect(forgery.wrongs == [.unattempted])
    }

    @Test("an element that nobody tried must not be there")
    func stranger() {
        var forgery = Forgery()
        forgery.add(1)
        forgery.find(99)
        #expect(forgery.wrongs == [.unattempted])
    }

    @Test("a sum that is not what the accounts were given is wrong", arguments: [799, 801, 0])
    func sum(value: Int) {
        var forgery = Forgery()
        forgery.total(1, value)
        #expect(forgery.wrongs == [.wrongSum])
    }

    @Test("an older timeline that acknowledges what was sent after a newer one acknowledged is a second writer")
    func doubleWriter() {
        var forgery = Forgery()
        forgery.add(1, timeline: 1)
        forgery.add(2, timeline: 2)
        forgery.add(3, timeline: 1)
        #expect(forgery.verdict().anomalies.map(\.number) == [3])
        #expect(forgery.wrongs == [.doubleWriter])
    }

    @Test("an old acknowledgement that was only late is no second writer")
    func lateAnswer() {
        var forgery = Forgery()
        forgery.insert(
            Operation(.add, number: 1, outcome: .ok, invoked: 0, completed: 1000, timeline: 1)
        )
        forgery.find(1)
        forgery.add(2, timeline: 2)
        #expect(forgery.verdict().anomalies.isEmpty)
    }

    @Test("what an old primary left unanswered is no acknowledgement")
    func unansweredWriter() {
        var forgery = Forgery()
        forgery.add(1, timeline: 2)
        forgery.add(2, .unknown, timeline: 1)
        #expect(forgery.verdict().anomalies.isEmpty)
    }

    @Test("in async a loss within the limit is excused, one beyond is not")
    func lossLimit() {
        var forgery = Forgery()
        forgery.add(1, timeline: 1, position: 1000, isFound: false)
        forgery.insert(
            Operation(
                .add,
                number: 2,
                outcome: .ok,
                invoked: 2_000_000_000,
                completed: 3_000_000_000,
                timeline: 1,
                position: 9000
            )
        )
        let verdict = forgery.verdict(lossLimit: 2000)
        #expect(verdict.anomalies.filter { $0.kind == .lostAcknowledged }.map(\.number) == [1])
        #expect(verdict.excusedLosses == 1)
        #expect(forgery.verdict(lossLimit: 9000).excusedLosses == 2)
        #expect(forgery.verdict().count(.lostAcknowledged) == 2)
    }

    @Test("a log whose last line is an invocation leaves an unknown fate")
    func openEnd() {
        let first = LogEntry(.add, number: 1, client: 0, at: 5)
        var second = LogEntry(.add, number: 2, client: 0, at: 6)
        var done = second
        done.event = .ok
        done.at = 9
        second.server = "one"
        let history = History(entries: [first, second, done])
        #expect(history.operations.map(\.outcome) == [.unknown, .ok])
        #expect(history.operations.map(\.completed) == [.max, 9])
    }
}

@Suite("Chaos: registers")
struct RegisterTests {
    @Test("reads that follow their writes are linearizable")
    func sequential() {
        var forgery = Forgery()
        forgery.register(.read, 1, from: 0, to: 1, value: 0)
        forgery.register(.write, 2, from: 2, to: 3)
        forgery.register(.read, 3, from: 4, to: 5, value: 2)
        forgery.register(.write, 4, from: 6, to: 7)
        forgery.register(.read, 5, from: 8, to: 9, value: 4)
        #expect(forgery.verdict().anomalies.isEmpty)
    }

    @Test("a read of a value that was overwritten before it began is stale")
    func stale() {
        var forgery = Forgery()
        forgery.register(.write, 1, from: 0, to: 1)
        forgery.register(.write, 2, from: 2, to: 3)
        forgery.register(.read, 3, from: 4, to: 5, value: 1)
        #expect(forgery.wrongs == [.notLinearizable])
    }

    @Test("an acknowledged write that later reads do not know is lost")
    func lostWrite() {
        var forgery = Forgery()
        forgery.register(.write, 1, from: 0, to: 1)
        forgery.register(.read, 2, from: 2, to: 3, value: 0)
        #expect(forgery.wrongs == [.notLinearizable])
    }

    @Test("a write that came and went while another value was in force is lost")
    func skipped() {
        var forgery = Forgery()
        forgery.register(.write, 1, from: 0, to: 1)
        forgery.register(.write, 2, from: 3, to: 4)
        forgery.register(.read, 3, from: 6, to: 7, value: 1)
        #expect(forgery.verdict().anomalies.map(\.number) == [2])
    }

    @Test("two reads that go back and forth between two values are no order")
    func flicker() {
        var forgery = Forgery()
        forgery.register(.write, 1, from: 0, to: 10)
        forgery.register(.write, 2, from: 0, to: 10)
        forgery.register(.read, 3, from: 11, to: 12, value: 1)
        forgery.register(.read, 4, from: 13, to: 14, value: 2)
        forgery.register(.read, 5, from: 15, to: 16, value: 1)
        #expect(forgery.wrongs == [.notLinearizable])
    }

    @Test("concurrent writes may take either order")
    func concurrent() {
        for last in [1, 2] {
            var forgery = Forgery()
            forgery.register(.write, 1, from: 0, to: 10)
            forgery.register(.write, 2, from: 5, to: 15)
            forgery.register(.read, 3, from: 16, to: 17, value: last)
            #expect(forgery.verdict().anomalies.isEmpty, "with \(last) last")
        }
    }

    @Test("a value that nobody wrote, or whose write was refused, cannot be read")
    func invented() {
        var stranger = Forgery()
        stranger.register(.read, 1, from: 0, to: 1, value: 77)
        #expect(stranger.wrongs == [.notLinearizable])
        var refused = Forgery()
        refused.register(.write, 1, .failed, from: 0, to: 1)
        refused.register(.read, 2, from: 2, to: 3, value: 1)
        #expect(refused.wrongs == [.notLinearizable])
    }

    @Test("a value cannot be read before its write begins")
    func prophecy() {
        var forgery = Forgery()
        forgery.register(.read, 1, from: 0, to: 1, value: 2)
        forgery.register(.write, 2, from: 5, to: 6)
        #expect(forgery.wrongs == [.notLinearizable])
    }

    @Test("a write of unknown fate may come into force late, once, or never")
    func unknownWrite() {
        var late = Forgery()
        late.register(.write, 1, .unknown, from: 0, to: 0)
        late.register(.write, 2, from: 1, to: 2)
        late.register(.read, 3, from: 3, to: 4, value: 2)
        late.register(.read, 4, from: 5, to: 6, value: 1)
        #expect(late.verdict().anomalies.isEmpty)
        late.register(.read, 5, from: 7, to: 8, value: 2)
        #expect(late.wrongs == [.notLinearizable])
    }

    @Test("keys are judged each by itself")
    func keys() {
        var forgery = Forgery()
        forgery.register(.write, 1, from: 0, to: 1, key: 1)
        forgery.register(.read, 2, from: 2, to: 3, value: 0, key: 2)
        #expect(forgery.verdict().anomalies.isEmpty)
    }

    /// Every small history, judged against every order of its operations.
    @Test("the judge agrees with trying every order, in thousands of small histories")
    func exhaustive() {
        var checked = [true: 0, false: 0]
        for seed in 0..<4000 {
            let operations = SmallHistory.make(seed: UInt64(seed))
            var forgery = Forgery()
            for operation in operations { forgery.insert(operation) }
            let isClean = forgery.verdict().anomalies.isEmpty
            let isPossible = SmallHistory.hasOrder(operations)
            #expect(isClean == isPossible, "seed \(seed): \(operations)")
            checked[isPossible, default: 0] += 1
        }
        #expect((checked[true] ?? 0) > 200 && (checked[false] ?? 0) > 200, "\(checked)")
    }
}
