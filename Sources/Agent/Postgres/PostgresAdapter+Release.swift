import ClusterModel
import LauncherClient
import PostgresDriver

/// What differs between PostgreSQL's versions, beside `OwnSettings.arguments` and `WALRecord`.
extension PostgresAdapter {
    /// What to know about the server's programs before relying on them; empty if nothing.
    public var warning: String { programs?.warning ?? "" }

    /// Reads of which version a data directory is; nil if it does not say.
    func release(of folder: String) async throws(WorkError) -> PostgresRelease? {
        try await readText(InstanceLayout.inside(folder, "PG_VERSION"), limit: 64).flatMap {
            PostgresRelease(directoryFile: $0)
        }
    }

    /// Refuses programs that are too old, and those that cannot run the data directory that is there.
    func judgePrograms(runDirectory: Bool) async throws(WorkError) {
        let found: PostgresRelease
        if let programs {
            found = programs
        } else {
            let text = try await tool("postgres", ["--version"], timeout: .seconds(10))
            guard let release = PostgresRelease(programOutput: text) else {
                throw WorkError("`postgres --version` prints no version: \(text.prefix(100).filter { !$0.isNewline })")
            }
            found = release
        }
        if let refusal = found.refusal { throw WorkError(refusal) }
        programs = found
        if runDirectory, let directoryMajor, directoryMajor != found.major {
            throw WorkError(
                "the data directory is of PostgreSQL \(directoryMajor), the launcher's programs are \(found): give the "
                    + "launcher those of \(directoryMajor) with --postgres-bin"
            )
        }
    }

    /// Refuses a server whose data directory or WAL the own programs cannot read, before anything is copied.
    func judgeVersion(of session: PostgresSession, at server: Endpoint) async throws(WorkError) {
        let text = try await ask(session, "SHOW server_version_num").first()
        guard let found = text.flatMap({ Int($0) }).flatMap({ PostgresRelease(number: $0) }) else {
            throw WorkError("\(server) does not say its version")
        }
        if let programs, found.major != programs.major {
            throw WorkError(
                "\(server) is PostgreSQL \(found), the launcher's programs here are \(programs): all members need one "
                    + "major version; give the launcher another --postgres-bin"
            )
        }
    }

    /// The agent's own sessions end when the agent says so: options that the server's version knows.
    func timeoutOptions(_ purpose: ConnectionTarget.Purpose) -> String {
        let major = directoryMajor ?? 0
        var options = major >= 14 ? " -c idle_session_timeout=0" : ""
        if major >= 17, purpose == .statements { options += " -c transaction_timeout=0" }
        return options
    }
}
