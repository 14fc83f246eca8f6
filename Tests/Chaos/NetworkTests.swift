import ChaosHosts
import Testing

@Suite("Chaos: rules of the switch")
struct NetworkTests {
    private func fates(_ count: Int, _ change: (inout LinkRule) -> Void) -> [[Duration]] {
        var rule = LinkRule()
        change(&rule)
        var chance = SeededChance(seed: 5)
        return (0..<count).map { _ in rule.fates(&chance) }
    }

    @Test("a perfect link passes each frame once and at once")
    func perfect() {
        let fates = fates(100) { _ in }
        #expect(fates.allSatisfy { $0 == [.zero] })
    }

    @Test("a cut link passes nothing")
    func cut() {
        let fates = fates(100) { $0.isCut = true }
        #expect(fates.count { $0.isEmpty } == 100)
    }

    @Test("loss and duplicates come about as often as asked")
    func loss() {
        let fates = fates(10_000) { rule in
            rule.lossPerMille = 100
            rule.duplicatePerMille = 200
        }
        let lost = fates.count(where: \.isEmpty)
        let doubled = fates.count { $0.count == 2 }
        #expect((800...1200).contains(lost))
        #expect((1500...2100).contains(doubled))
    }

    @Test("delay is the least, delay and jitter the most")
    func jitter() {
        let late = fates(1000) { rule in
            rule.delay = .milliseconds(20)
            rule.jitter = .milliseconds(30)
        }.flatMap { $0 }
        #expect(late.allSatisfy { (.milliseconds(20) ... .milliseconds(50)).contains($0) })
        #expect(Set(late).count > 100)
    }

    @Test("an overtaken frame is held back longer than the others")
    func reordering() {
        let late = fates(1000) { $0.reorderPerMille = 100 }.flatMap { $0 }
        #expect(Set(late) == [.zero, LinkRule.overtaking])
    }

    @Test("frames arrive when they are due, and in order where that is the same")
    func queue() {
        var queue = FrameQueue()
        for (frame, due) in [(1, 30), (2, 10), (3, 20), (4, 10)] {
            queue.push([UInt8(frame)], to: 0, due: UInt64(due))
        }
        #expect(queue.nextDue == 10)
        var order: [UInt8] = []
        while let item = queue.pop(by: 25) { order += item.frame }
        #expect(order == [2, 4, 3])
        #expect(queue.nextDue == 30)
    }

    @Test("a queue in random order comes out sorted")
    func heap() {
        var queue = FrameQueue()
        var chance = SeededChance(seed: 9)
        let due = (0..<500).map { _ in UInt64(chance.number(0...200)) }
        for moment in due { queue.push([], to: 0, due: moment) }
        var order: [UInt64] = []
        while let item = queue.pop(by: .max) { order.append(item.due) }
        #expect(order == due.sorted())
    }

    @Test("a full switch loses frames instead of growing")
    func limit() {
        var queue = FrameQueue()
        for _ in 0..<FrameQueue.limit + 10 { queue.push([], to: 0, due: 1) }
        var count = 0
        while queue.pop(by: 1) != nil { count += 1 }
        #expect(count == FrameQueue.limit)
    }
}
