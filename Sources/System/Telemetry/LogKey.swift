/// Keys of what log lines carry beside their constant message.
public enum LogKey {
    public static let cluster = "cluster.name"
    public static let instance = "instance.name"
    public static let kind = "decision.kind"
    public static let rule = "decision.rule"
    public static let evidence = "decision.evidence"
    public static let reason = "reason"
    public static let term = "term"
    public static let version = "record.version"
    public static let address = "address"
    public static let duration = "duration.ms"
}
