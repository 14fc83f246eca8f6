import ClusterModel

/// The settings that are Understudy's affair.
enum OwnSettings {
    /// Names that neither the user nor ALTER SYSTEM may set.
    static let reserved: Set<String> = [
        "listen_addresses", "port", "unix_socket_directories", "hot_standby", "wal_log_hints", "wal_keep_size",
        "restart_after_crash", "wal_sender_timeout", "wal_receiver_timeout", "wal_receiver_status_interval",
        "wal_retrieve_retry_interval", "wal_writer_delay", "recovery_target_timeline", "primary_conninfo",
        "primary_slot_name",
        "synchronous_standby_names", "hba_file", "ident_file", "config_file", "data_directory",
        "promote_trigger_file", "recovery_target", "recovery_target_lsn", "recovery_target_name",
        "recovery_target_time", "recovery_target_xid", "restore_command", "external_pid_file",
        "superuser_reserved_connections", "idle_replication_slot_timeout",
    ]

    /// Arguments of the server: what stands here beats every file, `postgresql.auto.conf` included.
    ///
    /// `major` is the version of the data directory; nil leaves out what some version does not know.
    static func arguments(_ configuration: PostgresConfiguration, major: Int?) -> [String] {
        let data = "\(configuration.dataFolder)/\(InstanceLayout.data)"
        var settings: [(String, String)] = [
            ("config_file", "\(data)/\(InstanceLayout.settingsFile)"),
            ("hba_file", "\(data)/\(InstanceLayout.accessFile)"),
            ("ident_file", "\(data)/\(InstanceLayout.identityFile)"),
            ("listen_addresses", configuration.listenAddresses), ("port", "\(configuration.server.port)"),
            ("unix_socket_directories", configuration.socketFolder), ("hot_standby", "on"), ("wal_log_hints", "on"),
            ("restart_after_crash", "off"), ("recovery_target_timeline", "latest"),
            ("wal_keep_size", configuration.walKeepSize), ("wal_sender_timeout", "2s"),
            ("wal_receiver_timeout", "2s"), ("wal_receiver_status_interval", "1s"),
            ("wal_retrieve_retry_interval", "100ms"), ("wal_writer_delay", "200ms"),
            ("superuser_reserved_connections", "5"),
        ]
        // Here ALTER SYSTEM cannot lower it: a commit is confirmed when the names' standbys have flushed it (R12).
        settings.append(("synchronous_commit", commitLevel(configuration)))
        for (name, least) in [("max_wal_senders", 10), ("max_replication_slots", 10)] {
            let wanted = configuration.settings[name].flatMap { Int($0) } ?? 0
            settings.append((name, "\(max(least, wanted))"))
        }
        // A member that is away for long finds its slot again; how much WAL that may keep is limited elsewhere.
        if let major, major >= 18 { settings.append(("idle_replication_slot_timeout", "0")) }
        let level = configuration.settings["wal_level"]
        settings.append(("wal_level", level == "logical" ? "logical" : "replica"))
        return ["-D", data] + settings.flatMap { ["-c", "\($0.0)=\($0.1)"] }
    }

    /// `synchronous_commit`: never less than a standby's flush.
    static func commitLevel(_ configuration: PostgresConfiguration) -> String {
        configuration.settings["synchronous_commit"] == "remote_apply" ? "remote_apply" : "on"
    }
}

/// Whether clients are let in, with a mark that tells this writing of the files from every other.
struct Gate: Hashable, Sendable {
    var isOpen: Bool
    var mark: String

    static func fresh(open isOpen: Bool) -> Gate {
        Gate(isOpen: isOpen, mark: String(UInt64.random(in: .min ... .max), radix: 36))
    }

    var text: String { "\(isOpen ? "open" : "shut"):\(mark)" }

    init(isOpen: Bool, mark: String) {
        self.isOpen = isOpen
        self.mark = mark
    }

    /// Reads what a server shows; anything unknown is shut.
    init(_ text: String) {
        let parts = text.split(separator: ":", maxSplits: 1)
        self.init(isOpen: parts.first == "open", mark: parts.count == 2 ? String(parts[1]) : "")
    }
}

/// The settings that change while a server runs.
struct Steering: Hashable, Sendable {
    /// Value of `primary_conninfo`; empty for nobody.
    var connection = ""
    /// Value of `synchronous_standby_names`.
    var names = standbySynchronousNames
    var gate = Gate(isOpen: false, mark: "")
    /// Overrides the user's `recovery_min_apply_delay`.
    var liftsDelay = false

    /// What a server that took these settings shows.
    func shown(slot: String) -> [(name: String, value: String)] {
        [
            ("primary_conninfo", connection), ("primary_slot_name", slot), ("synchronous_standby_names", names),
            ("understudy.gate", gate.text),
        ]
    }
}

