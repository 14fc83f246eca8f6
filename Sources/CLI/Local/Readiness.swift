package import ClusterModel
import Foundation
import PostgresDriver

extension LocalCluster {
    /// Waits until the primary admits clients and every standby streams from it.
    ///
    /// Gives the state in which all was well. At the deadline a `CommandFailure` of kind `timedOut` says what is
    /// missing; one of kind `refused` says at once that nobody becomes primary while the cluster is paused (R18).
    /// `report` takes a line for each thing that was reached.
    @discardableResult
    package mutating func waitUntilReady(
        deadline: Duration = .seconds(120),
        report: @Sendable (String) -> Void
    ) async throws -> ClusterView {
        let question = try ControllerQuestion(of: file, in: folder)
        let clock = ContinuousClock()
        let start = clock.now
        var progress = Progress()
        var missing = ["an answer of the controller"]
        try noteProcesses()
        while clock.now - start < deadline {
            try Task.checkCancellation()
            try requireAlive()
            if let view = try? await question.view() {
                let elapsed = clock.now - start
                for instance in view.instances {
                    guard let line = progress.line(for: instance, at: elapsed) else { continue }
                    report("  \(seconds(elapsed)) \(instance.name): \(line)")
                }
                if let standstill = Self.standstill(in: view) {
                    throw CommandFailure(
                        .refused,
                        "could not bring up a primary for the cluster in \(folder.path): \(standstill); everything else "
                            + "was started, \(folder.command("resume")) lets it go on"
                    )
                }
                missing = Self.missing(in: view)
                if missing.isEmpty, let complaint = await complaintOfClients(view) { missing = [complaint] }
                if missing.isEmpty {
                    try noteProcesses()
                    report("Ready after \(seconds(clock.now - start, sign: "")).")
                    return view
                }
            }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw CommandFailure(
            .timedOut,
            "could not bring up the cluster in \(folder.path) within \(deadline.wholeMilliseconds / 1000) s: missing: "
                + "\(missing.joined(separator: "; ")); look at \(folder.command("status")) and at the logs in \(folder.path)"
        )
    }

    /// Why nobody becomes primary until a person says so; nil if nothing keeps the cluster from that (R18).
    package static func standstill(in view: ClusterView) -> String? {
        view.waiting.flatMap { $0.rule == "R18" ? $0.text : nil }
    }

    /// What keeps a cluster from being complete; empty if nothing does.
    package static func missing(in view: ClusterView) -> [String] {
        guard view.phase == .steady, let primary = view.primary else {
            return [view.waiting.map { $0.text } ?? "a primary (the cluster is \(view.phase.rawValue))"]
        }
        var list: [String] = []
        // Until a rule counts the standbys, a failover waits for the first primary itself.
        if view.instances.count > 1 && view.rules.allSatisfy({ $0.voters.isEmpty }) {
            list.append("no standby has a vote in a failover")
        }
        for instance in view.instances {
            let detail = instance.fault.isEmpty ? instance.activity : instance.fault
            let because = detail.isEmpty ? "" : " (\(detail))"
            if instance.name == primary {
                if !instance.opened { list.append("\(primary) does not admit clients\(because)") }
            } else if !instance.streaming {
                list.append("\(instance.name) does not stream from \(primary)\(because)")
            } else if let rule = view.rules.last, rule.mode.isSynchronous,
                !rule.voters.contains(where: { $0.name == instance.name })
            {
                list.append("\(instance.name) has no vote yet")
            }
        }
        // What the controller itself waits for says more than what it would bring about.
        if !list.isEmpty, let waiting = view.waiting { list.insert(waiting.text, at: 0) }
        if list.isEmpty && view.rules.count > 1 { list.append("a change of voters is not complete yet") }
        return list
    }

    /// The proof that a person could connect, too.
    private func complaintOfClients(_ view: ClusterView) async -> String? {
        guard let primary = view.primary, let instance = file.instances.first(where: { $0.name == primary }) else {
            return "a primary"
        }
        let target = ConnectionTarget(
            host: "127.0.0.1",
            port: instance.port,
            user: "postgres",
            applicationName: "understudy local up"
        )
        do throws(PostgresError) {
            let session = try await PostgresSession.connect(target, deadline: .seconds(2))
            defer { session.close() }
            try await session.query("SELECT 1", deadline: .seconds(2))
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// A part that ended by itself will not come back: its own last words say why.
    private func requireAlive() throws(CommandFailure) {
        guard let dead = parts.first(where: { !$0.isAlive }) else { return }
        let words = Self.lastLine(of: dead.log)
        throw CommandFailure(
            .failed,
            "could not keep the \(dead.what) running: \(words.isEmpty ? "it ended without a word" : words); its log is "
                + "\(dead.log), \(folder.command("down")) stops the rest"
        )
    }

    private static func lastLine(of log: String) -> String {
        guard let file = FileHandle(forReadingAtPath: log) else { return "" }
        defer { try? file.close() }
        let end = (try? file.seekToEnd()) ?? 0
        try? file.seek(toOffset: end > 8192 ? end - 8192 : 0)
        let text = String(decoding: (try? file.readToEnd()) ?? Data(), as: UTF8.self)
        return text.split(separator: "\n").last.map { String($0.prefix(400)) } ?? ""
    }
}

/// What was told about each instance, so that only news is told.
private struct Progress {
    private var told: [InstanceName: String] = [:]
    private var faults: [InstanceName: (text: String, since: Duration)] = [:]

    /// A fault that lasts this long is worth a line; most are over before, such as a server that is just starting.
    private static let patience = Duration.seconds(5)

    mutating func line(for instance: ClusterView.Instance, at elapsed: Duration) -> String? {
        if faults[instance.name]?.text != instance.fault { faults[instance.name] = (instance.fault, elapsed) }
        var words = [instance.role]
        if instance.opened && instance.role != "lost" { words.append("admits clients") }
        if instance.streaming { words.append("streams") }
        if !instance.work.isEmpty { words.append(instance.work) }
        if let fault = faults[instance.name], !fault.text.isEmpty, elapsed - fault.since >= Self.patience {
            words.append(fault.text)
        }
        let line = words.joined(separator: ", ")
        guard told[instance.name] != line else { return nil }
        told[instance.name] = line
        return line
    }
}

extension ClusterView.Instance {
    /// What it is at beyond what its role says already; empty if nothing.
    package var work: String {
        guard activity != role, activity.hasPrefix(role + ": ") else { return activity == role ? "" : activity }
        // A server that starts refuses sessions in words that say the same.
        let refusal = activity.components(separatedBy: "FATAL:").last ?? ""
        let words = refusal.trimmingCharacters(in: .whitespaces)
        if words == "the database system is starting up" { return "" }
        return activity.contains("FATAL:") ? words : String(activity.dropFirst(role.count + 2))
    }
}

/// `+1.4 s`, for progress.
package func seconds(_ duration: Duration, sign: String = "+") -> String {
    let tenths = duration.wholeMilliseconds / 100
    return "\(sign)\(tenths / 10).\(tenths % 10) s"
}
