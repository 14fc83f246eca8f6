package import ClusterModel
import Foundation

/// Signals one process of a local cluster, so that people can watch what follows.
package struct Strike: Sendable {
    /// Signals that may be sent.
    package enum Signal: String, Sendable, CaseIterable {
        case kill = "KILL"
        case term = "TERM"
        case stop = "STOP"
        case cont = "CONT"
        case quit = "QUIT"

        var number: Int32 {
            switch self {
            case .kill: SIGKILL
            case .term: SIGTERM
            case .stop: SIGSTOP
            case .cont: SIGCONT
            case .quit: SIGQUIT
            }
        }
    }

    let file: ClusterFile
    let folder: ClusterFolder

    package init(at file: ClusterFile, in folder: ClusterFolder) {
        self.file = file
        self.folder = folder
    }

    /// Finds the instance that a word means: a name, or `primary`.
    package func instance(_ word: String) async throws(CommandFailure) -> InstanceName {
        if word == "primary" {
            let view: ClusterView
            do throws(CommandFailure) {
                view = try await ControllerQuestion(of: file, in: folder).view()
            } catch {
                throw CommandFailure(error.kind, "\(error); or name the instance")
            }
            guard let primary = view.primary, view.phase == .steady else {
                throw CommandFailure(
                    .failed,
                    "could not find the primary: the cluster is \(view.phase.rawValue); wait, or name an instance"
                )
            }
            return primary
        }
        guard let name = file.names.first(where: { $0.text == word }) else {
            let several = file.controllerPorts.count > 1 ? file.controllerPorts.indices.map(file.controllerName) : []
            let names = (file.names.map(\.text) + ["primary", "controller"] + several).joined(separator: ", ")
            throw CommandFailure(.usage, "could not find '\(word.prefix(60))' in the cluster: there are \(names)")
        }
        return name
    }

    /// Finds the controller that a word means: `controller-2`, or `controller` for the one that leads.
    ///
    /// - Returns: Its place among the controllers; the first that runs if none says that it leads. Nil if the word
    ///   means no controller.
    package func controller(_ word: String) async throws(CommandFailure) -> Int? {
        let places = file.controllerPorts.indices
        if word != "controller" { return places.first { file.controllerName($0) == word } }
        if places.count == 1 { return 0 }
        let leader = try? await ControllerQuestion(of: file, in: folder).view().controller
        let running = ClusterProcesses(of: file, in: folder).controllers
        return places.first { file.controllers[$0] == leader } ?? running.keys.min() ?? 0
    }

    /// Sends the signal to a controller.
    ///
    /// - Returns: The number of the process that got it.
    @discardableResult
    package func send(_ signal: Signal, toController index: Int) throws(CommandFailure) -> Int32 {
        let running = ClusterProcesses(of: file, in: folder).controllers[index]
        return try send(signal, to: running, named: file.controllerName(index))
    }

    /// Sends the signal; the process was found by what it works on, so that no stranger is hit.
    ///
    /// - Returns: The number of the process that got it.
    @discardableResult
    package func send(_ signal: Signal, to part: ClusterPart, of name: InstanceName) throws(CommandFailure) -> Int32 {
        let running = ClusterProcesses(of: file, in: folder)
        let process: RunningProcess?
        switch part {
        case .controller: process = running.controller
        case .agent: process = running.agents[name]
        case .launcher: process = running.launchers[name]
        case .server: process = running.servers[name]
        }
        return try send(signal, to: process, named: "\(part.rawValue) of \(name)")
    }

    private func send(
        _ signal: Signal,
        to process: RunningProcess?,
        named what: String
    ) throws(CommandFailure) -> Int32 {
        guard let process else {
            throw CommandFailure(
                .failed,
                "could not signal the \(what): it does not run; see \(folder.command("status"))"
            )
        }
        guard process.signal(signal.number) else {
            throw CommandFailure(
                .failed,
                "could not send SIG\(signal.rawValue) to the \(what), process \(process.processID): it has just "
                    + "ended, or belongs to another user"
            )
        }
        return process.processID
    }
}
