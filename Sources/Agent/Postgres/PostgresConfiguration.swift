public import ClusterModel

/// What one instance's adapter must know to run its server.
public struct PostgresConfiguration: Sendable {
    /// Name of the instance.
    public var name: InstanceName
    /// Where the others reach the server; its port is the one it listens on.
    public var server: Endpoint
    /// Value of `listen_addresses`.
    public var listenAddresses: String
    /// Folder of the server's Unix socket: short, since the whole path may have 107 bytes.
    public var socketFolder: String
    /// The volume given to the launcher, as an absolute path.
    public var dataFolder: String
    /// The database's superuser, as whom the agent works.
    public var superuser: String
    /// Operating system user of the agent; let in as the superuser through the Unix socket.
    public var agentUser: String
    /// Password of the replication role; the same on all instances, never shown or logged.
    public var replicationPassword: String
    /// The user's own settings.
    public var settings: [String: String]
    /// The user's own lines for `pg_hba.conf`.
    public var accessRules: [String]
    /// How much WAL is kept so that a failed primary can be rewound (`wal_keep_size`).
    public var walKeepSize: String
    /// What the platform calls the volume, so that its copies can be told from it (R5); nil if it gives no name.
    public var volume: String?
    /// Whether the launcher refuses to promote, or to start the first primary, without an armed lease.
    public var requiresLease: Bool

    /// Role as which standbys receive and copies are made.
    public static let replicationUser = "understudy_replication"

    /// Creates a configuration; `faults` says whether it can be used.
    public init(
        name: InstanceName,
        server: Endpoint,
        listenAddresses: String,
        socketFolder: String,
        dataFolder: String,
        superuser: String = "postgres",
        agentUser: String,
        replicationPassword: String,
        settings: [String: String] = [:],
        accessRules: [String] = [],
        walKeepSize: String = "256MB",
        volume: String? = nil,
        requiresLease: Bool = true
    ) {
        self.name = name
        self.server = server
        self.listenAddresses = listenAddresses
        self.socketFolder = socketFolder
        self.dataFolder = dataFolder
        self.superuser = superuser
        self.agentUser = agentUser
        self.replicationPassword = replicationPassword
        self.settings = settings
        self.accessRules = accessRules
        self.walKeepSize = walKeepSize
        self.volume = volume
        self.requiresLease = requiresLease
    }

    /// What is wrong with this configuration; empty if nothing is.
    public var faults: [String] {
        var found: [String] = []
        for (name, path) in [("dataFolder", dataFolder), ("socketFolder", socketFolder)] {
            if !path.hasPrefix("/") { found.append("\(name) must be an absolute path") }
            if path.contains(where: \.isNewline) { found.append("\(name) must be one line") }
        }
        if "\(socketFolder)/.s.PGSQL.\(server.port)".utf8.count > 107 {
            found.append("socketFolder is too long for a Unix socket: choose a path of at most 85 characters")
        }
        if let volume, !DataPlace.isVolumeName(volume) {
            found.append("volume must be a word of at most 253 visible characters of ASCII")
        }
        if server.port == 0 { found.append("server port must not be 0") }
        if replicationPassword.isEmpty || replicationPassword.contains(where: { $0.isNewline || $0 == "\0" }) {
            found.append("replicationPassword must be one line that is not empty")
        }
        for user in [superuser, agentUser] where !isPlainName(user) {
            found.append("user '\(user)' must consist of letters, digits, '_', '-' and '.'")
        }
        for name in settings.keys.sorted() { found += settingFaults(name, settings[name] ?? "") }
        for line in accessRules { found += accessRuleFaults(line) }
        return found
    }

    private func settingFaults(_ name: String, _ value: String) -> [String] {
        if name.isEmpty || !name.utf8.allSatisfy({ isNameByte($0) || $0 == UInt8(ascii: ".") }) {
            return ["setting '\(name)' is no name of a setting"]
        }
        if OwnSettings.reserved.contains(name.lowercased()) || name.lowercased().hasPrefix("understudy.") {
            return ["setting '\(name)' belongs to Understudy: remove it"]
        }
        return value.contains(where: { $0.isNewline || $0 == "\0" }) ? ["setting '\(name)' must be one line"] : []
    }

    private func accessRuleFaults(_ line: String) -> [String] {
        let kinds = ["local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc"]
        let words = line.split(whereSeparator: \.isWhitespace)
        if line.contains(where: { $0.isNewline || $0 == "\0" }) { return ["an access rule must be one line"] }
        guard let first = words.first, !first.hasPrefix("#") else { return [] }
        if !kinds.contains(String(first)) {
            return ["access rule '\(line)' must begin with one of \(kinds.joined(separator: ", "))"]
        }
        return words.count < 4 ? ["access rule '\(line)' is too short"] : []
    }

    private func isPlainName(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { isNameByte($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".") }
    }

    private func isNameByte(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
            || byte == UInt8(ascii: "_")
    }
}
