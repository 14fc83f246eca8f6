import JSON
public import KubernetesObjects

/// A Lease: a right that one holder has for a while, renewed by conditional writes.
///
/// - SeeAlso: Kubernetes API reference, `Lease` (coordination.k8s.io/v1).
public struct KubernetesLease: Hashable, Sendable {
    /// The kind.
    public static let resource = APIResource(
        group: "coordination.k8s.io",
        version: "v1",
        plural: "leases",
        kind: "Lease"
    )

    /// The whole object, with its version.
    public var object: KubernetesObject

    /// Takes an object as it was read.
    public init(_ object: KubernetesObject) { self.object = object }

    /// Begins one that is not there.
    public init(namespace: String, name: String) {
        object = KubernetesObject(Self.resource, namespace: namespace, name: name)
    }

    /// Who holds it; empty for nobody.
    public var holder: String {
        get { object.spec["holderIdentity"]?.string ?? "" }
        set { object["spec", "holderIdentity"] = .string(newValue) }
    }

    /// How long after its renewal it lasts, in whole seconds; nil if nobody said.
    public var durationSeconds: Int64? {
        get { object.spec["leaseDurationSeconds"]?.integer }
        set { object["spec", "leaseDurationSeconds"] = newValue.map { .number(JSONNumber($0)) } }
    }

    /// How often it has changed hands.
    public var transitions: Int64 {
        get { object.spec["leaseTransitions"]?.integer ?? 0 }
        set { object["spec", "leaseTransitions"] = .number(JSONNumber(newValue)) }
    }

    /// When the holder got it, in the holder's words; for people only, clocks differ.
    public var acquireTime: String? {
        get { object.spec["acquireTime"]?.string }
        set { object["spec", "acquireTime"] = newValue.map { .string($0) } }
    }

    /// When the holder last renewed it, in the holder's words; that it changed is what counts, clocks differ.
    public var renewTime: String? {
        get { object.spec["renewTime"]?.string }
        set { object["spec", "renewTime"] = newValue.map { .string($0) } }
    }
}

extension KubernetesClient {
    /// Reads a lease; nil if there is none.
    ///
    /// - Throws: `KubernetesError`.
    public func lease(namespace: String, name: String) async throws(KubernetesError) -> KubernetesLease? {
        do throws(KubernetesError) {
            return KubernetesLease(try await get(KubernetesLease.resource, namespace: namespace, name: name))
        } catch {
            if error.isNotFound { return nil }
            throw error
        }
    }

    /// Makes a lease, or changes the version that was read.
    ///
    /// - Throws: `KubernetesError`; `isAlreadyExists` or `isConflict` if somebody was faster.
    public func write(_ lease: KubernetesLease, fieldManager: String) async throws(KubernetesError) -> KubernetesLease {
        let resource = KubernetesLease.resource
        if lease.object.resourceVersion.isEmpty {
            return KubernetesLease(try await create(lease.object, of: resource, fieldManager: fieldManager))
        }
        return KubernetesLease(try await replace(lease.object, of: resource, fieldManager: fieldManager))
    }
}
