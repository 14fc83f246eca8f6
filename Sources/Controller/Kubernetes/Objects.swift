import HTTPTransport
public import JSON
public import KubernetesObjects

/// What a deletion does with the objects that the deleted one owns.
public enum DeletionPropagation: String, Hashable, Sendable {
    /// They are collected afterwards.
    case background = "Background"
    /// They go first.
    case foreground = "Foreground"
    /// They stay.
    case orphan = "Orphan"
}

/// One part of an object that is written apart from the rest.
public enum ObjectPart: String, Hashable, Sendable {
    /// The state.
    case status
    /// The number of replicas.
    case scale
}

/// Which objects of a kind are meant.
public struct ObjectCollection: Hashable, Sendable {
    /// The kind.
    public var resource: APIResource
    /// The namespace; nil means all.
    public var namespace: String?
    /// A condition on labels, such as `app=orders`; empty for none.
    public var labelSelector: String
    /// A condition on fields, such as `metadata.name=orders`; empty for none.
    public var fieldSelector: String

    /// Describes a collection.
    public init(_ resource: APIResource, namespace: String?, labelSelector: String = "", fieldSelector: String = "") {
        self.resource = resource
        self.namespace = namespace
        self.labelSelector = labelSelector
        self.fieldSelector = fieldSelector
    }

    var path: String { resource.path(namespace: namespace) }

    var query: [(String, String)] {
        [("labelSelector", labelSelector), ("fieldSelector", fieldSelector)].filter { !$0.1.isEmpty }
    }
}

/// A whole list as it was at one moment.
public struct ObjectList: Hashable, Sendable {
    /// The objects, as the server ordered them.
    public let items: [KubernetesObject]
    /// The moment, from which a watch continues.
    public let resourceVersion: String
}

extension KubernetesClient {
    /// Reads one object.
    ///
    /// - Parameters:
    ///   - resource: The kind.
    ///   - namespace: Where it lies; ignored for kinds that lie in none.
    ///   - name: Its name.
    /// - Returns: The object as it is now.
    /// - Throws: `KubernetesError`; `isNotFound` if there is none.
    public func get(
        _ resource: APIResource,
        namespace: String,
        name: String
    ) async throws(KubernetesError) -> KubernetesObject {
        KubernetesObject(try await ask(Call(path: resource.path(namespace: namespace, name: name))))
    }

    /// Reads all objects of a collection, page by page, as they were at one moment.
    ///
    /// - Throws: `KubernetesError`, also if there are more than the limit.
    public func list(_ collection: ObjectCollection) async throws(KubernetesError) -> ObjectList {
        var restarts = 0
        while true {
            do throws(KubernetesError) {
                return try await pages(of: collection)
            } catch {
                // The moment that the first page showed is not kept any more.
                guard error.isGone, restarts < 3 else { throw error }
                restarts += 1
            }
        }
    }

    private func pages(of collection: ObjectCollection) async throws(KubernetesError) -> ObjectList {
        var items: [KubernetesObject] = []
        var token = ""
        repeat {
            var call = Call(path: collection.path, query: collection.query, bodyLimit: limits.pageBytes)
            call.query.append(("limit", "\(limits.pageSize)"))
            if !token.isEmpty { call.query.append(("continue", token)) }
            let page = try await ask(call)
            guard let found = page["items"]?.array ?? (page["items"] == nil || page["items"] == .null ? [] : nil),
                let version = page["metadata"]?["resourceVersion"]?.string
            else { throw malformed(call, "the answer is no list") }
            for item in found {
                // The server leaves out what all have in common.
                var object = KubernetesObject(item)
                object["apiVersion"] = .string(collection.resource.apiVersion)
                object["kind"] = .string(collection.resource.kind)
                items.append(object)
            }
            guard items.count <= limits.listSize else {
                throw malformed(call, "there are more than \(limits.listSize) objects")
            }
            token = page["metadata"]?["continue"]?.string ?? ""
            if token.isEmpty { return ObjectList(items: items, resourceVersion: version) }
        } while true
    }

    /// Makes an object that must not be there.
    ///
    /// - Throws: `KubernetesError`; `isAlreadyExists` if there is one, also if it is our own, sent twice.
    public func create(
        _ object: KubernetesObject,
        of resource: APIResource,
        fieldManager: String
    ) async throws(KubernetesError) -> KubernetesObject {
        let path = resource.path(namespace: object.namespace)
        let query = [("fieldManager", fieldManager)]
        return KubernetesObject(try await ask(Call(method: .post, path: path, query: query, body: object.content)))
    }

