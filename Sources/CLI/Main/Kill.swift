import ArgumentParser
import LocalCluster

/// Signals a process of a cluster.
struct Kill: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Kill or freeze one process of a cluster, to see what follows.",
        discussion: """
            Examples:
              understudy local kill primary                      SIGKILL to the primary's postmaster
              understudy local kill two --what agent             SIGKILL to the agent of instance two
              understudy local kill primary --signal STOP        freeze its postmaster; --signal CONT wakes it
              understudy local kill controller                   the one that leads; controller-2 is the second

            `understudy local up` starts again what nobody else does.
            """
    )

    @OptionGroup var options: ClusterOptions

    @Argument(help: "An instance, 'primary', 'controller', or one of several: 'controller-2'.")
    var target: String

    @Option(help: "KILL, TERM, STOP, CONT or QUIT.")
    var signal: Strike.Signal = .kill

    @Option(help: "server, agent, launcher or controller.")
    var what: ClusterPart = .server

    func run() async throws {
        let (file, folder) = try options.cluster()
        let strike = Strike(at: file, in: folder)
        if what == .controller && !target.hasPrefix("controller") {
            throw CommandFailure(
                .usage,
                "could not signal the controller of '\(target)': it has none; say `kill controller`"
            )
        }
        let controller = try await strike.controller(target)
        if let controller {
            guard what == .controller || what == .server else {
                throw CommandFailure(
                    .usage,
                    "could not signal the \(what.rawValue) of the controller: it has none; name an instance, or leave out "
                        + "--what"
                )
            }
            let number = try strike.send(signal, toController: controller)
            return say("Sent SIG\(signal.rawValue) to the \(file.controllerName(controller)), process \(number).")
        }
        let name = try await strike.instance(target)
        let number = try strike.send(signal, to: what, of: name)
        say("Sent SIG\(signal.rawValue) to the \(what.rawValue) of \(name), process \(number).")
    }
}

extension Strike.Signal: ExpressibleByArgument {
    /// Takes `kill`, `KILL` and `SIGKILL`.
    init?(argument: String) {
        let upper = argument.uppercased()
        self.init(rawValue: upper.hasPrefix("SIG") ? String(upper.dropFirst(3)) : upper)
    }
}

extension ClusterPart: ExpressibleByArgument {}
