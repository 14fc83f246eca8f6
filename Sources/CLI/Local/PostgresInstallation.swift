import ClusterModel
import Foundation
import Platform

/// The programs of one PostgreSQL server.
struct PostgresInstallation: Hashable, Sendable {
    /// Their folder.
    let folder: String
    let release: PostgresRelease

    private static let needed = ["postgres", "initdb", "pg_basebackup", "pg_rewind", "pg_controldata", "pg_isready"]

    /// Finds the server's programs: where the user says, or in the usual places.
    static func find(named: String?, for account: Account) async throws(CommandFailure) -> PostgresInstallation {
        if let named {
            do throws(CommandFailure) {
                return try await examine(standardized(named), for: account)
            } catch {
                // Whoever named them can name others.
                throw CommandFailure(.usage, error.description)
            }
        }
        var complaint: CommandFailure?
        for path in await candidates() where missing(in: path).isEmpty {
            do throws(CommandFailure) {
                return try await examine(path, for: account)
            } catch {
                complaint = complaint ?? error
            }
        }
        throw complaint
            ?? CommandFailure(
                .failed,
                "could not find a PostgreSQL server on this machine; install one with `apt-get install postgresql`, or "
                    + "name the folder of its programs with --postgres-bin"
            )
    }

    /// Checks that the account can run the programs of a folder, and that they are not too old.
    static func examine(_ path: String, for account: Account) async throws(CommandFailure) -> PostgresInstallation {
        let missing = missing(in: path)
        guard missing.isEmpty else {
            throw CommandFailure(
                .failed,
                "could not use PostgreSQL in \(path): \(missing.joined(separator: ", ")) cannot be run there; name "
                    + "the folder of the server's own programs, such as /usr/lib/postgresql/15/bin"
            )
        }
        let outcome = try? await ChildProcess.run(
            account.request("\(path)/postgres", ["--version"]),
            deadline: .seconds(10)
        )
        guard let outcome, outcome.exit.isSuccess, let release = PostgresRelease(programOutput: outcome.outputText)
        else {
            let words = outcome?.errorText.split(separator: "\n").last.map { ": \($0)" } ?? ""
            throw CommandFailure(
                .failed,
                "could not run \(path)/postgres as user '\(account.user.name)'\(words); name programs that this user may "
                    + "reach with --postgres-bin"
            )
        }
        if let refusal = release.refusal {
            throw CommandFailure(.failed, "could not use the programs in \(path): \(refusal)")
        }
        return PostgresInstallation(folder: path, release: release)
    }

    /// A path as it is kept: absolute, without `~` or `..`.
    static func standardized(_ path: String) -> String {
        URL(fileURLWithPath: NSString(string: path).expandingTildeInPath).standardizedFileURL.path
    }

    private static func candidates() async -> [String] {
        let root = "/usr/lib/postgresql"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        var list = versions.compactMap { Int($0) }.sorted(by: >).map { "\(root)/\($0)/bin" }
        let search = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        if let tool = search.map({ "\($0)/pg_config" }).first(where: isExecutable),
            let outcome = try? await ChildProcess.run(ProcessRequest(tool, ["--bindir"]), deadline: .seconds(5)),
            outcome.exit.isSuccess
        {
            list.append(outcome.outputText.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        return list + search
    }

    private static func missing(in path: String) -> [String] {
        needed.filter { !isExecutable("\(path)/\($0)") }
    }

    private static func isExecutable(_ path: String) -> Bool { FileManager.default.isExecutableFile(atPath: path) }
}
