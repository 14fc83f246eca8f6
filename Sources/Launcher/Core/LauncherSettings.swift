import Glibc

/// What the command line and the environment ask for.
struct LauncherSettings {
    var dataFolder: String
    var socketPath: String
    var toolFolder: String
    var processFile: String?
    var logFile: String?
    var stopTimeoutSeconds: Int64 = 60
    var command: [String]

    static let version = "0.1.0"

    static let help = """
        understudy-launcher: starts, stops and fences one PostgreSQL server on the word of its agent.

        Usage: understudy-launcher --data-folder DIR --socket PATH [options] [-- COMMAND [ARGUMENT...]]

        It is the parent of the server and the only thing that signals it. It decides nothing: an agent connects to
        the socket and gives orders. When the launcher dies, every process of the server dies. When the lease timer
        that the agent armed runs out, the server is stopped, agent or no agent. As root it becomes the owner of DIR.

          --data-folder DIR     The volume of the instance; the server's data directory is DIR/pgdata. The launcher
                                touches nothing outside DIR.
          --socket PATH         Unix socket for the agent: made with mode 0600, open to this user and to root.
          --postgres-bin DIR    Folder of the server's programs. Default: where PATH has them all, else the newest
                                /usr/lib/postgresql/*/bin.
          --pid-file PATH       Written when the launcher is ready, removed when it ends.
          --log-file PATH       The server's output is appended to it. Default: the launcher's own output.
          --stop-timeout SECONDS
                                After SIGTERM, a fast shutdown gets so long before an immediate one. Default: 60.
          --version             Prints the version.
          --help                Prints this text.
          COMMAND               Starts the server; the arguments of each start follow. Default: postgres.

        Each option is also read from the environment: UNDERSTUDY_LAUNCHER_DATA_FOLDER, …_SOCKET, and so on.
        SIGTERM and SIGINT stop the server, then the launcher; SIGHUP is passed on to the postmaster.
        Exit status: 0 done, 1 failed, 2 usage.

        Example: understudy-launcher --data-folder /srv/one --socket /srv/one/launcher.sock

        """

    private static let names = [
        "data-folder", "socket", "postgres-bin", "pid-file", "log-file", "stop-timeout",
    ]

    enum Parsed {
        case run(LauncherSettings)
        case print(String)
        case usage(String)
    }

    static func parse(_ arguments: [String], environment: [String: String]) -> Parsed {
        var values: [String: String] = [:]
        for name in names {
            values[name] = environment["UNDERSTUDY_LAUNCHER_" + variable(name)]
        }
        var command: [String] = []
        var index = 0
        while index < arguments.count {
            let argument = arguments[index]
            index += 1
            if argument == "--help" || argument == "-h" { return .print(help) }
            if argument == "--version" { return .print("understudy-launcher \(version)\n") }
            if argument == "--" {
                command = Array(arguments[index...])
                break
            }
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0].dropFirst(2))
            guard argument.hasPrefix("--"), names.contains(name) else {
                return .usage("unknown argument '\(argument)'; a server command goes behind '--'")
            }
            if parts.count == 2 {
                values[name] = String(parts[1])
            } else if index < arguments.count {
                values[name] = arguments[index]
                index += 1
            } else {
                return .usage("--\(name) needs a value")
            }
        }
        return assemble(values, command, searchPath: environment["PATH"] ?? "")
    }

    private static func variable(_ name: String) -> String {
        name.uppercased().split(separator: "-").joined(separator: "_")
    }

    private static func assemble(_ values: [String: String], _ command: [String], searchPath: String) -> Parsed {
        guard let folder = values["data-folder"], !folder.isEmpty else {
            return .usage("--data-folder is missing: name the folder that holds, or will hold, the server's pgdata")
        }
        guard let socket = values["socket"], !socket.isEmpty else {
            return .usage("--socket is missing: name the Unix socket on which the agent gives its orders")
        }
        guard socket.utf8.count <= 107 else {
            return .usage("--socket is longer than the 107 bytes that Linux allows: \(socket)")
        }
        guard let real = System.realPath(folder) else {
            return .usage("--data-folder \(folder) is not there: \(System.text(ofError: errno)); make it first")
        }
        var settings = LauncherSettings(
            dataFolder: real,
            socketPath: absolute(socket),
            toolFolder: "",
            processFile: values["pid-file"].map(absolute),
            logFile: values["log-file"].map(absolute),
            command: command
        )
        if let text = values["stop-timeout"] {
            guard let seconds = Int64(text), (0...86_400).contains(seconds) else {
                return .usage("--stop-timeout takes whole seconds, 0 to 86400, not '\(text)'")
            }
            settings.stopTimeoutSeconds = seconds
        }
        guard let tools = values["postgres-bin"].map(absolute) ?? findTools(searchPath),
            unsafe access(tools + "/postgres", X_OK) == 0
        else {
            return .usage(
                "no PostgreSQL server in \(values["postgres-bin"] ?? "PATH or /usr/lib/postgresql"): install it, or "
                    + "name the folder of `postgres` by --postgres-bin"
            )
        }
        settings.toolFolder = tools
        if command.isEmpty { settings.command = [tools + "/postgres"] }
        return .run(settings)
    }

    private static func absolute(_ path: String) -> String {
        if path.hasPrefix("/") { return path }
        return (System.realPath(".") ?? "") + "/" + path
    }

    private static func findTools(_ searchPath: String) -> String? {
        // A folder that has only a link to the server lacks the tools that stand beside it.
        for folder in searchPath.split(separator: ":") {
            let tools = ["postgres", "initdb", "pg_controldata", "pg_rewind", "pg_basebackup"]
            if tools.allSatisfy({ unsafe access(folder + "/" + $0, X_OK) == 0 }) { return absolute(String(folder)) }
        }
        let root = "/usr/lib/postgresql"
        return System.names(in: root).filter { $0.utf8.allSatisfy { (48...57).contains($0) } }
            .max { (Int($0) ?? 0) < (Int($1) ?? 0) }.map { "\(root)/\($0)/bin" }
    }
}
