public import ClusterModel

/// What happens to a cluster.
public enum ClusterEvent: Hashable, Sendable {
    /// This controller leads, and until then nobody else does (R11).
    case leading(until: MonotonicInstant)
    /// The record as stored; nil if there is none yet.
    case recordLoaded(ClusterRecord?)
    /// The pending compare-and-swap took effect.
    case recordStored
    /// Somebody else changed the record; this is it now.
    case recordConflict(ClusterRecord?)
    /// The pending write failed or its answer was lost: what is stored is unknown until loaded again.
    case recordUnknown(reason: String)
    case connected(InstanceName)
    case disconnected(InstanceName)
    case report(InstanceName, InstanceReport)
    case refused(InstanceName, OrderRefusal)
    /// The agent of that instance keeps this copy of a record (R1).
    case copy(InstanceName, ClusterRecord)
    /// Somebody asks for something; answered by exactly one `reply` with the same number.
    case command(ClusterCommand, id: UInt64)
    /// Time passed.
    case tick
}

/// What the controller does; the order within one decision is a contract.
public enum ClusterAction: Hashable, Sendable {
    /// Compare-and-swap; nothing that rests on it is ordered before `recordStored`.
    case store(ClusterRecord, replacing: RecordVersion)
    /// Read the record anew; answered by `recordLoaded`.
    case load
    case send(Order, to: InstanceName)
    case answer(ReportAnswer, to: InstanceName)
    /// To be kept beside the data, in case the record is lost (R1).
    case keepCopy(ClusterRecord, at: InstanceName)
    case explain(Explanation)
    /// To whoever gave the command of that number.
    case reply(CommandAnswer, to: UInt64)
    /// A change of primary is complete; for the history.
    case concluded(FailoverSummary)
}
