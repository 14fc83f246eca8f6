/// What will happen in the world, earliest first; at one moment in the order of scheduling.
struct EventQueue {
    typealias Step = (World) -> Void

    private struct Entry {
        var moment: UInt64
        var order: UInt64
        var step: Step

        func isBefore(_ other: Entry) -> Bool {
            moment != other.moment ? moment < other.moment : order < other.order
        }
    }

    private var heap: [Entry] = []
    private var scheduled: UInt64 = 0

    mutating func add(at moment: UInt64, _ step: @escaping Step) {
        scheduled += 1
        heap.append(Entry(moment: moment, order: scheduled, step: step))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].isBefore(heap[parent]) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    mutating func removeFirst() -> (moment: UInt64, step: Step)? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        if !heap.isEmpty {
            heap[0] = last
            sink()
        }
        return (first.moment, first.step)
    }

    private mutating func sink() {
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if heap[child].isBefore(heap[least]) { least = child }
            }
            guard least != parent else { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
