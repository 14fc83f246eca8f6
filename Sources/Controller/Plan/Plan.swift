public import ClusterModel
public import JSON
public import KubernetesObjects

/// One thing to do about a cluster's objects.
public enum Deed: Hashable, Sendable {
    /// Make an object that is not there.
    case create(APIResource, KubernetesObject)
    /// Put an object in the place of the version it carries.
    case replace(APIResource, KubernetesObject)
    /// Change parts of an object by a merge patch, which carries the version it rests on.
    case patch(APIResource, name: String, JSONValue)
    /// Delete an object, if it is still the one of that identity.
    case delete(APIResource, name: String, uid: String)
    /// Change the resource's status by a merge patch, which carries the version it rests on.
    case status(JSONValue)
    /// Tell people, on the resource.
    case event(isWarning: Bool, reason: String, note: String)
    /// Issue a certificate for an instance into a new Secret that the given object begins.
    case issueCertificate(instance: InstanceName, KubernetesObject)
    /// Ask the core for another primary; nil lets it choose.
    case switchover(to: InstanceName?)
    /// The only instance has lost its volume: the cluster begins anew, empty.
    case startOver(with: InstanceName)
}

/// A deed and why.
public struct Change: Hashable, Sendable {
    /// What to do.
    public let deed: Deed
    /// One sentence for people.
    public let why: String
}

/// What follows from one observation.
public struct Plan: Hashable, Sendable {
    /// In order: what stands first must have been done before what follows.
    ///
    /// If one fails, the rest is left out, and the next plan rests on a new observation. Events may fail.
    public internal(set) var changes: [Change] = []
    /// The cluster as the core should know it; nil while the specification cannot be followed at all.
    public internal(set) var cluster: PlannedCluster?
    /// When to look again though nothing was seen to change; nil if not at all.
    public internal(set) var lookAgainAt: MonotonicInstant?

    mutating func add(_ deed: Deed, _ why: String) { changes.append(Change(deed: deed, why: why)) }

    mutating func tell(_ reason: String, _ note: String) {
        add(.event(isWarning: false, reason: reason, note: note), note)
    }
}

/// What the core is to keep.
public struct PlannedCluster: Hashable, Sendable {
    /// One instance that the cluster should have.
    public struct Member: Hashable, Sendable {
        /// How the core calls it.
        public let name: InstanceName
        /// Of its pod; nil while it has none.
        public let address: String?
        /// Among equals the higher is promoted first.
        public let failoverPriority: Int
        /// Of its machine; nil if not known.
        public let zone: String?
    }

    /// How certificates, agents and the record call it: the resource's own identity.
    public let name: ClusterName
    /// By number.
    public let members: [Member]
    /// Where its servers listen.
    public let port: Int
    /// What a commit waits for.
    public let durability: Durability
    /// How many standbys a commit waits for.
    public let synchronousStandbys: Int
    /// In `async`: how many bytes a candidate may miss.
    public let maximumLagOnFailover: UInt64
    /// How long a primary may run on one grant; nil for the default.
    public let leaseDuration: Duration?
    /// No automatic promotion (R18).
    public let failoverDisabled: Bool
    /// A crashed primary is restarted in place (R17).
    public let restartsOnCrash: Bool
}
