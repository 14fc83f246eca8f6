public import JSON

/// A kind of object that an API server keeps.
public struct APIResource: Hashable, Sendable {
    /// The group; empty for the core group.
    public let group: String
    /// The version within the group, such as `v1`.
    public let version: String
    /// The name in addresses, such as `pods`.
    public let plural: String
    /// The name in objects, such as `Pod`.
    public let kind: String
    /// Whether its objects lie in namespaces.
    public let isNamespaced: Bool

    /// Names a kind of object.
    public init(group: String = "", version: String, plural: String, kind: String, isNamespaced: Bool = true) {
        self.group = group
        self.version = version
        self.plural = plural
        self.kind = kind
        self.isNamespaced = isNamespaced
    }

    /// Group and version as objects carry them: `apps/v1`, or `v1` for the core group.
    public var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }
}

/// One object of an API server, with fields that we do not know kept as they are.
///
/// - SeeAlso: Kubernetes API reference, `ObjectMeta`.
public struct KubernetesObject: Hashable, Sendable {
    /// Everything.
    public var content: JSONValue

    /// Takes an object as it is.
    public init(_ content: JSONValue) { self.content = content }

    /// Begins an object.
    public init(_ resource: APIResource, namespace: String? = nil, name: String, _ fields: JSONValue = [:]) {
        content = fields
        content["apiVersion"] = .string(resource.apiVersion)
        content["kind"] = .string(resource.kind)
        self.name = name
        if resource.isNamespaced, let namespace { self.namespace = namespace }
    }

    /// The value of a field.
    public subscript(path: String...) -> JSONValue? {
        get { content[path: path] }
        set { content[path: path] = newValue }
    }

    private func text(_ field: String) -> String { content["metadata"]?[field]?.string ?? "" }

    /// Its name within kind and namespace; empty if it has none.
    public var name: String {
        get { text("name") }
        set { self["metadata", "name"] = .string(newValue) }
    }

    /// Its namespace; empty if it lies in none.
    public var namespace: String {
        get { text("namespace") }
        set { self["metadata", "namespace"] = newValue.isEmpty ? nil : .string(newValue) }
    }

    /// What tells it from another of the same name before or after it.
    public var uid: String { text("uid") }

    /// Its version, to be compared for equality only; in what is written, the version that must be the present one.
    public var resourceVersion: String {
        get { text("resourceVersion") }
        set { self["metadata", "resourceVersion"] = newValue.isEmpty ? nil : .string(newValue) }
    }

    /// Counts changes of the specification; 0 where none is kept.
    public var generation: Int64 { content["metadata"]?["generation"]?.integer ?? 0 }

    /// When its deletion was asked for; nil if it was not.
    public var deletionTimestamp: String? { content["metadata"]?["deletionTimestamp"]?.string }

    /// Marks by which objects are selected.
    public var labels: [String: String] {
        get { texts("labels") }
        set { self["metadata", "labels"] = .object(newValue.mapValues { .string($0) }) }
    }

    /// Marks of other kinds.
    public var annotations: [String: String] {
        get { texts("annotations") }
        set { self["metadata", "annotations"] = .object(newValue.mapValues { .string($0) }) }
    }

    /// Who must agree before a deletion is carried out.
    public var finalizers: [String] {
        get { (content["metadata"]?["finalizers"]?.array ?? []).compactMap(\.string) }
        set { self["metadata", "finalizers"] = newValue.isEmpty ? nil : .array(newValue.map { .string($0) }) }
    }

    /// The objects with which this one goes.
    public var ownerReferences: [OwnerReference] {
        get { (content["metadata"]?["ownerReferences"]?.array ?? []).compactMap { OwnerReference($0) } }
        set { self["metadata", "ownerReferences"] = newValue.isEmpty ? nil : .array(newValue.map(\.content)) }
    }

    /// The specification.
    public var spec: JSONValue {
        get { content["spec"] ?? .null }
        set { content["spec"] = newValue }
    }

    /// The state.
    public var status: JSONValue {
        get { content["status"] ?? .null }
        set { content["status"] = newValue }
    }

    private func texts(_ field: String) -> [String: String] {
        (content["metadata"]?[field]?.object ?? [:]).compactMapValues(\.string)
    }
}

/// One object with which another goes.
public struct OwnerReference: Hashable, Sendable {
    /// Group and version.
    public var apiVersion: String
    /// The kind.
    public var kind: String
    /// The name, within the same namespace.
    public var name: String
    /// Which one of that name.
    public var uid: String
    /// Whether it is the one that manages the other.
    public var isController: Bool

    /// Names an owner.
    public init(apiVersion: String, kind: String, name: String, uid: String, isController: Bool) {
        self.apiVersion = apiVersion
        self.kind = kind
        self.name = name
        self.uid = uid
        self.isController = isController
    }

    /// Reads one; nil if a part of it is missing.
    public init?(_ value: JSONValue) {
        guard let apiVersion = value["apiVersion"]?.string, let kind = value["kind"]?.string,
            let name = value["name"]?.string, let uid = value["uid"]?.string
        else { return nil }
        self.init(
            apiVersion: apiVersion,
            kind: kind,
            name: name,
            uid: uid,
            isController: value["controller"]?.bool ?? false
        )
    }

    /// As objects carry it.
    public var content: JSONValue {
        [
            "apiVersion": .string(apiVersion), "kind": .string(kind), "name": .string(name), "uid": .string(uid),
            "controller": .bool(isController), "blockOwnerDeletion": .bool(isController),
        ]
    }
}
