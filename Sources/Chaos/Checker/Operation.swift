/// One line of a client's log: an operation begins, or its fate becomes known.
public struct LogEntry: Hashable, Sendable, Codable {
    /// What a client does.
    public enum Kind: String, Hashable, Sendable, Codable, CaseIterable {
        /// Adds a new element to a set that only grows.
        case add
        /// Moves an amount from one account to another.
        case transfer
        /// Reads the sum of all accounts in one statement.
        case total
        /// Gives a register a value that nobody else ever writes.
        case write
        /// Reads a register within a commit, so that the answer is as durable as a write.
        case read
    }

    /// What became of it.
    public enum Event: String, Hashable, Sendable, Codable {
        /// It was about to be sent.
        case invoked
        /// The server acknowledged it.
        case ok
        /// The server refused it: it did not happen and never will.
        case failed
        /// Nobody said: it happened, or did not, or still will.
        case unknown
    }

    /// Number of the operation; for `add`, `transfer` and `write` it is also what is stored.
    public var number: Int
    /// Number of the client, which does one thing after the other.
    public var client: Int
    /// What it does.
    public var kind: Kind
    /// What became of it.
    public var event: Event
    /// Nanoseconds on the clock of the machine that all clients run on.
    public var at: Int64
    /// The register; nil for the other kinds.
    public var key: Int?
    /// What was read: the register's value, or the sum.
    public var value: Int?
    /// The timeline that the server wrote to.
    public var timeline: UInt32?
    /// The end of the server's WAL while it worked on this.
    public var position: UInt64?
    /// The server that was asked.
    public var server: String?
    /// Why it failed.
    public var cause: String?

    /// Creates the first line of an operation.
    public init(_ kind: Kind, number: Int, client: Int, at: Int64, key: Int? = nil) {
        self.kind = kind
        self.number = number
        self.client = client
        self.at = at
        self.key = key
        event = .invoked
    }
}

/// An operation from its beginning to what became of it.
public struct Operation: Hashable, Sendable {
    /// The number, for `add`, `transfer` and `write` also what is stored.
    public var number: Int
    /// What it did.
    public var kind: LogEntry.Kind
    /// `ok`, `failed` or `unknown`.
    public var outcome: LogEntry.Event
    /// When it was sent.
    public var invoked: Int64
    /// When its fate was known; `Int64.max` if it is unknown, as it may still happen.
    public var completed: Int64
    /// The register.
    public var key: Int?
    /// What was read.
    public var value: Int?
    /// The timeline written to.
    public var timeline: UInt32?
    /// The end of the server's WAL.
    public var position: UInt64?

    /// Creates an operation from its parts.
    public init(
        _ kind: LogEntry.Kind,
        number: Int,
        outcome: LogEntry.Event,
        invoked: Int64,
        completed: Int64,
        key: Int? = nil,
        value: Int? = nil,
        timeline: UInt32? = nil,
        position: UInt64? = nil
    ) {
        self.kind = kind
        self.number = number
        self.outcome = outcome
        self.invoked = invoked
        self.completed = outcome == .unknown ? .max : completed
        self.key = key
        self.value = value
        self.timeline = timeline
        self.position = position
    }

    /// Whether an acknowledgement of it proves that the server could commit.
    public var isCommit: Bool { kind != .total }
}

/// What all clients did, in the order of their invocations.
public struct History: Hashable, Sendable {
    /// Every operation that was begun.
    public let operations: [Operation]

    /// Takes operations in any order.
    public init(_ operations: [Operation]) {
        self.operations = operations.sorted { ($0.invoked, $0.number) < ($1.invoked, $1.number) }
    }

    /// Pairs beginnings with ends; what has no end is unknown.
    public init(entries: [LogEntry]) {
        var open: [Int: LogEntry] = [:]
        var done: [Operation] = []
        for entry in entries {
            guard entry.event != .invoked else {
                open[entry.number] = entry
                continue
            }
            guard let first = open.removeValue(forKey: entry.number) else { continue }
            done.append(
                Operation(
                    first.kind,
                    number: first.number,
                    outcome: entry.event,
                    invoked: first.at,
                    completed: entry.at,
                    key: first.key,
                    value: entry.value,
                    timeline: entry.timeline,
                    position: entry.position
                )
            )
        }
        let endless = open.sorted { $0.key < $1.key }.map { _, entry in
            Operation(
                entry.kind,
                number: entry.number,
                outcome: .unknown,
                invoked: entry.at,
                completed: .max,
                key: entry.key
            )
        }
        self.init(done + endless)
    }

    /// The acknowledged operations of some kinds.
    func acknowledged(_ kinds: LogEntry.Kind...) -> [Operation] {
        operations.filter { $0.outcome == .ok && kinds.contains($0.kind) }
    }
}

/// What was found in the database when everything was over.
public struct FinalState: Hashable, Sendable {
    /// The elements of the set.
    public var elements: [Int]
    /// The numbers of the transfers that were entered in the ledger.
    public var transfers: [Int]

    /// Creates a final state.
    public init(elements: [Int], transfers: [Int]) {
        self.elements = elements
        self.transfers = transfers
    }
}
