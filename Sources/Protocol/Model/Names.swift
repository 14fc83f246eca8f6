/// Name of an instance within its cluster: lower-case letters, digits and inner hyphens, at most 40 characters.
public struct InstanceName: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    /// Checked.
    public let text: String

    /// - Returns: nil if the text is not a valid name.
    public init?(_ text: String) {
        guard isValidName(text, limit: 40) else { return nil }
        self.text = text
    }

    /// Decodes and checks a name: what a file or peer says is not trusted.
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let name = InstanceName(text) else { throw InvalidNameError(text: text) }
        self = name
    }

    /// Encodes the text.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }

    /// Alphabetically.
    public static func < (left: InstanceName, right: InstanceName) -> Bool { left.text < right.text }
    /// For people: logs, history and command line.
    public var description: String { text }
}

/// Name of a cluster: same alphabet as an instance's, at most 50 characters.
public struct ClusterName: Hashable, Sendable, Codable, CustomStringConvertible {
    /// Checked.
    public let text: String

    /// - Returns: nil if the text is not a valid name.
    public init?(_ text: String) {
        guard isValidName(text, limit: 50) else { return nil }
        self.text = text
    }

    /// Decodes and checks a name: what a file or peer says is not trusted.
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let name = ClusterName(text) else { throw InvalidNameError(text: text) }
        self = name
    }

    /// Encodes the text.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }

    /// For people: logs, history and command line.
    public var description: String { text }
}

/// A name that breaks the rule for names.
public struct InvalidNameError: Error, CustomStringConvertible {
    /// As it was found, unchecked.
    public let text: String

    /// For people: logs, history and command line.
    public var description: String {
        "could not read name '\(text.prefix(80))': only a-z, 0-9 and inner hyphens are allowed"
    }
}

/// Identity of one data directory's life: made when it is initialized or cloned, 8 lower-case hexadecimal digits.
///
/// Promises, votes and answers belong to an incarnation, never to a name alone.
public struct Incarnation: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    /// Eight hexadecimal digits.
    public let text: String

    /// - Returns: nil unless the text is 8 lower-case hexadecimal digits.
    public init?(_ text: String) {
        let digits = text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        guard text.utf8.count == 8, digits else { return nil }
        self.text = text
    }

    /// Makes an incarnation from any number, such as a random one.
    public init(number: UInt32) {
        let digits = String(number, radix: 16)
        text = String(repeating: "0", count: 8 - digits.utf8.count) + digits
    }

    /// Decodes and checks an incarnation.
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let incarnation = Incarnation(text) else { throw InvalidNameError(text: text) }
        self = incarnation
    }

    /// Encodes the text.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }

    /// Alphabetically.
    public static func < (left: Incarnation, right: Incarnation) -> Bool { left.text < right.text }
    /// For people: logs, history and command line.
    public var description: String { text }
}

/// One voter: an instance in one incarnation.
public struct MemberID: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    /// Stays when the data is replaced.
    public let name: InstanceName
    /// Changes when the data is replaced.
    public let incarnation: Incarnation

    /// Creates a memberid from its parts.
    public init(name: InstanceName, incarnation: Incarnation) {
        self.name = name
        self.incarnation = incarnation
    }

    /// `application_name` and slot name: unique per incarnation, `[a-z0-9_]`, at most 63 bytes (R12).
    public var applicationName: String {
        String(name.text.map { $0 == "-" ? "_" : $0 }) + "_" + incarnation.text
    }

    /// Alphabetically.
    public static func < (left: MemberID, right: MemberID) -> Bool {
        (left.name, left.incarnation) < (right.name, right.incarnation)
    }

    /// For people: logs, history and command line.
    public var description: String { "\(name)/\(incarnation)" }
}

private func isValidName(_ text: String, limit: Int) -> Bool {
    let bytes = Array(text.utf8)
    guard let first = bytes.first, let last = bytes.last, bytes.count <= limit else { return false }
    let hyphen = UInt8(ascii: "-")
    return first != hyphen && last != hyphen
        && bytes.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) || $0 == hyphen }
}
