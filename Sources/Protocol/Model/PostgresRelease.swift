/// A release of PostgreSQL, and what Understudy makes of it.
public struct PostgresRelease: Hashable, Sendable, CustomStringConvertible {
    /// The first number: releases of one major version understand each other's data directories and WAL.
    public let major: Int
    /// As PostgreSQL writes it, such as `17.10` or `19beta1`.
    public let description: String

    /// Major versions whose behaviour is known.
    public static let known = 13...18

    /// Reads what `postgres --version` prints; nil if it is something else.
    public init?(programOutput: String) {
        let words = programOutput.split(whereSeparator: \.isWhitespace)
        guard words.count >= 3, words[1] == "(PostgreSQL)" else { return nil }
        self.init(words[2])
    }

    /// Reads the file `PG_VERSION` of a data directory; nil if it is something else.
    public init?(directoryFile: String) {
        let words = directoryFile.split(whereSeparator: \.isWhitespace)
        guard words.count == 1, let word = words.first else { return nil }
        self.init(word)
    }

    /// Reads `server_version_num`, such as 170010; nil for what is none.
    public init?(number: Int) {
        guard (100_000..<10_000_000).contains(number) else { return nil }
        major = number / 10_000
        description = "\(number / 10_000).\(number % 10_000)"
    }

    private init?(_ text: Substring) {
        let digits = text.prefix { ("0"..."9").contains($0) }
        guard text.utf8.count <= 32, digits.utf8.count <= 4, let major = Int(digits) else { return nil }
        self.major = major
        description = String(text)
    }

    /// Why no server of this release is run; nil if it may be.
    public var refusal: String? {
        if major >= Self.known.lowerBound { return nil }
        return "PostgreSQL \(description) is too old: before \(Self.known.lowerBound) a running standby takes no new "
            + "upstream; install \(Self.known.lowerBound) to \(Self.known.upperBound)"
    }

    /// What a person should know before relying on this release; nil if nothing.
    public var warning: String? {
        if major <= Self.known.upperBound { return nil }
        return "PostgreSQL \(description) is newer than this version of Understudy knows, which is "
            + "\(Self.known.lowerBound) to \(Self.known.upperBound); install a newer Understudy"
    }
}
