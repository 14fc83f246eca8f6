/// Why a command ends without having done its work, with the exit code that tells scripts so.
package struct CommandFailure: Error, Hashable, CustomStringConvertible {
    /// What kind of ending it is; the raw value is the exit code.
    package enum Kind: Int32, Sendable {
        case failed = 1
        case usage = 2
        /// Refused because going on could harm something.
        case refused = 3
        case timedOut = 4
    }

    package let kind: Kind
    /// One sentence: what, where, and how to mend it.
    package let description: String

    package init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}