    /// Puts an object in the place of the version that it carries.
    ///
    /// - Parameters:
    ///   - object: The object as it is to be, with the version that it was read in.
    ///   - resource: Its kind.
    ///   - part: Writes only this part; nil writes all but the status of kinds that keep it apart.
    ///   - fieldManager: In whose name the fields are held.
    /// - Returns: The object as it was written.
    /// - Throws: `KubernetesError`; `isConflict` if the object has another version by now, also if that is our own
    ///   write, sent twice: read it again. An object without a version is refused, as it would replace any.
    public func replace(
        _ object: KubernetesObject,
        of resource: APIResource,
        part: ObjectPart? = nil,
        fieldManager: String
    ) async throws(KubernetesError) -> KubernetesObject {
        let path = resource.path(namespace: object.namespace, name: object.name, part: part?.rawValue)
        let call = Call(method: .put, path: path, query: [("fieldManager", fieldManager)], body: object.content)
        guard !object.resourceVersion.isEmpty else {
            throw KubernetesError(
                .malformed,
                "PUT \(path)",
                cause: "the object carries no resourceVersion",
                mend: "change an object that was read"
            )
        }
        return KubernetesObject(try await ask(call))
    }

    /// Changes parts of an object by a merge patch.
    ///
    /// - Parameters:
    ///   - patch: What to change; a `metadata.resourceVersion` in it makes the change conditional.
    ///   - resource: The kind.
    ///   - namespace: Where it lies; ignored for kinds that lie in none.
    ///   - name: Its name.
    ///   - part: Writes only this part; nil writes all but the status of kinds that keep it apart.
    ///   - fieldManager: In whose name the fields are held.
    /// - Returns: The object as it was written.
    /// - Throws: `KubernetesError`.
    /// - SeeAlso: RFC 7386.
    public func mergePatch(
        _ patch: JSONValue,
        _ resource: APIResource,
        namespace: String,
        name: String,
        part: ObjectPart? = nil,
        fieldManager: String
    ) async throws(KubernetesError) -> KubernetesObject {
        let path = resource.path(namespace: namespace, name: name, part: part?.rawValue)
        var call = Call(method: .patch, path: path, query: [("fieldManager", fieldManager)], body: patch)
        call.contentType = "application/merge-patch+json"
        return KubernetesObject(try await ask(call))
    }

    /// Says which fields of an object we hold and what they are; the server makes the object if there is none.
    ///
    /// - Parameters:
    ///   - object: Only the fields that we mean to hold. Fields that we held and leave out are removed.
    ///   - resource: Its kind.
    ///   - part: Applies to this part only; nil to all but the status of kinds that keep it apart.
    ///   - fieldManager: In whose name the fields are held.
    ///   - force: Whether fields that others hold become ours; else they are a conflict.
    /// - Returns: The object as it is with our fields.
    /// - Throws: `KubernetesError`; `isConflict` if another holds a field with another value.
    /// - SeeAlso: Kubernetes documentation, "Server-Side Apply".
    public func apply(
        _ object: KubernetesObject,
        of resource: APIResource,
        part: ObjectPart? = nil,
        fieldManager: String,
        force: Bool
    ) async throws(KubernetesError) -> KubernetesObject {
        let path = resource.path(namespace: object.namespace, name: object.name, part: part?.rawValue)
        let query = [("fieldManager", fieldManager), ("force", force ? "true" : "false")]
        var call = Call(method: .patch, path: path, query: query, body: object.content)
        call.contentType = "application/apply-patch+yaml"
        return KubernetesObject(try await ask(call))
    }

    /// Asks for an object's deletion.
    ///
    /// - Parameters:
    ///   - resource: The kind.
    ///   - namespace: Where it lies; ignored for kinds that lie in none.
    ///   - name: Its name.
    ///   - uid: Deletes only the object of this identity; nil any of the name.
    ///   - resourceVersion: Deletes only this version; nil any.
    ///   - propagation: What becomes of what it owns.
    ///   - graceSeconds: How long it may take to end; nil leaves it to the kind.
    /// - Throws: `KubernetesError`; `isNotFound` if there is none, `isConflict` if it is another.
    public func delete(
        _ resource: APIResource,
        namespace: String,
        name: String,
        uid: String? = nil,
        resourceVersion: String? = nil,
        propagation: DeletionPropagation = .background,
        graceSeconds: Int64? = nil
    ) async throws(KubernetesError) {
        var options: JSONValue = ["apiVersion": "v1", "kind": "DeleteOptions"]
        options["propagationPolicy"] = .string(propagation.rawValue)
        options[path: ["preconditions", "uid"]] = uid.map { .string($0) }
        options[path: ["preconditions", "resourceVersion"]] = resourceVersion.map { .string($0) }
        options["gracePeriodSeconds"] = graceSeconds.map { .number(JSONNumber($0)) }
        let path = resource.path(namespace: namespace, name: name)
        _ = try await ask(Call(method: .delete, path: path, body: options))
    }

    func malformed(_ call: Call, _ cause: String) -> KubernetesError {
        KubernetesError(.malformed, "\(call.method.rawValue) \(call.path)", cause: cause)
    }
}
