import JSON
import Platform

/// A kind of object that the stand-in keeps.
public struct KeptKind: Hashable, Sendable {
    /// The group; empty for the core group.
    public let group: String
    /// The version.
    public let version: String
    /// The name in addresses.
    public let plural: String
    /// The name in objects.
    public let kind: String
    /// Whether its objects lie in namespaces.
    public let isNamespaced: Bool
    /// Whether the status is written apart.
    public let hasStatus: Bool

    /// Describes a kind.
    public init(
        group: String = "",
        version: String = "v1",
        plural: String,
        kind: String,
        isNamespaced: Bool = true,
        hasStatus: Bool = false
    ) {
        self.group = group
        self.version = version
        self.plural = plural
        self.kind = kind
        self.isNamespaced = isNamespaced
        self.hasStatus = hasStatus
    }

    var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }
    var groupPlural: String { group.isEmpty ? plural : "\(plural).\(group)" }
}

/// Where an object lies.
struct ObjectKey: Hashable, Comparable {
    let kind: KeptKind
    let namespace: String
    let name: String

    static func < (left: ObjectKey, right: ObjectKey) -> Bool {
        (left.kind.groupPlural, left.namespace, left.name) < (right.kind.groupPlural, right.namespace, right.name)
    }

    var text: String { "\(kind.groupPlural) \"\(name)\"" }
}

/// One change, as watches tell it.
struct StoredChange {
    let key: ObjectKey
    let version: Int64
    let before: JSONValue?
    /// Nil for a removal.
    let after: JSONValue?
}

/// All objects with their versions, and a window of history.
struct ObjectStore {
    private(set) var objects: [ObjectKey: JSONValue] = [:]
    private(set) var version: Int64 = 100
    private(set) var history: [StoredChange] = []
    /// Changes up to this version are forgotten.
    private(set) var forgotten: Int64 = 100
    /// How many changes are remembered.
    var historyLimit = 1000
    private var serial = 0
    /// Changes that no watch was told yet.
    var untold: [StoredChange] = []

    // MARK: Writing

    mutating func create(_ key: ObjectKey, _ body: JSONValue, manager: String) throws(Refusal) -> JSONValue {
        guard objects[key] == nil else { throw Refusal(409, "AlreadyExists", "\(key.text) already exists") }
        let namespace = ObjectKey(kind: .namespace, namespace: "", name: key.namespace)
        if key.kind.isNamespaced, objects[namespace] == nil { throw .notFound("namespaces \"\(key.namespace)\"") }
        guard isName(key.name) else { throw .invalid("metadata.name: Invalid value: \"\(key.name)\"") }
        guard body["metadata"]?["resourceVersion"]?.string ?? "" == "" else {
            throw .badRequest("resourceVersion should not be set on objects to be created")
        }
        serial += 1
        var object = body
        if key.kind.hasStatus { object["status"] = nil }
        object[path: ["metadata", "uid"]] = .string("00000000-0000-4000-8000-\(padded(serial, 12))")
        object[path: ["metadata", "creationTimestamp"]] = .string(seconds())
        object[path: ["metadata", "generation"]] = key.kind.hasStatus ? 1 : nil
        if object["metadata"]?["managedFields"] == nil {
            object = owned(object, before: [:], key, manager, part: "")
        }
        let created = commit(key, object)
        // What comes after its owners have gone is collected like what was there.
        let owners = owners(of: object)
        if !owners.isEmpty, !objects.values.contains(where: { owners.contains($0["metadata"]?["uid"]?.string ?? "") }) {
            _ = try? delete(key, options: [:], manager: "garbage-collector")
        }
        return created
    }

    mutating func update(
        _ key: ObjectKey,
        _ body: JSONValue,
        part: String,
        manager: String,
        ownership: FieldOwnership? = nil
    ) throws(Refusal) -> JSONValue {
        guard let old = objects[key] else { throw .notFound(key.text) }
        for field in ["resourceVersion", "uid"] {
            let given = body["metadata"]?[field]?.string ?? ""
            guard given.isEmpty || given == old["metadata"]?[field]?.string else {
                throw .conflict(
                    "Operation cannot be fulfilled on \(key.text): the object has been modified; please apply your "
                        + "changes to the latest version and try again"
                )
            }
        }
        var object = body
        if part == "status" {
            object = old
            object["status"] = body["status"]
        } else if key.kind.hasStatus {
            object["status"] = old["status"]
        }
        for field in [
            "uid", "creationTimestamp", "generation", "deletionTimestamp", "managedFields", "resourceVersion",
        ] {
            object[path: ["metadata", field]] = old["metadata"]?[field]
        }
        if key.kind.hasStatus, part.isEmpty, specification(object) != specification(old) {
            let generation = old["metadata"]?["generation"]?.integer ?? 0
            object[path: ["metadata", "generation"]] = .number(JSONNumber(generation + 1))
        }
        // A write that changes nothing makes no new version.
        if object == old, ownership == nil || ownership?.fields == FieldOwnership(of: old).fields { return old }
        if let ownership {
            let entries = ownership.entries(apiVersion: key.kind.apiVersion, time: seconds())
            object[path: ["metadata", "managedFields"]] = entries
        } else {
            object = owned(object, before: old, key, manager, part: part)
        }
        if isDying(object), (object["metadata"]?["finalizers"]?.array ?? []).isEmpty {
            remove(key)
            return object
        }
        return commit(key, object)
    }

