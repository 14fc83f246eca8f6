/// Number of a primacy: strictly increasing in the cluster record, carried by every order (rule R1).
///
/// Zero means "none yet".
public struct Term: RawRepresentable, Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    /// 0 is none.
    public let rawValue: UInt64

    /// Creates a term from its number.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// No primacy yet.
    public static let none = Term(rawValue: 0)

    /// The term after this one.
    public var next: Term { Term(rawValue: rawValue + 1) }

    /// By number.
    public static func < (left: Term, right: Term) -> Bool { left.rawValue < right.rawValue }
    /// For people: logs, history and command line.
    public var description: String { "\(rawValue)" }
}

/// Version of the cluster record: grows by one with every compare-and-swap.
public struct RecordVersion: RawRepresentable, Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    /// 0 is none.
    public let rawValue: UInt64

    /// Creates a record version from its number.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// No record yet.
    public static let none = RecordVersion(rawValue: 0)

    /// The version after this one.
    public var next: RecordVersion { RecordVersion(rawValue: rawValue + 1) }

    /// By number.
    public static func < (left: RecordVersion, right: RecordVersion) -> Bool { left.rawValue < right.rawValue }
    /// For people: logs, history and command line.
    public var description: String { "\(rawValue)" }
}

/// What an order was decided under: an agent refuses an order if either part is below what it accepted (R1).
public struct Stamp: Hashable, Sendable, Codable, CustomStringConvertible {
    /// Of the record at that moment.
    public var term: Term
    /// Of the record at that moment.
    public var version: RecordVersion

    /// Creates a stamp from its parts.
    public init(term: Term, version: RecordVersion) {
        self.term = term
        self.version = version
    }

    /// Nothing accepted yet.
    public static let none = Stamp(term: .none, version: .none)

    /// Whether an order with this stamp may be taken by somebody who accepted `floor`.
    public func isCurrent(comparedTo floor: Stamp) -> Bool { term >= floor.term && version >= floor.version }

    /// For people: logs, history and command line.
    public var description: String { "term \(term), record version \(version)" }
}