/// The file that the server is started with: the user's settings first, then the ones that steer.
enum SettingsFile {
    /// The whole file.
    static func compose(
        _ steering: Steering,
        configuration: PostgresConfiguration,
        member: MemberID
    ) -> String {
        var lines = [
            "# Written by Understudy: changes made here are lost. Set your own in the cluster's configuration.",
            "include_if_exists = 'postgresql.conf'",
        ]
        for (name, value) in configuration.settings.sorted(by: { $0.key < $1.key }) {
            lines.append("\(name) = \(quoted(value))")
        }
        // Also for a server that an earlier version started without this argument.
        lines.append("synchronous_commit = \(quoted(OwnSettings.commitLevel(configuration)))")
        if steering.liftsDelay { lines.append("recovery_min_apply_delay = 0") }
        lines.append("understudy.incarnation = \(quoted(member.incarnation.text))")
        for (name, value) in steering.shown(slot: member.applicationName) {
            lines.append("\(name) = \(quoted(value))")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// What an earlier file of this kind said; nil if it is none.
    static func parse(_ text: String) -> Steering? {
        var steering = Steering()
        var isOwn = false
        for line in text.split(whereSeparator: \.isNewline) {
            guard let (name, value) = assignment(line) else { continue }
            switch name {
            case "primary_conninfo": steering.connection = value
            case "synchronous_standby_names": steering.names = value
            case "understudy.gate":
                steering.gate = Gate(value)
                isOwn = true
            default: break
            }
        }
        return isOwn ? steering : nil
    }

    /// A value as the settings file wants it.
    static func quoted(_ value: String) -> String {
        var text = "'"
        for character in value {
            if character == "'" || character == "\\" { text.append(character) }
            text.append(character)
        }
        return text + "'"
    }

    private static func assignment(_ line: Substring) -> (name: String, value: String)? {
        let parts = line.split(separator: "=", maxSplits: 1)
        guard parts.count == 2 else { return nil }
        let name = parts[0].filter { $0 != " " }
        let text = parts[1].drop { $0 == " " }
        guard text.count >= 2, text.first == "'", text.last == "'" else { return nil }
        var value = ""
        var isEscaped = false
        for character in text.dropFirst().dropLast() {
            if !isEscaped, character == "'" || character == "\\" {
                isEscaped = true
            } else {
                value.append(character)
                isEscaped = false
            }
        }
        return (String(name), value)
    }
}

/// The file that says who may connect (R23).
enum AccessFile {
    /// The agent and the other members first, then either the user's own lines or a refusal of everybody else.
    static func compose(open: Bool, configuration: PostgresConfiguration) -> String {
        let agent = configuration.superuser
        let standby = PostgresConfiguration.replicationUser
        var lines = [
            "# Written by Understudy: changes made here are lost. Add your own lines in the cluster's configuration.",
            "local all \"\(agent)\" peer map=understudy",
            "local replication \"\(agent)\" peer map=understudy",
            "host postgres,replication \(standby) all scram-sha-256",
        ]
        lines += open ? configuration.accessRules : ["local all all reject", "host all all all reject"]
        return lines.joined(separator: "\n") + "\n"
    }

    /// Who may be the superuser through the Unix socket: the server's own user and the agent's.
    static func identities(_ configuration: PostgresConfiguration) -> String {
        let users = Set([configuration.superuser, configuration.agentUser]).sorted()
        return users.map { "understudy \"\($0)\" \"\(configuration.superuser)\"\n" }.joined()
    }
}

/// Connection strings for the server and its tools; never with a password.
enum UpstreamConnection {
    /// Value of `primary_conninfo`.
    static func receiving(from server: Endpoint, as member: MemberID, passwords: String) -> String {
        // The receiver takes no notice of the database; what synchronizes logical slots (from 17 on) needs one.
        text(server, database: "postgres", applicationName: member.applicationName, passwords: passwords)
    }

    /// What `pg_rewind` and `pg_basebackup` are told.
    static func tool(_ server: Endpoint, database: String?, applicationName: String, passwords: String) -> String {
        text(server, database: database, applicationName: applicationName, passwords: passwords)
    }

    /// Host and port that a value of `primary_conninfo` names.
    static func server(in text: String) -> Endpoint? {
        let words = text.split(separator: " ")
        func value(_ name: String) -> String? {
            words.first { $0.hasPrefix(name + "=") }?.dropFirst(name.count + 1).filter { $0 != "'" }
        }
        guard let host = value("host"), let port = value("port").flatMap({ UInt16($0) }) else { return nil }
        return Endpoint(host: host, port: port)
    }

    private static func text(
        _ server: Endpoint,
        database: String?,
        applicationName: String,
        passwords: String
    ) -> String {
        var pairs = [
            ("host", server.host), ("port", "\(server.port)"), ("user", PostgresConfiguration.replicationUser),
            ("passfile", passwords), ("application_name", applicationName), ("connect_timeout", "2"),
            ("keepalives", "1"), ("keepalives_idle", "1"), ("keepalives_interval", "1"), ("keepalives_count", "2"),
            ("tcp_user_timeout", "2000"), ("sslmode", "prefer"), ("gssencmode", "disable"),
        ]
        if let database { pairs.append(("dbname", database)) }
        return pairs.map { "\($0.0)=\(quoted($0.1))" }.joined(separator: " ")
    }

    private static func quoted(_ value: String) -> String {
        let isPlain = value.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                || [UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "/"), UInt8(ascii: ":")]
                    .contains(byte)
        }
        if isPlain, !value.isEmpty { return value }
        var text = "'"
        for character in value {
            if character == "'" || character == "\\" { text.append("\\") }
            text.append(character)
        }
        return text + "'"
    }
}
