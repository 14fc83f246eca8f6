/// Why a request got no usable answer.
///
/// A status such as 404 is an answer, not an error.
public struct HTTPError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    public enum Kind: Hashable, Sendable {
        /// The request or the client's settings make no sense; nothing was sent.
        case invalid
        /// No connection came about; nothing was sent.
        case unreachable
        /// The server's certificate was refused; nothing was sent.
        case untrusted
        /// There was no answer, or no end of it, in time.
        case deadline
        /// A stream was silent for longer than its limit.
        case idle
        /// The answer is larger than what was allowed.
        case tooLarge
        /// The connection broke before the answer was complete.
        case lost
        /// The caller gave the request up.
        case cancelled
        /// The client was closed, or has as many requests under way as it may.
        case closed
    }

    /// What kind of failure it is.
    public let kind: Kind
    /// What was tried, as a verb and its object: `GET https://10.0.0.1:6443/version`.
    public let attempt: String
    /// Why it failed.
    public let cause: String
    /// What the reader can do about it; empty when nothing sensible can be said.
    public let mend: String

    /// Describes a failure in words.
    public init(_ kind: Kind, _ attempt: String, cause: String, mend: String = "") {
        self.kind = kind
        self.attempt = attempt
        self.cause = cause
        self.mend = mend
    }

    /// Whether the server may have carried the request out all the same.
    public var mayHaveTakenEffect: Bool {
        switch kind {
        case .invalid, .unreachable, .untrusted, .closed: false
        case .deadline, .idle, .tooLarge, .lost, .cancelled: true
        }
    }

    /// Whether the same may work later without anybody mending anything.
    public var isRetryable: Bool {
        switch kind {
        case .unreachable, .deadline, .idle, .lost: true
        case .invalid, .untrusted, .tooLarge, .cancelled, .closed: false
        }
    }

    /// One sentence: what was tried, why it failed, what mends it.
    public var description: String {
        let sentence = "could not \(attempt): \(cause)"
        return mend.isEmpty ? sentence : "\(sentence); \(mend)"
    }
}
