package import ClusterModel
import Foundation

/// Has a standby's data made anew, and sees the end of it (R15).
package struct RebuildWatch: Sendable {
    private let name: InstanceName
    private let question: ControllerQuestion
    private let folder: ClusterFolder
    private let before: Incarnation?

    /// Notes which data it has before the command is given.
    package init(of name: InstanceName, _ file: ClusterFile, in folder: ClusterFolder) async throws(CommandFailure) {
        self.name = name
        self.folder = folder
        question = try ControllerQuestion(of: file, in: folder)
        before = try await question.view().instances.first { $0.name == name }?.incarnation
    }

    /// Gives the command.
    ///
    /// - Returns: What will be done.
    /// - Throws: `CommandFailure` with why not.
    package func give(mayWait: Bool, isDryRun: Bool) async throws(CommandFailure) -> String {
        try await question.give(.rebuild(name, commitsMayWait: mayWait, isDryRun: isDryRun))
    }

    /// Waits until other data than before streams from the primary.
    package func end(within limit: Duration) async throws(CommandFailure) -> String {
        let clock = ContinuousClock()
        let end = clock.now + limit
        var last: ClusterView?
        while clock.now < end {
            last = (try? await question.view()) ?? last
            if let one = last?.instances.first(where: { $0.name == name }), let incarnation = one.incarnation,
                incarnation != before, one.streaming
            {
                return "'\(name)' streams again, as incarnation \(incarnation)"
            }
            do {
                try await Task.sleep(for: .milliseconds(100))
            } catch {
                throw CommandFailure(.failed, "could not wait for the end of it: interrupted; it goes on all the same")
            }
        }
        let seconds = limit.components.seconds
        throw CommandFailure(
            .timedOut,
            "could not see '\(name)' stream within \(seconds) s\(WaitingText.text(last)); see "
                + "\(folder.command("status")) for how far it is"
        )
    }
}
