import JSON
import Platform
import Synchronization
public import TLSTransport

/// What the stand-in does to a request instead of, or besides, answering it.
public struct StandInFault: Sendable {
    /// What happens.
    public enum Effect: Sendable {
        /// The connection breaks after so many bytes of the answer; the request is carried out.
        case cut(afterBytes: Int)
        /// An error is answered; nothing is carried out.
        case refuse(status: Int, retryAfterSeconds: Int?)
        /// The request is carried out and the connection closed without an answer.
        case loseAnswer
        /// The request is carried out later.
        case delay(Duration)
        /// The request is neither carried out nor answered.
        case silence
    }

    let effect: Effect
    let matches: @Sendable (ServedRequest) -> Bool
    var left: Int

    /// Describes a fault.
    ///
    /// - Parameters:
    ///   - effect: What happens.
    ///   - times: To how many requests.
    ///   - matches: To which.
    public init(
        _ effect: Effect,
        times: Int = 1,
        matches: @escaping @Sendable (ServedRequest) -> Bool = { _ in true }
    ) {
        self.effect = effect
        self.matches = matches
        left = times
    }
}

/// A small API server for tests: strict, generic, kept in memory, breakable on purpose.
///
/// Kinds are told to it. What a real server checks by schema is not checked here.
public final class StandInAPI: Sendable {
    struct State {
        var store = ObjectStore()
        var tokens: Set<String>
        var faults: [StandInFault] = []
        var watches: [Int: StandInWatch] = [:]
        var nextWatch = 0
        var log: [String] = []
    }

    let kinds: [KeptKind]
    let state: Mutex<State>
    private let server: Mutex<HTTPSServer?> = Mutex(nil)

    /// Starts a server.
    ///
    /// - Parameters:
    ///   - credentials: Its certificate, and the authority of client certificates, each of which is let in.
    ///   - tokens: The bearer tokens that are let in.
    ///   - kinds: What it keeps, besides namespaces.
    ///   - bodyLimit: The largest request in bytes.
    /// - Returns: The server, listening.
    /// - Throws: `TLSError` for bad credentials, an error of the system if it cannot listen.
    public static func start(
        credentials: TLSCredentials,
        tokens: Set<String>,
        kinds: [KeptKind],
        bodyLimit: Int = 3 << 20
    ) async throws -> StandInAPI {
        let api = StandInAPI(kinds: kinds + [.namespace], tokens: tokens)
        let handler: HTTPSServer.Handler = { [weak api] request, responder in
            guard let api else { return responder.drop() }
            api.serve(request, responder)
        }
        let server = try await HTTPSServer(credentials: credentials, bodyLimit: bodyLimit, handler: handler)
        api.server.withLock { $0 = server }
        return api
    }

    private init(kinds: [KeptKind], tokens: Set<String>) {
        self.kinds = kinds
        var state = State(tokens: tokens)
        for name in ["default", "kube-system"] {
            let body: JSONValue = ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(name)]]
            let key = ObjectKey(kind: .namespace, namespace: "", name: name)
            _ = try? state.store.create(key, body, manager: "stand-in")
        }
        state.store.untold = []
        self.state = Mutex(state)
    }

    /// Where it listens.
    public var port: Int { server.withLock { $0?.port ?? 0 } }

    /// Connections and requests so far.
    public var counts: HTTPSServer.Counts { server.withLock { $0?.counts ?? HTTPSServer.Counts() } }

    /// Method and path of each request so far, with the query.
    public var log: [String] { state.withLock { $0.log } }

    /// How many watches are open.
    public var openWatches: Int { state.withLock { $0.watches.count } }

    /// Stops it.
    public func stop() async {
        let server = server.withLock { $0 }
        await server?.stop()
    }

    // MARK: What tests do to it

    /// Adds a fault; the first that matches a request applies.
    public func inject(_ fault: StandInFault) { state.withLock { $0.faults.append(fault) } }

    /// Replaces the tokens that are let in.
    public func accept(tokens: Set<String>) { state.withLock { $0.tokens = tokens } }

    /// Forgets history: watches from before are too old.
    public func forgetHistory() { state.withLock { $0.store.forgetHistory() } }

    /// Tells every watch up to where it is told.
    public func sendBookmarks() {
        let (watches, version) = state.withLock { (Array($0.watches.values), $0.store.version) }
        for watch in watches { watch.bookmark(version) }
    }

    /// Ends every watch, as a server does after a while.
    public func endWatches() {
        let watches = state.withLock { state in
            defer { state.watches = [:] }
            return Array(state.watches.values)
        }
        for watch in watches { watch.responder.end() }
    }

    // MARK: Serving

    private func serve(_ request: ServedRequest, _ responder: Responder) {
        let effect = state.withLock { state -> StandInFault.Effect? in
            let query = request.query.map { "\($0.name)=\($0.value)" }.joined(separator: "&")
            state.log.append("\(request.method) \(request.pathText)" + (query.isEmpty ? "" : "?\(query)"))
            guard let index = state.faults.firstIndex(where: { $0.left > 0 && $0.matches(request) }) else { return nil }
            state.faults[index].left -= 1
            return state.faults[index].effect
        }
        switch effect {
        case nil: answer(request, responder)
        case .silence: return
        case .cut(let count):
            responder.cut(afterBytes: count)
            answer(request, responder)
        case .refuse(let status, let seconds):
            var refusal = Refusal(status, status == 429 ? "TooManyRequests" : "InternalError", "on purpose")
            refusal.retryAfterSeconds = seconds.map(Int64.init)
            send(refusal, responder)
        case .loseAnswer:
            responder.cut(afterBytes: 0)
            answer(request, responder)
        case .delay(let duration):
            Task {
                try? await Task.sleep(for: duration)
                self.answer(request, responder)
            }
        }
    }

    private func answer(_ request: ServedRequest, _ responder: Responder) {
        do throws(Refusal) {
            try authenticate(request)
            let route = try Route(request, kinds: kinds)
            if route.isWatch { return try watch(route, request, responder) }
            let (status, value) = try state.withLock { state throws(Refusal) in try route.perform(request, &state.store)
            }
            tellWatches()
            send(status, value, responder)
        } catch {
            send(error, responder)
        }
    }

    private func authenticate(_ request: ServedRequest) throws(Refusal) {
        if request.subject != nil { return }
        let words = (request.headers["authorization"] ?? "").split(separator: " ")
        let isKnown = state.withLock { $0.tokens.contains(words.count == 2 ? String(words[1]) : "") }
        guard words.first == "Bearer", isKnown else { throw Refusal(401, "Unauthorized", "Unauthorized") }
    }

    private func watch(_ route: Route, _ request: ServedRequest, _ responder: Responder) throws(Refusal) {
        let seconds = request.parameter("timeoutSeconds").flatMap { Int($0) }
        try state.withLock { state throws(Refusal) in
            let watch = try StandInWatch(route, request, responder, state.store)
            if watch.isOver { return }
            let number = state.nextWatch
            state.nextWatch += 1
            state.watches[number] = watch
            responder.whenGone { [weak self] in self?.forget(number) }
            guard let seconds else { return }
            Task { [weak self] in
                try? await Task.sleep(for: .seconds(seconds))
                if self?.forget(number) == true { responder.end() }
            }
        }
    }

    @discardableResult
    private func forget(_ number: Int) -> Bool {
        state.withLock { $0.watches.removeValue(forKey: number) != nil }
    }

    private func tellWatches() {
        state.withLock { state in
            let changes = state.store.untold
            state.store.untold = []
            for watch in state.watches.values { for change in changes { watch.tell(change) } }
        }
    }

    private func send(_ refusal: Refusal, _ responder: Responder) {
        var headers = [("Content-Type", "application/json")]
        if let seconds = refusal.retryAfterSeconds { headers.append(("Retry-After", "\(seconds)")) }
        responder.answer(refusal.code, headers: headers, body: refusal.status.bytes)
    }

    private func send(_ status: Int, _ value: JSONValue, _ responder: Responder) {
        responder.answer(status, headers: [("Content-Type", "application/json")], body: value.bytes)
    }
}

