package import ClusterModel
import Foundation

/// What `understudy local status` shows: the controller's view, and the processes whether it answers or not.
package struct StatusReport: Sendable {
    package let file: ClusterFile
    package let folder: ClusterFolder
    package let processes: ClusterProcesses
    package let view: ClusterView?
    /// Why there is no view; empty if there is one.
    package let complaint: String
    /// What the agents say themselves; asked only where there is no view.
    package let words: [AgentWord]

    package init(
        file: ClusterFile,
        folder: ClusterFolder,
        processes: ClusterProcesses,
        view: ClusterView?,
        complaint: String = "",
        words: [AgentWord] = []
    ) {
        self.file = file
        self.folder = folder
        self.processes = processes
        self.view = view
        self.complaint = complaint
        self.words = words
    }

    /// Looks at the cluster.
    package static func take(of file: ClusterFile, in folder: ClusterFolder) async -> StatusReport {
        let processes = ClusterProcesses(of: file, in: folder)
        do throws(CommandFailure) {
            let view = try await ControllerQuestion(of: file, in: folder).view()
            return StatusReport(file: file, folder: folder, processes: processes, view: view)
        } catch {
            let complaint = processes.controller == nil ? "its process does not run" : error.description
            let words = await AgentWord.all(of: file)
            return StatusReport(
                file: file,
                folder: folder,
                processes: processes,
                view: nil,
                complaint: complaint,
                words: words
            )
        }
    }

    /// For programs.
    package func json() throws -> String {
        struct Answer: Encodable {
            let cluster: ClusterName
            let directory: String
            let connection: String
            let controller: String
            let view: ClusterView?
            let agents: [AgentWord]
            let processes: [ClusterFile.Started]
            let missing: [String]
        }
        let answer = Answer(
            cluster: file.name,
            directory: folder.path,
            connection: file.connectionString,
            controller: view == nil ? complaint : "answers",
            view: view,
            agents: words,
            processes: processes.started(file.names),
            missing: processes.missing(of: file)
        )
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        if let key = LSN.textKey { encoder.userInfo[key] = true }
        return String(decoding: try encoder.encode(answer), as: UTF8.self)
    }

    /// For people.
    package func text() -> String {
        var lines = view.map(viewLines) ?? blindLines()
        let missing = processes.missing(of: file)
        if !missing.isEmpty && view != nil {
            lines += ["", "Not running: \(missing.joined(separator: ", ")); \(folder.command("up")) starts it again"]
        }
        lines += ["", "Connect: psql \"\(file.connectionString)\""]
        return lines.joined(separator: "\n")
    }

    private func standing(of primary: ClusterView.Instance?, _ name: String) -> String {
        switch primary?.role {
        case "lost": "\(name) is the recorded primary, but does not report"
        case "down": "no primary: \(name) is down"
        default: primary?.opened == true ? "\(name) is primary and admits clients" : "\(name) is to be primary"
        }
    }

    private func viewLines(_ view: ClusterView) -> [String] {
        var head = "Cluster '\(view.cluster)': "
        let primary = view.instances.first { $0.name == view.primary }
        switch view.phase {
        case .steady:
            let name = view.primary?.text ?? "nobody"
            head += standing(of: primary, name)
        case .forming, .initializing: head += "being made"
        case .preparing: head += "changing its primary: asking the members for their WAL"
        case .promoting: head += "changing its primary: \(view.primary?.text ?? "a candidate") is being promoted"
        }
        var lines = [
            head,
            "Term \(view.term), \(view.phase.rawValue), durability \(view.durability.rawValue)\(votersText(view))",
        ]
        if let request = view.request { lines.append("Under way: \(request.why) (step '\(request.step.rawValue)')") }
        if let reason = view.pauseReason { lines.append("Paused: \(reason); \(folder.command("resume")) ends it") }
        let place = view.controller.flatMap { file.controllers.firstIndex(of: $0) }
        if file.controllerPorts.count > 1, let place, let leader = view.controller {
            let running = "\(processes.controllers.count) of \(file.controllerPorts.count) run"
            lines.append("Led by \(file.controllerName(place)) at \(leader); \(running)")
        }
        if let waiting = view.waiting { lines.append("Waiting: \(waiting)") }
        lines += view.warnings.map { "Warning: \($0)" }
        if let suspect = view.suspect {
            let mend = suspect.rule == "R9" ? "; \(folder.command("up")) starts an agent that does not run" : ""
            lines.append("Suspect: \(suspect)\(mend)")
        }
        lines += [""] + table(view).lines
        let kept = view.instances.flatMap(\.keptWAL)
        if !kept.isEmpty {
            lines += ["", "WAL that this history does not contain; each folder's about.txt says how to look at it"]
            lines += kept.map { "  \($0)" }
        }
        if let last = view.lastFailover {
            lines += ["", "Last change of primary"] + HistoryText.summary(last).map { "  \($0)" }
        }
        return lines
    }

    private func votersText(_ view: ClusterView) -> String {
        guard view.durability != .async, let rule = view.rules.last else { return "" }
        if rule.required == 0 {
            return view.rules.count > 1
                ? ": going over to k = 0, a single server"
                : ": k = 0, a single server: commits wait for nobody, and nobody can take its place"
        }
        return ": a commit waits for \(rule.required) of \(rule.voters.count)"
            + (view.rules.count > 1 ? ", a change is under way" : "")
    }

    private func table(_ view: ClusterView) -> TextTable {
        var table = TextTable([
            "INSTANCE", "ROLE", "ADDRESS", "TIMELINE", "POSITION", "LAG", "STATE", "VOTES", "REPORT", "NOTE",
        ])
        for instance in view.instances {
            var notes = [instance.work, instance.fault].filter { !$0.isEmpty }
            if let lease = instance.leaseRemainingMilliseconds, instance.name == view.primary {
                notes.append("lease \(lease) ms")
            }
            table.add([
                instance.name.text, instance.role, "\(instance.server)",
                instance.position.map { "\($0.timeline)" } ?? "-", instance.position.map { "\($0.lsn)" } ?? "-",
                instance.name == view.primary ? "-" : Self.lag(instance),
                Self.state(instance), instance.votes ? "yes" : "no", Self.age(instance), notes.joined(separator: "; "),
            ])
        }
        return table
    }

    private static func lag(_ instance: ClusterView.Instance) -> String {
        let bytes = instance.lagBytes.map(Self.bytes) ?? "?"
        guard let time = instance.lagMilliseconds else { return bytes }
        return "\(bytes), " + (time < 10_000 ? "\(time) ms" : "\(time / 1000) s")
    }

    private static func state(_ instance: ClusterView.Instance) -> String {
        if !instance.connected { return "not connected" }
        if instance.opened { return "open" }
        return instance.streaming ? "streaming" : "-"
    }

    private static func age(_ instance: ClusterView.Instance) -> String {
        guard let age = instance.reportAgeMilliseconds else { return "never" }
        return age < 10_000 ? "\(age) ms ago" : "\(age / 1000) s ago"
    }

    static func bytes(_ count: UInt64) -> String {
        let units = ["B", "kB", "MB", "GB", "TB"]
        var value = count
        var unit = 0
        while value >= 10_240 && unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        return "\(value) \(units[unit])"
    }

    /// What can be said without a controller: what the agents tell, processes, and what they were started as.
    private func blindLines() -> [String] {
        var lines = [
            "Cluster '\(file.name)' in \(folder.path): the controller does not answer: \(complaint)",
            "Without it nobody is promoted; \(folder.command("up")) starts what does not run", "",
        ]
        var table = TextTable(["PART", "INSTANCE", "PROCESS", "ADDRESS"])
        for (index, endpoint) in file.controllers.enumerated() {
            table.add([file.controllerName(index), "-", Self.number(processes.controllers[index]), "\(endpoint)"])
        }
        for instance in file.instances {
            let name = instance.name
            table.add(["launcher", name.text, Self.number(processes.launchers[name]), ""])
            table.add(["agent", name.text, Self.number(processes.agents[name]), ""])
            table.add(["server", name.text, Self.number(processes.servers[name]), "127.0.0.1:\(instance.port)"])
        }
        lines += table.lines
        if words.isEmpty { return lines }
        let primaries = words.filter(\.isPrimary).map(\.name.text)
        let head =
            primaries.isEmpty
            ? "none is an open primary" : "\(primaries.joined(separator: ", ")) is primary and admits clients"
        lines += ["", "As the agents themselves tell: \(head)"]
        var told = TextTable(["INSTANCE", "SERVER", "TERM", "TIMELINE", "POSITION", "READY", "NOTE"])
        for word in words {
            let ready = word.isReady ? "yes" : "no"
            told.add([word.name.text, word.server, word.term, word.timeline, word.position, ready, word.note])
        }
        return lines + told.lines
    }

    private static func number(_ process: RunningProcess?) -> String {
        process.map { "\($0.processID)" } ?? "does not run"
    }
}
