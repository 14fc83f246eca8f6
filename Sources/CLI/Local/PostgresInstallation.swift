import Foundation
import Platform

/// Finds the programs of the PostgreSQL server.
package enum PostgresInstallation {
    private static let needed = ["postgres", "initdb", "pg_basebackup", "pg_rewind", "pg_controldata", "pg_isready"]

    /// Finds the folder of the server's programs: where the user says, or in the usual places.
    package static func find(named: String?) async throws(CommandFailure) -> String {
        if let named {
            let path = URL(fileURLWithPath: NSString(string: named).expandingTildeInPath).standardizedFileURL.path
            let missing = missing(in: path)
            guard missing.isEmpty else {
                throw CommandFailure(
                    .failed,
                    "could not use PostgreSQL in \(path): \(missing.joined(separator: ", ")) cannot be run there; name "
                        + "the folder of the server's own programs, such as /usr/lib/postgresql/15/bin"
                )
            }
            return path
        }
        for path in await candidates() where missing(in: path).isEmpty { return path }
        throw CommandFailure(
            .failed,
            "could not find a PostgreSQL server on this machine; install one with `apt-get install postgresql`, or name "
                + "the folder of its programs with --postgres-bin"
        )
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
