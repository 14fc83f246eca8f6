import HTTPTransport
import JSON
public import KubernetesObjects

/// One thing that happened to an object of a watched collection.
public enum WatchEvent: Hashable, Sendable {
    /// It is there now.
    case added(KubernetesObject)
    /// It has changed.
    case modified(KubernetesObject)
    /// It is gone, or does not meet the condition any more; as it was last.
    case deleted(KubernetesObject)
    /// Nothing happened, but everything up to this version was told.
    case bookmark(resourceVersion: String)

    /// The version up to which everything was told.
    public var resourceVersion: String {
        switch self {
        case .added(let object), .modified(let object), .deleted(let object): object.resourceVersion
        case .bookmark(let version): version
        }
    }
}

/// One watch: what happened since a version, in order, until the server ends it.
///
/// For one reader.
public struct ObjectWatch: AsyncSequence, Sendable {
    /// One event.
    public typealias Element = WatchEvent
    /// What reading throws.
    public typealias Failure = KubernetesError

    let body: HTTPBody
    let attempt: String
    let lineLimit: Int

    /// Begins reading.
    public func makeAsyncIterator() -> Iterator {
        Iterator(body: body, attempt: attempt, lines: LineSplitter(limit: lineLimit))
    }

    /// Reads event by event.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
        let body: HTTPBody
        let attempt: String
        var lines: LineSplitter

        /// Awaits the next event; nil when the server has ended the watch.
        ///
        /// - Throws: `KubernetesError`: `isGone` if the version is too old, else if the watch broke off.
        public mutating func next() async throws(KubernetesError) -> WatchEvent? {
            while true {
                if let line = lines.next() { return try event(line) }
                guard !lines.isOverfull else {
                    throw KubernetesError(.malformed, attempt, cause: "an event is longer than \(lines.limit) bytes")
                }
                do throws(HTTPError) {
                    // What is left of an event that was cut off is told again from the version before it.
                    guard let piece = try await body.next() else { return nil }
                    lines.append(piece)
                } catch {
                    throw KubernetesError(error)
                }
            }
        }

        /// Awaits the next event; nil when the server has ended the watch.
        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(KubernetesError) -> WatchEvent? {
            try await next()
        }

        private func event(_ line: [UInt8]) throws(KubernetesError) -> WatchEvent {
            let value: JSONValue
            do {
                value = try JSONValue(parsing: line)
            } catch {
                throw KubernetesError(.malformed, attempt, cause: error.description)
            }
            let object = KubernetesObject(value["object"] ?? .null)
            switch value["type"]?.string {
            case "ADDED" where !object.resourceVersion.isEmpty: return .added(object)
            case "MODIFIED" where !object.resourceVersion.isEmpty: return .modified(object)
            case "DELETED" where !object.resourceVersion.isEmpty: return .deleted(object)
            case "BOOKMARK" where !object.resourceVersion.isEmpty:
                return .bookmark(resourceVersion: object.resourceVersion)
            case "ERROR":
                let unknown = APIStatus(code: 500, reason: "", message: "an error without a status")
                throw KubernetesError(attempt, refused: APIStatus(object.content) ?? unknown)
            default: throw KubernetesError(.malformed, attempt, cause: "an event of an unknown kind came")
            }
        }
    }
}

/// Cuts a stream of bytes into lines, wherever the pieces of the stream were cut.
struct LineSplitter: Sendable {
    let limit: Int
    private var pending: [UInt8] = []
    private var searched = 0
    private var start = 0

    init(limit: Int) { self.limit = limit }

    private var hasTooLong = false

    /// Whether a line is longer than the limit, or grows so; no line is given any more.
    var isOverfull: Bool { hasTooLong || pending.count - start > limit }

    mutating func append(_ bytes: [UInt8]) {
        if start > 0 {
            pending.removeFirst(start)
            searched -= start
            start = 0
        }
        pending += bytes
    }

    /// The next whole line without its end; empty ones are passed over.
    mutating func next() -> [UInt8]? {
        while !hasTooLong, let end = pending[searched...].firstIndex(of: 0x0a) {
            let line = pending[start..<end]
            start = end + 1
            searched = start
            hasTooLong = line.count > limit
            if !line.isEmpty, !hasTooLong { return Array(line) }
        }
        searched = pending.count
        return nil
    }
}

extension KubernetesClient {
    /// How long a server is asked to keep a watch.
    public static let watchDuration = Duration.seconds(300)
    /// How long a watch may be silent until it is taken for dead; a server sends a bookmark about once a minute.
    public static let watchIdleLimit = Duration.seconds(150)

    /// Watches a collection from a version on, until the server ends it.
    ///
    /// - Parameters:
    ///   - collection: What to watch.
    ///   - resourceVersion: From a list, an object or an event before; what happened after it is told.
    ///   - duration: When the server is to end it.
    ///   - idleLimit: How long it may be silent.
    /// - Returns: The watch, which the server has begun.
    /// - Throws: `KubernetesError`; `isGone` if the server does not remember that far back.
    /// - SeeAlso: Kubernetes documentation, API concepts, "Efficient detection of changes".
    public func watch(
        _ collection: ObjectCollection,
        from resourceVersion: String,
        duration: Duration = watchDuration,
        idleLimit: Duration = watchIdleLimit
    ) async throws(KubernetesError) -> ObjectWatch {
        var call = Call(path: collection.path, query: collection.query)
        call.query += [
            ("watch", "true"), ("resourceVersion", resourceVersion), ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", "\(max(1, duration.components.seconds))"),
        ]
        let stream = try await stream(call, idleLimit: idleLimit)
        return ObjectWatch(body: stream.body, attempt: "watch \(collection.path)", lineLimit: limits.objectBytes + 4096)
    }
}
