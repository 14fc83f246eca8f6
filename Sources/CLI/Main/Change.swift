import ArgumentParser
import ClusterModel
import LocalCluster

/// Hands the primary over.
struct Switchover: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Hand over to another instance; nothing is lost.",
        discussion: """
            The primary checkpoints and shuts down cleanly, the other one takes over when it has all its WAL, and the old \
            primary comes back as a standby. Refused, with the reason, if the other one could not take over at once.

            Examples:
              understudy local switchover --dry-run     say what would happen, and why
              understudy local switchover two --wait    hand over to instance two, and wait for the end of it
              understudy local switchover --abandon     give up one that has no candidate recorded yet
            """
    )

    @OptionGroup var options: ClusterOptions

    @Argument(help: "Who is to be primary. Default: the best one.")
    var instance: String?

    @Flag(help: "Say what would happen and why; change nothing.")
    var dryRun = false

    @Flag(help: "Give up the change of primary that is under way; the primary goes on.")
    var abandon = false

    @OptionGroup var waiting: WaitingOptions

    func validate() throws {
        if abandon && (dryRun || instance != nil) { throw ValidationError("--abandon goes alone") }
    }

    func run() async throws {
        let (file, folder) = try options.cluster()
        let command: ClusterCommand =
            abandon
            ? .abandon
            : .switchover(to: try instance.map { try named($0, file) }, by: "an operator", isDryRun: dryRun)
        let watch = try await ChangeWatch(of: file, in: folder)
        say(try await watch.give(command, waits: waiting.wait && !dryRun && !abandon, limit: waiting.limit))
    }
}

/// Promotes by hand.
struct Promote: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make an instance primary by hand, although the primary is gone and nothing happens by itself.",
        discussion: """
            For a cluster that is paused, or that waits for members which will not come back. Says first what may be lost, \
            and goes on only where nothing acknowledged is, or with --accept-data-loss; where the old \
            primary cannot be seen to be stopped, with --old-primary-is-off, too. While the primary answers, use \
            `switchover`.

            Exit codes: 3 refused for safety, 4 timed out.
            """
    )

    @OptionGroup var options: ClusterOptions

    @Argument(help: "Who is to be primary.")
    var instance: String

    @Flag(help: "Promote it even though commits that clients were told of may be gone for good.")
    var acceptDataLoss = false

    @Flag(help: "Vouch that the old primary is stopped for good, where nobody can see that.")
    var oldPrimaryIsOff = false

    @Flag(help: "Say what would happen and what may be lost; change nothing.")
    var dryRun = false

    @OptionGroup var waiting: WaitingOptions

    func run() async throws {
        let (file, folder) = try options.cluster()
        let name = try named(instance, file)
        let watch = try await ChangeWatch(of: file, in: folder)
        if acceptDataLoss && !dryRun { await sayLosses(name, file, folder) }
        let command = ClusterCommand.promote(
            name,
            acceptsDataLoss: acceptDataLoss,
            oldPrimaryIsOff: oldPrimaryIsOff,
            isDryRun: dryRun
        )
        say(try await watch.give(command, waits: waiting.wait && !dryRun, limit: waiting.limit))
    }

    /// Before anything is done.
    private func sayLosses(_ name: InstanceName, _ file: ClusterFile, _ folder: ClusterFolder) async {
        guard let question = try? ControllerQuestion(of: file, in: folder) else { return }
        let rehearsal = ClusterCommand.promote(name, acceptsDataLoss: true, oldPrimaryIsOff: true, isDryRun: true)
        if let text = try? await question.give(rehearsal) { say(text) }
    }
}

/// Stops automation.
struct Pause: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let no change of primary begin by itself.",
        discussion: "Leases and fencing go on; `switchover` and `promote` work. Until `understudy local resume`."
    )

    @OptionGroup var options: ClusterOptions

    @Option(help: "Why, for those who look at the status.")
    var reason = ""

    func run() async throws {
        let (file, folder) = try options.cluster()
        say(try await ControllerQuestion(of: file, in: folder).give(.pause(reason: reason)))
    }
}

/// Lets automation go on.
struct Resume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Let automation go on after `pause`.")

    @OptionGroup var options: ClusterOptions

    func run() async throws {
        let (file, folder) = try options.cluster()
        say(try await ControllerQuestion(of: file, in: folder).give(.resume))
    }
}

/// Tells why.
struct Explain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say why things are as they are, and what was decided or refused on what evidence.",
        discussion: """
            How the cluster stands, what it waits for, who could take over and why each other instance could not; then the \
            latest decisions and refusals, each with its evidence and the rule of the protocol it rests on.
            """
    )

    @OptionGroup var options: ClusterOptions

    @Flag(help: "Print JSON, for programs.")
    var json = false

    @Option(help: "How many of the newest decisions to show.")
    var last = 20

    func validate() throws {
        guard last > 0 else { throw ValidationError("--last takes a number above 0") }
    }

    func run() async throws {
        let (file, folder) = try options.cluster()
        let report = try await ExplainReport.take(of: file, in: folder)
        say(json ? try report.json(last: last) : report.text(last: last))
    }
}

/// How long a command waits.
struct WaitingOptions: ParsableArguments {
    @Flag(help: "Wait until some primary admits clients again.")
    var wait = false

    @Option(help: ArgumentHelp("How long --wait waits, in seconds.", valueName: "seconds"))
    var timeout = 60

    var limit: Duration { .seconds(timeout) }

    func validate() throws {
        guard (1...86_400).contains(timeout) else { throw ValidationError("--timeout takes 1 to 86400 seconds") }
    }
}

/// The instance that a word names; the controller says if the cluster has none such.
func named(_ word: String, _ file: ClusterFile) throws(CommandFailure) -> InstanceName {
    guard let name = file.names.first(where: { $0.text == word }) else {
        let names = file.names.map(\.text).joined(separator: ", ")
        throw CommandFailure(.usage, "could not find an instance '\(word.prefix(60))': there are \(names)")
    }
    return name
}
