/// One thing that should not be.
public struct Anomaly: Hashable, Sendable, CustomStringConvertible {
    /// What kind of wrong it is.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// It was acknowledged and is not there.
        case lostAcknowledged = "lost acknowledged"
        /// It is there, but nobody tried it, or the server had refused it.
        case unattempted = "never attempted"
        /// A server acknowledged on a timeline after a later timeline had acknowledged.
        case doubleWriter = "double writer"
        /// The accounts together did not hold what they were given.
        case wrongSum = "wrong sum"
        /// No order of the register's operations explains what was read.
        case notLinearizable = "not linearizable"
    }

    /// What kind of wrong it is.
    public let kind: Kind
    /// The operation.
    public let number: Int
    /// What was seen.
    public let detail: String

    /// Creates an anomaly.
    public init(_ kind: Kind, _ number: Int, _ detail: String) {
        self.kind = kind
        self.number = number
        self.detail = detail
    }

    /// For people.
    public var description: String { "\(kind.rawValue): operation \(number): \(detail)" }
}

/// What the clients were promised.
public struct Promise: Hashable, Sendable {
    /// The sum of all accounts.
    public var sum: Int
    /// In `async`: how many bytes of WAL a change of primary may lose; nil where nothing may be lost.
    public var lossLimit: UInt64?

    /// Creates a promise.
    public init(sum: Int, lossLimit: UInt64? = nil) {
        self.sum = sum
        self.lossLimit = lossLimit
    }
}

/// The judgement of a history.
public struct Verdict: Hashable, Sendable {
    /// Everything that is wrong.
    public var anomalies: [Anomaly] = []
    /// Acknowledged operations that are missing within what `async` may lose.
    public var excusedLosses = 0

    /// Judges what clients saw and what is left in the database.
    public init(of history: History, final: FinalState, promise: Promise) {
        let losses =
            SetJudge.losses(of: .add, in: history, found: final.elements)
            + SetJudge.losses(of: .transfer, in: history, found: final.transfers)
        let excused = promise.lossLimit.map { LossLimit.excused(losses, in: history, limit: $0) } ?? []
        excusedLosses = excused.count
        anomalies += losses.filter { !excused.contains($0.number) }.map { lost in
            Anomaly(.lostAcknowledged, lost.number, "\(lost.kind.rawValue) on timeline \(lost.timeline ?? 0) is gone")
        }
        anomalies += SetJudge.strangers(of: .add, in: history, found: final.elements)
        anomalies += SetJudge.strangers(of: .transfer, in: history, found: final.transfers)
        anomalies += WriterJudge.doubleWriters(in: history)
        anomalies += SumJudge.wrongSums(in: history, expected: promise.sum)
        // What `async` may lose was read before it was lost: there no order can explain every register.
        if promise.lossLimit == nil { anomalies += RegisterJudge.faults(in: history) }
    }

    /// How many anomalies are of a kind.
    public func count(_ kind: Anomaly.Kind) -> Int { anomalies.count { $0.kind == kind } }
}
