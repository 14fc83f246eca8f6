/// What the controller tells people about a cluster: the command line and later the web page show it.
public struct ClusterView: Hashable, Sendable, Codable {
    /// One instance as last reported.
    public struct Instance: Hashable, Sendable, Codable {
        public var name: InstanceName
        public var server: Endpoint
        /// `primary`, `standby`, `down`, `cloning`, …: one word for a person.
        public var role: String
        public var connected: Bool
        /// Whole milliseconds since the last report; nil if there was none.
        public var reportAge: Int64?
        public var incarnation: Incarnation?
        public var position: WALPosition?
        /// Bytes of WAL behind the primary's last reported position; nil if unknown.
        public var lagBytes: UInt64?
        /// Receives from this term's primary, on its timeline.
        public var streaming: Bool
        /// Voter under the newest rule.
        public var votes: Bool
        /// Admits clients as primary (R23).
        public var opened: Bool
        /// Whole milliseconds of lease that the controller counts with; nil if none.
        public var leaseRemaining: Int64?
        public var activity: String
        public var fault: String
        public var serverVersion: Int
        public var freeBytes: UInt64?

        public init(name: InstanceName, server: Endpoint, role: String) {
            self.name = name
            self.server = server
            self.role = role
            connected = false
            reportAge = nil
            incarnation = nil
            position = nil
            lagBytes = nil
            streaming = false
            votes = false
            opened = false
            leaseRemaining = nil
            activity = ""
            fault = ""
            serverVersion = 0
            freeBytes = nil
        }
    }

    public var cluster: ClusterName
    public var durability: Durability
    public var version: RecordVersion
    public var term: Term
    public var phase: Phase
    public var primary: InstanceName?
    public var systemIdentifier: SystemIdentifier?
    public var rules: [Rule]
    public var instances: [Instance]
    /// What the cluster waits for, if it does.
    public var waiting: Explanation?
    public var lastFailover: FailoverSummary?
    public var history: [Primacy]

    public init(record: ClusterRecord, durability: Durability) {
        cluster = record.cluster
        self.durability = durability
        version = record.version
        term = record.term
        phase = record.phase
        primary = record.primary
        systemIdentifier = record.systemIdentifier
        rules = record.rules
        instances = []
        waiting = nil
        lastFailover = nil
        history = record.history
    }
}