/// One open watch.
struct StandInWatch: Sendable {
    let responder: Responder
    /// Whether it ended as it began: the version was too old.
    private(set) var isOver = false
    private let kind: KeptKind
    private let namespace: String?
    private let labels: String?
    private let fields: String?
    private let wantsBookmarks: Bool

    /// Begins the answer and tells what has happened since the version that was asked for.
    init(_ route: Route, _ request: ServedRequest, _ responder: Responder, _ store: ObjectStore) throws(Refusal) {
        guard let kind = route.kind else { throw .notFound("the resource") }
        self.responder = responder
        self.kind = kind
        namespace = route.namespace
        labels = request.parameter("labelSelector")
        fields = request.parameter("fieldSelector")
        wantsBookmarks = request.parameter("allowWatchBookmarks") == "true"
        let selector = try Selector(labels: labels, fields: fields)
        let text = request.parameter("resourceVersion") ?? ""
        guard text.isEmpty || Int64(text) != nil else { throw .badRequest("invalid resource version \(text)") }
        let version = Int64(text) ?? 0
        responder.begin(200, headers: [("Content-Type", "application/json")])
        if version == 0 {
            for key in store.objects.keys.sorted() where isMine(key) {
                if let object = store.objects[key], selector.matches(object) { tell("ADDED", object) }
            }
        } else if version < store.forgotten {
            tell("ERROR", Refusal.gone.status)
            responder.end()
            isOver = true
        } else {
            for change in store.history where change.version > version { tell(change) }
        }
    }

    func tell(_ change: StoredChange) {
        guard isMine(change.key), let selector = try? Selector(labels: labels, fields: fields) else { return }
        let (was, becomes) = (change.before.map(selector.matches) ?? false, change.after.map(selector.matches) ?? false)
        switch (was, becomes) {
        case (false, true): tell("ADDED", change.after ?? .null)
        case (true, true): tell("MODIFIED", change.after ?? .null)
        case (true, false):
            // What no longer matches is told as it was, with the version of the change.
            var object = change.before ?? .null
            object[path: ["metadata", "resourceVersion"]] = .string("\(change.version)")
            tell("DELETED", object)
        case (false, false): return
        }
    }

    func bookmark(_ version: Int64) {
        guard wantsBookmarks else { return }
        var object: JSONValue = ["kind": .string(kind.kind), "apiVersion": .string(kind.apiVersion)]
        object["metadata"] = ["resourceVersion": .string("\(version)"), "creationTimestamp": .null]
        tell("BOOKMARK", object)
    }

    private func isMine(_ key: ObjectKey) -> Bool {
        key.kind == kind && (namespace == nil || namespace == key.namespace)
    }

    private func tell(_ type: String, _ object: JSONValue) {
        let event: JSONValue = ["type": .string(type), "object": object]
        responder.write(event.bytes + [0x0a])
    }
}
