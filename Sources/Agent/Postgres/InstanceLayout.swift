/// Names below the data folder: where an instance keeps what.
enum InstanceLayout {
    /// The data directory.
    static let data = "pgdata"
    /// What the agent must not forget.
    static let state = "state"
    /// Of the cluster record, as a controller gave it (R1).
    static let recordCopy = "record-copy"
    /// Password of the replication role, in libpq's own format.
    static let passwords = "passfile"
    /// A data directory in the making; swapped with the real one when complete.
    static let copy = "clone"
    /// A data directory that was replaced and is being removed.
    static let replaced = "pgdata.old"

    /// Folders with WAL that a rewind or a new copy would have destroyed.
    static let divergent = "divergent-wal"

    static let incarnationFile = "understudy.incarnation"
    static let settingsFile = "understudy.conf"
    static let accessFile = "understudy_hba.conf"
    static let identityFile = "understudy_ident.conf"
    static let standbySignal = "standby.signal"

    /// A file of the data directory.
    static func inside(_ name: String) -> String { "\(data)/\(name)" }

    /// A file of another folder.
    static func inside(_ folder: String, _ name: String) -> String { "\(folder)/\(name)" }
}
