import JSON

/// What a request means.
struct Route {
    enum Page { case version, health, core, groups, group(String, String) }

    private let kinds: [KeptKind]
    private var page: Page?
    private(set) var kind: KeptKind?
    private(set) var namespace: String?
    private var name: String?
    private var part = ""
    private(set) var isWatch = false

    init(_ request: ServedRequest, kinds: [KeptKind]) throws(Refusal) {
        self.kinds = kinds
        let path = request.path
        switch path.first {
        case "version" where path.count == 1: page = .version
        case "livez" where path.count == 1, "readyz" where path.count == 1: page = .health
        case "api" where path.count == 1: page = .core
        case "apis" where path.count == 1: page = .groups
        case "api" where path.count == 2: page = .group("", path[1])
        case "apis" where path.count == 3: page = .group(path[1], path[2])
        case "api" where path.count > 2: try locate(Array(path.dropFirst(2)), "", path[1])
        case "apis" where path.count > 3: try locate(Array(path.dropFirst(3)), path[1], path[2])
        default: throw .notFound("the server could not find the requested resource")
        }
        if page != nil, request.method != "GET" { throw Refusal(405, "MethodNotAllowed", "only GET") }
        isWatch = request.method == "GET" && name == nil && page == nil && request.parameter("watch") == "true"
    }

    private mutating func locate(_ path: [String], _ group: String, _ version: String) throws(Refusal) {
        var steps = path[...]
        if steps.count >= 3, steps.first == "namespaces" {
            namespace = steps[steps.startIndex + 1]
            steps = steps.dropFirst(2)
        }
        guard let plural = steps.popFirst(), steps.count <= 2, !steps.contains("") else {
            throw .notFound("the server could not find the requested resource")
        }
        kind = kinds.first { $0.group == group && $0.version == version && $0.plural == plural }
        name = steps.popFirst()
        part = steps.popFirst() ?? ""
        guard let kind, kind.isNamespaced || namespace == nil, part.isEmpty || part == "status" && kind.hasStatus,
            name == nil || !kind.isNamespaced || namespace != nil
        else { throw .notFound("the server could not find the requested resource") }
    }

    /// Carries the request out.
    func perform(_ request: ServedRequest, _ store: inout ObjectStore) throws(Refusal) -> (Int, JSONValue) {
        if let page { return (200, show(page)) }
        guard let kind else { throw .notFound("the resource") }
        let manager = request.parameter("fieldManager") ?? "unknown"
        switch (request.method, name) {
        case ("GET", let name?):
            let key = ObjectKey(kind: kind, namespace: namespace ?? "", name: name)
            guard let object = store.objects[key] else { throw .notFound(key.text) }
            return (200, object)
        case ("GET", nil): return (200, try list(kind, request, store))
        case ("POST", nil):
            let body = try body(request, "application/json", of: kind)
            let name = body["metadata"]?["name"]?.string ?? ""
            let key = ObjectKey(kind: kind, namespace: namespace ?? "", name: name)
            return (201, try store.create(key, placed(body, name), manager: manager))
        case ("PUT", let name?):
            let body = try body(request, "application/json", of: kind)
            guard body["metadata"]?["name"]?.string == name else { throw .badRequest("the name of the object differs") }
            let key = ObjectKey(kind: kind, namespace: namespace ?? "", name: name)
            return (200, try store.update(key, placed(body, name), part: part, manager: manager))
        case ("PATCH", let name?): return try patch(kind, name, request, &store, manager)
        case ("DELETE", let name?):
            let options = request.body.isEmpty ? [:] : try body(request, "application/json", of: nil)
            let key = ObjectKey(kind: kind, namespace: namespace ?? "", name: name)
            if let left = try store.delete(key, options: options, manager: manager) { return (200, left) }
            return (200, ["kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success"])
        default: throw Refusal(405, "MethodNotAllowed", "the server does not allow this method on the resource")
        }
    }

    private func patch(
        _ kind: KeptKind,
        _ name: String,
        _ request: ServedRequest,
        _ store: inout ObjectStore,
        _ manager: String
    ) throws(Refusal) -> (Int, JSONValue) {
        let key = ObjectKey(kind: kind, namespace: namespace ?? "", name: name)
        let live = store.objects[key]
        switch request.headers["content-type"] {
        case "application/merge-patch+json":
            guard let live else { throw .notFound(key.text) }
            let merged = live.merged(with: try body(request, "application/merge-patch+json", of: nil))
            return (200, try store.update(key, merged, part: part, manager: manager))
        case "application/apply-patch+yaml":
            let wanted = try body(request, "application/apply-patch+yaml", of: kind)
            guard request.parameter("fieldManager") != nil else { throw .invalid("fieldManager is required for apply") }
            guard wanted["metadata"]?["managedFields"] == nil else {
                throw .badRequest("metadata.managedFields must be nil")
            }
            let apply = ServerSideApply(
                manager: manager,
                part: part,
                isForced: request.parameter("force") == "true"
            )
            let base = live ?? placed(["apiVersion": wanted["apiVersion"] ?? .null, "kind": .string(kind.kind)], name)
            var (result, ownership) = try apply.applied(wanted, to: base)
            if live != nil {
                return (200, try store.update(key, result, part: part, manager: manager, ownership: ownership))
            }
            guard part.isEmpty else { throw .notFound(key.text) }
            let entries = ownership.entries(apiVersion: kind.apiVersion, time: "2026-01-01T00:00:00Z")
            result[path: ["metadata", "managedFields"]] = entries
            return (201, try store.create(key, result, manager: manager))
        default: throw Refusal(415, "UnsupportedMediaType", "the body of the request was in an unknown format")
        }
    }

