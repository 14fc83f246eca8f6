import ArgumentParser
import LocalCluster

/// Shows a cluster.
struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what a local cluster does.",
        discussion: """
            Who is primary, where each instance stands in the WAL, who streams, who votes, what is waited for, and the \
            last change of primary with its phases. Without the controller: the processes.

            Exit code 1 if the controller does not answer.
            """
    )

    @OptionGroup var options: ClusterOptions

    @Flag(help: "Print JSON, for programs.")
    var json = false

    @Flag(help: "Show it anew every half second, until interrupted.")
    var watch = false

    func run() async throws {
        let (file, folder) = try options.cluster()
        if watch { return try await repeatedly(file, folder) }
        let report = await StatusReport.take(of: file, in: folder)
        say(json ? try report.json() : report.text())
        if report.view == nil { throw ExitCode(CommandFailure.Kind.failed.rawValue) }
    }

    private func repeatedly(_ file: ClusterFile, _ folder: ClusterFolder) async throws {
        let clear = json ? "" : "\u{1B}[H\u{1B}[2J"
        while true {
            let report = await StatusReport.take(of: file, in: folder)
            say(clear + (json ? try report.json() : report.text()))
            try await Task.sleep(for: .milliseconds(500))
        }
    }
}

/// Tells what happened to a cluster.
struct HistoryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history",
        abstract: "Explain each change of primary.",
        discussion: """
            Newest last: why, on what evidence, and how long each phase took: detect until the primary was shown to be \
            gone (stop: until it was stopped, where that was planned), decide until the new term was recorded, prepare \
            until a candidate was, promote until that was out of recovery, route until it admitted clients.
            """
    )

    @OptionGroup var options: ClusterOptions

    @Flag(help: "Print the history as it is kept: one JSON object a line.")
    var json = false

    @Flag(help: "Every decision, not only the changes of primary.")
    var all = false

    @Option(help: "How many of the newest entries to show.")
    var last = 20

    func validate() throws {
        guard last > 0 else { throw ValidationError("--last takes a number above 0") }
    }

    func run() async throws {
        let (_, folder) = try options.cluster()
        let history = try History.read(in: folder)
        if json {
            for line in history.lines.suffix(last) { say(line) }
        } else {
            say(history.text(last: last, all: all))
        }
    }
}