    /// - Returns: The object if it waits for its finalizers; nil if it is gone.
    mutating func delete(_ key: ObjectKey, options: JSONValue, manager: String) throws(Refusal) -> JSONValue? {
        guard var object = objects[key] else { throw .notFound(key.text) }
        for field in ["uid", "resourceVersion"] {
            guard let wanted = options["preconditions"]?[field]?.string else { continue }
            guard wanted == object["metadata"]?[field]?.string else {
                throw .conflict("Precondition failed: \(field) in precondition: \(wanted)")
            }
        }
        let policy = options["propagationPolicy"]?.string ?? "Background"
        let uid = object["metadata"]?["uid"]?.string ?? ""
        let hasDependents = objects.values.contains { owners(of: $0).contains(uid) }
        if policy == "Orphan" { orphan(uid) }
        var finalizers = object["metadata"]?["finalizers"]?.array ?? []
        if policy == "Foreground", hasDependents { finalizers.append("foregroundDeletion") }
        if finalizers.isEmpty {
            remove(key)
            return nil
        }
        if !isDying(object) {
            object[path: ["metadata", "deletionTimestamp"]] = .string(seconds())
            object[path: ["metadata", "finalizers"]] = .array(finalizers)
            object = commit(key, object)
        }
        if policy == "Foreground" { collect(uid) }
        finishForeground()
        return objects[key]
    }

    private mutating func remove(_ key: ObjectKey) {
        guard let object = objects.removeValue(forKey: key) else { return }
        version += 1
        note(StoredChange(key: key, version: version, before: object, after: nil))
        if key.kind == .namespace {
            for inner in objects.keys.sorted() where inner.namespace == key.name { remove(inner) }
        }
        collect(object["metadata"]?["uid"]?.string ?? "")
        finishForeground()
    }

    /// Deletes what the object of that identity was the last owner of.
    private mutating func collect(_ uid: String) {
        let alive = Set(objects.values.compactMap { $0["metadata"]?["uid"]?.string }).subtracting([uid])
        for key in objects.keys.sorted() {
            guard let object = objects[key] else { continue }
            let owners = owners(of: object)
            if owners.contains(uid), !owners.contains(where: { alive.contains($0) }) {
                _ = try? delete(key, options: [:], manager: "garbage-collector")
            }
        }
    }

    private mutating func orphan(_ uid: String) {
        for key in objects.keys.sorted() {
            guard var object = objects[key], owners(of: object).contains(uid) else { continue }
            let left = (object["metadata"]?["ownerReferences"]?.array ?? []).filter { $0["uid"]?.string != uid }
            object[path: ["metadata", "ownerReferences"]] = left.isEmpty ? nil : .array(left)
            _ = commit(key, object)
        }
    }

    /// Lets those go that waited for the objects that they owned.
    private mutating func finishForeground() {
        for key in objects.keys.sorted() {
            guard var object = objects[key], isDying(object) else { continue }
            let finalizers = object["metadata"]?["finalizers"]?.array ?? []
            let uid = object["metadata"]?["uid"]?.string ?? ""
            guard finalizers.contains("foregroundDeletion"),
                !objects.values.contains(where: { owners(of: $0).contains(uid) })
            else { continue }
            let left = finalizers.filter { $0 != "foregroundDeletion" }
            object[path: ["metadata", "finalizers"]] = left.isEmpty ? nil : .array(left)
            if left.isEmpty { remove(key) } else { _ = commit(key, object) }
        }
    }

    private mutating func commit(_ key: ObjectKey, _ object: JSONValue) -> JSONValue {
        version += 1
        var object = object
        object[path: ["metadata", "resourceVersion"]] = .string("\(version)")
        let before = objects.updateValue(object, forKey: key)
        note(StoredChange(key: key, version: version, before: before, after: object))
        return object
    }

    private mutating func note(_ change: StoredChange) {
        history.append(change)
        untold.append(change)
        while history.count > historyLimit { forgotten = history.removeFirst().version }
    }

    /// All objects as they were at a version that is remembered.
    func objects(at moment: Int64) -> [ObjectKey: JSONValue] {
        var past = objects
        for change in history.reversed() where change.version > moment {
            past[change.key] = change.before
        }
        return past
    }

    /// Forgets all history.
    mutating func forgetHistory() {
        history = []
        forgotten = version
    }

    // MARK: Small things

    private func owned(
        _ object: JSONValue,
        before: JSONValue,
        _ key: ObjectKey,
        _ manager: String,
        part: String
    )
        -> JSONValue
    {
        var ownership = FieldOwnership(of: before)
        let owner = FieldOwnership.Owner(manager: manager, operation: "Update", part: part)
        ownership.noteUpdate(from: before, to: object, by: owner)
        var object = object
        let entries = ownership.entries(apiVersion: key.kind.apiVersion, time: seconds())
        object[path: ["metadata", "managedFields"]] = entries
        return object
    }

    private func specification(_ object: JSONValue) -> JSONValue {
        var object = object
        object["metadata"] = nil
        object["status"] = nil
        return object
    }

    private func owners(of object: JSONValue) -> [String] {
        (object["metadata"]?["ownerReferences"]?.array ?? []).compactMap { $0["uid"]?.string }
    }

    private func isDying(_ object: JSONValue) -> Bool { object["metadata"]?["deletionTimestamp"]?.string != nil }

    private func isName(_ name: String) -> Bool {
        let plain = name.utf8.allSatisfy {
            (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d || $0 == 0x2e
        }
        return plain && !name.isEmpty && name.utf8.count <= 253 && name.first != "-" && name.last != "-"
            && name.first != "." && name.last != "."
    }

    private func padded(_ number: Int, _ count: Int) -> String {
        let text = "\(number)"
        return String(repeating: "0", count: max(0, count - text.count)) + text
    }

    private func seconds() -> String { WallClock.text(WallClock.milliseconds()).dropLast(5) + "Z" }
}

extension KeptKind {
    static let namespace = KeptKind(plural: "namespaces", kind: "Namespace", isNamespaced: false)
}
