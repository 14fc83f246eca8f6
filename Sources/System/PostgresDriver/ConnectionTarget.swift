/// Where and as whom to connect.
public struct ConnectionTarget: Hashable, Sendable {
    /// What the connection is for.
    public enum Purpose: String, Hashable, Sendable {
        /// SQL.
        case statements
        /// Physical replication commands, by the simple protocol.
        case replication
    }

    /// Host name, address, or the folder of a Unix socket.
    public var host: String
    /// Port, also part of a Unix socket's name.
    public var port: UInt16
    /// Role to connect as.
    public var user: String
    /// Database; for replication only a name for messages.
    public var database: String
    /// Shown in the server's statistics.
    public var applicationName: String
    /// Never shown, never logged; nil where none is needed.
    public var password: String?
    /// What the connection is for.
    public var purpose: Purpose
    /// Settings of the session, as `options` of libpq.
    public var options: String

    /// Creates a target.
    public init(
        host: String,
        port: UInt16,
        user: String,
        database: String = "postgres",
        applicationName: String,
        password: String? = nil,
        purpose: Purpose = .statements,
        options: String = ""
    ) {
        self.host = host
        self.port = port
        self.user = user
        self.database = database
        self.applicationName = applicationName
        self.password = password
        self.purpose = purpose
        self.options = options
    }

    /// The address for a sentence.
    var address: String { host.hasPrefix("/") ? "\(host) port \(port)" : "\(host):\(port)" }

    /// Keywords and values for libpq.
    var parameters: [(String, String)] {
        var list = [
            ("host", host), ("port", "\(port)"), ("user", user), ("dbname", database),
            ("application_name", applicationName), ("connect_timeout", "10"), ("keepalives", "1"),
            ("keepalives_idle", "2"), ("keepalives_interval", "1"), ("keepalives_count", "3"),
            ("tcp_user_timeout", "5000"), ("sslmode", "prefer"), ("gssencmode", "disable"),
            ("client_encoding", "UTF8"), ("fallback_application_name", "understudy"),
        ]
        if let password { list.append(("password", password)) }
        if purpose == .replication { list.append(("replication", "true")) }
        if !options.isEmpty { list.append(("options", options)) }
        return list
    }
}
