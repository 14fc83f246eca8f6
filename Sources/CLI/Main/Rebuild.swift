import ArgumentParser
import ClusterModel
import LocalCluster

/// Makes a standby's data anew.
struct Rebuild: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a standby's data directory anew, as a copy of the primary.",
        discussion: """
            For a standby whose data is damaged or not trusted. Its old data stays until the copy is complete; then it is \
            a new member, and its vote is a new one. Refused, with the reason, for the primary, where no primary serves \
            that could be copied, and where commits would wait for the member meanwhile.

            A standby whose data directory is empty or gone is made anew by itself.

            Examples:
              understudy local rebuild two --dry-run    say what would happen
              understudy local rebuild two --wait       and wait until it streams again
            """
    )

    @OptionGroup var options: ClusterOptions

    @Argument(help: "Whose data is made anew.")
    var instance: String

    @Flag(help: "Also if too few other voters are left meanwhile, so that commits wait until the copy is complete.")
    var commitsMayWait = false

    @Flag(help: "Say what would happen and why; change nothing.")
    var dryRun = false

    @Flag(help: "Wait until the new copy streams from the primary.")
    var wait = false

    @Option(help: ArgumentHelp("How long --wait waits, in seconds.", valueName: "seconds"))
    var timeout = 600

    func validate() throws {
        guard (1...86_400).contains(timeout) else { throw ValidationError("--timeout takes 1 to 86400 seconds") }
    }

    func run() async throws {
        let (file, folder) = try options.cluster()
        let watch = try await RebuildWatch(of: try named(instance, file), file, in: folder)
        say(try await watch.give(mayWait: commitsMayWait, isDryRun: dryRun))
        if wait && !dryRun { say(try await watch.end(within: .seconds(timeout))) }
    }
}
