/// What happens to frames in one direction between two ports of the switch.
package struct LinkRule: Hashable, Sendable {
    /// Nothing passes.
    package var isCut = false
    /// Every frame is this late.
    package var delay: Duration = .zero
    /// On top of the delay up to so much more, drawn for each frame.
    package var jitter: Duration = .zero
    /// So many of a thousand frames vanish.
    package var lossPerMille = 0
    /// So many of a thousand frames come twice.
    package var duplicatePerMille = 0
    /// So many of a thousand frames are overtaken by those sent within the next 10 ms.
    package var reorderPerMille = 0

    package static let perfect = LinkRule()
    package static let cut = {
        var rule = LinkRule()
        rule.isCut = true
        return rule
    }()

    package init() {}

    /// A frame that is overtaken is held back for so long.
    package static let overtaking = Duration.milliseconds(10)

    /// How late each copy of one frame is; none if it is lost.
    ///
    /// With jitter frames keep their order, as in a queue that fills and drains, unless `reorderPerMille` says so.
    package func fates(_ chance: inout SeededChance) -> [Duration] {
        if isCut || chance.chance(lossPerMille) { return [] }
        if self == Self.perfect { return [.zero] }
        var late = delay
        let spread = Int(jitter / .microseconds(1))
        if spread > 0 { late += .microseconds(chance.number(0...spread)) }
        if chance.chance(reorderPerMille) { late += Self.overtaking }
        return chance.chance(duplicatePerMille) ? [late, late] : [late]
    }
}

/// The rules of all links of a switch, by port from and port to.
package struct LinkTable: Hashable, Sendable {
    private var rules: [[LinkRule]]

    init(ports: Int) { rules = Array(repeating: Array(repeating: .perfect, count: ports), count: ports) }

    subscript(from: Int, to: Int) -> LinkRule {
        get { rules[from][to] }
        set { rules[from][to] = newValue }
    }
}

/// Frames under way, taken out in the order of their arrival; what arrives together stays in order.
package struct FrameQueue: Sendable {
    package struct Item: Sendable {
        package let due: UInt64
        package let number: UInt64
        package let port: Int
        package let frame: [UInt8]
    }

    private var heap: [Item] = []
    private var count: UInt64 = 0

    /// More frames than this under way are lost, as in any switch.
    package static let limit = 65536

    package init() {}

    package var nextDue: UInt64? { heap.first?.due }

    package mutating func push(_ frame: [UInt8], to port: Int, due: UInt64) {
        guard heap.count < Self.limit else { return }
        count += 1
        heap.append(Item(due: due, number: count, port: port, frame: frame))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard Self.isEarlier(heap[child], heap[parent]) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    /// The next frame that has arrived by now.
    package mutating func pop(by now: UInt64) -> Item? {
        guard let first = heap.first, first.due <= now else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return first }
        heap[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if Self.isEarlier(heap[child], heap[least]) { least = child }
            }
            if least == parent { return first }
            heap.swapAt(least, parent)
            parent = least
        }
    }

    private static func isEarlier(_ left: Item, _ right: Item) -> Bool {
        (left.due, left.number) < (right.due, right.number)
    }
}
