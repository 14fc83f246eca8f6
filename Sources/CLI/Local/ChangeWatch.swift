package import ClusterModel
import Foundation

/// Waits for the end of a change of primary that was asked for.
package struct ChangeWatch: Sendable {
    private let question: ControllerQuestion
    private let folder: ClusterFolder
    private let before: ClusterView

    /// Notes how things stand before the command is given.
    package init(of file: ClusterFile, in folder: ClusterFolder) async throws(CommandFailure) {
        question = try ControllerQuestion(of: file, in: folder)
        self.folder = folder
        before = try await question.view()
    }

    /// Gives the command, and waits if that is wished until some primary admits clients again.
    ///
    /// - Returns: What was done, a line each.
    /// - Throws: `CommandFailure`; `timedOut` if it is not done by then, `failed` if it was given up or another than
    ///   the one that was asked for is primary.
    package func give(_ command: ClusterCommand, waits: Bool, limit: Duration) async throws(CommandFailure) -> String {
        let said = try await question.give(command)
        guard waits else { return said }
        let clock = ContinuousClock()
        let end = clock.now + limit
        var last: ClusterView?
        while clock.now < end {
            if let view = try? await question.view() {
                last = view
                if let story = try outcome(view, command.wanted) { return said + "\n" + story }
            }
            do {
                try await Task.sleep(for: .milliseconds(50))
            } catch {
                throw CommandFailure(.failed, "could not wait for the end of it: interrupted; it goes on all the same")
            }
        }
        throw CommandFailure(
            .timedOut,
            "could not see the end of it within \(limit.components.seconds) s\(WaitingText.text(last)); it goes on: see "
                + folder.command("status")
        )
    }

    /// What came of it; nil while it is under way.
    private func outcome(_ view: ClusterView, _ wanted: InstanceName?) throws(CommandFailure) -> String? {
        guard view.phase == .steady, view.request == nil, view.version > before.version else { return nil }
        let primary = view.instances.first { $0.name == view.primary }
        guard primary?.opened == true else { return nil }
        if let wanted, let name = view.primary, name != wanted, view.term > before.term {
            throw another(name, wanted, view)
        }
        if let last = view.lastFailover, last.term == view.term, last.term > before.term {
            return HistoryText.summary(last).joined(separator: "\n")
        }
        if view.primary != before.primary { return "'\(view.primary?.text ?? "")' is primary of term \(view.term)" }
        guard view.lastFailover?.term == before.lastFailover?.term else { return nil }
        throw CommandFailure(
            .failed,
            "could not change the primary: it was given up, and '\(view.primary?.text ?? "")' goes on; see "
                + folder.command("explain")
        )
    }

    /// Somebody else was promoted, or the primary went on: with the reason as the controller gave it.
    private func another(_ name: InstanceName, _ wanted: InstanceName, _ view: ClusterView) -> CommandFailure {
        let last = view.lastFailover.flatMap { $0.term == view.term ? $0 : nil }
        let reason =
            last?.evidence.last { $0.hasPrefix("'\(wanted)'") } ?? last?.why ?? view.history.last?.why ?? ""
        return CommandFailure(
            .failed,
            "could not make '\(wanted)' primary: '\(name)' is primary of term \(view.term)"
                + (reason.isEmpty ? "" : "; \(reason)") + "; see \(folder.command("explain"))"
        )
    }
}

/// What a cluster waits for, as a time-out ends with it.
enum WaitingText {
    static func text(_ view: ClusterView?) -> String {
        guard let view else { return ": the controller did not answer" }
        if let waiting = view.waiting { return ": waiting: \(waiting)" }
        guard view.phase == .steady else { return ": the cluster is \(view.phase.rawValue)" }
        let missing = LocalCluster.missing(in: view)
        return missing.isEmpty ? "" : ": missing: \(missing.joined(separator: "; "))"
    }
}

extension ClusterCommand {
    /// Who is to be primary; nil if that is left open, or nobody in particular.
    fileprivate var wanted: InstanceName? {
        switch self {
        case .switchover(let name, _, _): name
        case .promote(let name, _, _, _): name
        case .abandon, .pause, .resume, .rebuild: nil
        }
    }
}
