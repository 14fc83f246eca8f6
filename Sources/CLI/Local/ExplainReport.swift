package import ClusterModel
import Foundation

/// What `understudy local explain` tells: how things stand and why, who could take over and who not, and the latest
/// decisions with their evidence.
package struct ExplainReport: Sendable {
    package let view: ClusterView?
    /// Why there is no view; empty if there is one.
    package let complaint: String
    package let history: History

    package init(view: ClusterView?, complaint: String = "", history: History) {
        self.view = view
        self.complaint = complaint
        self.history = history
    }

    /// Asks the controller and reads its history.
    package static func take(
        of file: ClusterFile,
        in folder: ClusterFolder
    ) async throws(CommandFailure)
        -> ExplainReport
    {
        let history = try History.read(in: folder)
        do throws(CommandFailure) {
            let view = try await ControllerQuestion(of: file, in: folder).view()
            return ExplainReport(view: view, history: history)
        } catch {
            return ExplainReport(view: nil, complaint: error.description, history: history)
        }
    }

    /// For people.
    package func text(last count: Int) -> String {
        var lines = ["Now"]
        lines += view.map(present) ?? ["  The controller does not answer, so that nothing is decided: \(complaint)"]
        lines += ["", "Latest decisions and refusals, newest last"]
        let decisions = history.entries.filter(Self.isTold).suffix(count)
        if decisions.isEmpty { lines.append("  None so far.") }
        for entry in decisions { lines += Self.lines(entry) }
        return lines.joined(separator: "\n")
    }

    /// For programs.
    package func json(last count: Int) throws -> String {
        struct Answer: Encodable {
            let view: ClusterView?
            let complaint: String
            let decisions: [History.Entry]
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        if let key = LSN.textKey { encoder.userInfo[key] = true }
        let answer = Answer(
            view: view,
            complaint: complaint,
            decisions: Array(history.entries.filter(Self.isTold).suffix(count))
        )
        return String(decoding: try encoder.encode(answer), as: UTF8.self)
    }

    private func present(_ view: ClusterView) -> [String] {
        let primary = view.primary?.text ?? "nobody"
        var lines = ["  Term \(view.term), \(view.phase.rawValue); the recorded primary is \(primary)."]
        if let last = view.history.last { lines.append("  Why: \(last.why).") }
        if let request = view.request { lines.append("  Under way, step '\(request.step.rawValue)': \(request.why).") }
        if let reason = view.pauseReason {
            lines.append("  Paused: \(reason). No change of primary begins by itself [R18]; `understudy local resume`.")
        }
        if let suspect = view.suspect {
            lines.append("  Suspect: \(suspect.text) [\(suspect.rule)]")
            lines += suspect.evidence.map { "    - \($0)" }
        }
        if let waiting = view.waiting {
            lines.append("  Waiting: \(waiting.text)\(waiting.rule.isEmpty ? "" : " [\(waiting.rule)]")")
            lines += waiting.evidence.map { "    - \($0)" }
        }
        lines += view.warnings.map { "  Warning: \($0) [R12]" }
        lines.append("  Who could take over [R8]")
        for instance in view.instances where instance.name != view.primary {
            let lag = instance.lagBytes.map { ", \($0) bytes of WAL behind" } ?? ""
            let verdict = instance.obstacle.isEmpty ? "could\(lag)" : instance.obstacle
            lines.append("    - \(instance.name): \(verdict)")
        }
        return lines
    }

    /// What a person asks about: not each step of each agent.
    private static func isTold(_ entry: History.Entry) -> Bool { entry.failover != nil || entry.text != nil }

    private static func lines(_ entry: History.Entry) -> [String] {
        if let failover = entry.failover {
            return ["  \(entry.at) done"]
                + (HistoryText.summary(failover) + HistoryText.evidence(failover)).map { "    \($0)" }
        }
        let rule = entry.rule.map { $0.isEmpty ? "" : " [\($0)]" } ?? ""
        return ["  \(entry.at) \(entry.kind ?? "note"): \(entry.text ?? "")\(rule)"]
            + (entry.evidence ?? []).map { "    - \($0)" }
    }
}