    private func placed(_ body: JSONValue, _ name: String) -> JSONValue {
        var body = body
        body[path: ["metadata", "name"]] = .string(name)
        body[path: ["metadata", "namespace"]] = namespace.map { .string($0) }
        return body
    }

    private func body(_ request: ServedRequest, _ type: String, of kind: KeptKind?) throws(Refusal) -> JSONValue {
        guard request.headers["content-type"] == type else {
            throw Refusal(415, "UnsupportedMediaType", "the body of the request was in an unknown format")
        }
        let value: JSONValue
        do {
            value = try JSONValue(parsing: request.body)
        } catch {
            throw .badRequest(error.description)
        }
        guard value.object != nil else { throw .badRequest("the body is no object") }
        guard let kind else { return value }
        guard value["kind"]?.string == kind.kind, value["apiVersion"]?.string == kind.apiVersion else {
            throw .badRequest("the object is no \(kind.kind) of \(kind.apiVersion)")
        }
        let given = value["metadata"]?["namespace"]?.string
        guard given == nil || given == namespace else { throw .badRequest("the namespace of the object differs") }
        return value
    }

    private func list(_ kind: KeptKind, _ request: ServedRequest, _ store: ObjectStore) throws(Refusal) -> JSONValue {
        let selector = try Selector(
            labels: request.parameter("labelSelector"),
            fields: request.parameter("fieldSelector")
        )
        // A page continues at the moment that the first one showed, as long as that is remembered.
        var version = store.version
        var (objects, after) = (store.objects, ("", ""))
        if let token = request.parameter("continue"), !token.isEmpty {
            let words = token.split(separator: ":", maxSplits: 1)
            guard words.count == 2, let moment = Int64(words[0]) else { throw .badRequest("continue key is not valid") }
            guard moment >= store.forgotten else { throw .gone }
            version = moment
            objects = store.objects(at: moment)
            let place = words[1].split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            after = (place.first ?? "", place.last ?? "")
        }
        var keys = objects.keys.filter { key in
            key.kind == kind && (namespace == nil || key.namespace == namespace)
                && objects[key].map(selector.matches) == true && (key.namespace, key.name) > after
        }.sorted()
        var metadata: JSONValue = ["resourceVersion": .string("\(version)")]
        if let limit = request.parameter("limit").flatMap({ Int($0) }), limit > 0, keys.count > limit {
            keys = Array(keys.prefix(limit))
            if let last = keys.last { metadata["continue"] = .string("\(version):\(last.namespace)/\(last.name)") }
        }
        let items = keys.compactMap { key -> JSONValue? in
            var item = objects[key]
            item?["kind"] = nil
            item?["apiVersion"] = nil
            return item
        }
        return [
            "kind": .string("\(kind.kind)List"), "apiVersion": .string(kind.apiVersion), "metadata": metadata,
            "items": .array(items),
        ]
    }

    private func show(_ page: Page) -> JSONValue {
        switch page {
        case .version: return ["major": "1", "minor": "36", "gitVersion": "v1.36.0-stand-in"]
        case .health: return ["status": "ok"]
        case .core: return ["kind": "APIVersions", "versions": ["v1"]]
        case .groups:
            let names = Set(kinds.map(\.group)).subtracting([""]).sorted()
            let groups = names.map { name -> JSONValue in
                let versions = Set(kinds.filter { $0.group == name }.map(\.version)).sorted()
                let list = versions.map {
                    ["groupVersion": .string("\(name)/\($0)"), "version": .string($0)] as JSONValue
                }
                return ["name": .string(name), "versions": .array(list)]
            }
            return ["kind": "APIGroupList", "apiVersion": "v1", "groups": .array(groups)]
        case .group(let group, let version):
            let found = kinds.filter { $0.group == group && $0.version == version }
            let resources = found.flatMap { kind -> [JSONValue] in
                let entry: JSONValue = [
                    "name": .string(kind.plural), "kind": .string(kind.kind), "namespaced": .bool(kind.isNamespaced),
                ]
                var status = entry
                status["name"] = .string("\(kind.plural)/status")
                return kind.hasStatus ? [entry, status] : [entry]
            }
            return ["kind": "APIResourceList", "groupVersion": .string(version), "resources": .array(resources)]
        }
    }
}
