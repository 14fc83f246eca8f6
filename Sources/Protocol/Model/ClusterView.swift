/// What the controller tells people about a cluster: the command line and later the web page show it.
public struct ClusterView: Hashable, Sendable, Codable {
    /// One instance as last reported.
    public struct Instance: Hashable, Sendable, Codable {
        /// As specified.
        public var name: InstanceName
        /// Where its server listens.
        public var server: Endpoint
        /// `primary`, `standby`, `down`, `cloning`, …: one word for a person.
        public var role: String
        /// Whether its agent's connection is up.
        public var connected: Bool
        /// Whole milliseconds since the last report; nil if there was none.
        public var reportAgeMilliseconds: Int64?
        /// Of its data directory; nil if it has none.
        public var incarnation: Incarnation?
        /// End of its WAL as last reported.
        public var position: WALPosition?
        /// Bytes of WAL behind the primary's last reported position; nil if unknown.
        public var lagBytes: UInt64?
        /// For how long the primary has had WAL that is not replayed here (R22); nil if unknown, or the primary.
        ///
        /// As fine as the report interval.
        public var lagMilliseconds: Int64?
        /// Receives from this term's primary, on its timeline, by a report that is not older than two intervals.
        public var streaming: Bool
        /// Voter under the newest rule.
        public var votes: Bool
        /// Admits clients as the recorded primary (R23).
        public var opened: Bool
        /// Whole milliseconds of lease that the controller counts with, at most a whole lease; nil if none.
        public var leaseRemainingMilliseconds: Int64?
        /// Long work under way; empty if none.
        public var activity: String
        /// What keeps it from what it was told; empty if nothing.
        public var fault: String
        /// `server_version_num`; 0 if unknown.
        public var serverVersion: Int
        /// Free on the volume of its data; nil if unknown.
        public var freeBytes: UInt64?
        /// Folders on its volume with WAL that the cluster's history does not contain (R14).
        public var keptWAL: [String]
        /// Why it could not be made primary now; empty if it could, or is.
        public var obstacle: String

        /// Creates an instance from its parts.
        public init(name: InstanceName, server: Endpoint, role: String) {
            self.name = name
            self.server = server
            self.role = role
            connected = false
            reportAgeMilliseconds = nil
            incarnation = nil
            position = nil
            lagBytes = nil
            lagMilliseconds = nil
            streaming = false
            votes = false
            opened = false
            leaseRemainingMilliseconds = nil
            activity = ""
            fault = ""
            serverVersion = 0
            freeBytes = nil
            keptWAL = []
            obstacle = ""
        }
    }

    /// Its name.
    public var cluster: ClusterName
    /// Where the controller that shows this is found; nil if it does not say.
    public var controller: Endpoint?
    /// As specified.
    public var durability: Durability
    /// Of the record shown.
    public var version: RecordVersion
    /// As recorded.
    public var term: Term
    /// As recorded.
    public var phase: Phase
    /// As recorded; the candidate while promoting.
    public var primary: InstanceName?
    /// Nil before birth.
    public var systemIdentifier: SystemIdentifier?
    /// One, or old and new while voters change.
    public var rules: [Rule]
    /// In the order of the specification.
    public var instances: [Instance]
    /// What the cluster waits for, if it does.
    public var waiting: Explanation?
    /// What the promises do not hold for, and how to mend that; a line each.
    public var warnings: [String]
    /// The primary's agent is out of sight while standbys receive from its server (R9); nil if not.
    public var suspect: Explanation?
    /// Nil if this controller saw none.
    public var lastFailover: FailoverSummary?
    /// Oldest first.
    public var history: [Primacy]
    /// A change of primary that somebody asked for; nil if none is under way.
    public var request: ChangeRequest?
    /// Why no change of primary begins by itself; nil if nothing keeps it from that.
    public var pauseReason: String?

    /// Creates a cluster view from its parts.
    public init(record: ClusterRecord, durability: Durability) {
        cluster = record.cluster
        controller = nil
        self.durability = durability
        version = record.version
        term = record.term
        phase = record.phase
        primary = record.primary
        systemIdentifier = record.systemIdentifier
        rules = record.rules
        instances = []
        waiting = nil
        warnings = []
        suspect = nil
        lastFailover = nil
        history = record.history
        request = record.request
        pauseReason = record.pauseReason
    }
}
