public import HTTPTransport
public import JSON

/// What an API server says about a request that it did not fulfil.
///
/// - SeeAlso: Kubernetes API reference, `Status` (v1).
public struct APIStatus: Hashable, Sendable {
    /// The HTTP status code.
    public let code: Int
    /// One word for programs, such as `Conflict`; empty if the server gave none.
    public let reason: String
    /// One sentence for people.
    public let message: String
    /// How long the server asks to wait before the next attempt.
    public let retryAfter: Duration?

    /// Creates a status.
    public init(code: Int, reason: String, message: String, retryAfter: Duration? = nil) {
        self.code = code
        self.reason = reason
        self.message = message
        self.retryAfter = retryAfter
    }

    /// Reads a `Status` object; nil if it is something else.
    public init?(_ value: JSONValue) {
        guard value["kind"]?.string == "Status", let code = value["code"]?.integer else { return nil }
        let seconds = value["details"]?["retryAfterSeconds"]?.integer
        self.init(
            code: Int(code),
            reason: value["reason"]?.string ?? "",
            message: String((value["message"]?.string ?? "").prefix(1000)),
            retryAfter: seconds.map { .seconds(max(0, min($0, 86400))) }
        )
    }
}

/// Why something asked of an API server was not done.
public struct KubernetesError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    public enum Kind: Hashable, Sendable {
        /// The credentials cannot be used as they are.
        case credentials
        /// There was no usable answer.
        case transport(HTTPError.Kind)
        /// The server refused.
        case refused(APIStatus)
        /// The answer makes no sense to us.
        case malformed
        /// Our own limit of requests per second left no room in time; nothing was sent.
        case throttled
    }

    /// What kind of failure it is.
    public let kind: Kind
    /// What was tried, as a verb and its object.
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

    init(_ error: HTTPError) {
        self.init(.transport(error.kind), error.attempt, cause: error.cause, mend: error.mend)
    }

    init(_ attempt: String, refused status: APIStatus) {
        let words = [status.reason, status.message].filter { !$0.isEmpty }.joined(separator: ": ")
        let cause = "the API server answered \(status.code) \(words)"
        self.init(.refused(status), attempt, cause: cause, mend: remedy(status))
    }

    /// What the server answered; nil if it did not.
    public var status: APIStatus? {
        if case .refused(let status) = kind { status } else { nil }
    }

    /// There is no such object, or no such kind of object.
    public var isNotFound: Bool { status?.code == 404 }
    /// The object has changed since it was read, or does not meet a precondition, or a field has another owner.
    public var isConflict: Bool { status?.code == 409 && !isAlreadyExists }
    /// An object of that name is there already.
    public var isAlreadyExists: Bool { status?.code == 409 && status?.reason == "AlreadyExists" }
    /// The point in history is not kept any more: list anew.
    public var isGone: Bool { status?.code == 410 }
    /// The task that asked was cancelled.
    public var isCancelled: Bool { kind == .transport(.cancelled) }

    /// Whether the server may have carried the request out all the same.
    public var mayHaveTakenEffect: Bool {
        switch kind {
        case .credentials, .throttled: false
        case .transport(let kind): HTTPError(kind, "", cause: "").mayHaveTakenEffect
        case .refused(let status): status.code >= 500
        case .malformed: true
        }
    }

    /// Whether the same may work later without anybody mending anything.
    public var isRetryable: Bool {
        switch kind {
        case .credentials, .malformed: false
        case .throttled: true
        case .transport(let kind): HTTPError(kind, "", cause: "").isRetryable
        case .refused(let status): status.code == 429 || status.code >= 500
        }
    }

    /// One sentence: what was tried, why it failed, what mends it.
    public var description: String {
        let sentence = "could not \(attempt): \(cause)"
        return mend.isEmpty ? sentence : "\(sentence); \(mend)"
    }
}

/// What mends a refusal, where that can be said without knowing more.
private func remedy(_ status: APIStatus) -> String {
    switch status.code {
    case 401: "check the token or the client certificate"
    case 403: "grant this account the right by a Role and RoleBinding"
    case 410: "list anew"
    case 413: "make the object smaller"
    default: ""
    }
}
