import ArgumentParser
import ClusterModel
import LocalCluster

/// Changes what a commit waits for.
struct DurabilityCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "durability",
        abstract: "Change what a commit waits for, while clients write on.",
        discussion: """
            The old rule stays in force until the new one is: at no moment does the cluster promise less than both.

            Examples:
              understudy local durability required --dry-run       say what would happen
              understudy local durability required                 a commit waits for one standby, always
              understudy local durability preferred --synchronous-standbys 2
              understudy local durability async                    a commit waits for nobody

            Exit codes: 3 refused for safety, 4 timed out (the change goes on).
            """
    )

    @OptionGroup var options: ClusterOptions

    @Argument(help: "'required', 'preferred' or 'async', as for `understudy local up`.")
    var mode: Durability

    @Option(help: ArgumentHelp("How many standbys a commit waits for. Default: as it is", valueName: "count"))
    var synchronousStandbys: Int?

    @Flag(help: "Say what would happen; change nothing.")
    var dryRun = false

    @Option(help: ArgumentHelp("How long to wait for the end of the change, in seconds.", valueName: "seconds"))
    var timeout = 60

    func validate() throws {
        guard (1...86_400).contains(timeout) else { throw ValidationError("--timeout takes 1 to 86400 seconds") }
    }

    func run() async throws {
        let (file, folder) = try options.cluster()
        let change = try await DurabilityChange(
            of: file,
            in: folder,
            to: mode,
            synchronousStandbys: synchronousStandbys
        )
        if dryRun { return say(change.story) }
        try await change.carryOut(limit: .seconds(timeout), report: say)
    }
}
