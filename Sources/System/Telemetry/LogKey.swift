/// Keys of what log lines carry beside their constant message.
public enum LogKey {
    /// Which cluster.
    public static let cluster = "cluster.name"
    /// Which instance.
    public static let instance = "instance.name"
    /// An explanation's kind.
    public static let kind = "decision.kind"
    /// The rule of the protocol that a decision rests on.
    public static let rule = "decision.rule"
    /// What a decision rests on.
    public static let evidence = "decision.evidence"
    /// Why something failed or ended.
    public static let reason = "reason"
    /// A primacy's number.
    public static let term = "term"
    /// Version of the cluster record.
    public static let version = "record.version"
    /// Host and port.
    public static let address = "address"
    /// Whole milliseconds.
    public static let duration = "duration.ms"
}
