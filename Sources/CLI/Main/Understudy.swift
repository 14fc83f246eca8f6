import ArgumentParser
import LocalCluster

/// The command line: everything a person does with a cluster.
struct Understudy: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "understudy",
        abstract: "High availability for PostgreSQL: when a primary dies, its understudy takes over.",
        discussion: """
            A first look, on this machine only:

              understudy local up              three real servers, one primary, two standbys
              understudy local status --watch  what they do, as it happens
              understudy local kill primary    and watch the understudy take over
              understudy local down            stop everything; the data stays

            Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused for safety, 4 timed out.
            """,
        version: "understudy \(Version.current)",
        subcommands: [Local.self, Status.self]
    )
}

/// Everything about a cluster on this machine.
struct Local: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a cluster of real servers on this machine.",
        discussion: """
            Each cluster has a directory of its own, and ports of its own: several run side by side, each named by \
            --directory. Started by root, the servers run as the user 'postgres'.
            """,
        subcommands: [
            Up.self, Status.self, Explain.self, HistoryCommand.self, Switchover.self, Promote.self, Pause.self,
            Resume.self, DurabilityCommand.self, Rebuild.self, Kill.self, Down.self, DemoCommand.self, BenchQuick.self,
        ]
    )
}

/// What all commands about a local cluster share.
struct ClusterOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Directory of the cluster. Default: \(ClusterFolder.defaultPath)",
            valueName: "directory"
        )
    )
    var directory: String?

    /// The cluster that is in the directory.
    func cluster() throws(CommandFailure) -> (file: ClusterFile, folder: ClusterFolder) {
        let folder = try ClusterFolder(named: directory)
        return (try ClusterFile.require(in: folder), folder)
    }
}
