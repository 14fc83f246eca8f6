import ChaosChecker

/// Histories put together by hand, in which time is counted in steps.
struct Forgery {
    private(set) var operations: [Operation] = []
    private(set) var elements: [Int] = []
    private(set) var transfers: [Int] = []
    private(set) var time: Int64 = 0

    /// Adds an element and finds it in the end, unless it is to be lost.
    mutating func add(
        _ number: Int,
        _ outcome: LogEntry.Event = .ok,
        timeline: UInt32 = 1,
        position: UInt64? = nil,
        isFound: Bool? = nil
    ) {
        operations.append(
            Operation(
                .add,
                number: number,
                outcome: outcome,
                invoked: tick(),
                completed: tick(),
                timeline: timeline,
                position: position
            )
        )
        if isFound ?? (outcome == .ok) { elements.append(number) }
    }

    /// Transfers something.
    mutating func transfer(_ number: Int, isFound: Bool = true) {
        operations.append(
            Operation(.transfer, number: number, outcome: .ok, invoked: tick(), completed: tick(), timeline: 1)
        )
        if isFound { transfers.append(number) }
    }

    /// Reads the sum.
    mutating func total(_ number: Int, _ value: Int) {
        operations.append(
            Operation(.total, number: number, outcome: .ok, invoked: tick(), completed: tick(), value: value)
        )
    }

    /// Works on a register between two moments.
    mutating func register(
        _ kind: LogEntry.Kind,
        _ number: Int,
        _ outcome: LogEntry.Event = .ok,
        from: Int64,
        to: Int64,
        value: Int? = nil,
        key: Int = 1
    ) {
        operations.append(
            Operation(
                kind,
                number: number,
                outcome: outcome,
                invoked: from,
                completed: to,
                key: key,
                value: value,
                timeline: 1
            )
        )
    }

    /// Puts an operation in as it is.
    mutating func insert(_ operation: Operation) { operations.append(operation) }

    /// Finds something in the end that no operation of this forgery put there.
    mutating func find(_ element: Int) { elements.append(element) }

    func verdict(lossLimit: UInt64? = nil) -> Verdict {
        Verdict(
            of: History(operations),
            final: FinalState(elements: elements, transfers: transfers),
            promise: Promise(sum: 800, lossLimit: lossLimit)
        )
    }

    /// The kinds of what is wrong, once each.
    var wrongs: Set<Anomaly.Kind> { Set(verdict().anomalies.map(\.kind)) }

    private mutating func tick() -> Int64 {
        time += 1
        return time
    }
}
