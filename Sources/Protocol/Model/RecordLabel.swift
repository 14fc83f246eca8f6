/// What a copy of the record says about itself: which of two is to be kept beside the data (R1).
///
/// Decodes from the JSON of a whole record.
public struct RecordLabel: Hashable, Sendable, Codable {
    /// Of the record.
    public let term: Term
    /// Of the record.
    public let version: RecordVersion
    /// Of the data that the record is about; nil before the first primary is born.
    public let systemIdentifier: SystemIdentifier?

    /// The label of a record.
    public init(_ record: ClusterRecord) {
        term = record.term
        version = record.version
        systemIdentifier = record.systemIdentifier
    }

    /// Whether a copy with another label may take this one's place.
    ///
    /// Never an older one, as of a record put back from a backup, since the newer is what the record is rebuilt from;
    /// but one about other data may: what an earlier life of the cluster left on the disk is of use to nobody.
    public func mayBeReplaced(by other: RecordLabel) -> Bool {
        if let mine = systemIdentifier, let theirs = other.systemIdentifier, mine != theirs { return true }
        return other.version >= version && other.term >= term
    }
}
