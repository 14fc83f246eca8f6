import JSON

/// Who holds which fields of an object, as `managedFields` says it.
///
/// Lists whose elements all have a name are merged by it; other lists are one field each. That covers what is used here
/// of the real server's schemas.
///
/// - SeeAlso: Kubernetes documentation, "Server-Side Apply".
struct FieldOwnership {
    typealias Path = [String]

    struct Owner: Hashable {
        let manager: String
        let operation: String
        let part: String
    }

    var fields: [Owner: Set<Path>] = [:]

    init(of object: JSONValue) {
        for entry in object["metadata"]?["managedFields"]?.array ?? [] {
            let owner = Owner(
                manager: entry["manager"]?.string ?? "",
                operation: entry["operation"]?.string ?? "",
                part: entry["subresource"]?.string ?? ""
            )
            fields[owner] = Self.paths(in: entry["fieldsV1"] ?? [:])
        }
    }

    /// The entries as the object carries them.
    func entries(apiVersion: String, time: String) -> JSONValue {
        let owners = fields.keys.sorted { ($0.manager, $0.operation, $0.part) < ($1.manager, $1.operation, $1.part) }
        return .array(
            owners.compactMap { owner in
                guard let paths = fields[owner], !paths.isEmpty else { return nil }
                var tree: JSONValue = [:]
                for path in paths.sorted(by: { $0.lexicographicallyPrecedes($1) }) { tree[path: path] = [:] }
                var entry: JSONValue = ["fieldsType": "FieldsV1", "fieldsV1": tree]
                entry["manager"] = .string(owner.manager)
                entry["operation"] = .string(owner.operation)
                entry["apiVersion"] = .string(apiVersion)
                entry["time"] = .string(time)
                if !owner.part.isEmpty { entry["subresource"] = .string(owner.part) }
                return entry
            }
        )
    }

    /// What a write changed becomes the writer's; what it removed is nobody's any more.
    mutating func noteUpdate(from old: JSONValue, to new: JSONValue, by owner: Owner) {
        let (before, after) = (Self.leaves(of: old), Self.leaves(of: new))
        let changed = after.filter { before[$0.key] != $0.value }
        for other in fields.keys {
            fields[other] = (fields[other] ?? []).filter { after[$0] != nil && (changed[$0] == nil || other == owner) }
        }
        fields[owner, default: []].formUnion(changed.keys)
    }

    private static func paths(in tree: JSONValue, below path: Path = []) -> Set<Path> {
        guard let steps = tree.object, !steps.isEmpty else { return path.isEmpty ? [] : [path] }
        return steps.reduce(into: []) { $0.formUnion(paths(in: $1.value, below: path + [$1.key])) }
    }

    /// The fields that have an owner, with their values; those that the server keeps itself have none.
    static func leaves(of object: JSONValue) -> [Path: JSONValue] {
        var content = object
        for name in ["apiVersion", "kind"] { content[name] = nil }
        for name in [
            "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields",
            "deletionTimestamp", "deletionGracePeriodSeconds",
        ] { content[path: ["metadata", name]] = nil }
        var found: [Path: JSONValue] = [:]
        collect(content, below: [], into: &found)
        return found
    }

    private static func collect(_ value: JSONValue, below path: Path, into found: inout [Path: JSONValue]) {
        if let fields = value.object, !fields.isEmpty || path.isEmpty {
            for (name, field) in fields { collect(field, below: path + ["f:\(name)"], into: &found) }
        } else if let elements = keyed(value) {
            for (key, element) in elements { collect(element, below: path + [key], into: &found) }
        } else if path != ["f:metadata"] {
            found[path] = value
        }
    }

    /// The elements of a list by their names; nil if they have none.
    static func keyed(_ value: JSONValue) -> [(key: String, element: JSONValue)]? {
        guard let elements = value.array, !elements.isEmpty else { return nil }
        var pairs: [(key: String, element: JSONValue)] = []
        for element in elements {
            guard let name = element["name"] else { return nil }
            pairs.append(("k:\(JSONValue.object(["name": name]).text)", element))
        }
        return pairs
    }
}

/// Server-side apply of the fields that one manager means to hold.
struct ServerSideApply {
    let manager: String
    let part: String
    let isForced: Bool

    /// What becomes of the object.
    func applied(_ wanted: JSONValue, to live: JSONValue) throws(Refusal) -> (JSONValue, FieldOwnership) {
        let owner = FieldOwnership.Owner(manager: manager, operation: "Apply", part: part)
        var ownership = FieldOwnership(of: live)
        let fields = FieldOwnership.leaves(of: wanted)
        let present = FieldOwnership.leaves(of: live)
        var conflicts: [String] = []
        for (path, value) in fields where present[path] != nil && present[path] != value {
            for (other, held) in ownership.fields where other != owner && held.contains(path) {
                if isForced {
                    ownership.fields[other]?.remove(path)
                } else {
                    conflicts.append("\(path.joined(separator: ".")) held by \"\(other.manager)\"")
                }
            }
        }
        if !conflicts.isEmpty {
            let list = conflicts.sorted().joined(separator: ", ")
            throw .conflict("Apply failed with \(conflicts.count) conflict(s): \(list)")
        }
        var result = live
        let heldByOthers = ownership.fields.filter { $0.key != owner }.values.reduce(into: Set()) { $0.formUnion($1) }
        for path in (ownership.fields[owner] ?? []).subtracting(fields.keys).subtracting(heldByOthers) {
            result = removing(path[...], from: result)
        }
        ownership.fields[owner] = Set(fields.keys)
        return (merging(wanted, into: result), ownership)
    }

    private func merging(_ wanted: JSONValue, into live: JSONValue?) -> JSONValue {
        if let fields = wanted.object {
            var result = live?.object ?? [:]
            for (name, field) in fields { result[name] = merging(field, into: result[name]) }
            return .object(result)
        }
        guard let elements = FieldOwnership.keyed(wanted) else { return wanted }
        var result = live.flatMap { FieldOwnership.keyed($0) } ?? []
        for (key, element) in elements {
            if let index = result.firstIndex(where: { $0.key == key }) {
                result[index].element = merging(element, into: result[index].element)
            } else {
                result.append((key, element))
            }
        }
        return .array(result.map(\.element))
    }

    private func removing(_ path: ArraySlice<String>, from value: JSONValue) -> JSONValue {
        guard let step = path.first else { return value }
        let rest = path.dropFirst()
        if step.hasPrefix("f:") {
            let name = String(step.dropFirst(2))
            var result = value
            if rest.isEmpty {
                result[name] = nil
            } else if let field = value[name] {
                let smaller = removing(rest, from: field)
                // What held nothing else goes with its last field.
                result[name] = smaller == [:] || smaller == [] ? nil : smaller
            }
            return result
        }
        guard let elements = FieldOwnership.keyed(value) else { return value }
        return .array(
            elements.compactMap { key, element in
                if key != step { return element }
                let smaller = removing(rest, from: element)
                return rest.isEmpty || smaller.object?.count == 0 || rest == ["f:name"] ? nil : smaller
            }
        )
    }
}
