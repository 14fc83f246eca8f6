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
    /// - Throws: `CommandFailure`; `timedOut` if it is not done by then, `failed` if it was given up.
    package func give(_ command: ClusterCommand, waits: Bool, limit: Duration) async throws(CommandFailure) -> String {
        let said = try await question.give(command)
        guard waits else { return said }
        let clock = ContinuousClock()
        let end = clock.now + limit
        while clock.now < end {
            if let view = try? await question.view(), let story = try outcome(view) { return said + "\n" + story }
            do {
                try await Task.sleep(for: .milliseconds(50))
            } catch {
                throw CommandFailure(.failed, "could not wait for the end of it: interrupted; it goes on all the same")
            }
        }
        throw CommandFailure(
            .timedOut,
            "could not see the end of it within \(limit.components.seconds) s; it goes on: see \(folder.command("status"))"
        )
    }

    /// What came of it; nil while it is under way.
    private func outcome(_ view: ClusterView) throws(CommandFailure) -> String? {
        guard view.phase == .steady, view.request == nil, view.version > before.version else { return nil }
        let primary = view.instances.first { $0.name == view.primary }
        guard primary?.opened == true else { return nil }
        if let last = view.lastFailover, last.term == view.term, last.term > before.term {
            return HistoryText.summary(last).joined(separator: "\n")
        }
        if view.primary != before.primary { return "'\(view.primary?.text ?? "")' is primary of term \(view.term)" }
        guard view.lastFailover?.term == before.lastFailover?.term else { return nil }
        throw CommandFailure(
            .failed,
            "could not change the primary: it was given up, and '\(view.primary?.text ?? "")' goes on; see `understudy "
                + "local explain`"
        )
    }
}
