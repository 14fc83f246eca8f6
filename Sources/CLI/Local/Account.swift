import Foundation
package import Platform

/// As whom the programs of a local cluster run: PostgreSQL refuses root.
struct Account: Hashable, Sendable {
    let user: UserAccount

    private static let switcher = "/usr/bin/setpriv"

    /// The account for whoever runs the command: `postgres` for root, else the user.
    static func current() throws(CommandFailure) -> Account {
        if UserAccount.isSuperuser {
            guard let user = UserAccount.named("postgres") else {
                throw CommandFailure(
                    .failed,
                    "could not find the user 'postgres', as whom the servers run when root starts them; install "
                        + "PostgreSQL with `apt-get install postgresql`, or run this as an ordinary user"
                )
            }
            guard FileManager.default.isExecutableFile(atPath: switcher) else {
                throw CommandFailure(
                    .failed,
                    "could not find \(switcher), needed to become 'postgres'; install it with "
                        + "`apt-get install util-linux`"
                )
            }
            return Account(user: user)
        }
        guard let user = UserAccount.withID(UserAccount.currentUserID) else {
            throw CommandFailure(.failed, "could not find the account of user \(UserAccount.currentUserID)")
        }
        return Account(user: user)
    }

    /// The request that runs a program as this account; its process number is the program's own.
    func request(_ program: String, _ arguments: [String], logFile: String? = nil) -> ProcessRequest {
        guard UserAccount.isSuperuser && user.userID != 0 else {
            return ProcessRequest(
                program,
                arguments,
                environment: environment,
                logFile: logFile,
                hasOwnSession: true
            )
        }
        let identity = ["--reuid=\(user.userID)", "--regid=\(user.groupID)", "--init-groups", "--"]
        return ProcessRequest(
            Self.switcher,
            identity + [program] + arguments,
            environment: environment,
            logFile: logFile,
            hasOwnSession: true
        )
    }

    /// Makes a folder that belongs to this account and opens to nobody else.
    func makeFolder(_ path: String) throws {
        try DurableFile.makeDirectory(path)
        try takeOwnership(path)
    }

    /// Replaces a small file that belongs to this account.
    func write(_ text: String, to path: String, mode: UInt32 = 0o600) throws {
        try DurableFile.write(Array(text.utf8), to: path, mode: mode)
        try takeOwnership(path)
    }

    func takeOwnership(_ path: String) throws {
        if UserAccount.isSuperuser { try user.takeOwnership(of: path) }
    }

    /// This process's environment with the account's own home, without what would change the programs' settings.
    var environment: [String] {
        var variables = ProcessInfo.processInfo.environment
        variables["HOME"] = user.home
        variables["USER"] = user.name
        variables["LOGNAME"] = user.name
        for name in variables.keys where name.hasPrefix("UNDERSTUDY_") || name.hasPrefix("PG") { variables[name] = nil }
        return variables.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    }
}

/// What a measurement needs to run a server of its own as the account that servers run as.
package enum ServerAccount {
    /// The request that runs a program as that account.
    package static func request(
        _ program: String,
        _ arguments: [String],
        logFile: String? = nil
    ) throws(CommandFailure) -> ProcessRequest {
        try Account.current().request(program, arguments, logFile: logFile)
    }

    /// Makes a folder that belongs to that account.
    package static func makeFolder(_ path: String) throws { try Account.current().makeFolder(path) }

    /// Replaces a small file that belongs to that account.
    package static func write(_ text: String, to path: String) throws { try Account.current().write(text, to: path) }
}
