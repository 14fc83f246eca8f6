/// Byte position in the WAL; comparable only along one timeline's history.
///
/// - SeeAlso: PostgreSQL manual, 8.20 pg_lsn Type.
public struct LSN: RawRepresentable, Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    /// Bytes since the beginning of the WAL.
    public let rawValue: UInt64

    /// Creates a lsn from its number.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The invalid position, before any WAL.
    public static let zero = LSN(rawValue: 0)

    /// Reads PostgreSQL's own text, such as `16/B374D848`.
    ///
    /// - Returns: nil unless the text is two hexadecimal numbers of at most 8 digits around one slash.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ (1...8).contains($0.utf8.count) }) else { return nil }
        guard parts.allSatisfy({ $0.utf8.allSatisfy(isHexDigit) }) else { return nil }
        guard let high = UInt64(parts[0], radix: 16), let low = UInt64(parts[1], radix: 16) else { return nil }
        self.init(rawValue: high << 32 | low)
    }

    /// Whoever encodes for people sets this to true, and gets PostgreSQL's own text; files of the programs hold numbers.
    public static let textKey = CodingUserInfoKey(rawValue: "understudy.lsn.text")

    /// Reads the number or PostgreSQL's own text.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let number = try? container.decode(UInt64.self) {
            self.init(rawValue: number)
            return
        }
        guard let found = LSN(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "no position such as 16/B374D848")
        }
        self = found
    }

    /// Encodes the number, or the text where ``textKey`` asks for that.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let key = Self.textKey, encoder.userInfo[key] as? Bool == true {
            try container.encode(description)
        } else {
            try container.encode(rawValue)
        }
    }

    /// By number.
    public static func < (left: LSN, right: LSN) -> Bool { left.rawValue < right.rawValue }

    /// Bytes from `earlier` to this position; zero if this is not later.
    public func bytes(since earlier: LSN) -> UInt64 { rawValue > earlier.rawValue ? rawValue - earlier.rawValue : 0 }

    /// For people: logs, history and command line.
    public var description: String {
        let high = String(rawValue >> 32, radix: 16, uppercase: true)
        return high + "/" + String(rawValue & 0xFFFF_FFFF, radix: 16, uppercase: true)
    }
}

private func isHexDigit(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x41...0x46).contains(byte) || (0x61...0x66).contains(byte)
}

/// PostgreSQL's timeline id; each promotion starts a new one.
///
/// - SeeAlso: PostgreSQL manual, 26.3.5 Timelines.
public struct Timeline: RawRepresentable, Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    /// 1 is the first.
    public let rawValue: UInt32

    /// Creates a timeline from its number.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// No timeline known.
    public static let none = Timeline(rawValue: 0)

    /// The timeline of a newly initialized data directory.
    public static let first = Timeline(rawValue: 1)

    /// The next id.
    public var next: Timeline { Timeline(rawValue: rawValue + 1) }

    /// By number.
    public static func < (left: Timeline, right: Timeline) -> Bool { left.rawValue < right.rawValue }
    /// For people: logs, history and command line.
    public var description: String { "\(rawValue)" }
}

/// How far an instance's WAL goes: the timeline *of the last record it holds*, and that record's end (R6).
///
/// Ordered by timeline first, as R7 demands.
public struct WALPosition: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    /// Of the last record held.
    public var timeline: Timeline
    /// End of that record.
    public var lsn: LSN

    /// Creates a wal position from its parts.
    public init(timeline: Timeline, lsn: LSN) {
        self.timeline = timeline
        self.lsn = lsn
    }

    /// By timeline first, then by place (R7).
    public static func < (left: WALPosition, right: WALPosition) -> Bool {
        (left.timeline, left.lsn) < (right.timeline, right.lsn)
    }

    /// For people: logs, history and command line.
    public var description: String { "timeline \(timeline) at \(lsn)" }
}

/// Number that initdb gives a data directory and every copy of it.
public struct SystemIdentifier: RawRepresentable, Hashable, Sendable, Codable, CustomStringConvertible {
    /// As `pg_controldata` shows it.
    public let rawValue: UInt64

    /// Creates a system identifier from its number.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// For people: logs, history and command line.
    public var description: String { "\(rawValue)" }
}
