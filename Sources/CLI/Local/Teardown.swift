import ClusterModel
import Foundation
import Platform

/// Stops everything of a local cluster, in an order that leaves the data directories clean.
package struct Teardown: Sendable {
    package let file: ClusterFile
    package let folder: ClusterFolder

    /// Whether the directory was taken away under the processes: then there is nothing to lock or to write there.
    private let isStray: Bool

    package init(of file: ClusterFile, in folder: ClusterFolder) {
        self.file = file
        self.folder = folder
        isStray = false
    }

    /// Finds the processes of a cluster that was once in a directory in which there is none now.
    ///
    /// - Returns: nil if none runs.
    package init?(ofStraysIn folder: ClusterFolder) {
        guard let file = ClusterFile.anything, !ClusterProcesses(of: file, in: folder).isEmpty else { return nil }
        self.file = file
        self.folder = folder
        isStray = true
    }

    /// The processes of the cluster, for people.
    var processNumbers: String {
        ClusterProcesses(of: file, in: folder).all.map { "\($0.processID)" }.joined(separator: ", ")
    }

    /// Agents first, that nobody is promoted or started anew; then servers with their launchers; then the controller.
    ///
    /// `keepsData` says whether the directory stays; `report` takes lines for the person who waits.
    package func stop(keepsData: Bool = true, report: @Sendable (String) -> Void) async throws {
        let lock = isStray ? nil : try LocalCluster.acquireLock(folder)
        defer { withExtendedLifetime(lock) {} }
        let running = ClusterProcesses(of: file, in: folder)
        if running.isEmpty {
            report("Nothing of cluster '\(file.name)' runs.")
            return
        }
        await end("agents", Array(running.agents.values), within: .seconds(5), report)
        // The primary first: its standbys receive its last record, and nothing needs rewinding afterwards.
        let standbys = file.names.filter {
            FileManager.default.fileExists(atPath: "\(folder.dataDirectory($0))/standby.signal")
        }
        let primaries = file.names.filter { !standbys.contains($0) }
        await end("launchers and servers", primaries.compactMap { running.launchers[$0] }, within: .seconds(20), report)
        await end("launchers and servers", standbys.compactMap { running.launchers[$0] }, within: .seconds(20), report)
        for name in file.names { await endRemains(of: name, report) }
        let controllers = Array(running.controllers.values)
        await end(controllers.count > 1 ? "controllers" : "controller", controllers, within: .seconds(5), report)
        let left = ClusterProcesses(of: file, in: folder)
        guard left.isEmpty else {
            throw CommandFailure(
                .timedOut,
                "could not stop process \(processNumbers): it does not end even after SIGKILL; end it by hand"
            )
        }
        if isStray { return report("What ran of an earlier cluster in \(folder.path) is down.") }
        var stopped = file
        stopped.processes = []
        try stopped.write(in: folder)
        report("Cluster '\(file.name)' is down" + (keepsData ? "; its data stays in \(folder.path)." : "."))
        guard keepsData, let record = recorded(), record.pauseReason != nil else { return }
        report(
            "It is paused: after \(folder.command("up")) nobody becomes primary until \(folder.command("resume")), or "
                + "`promote`."
        )
    }

    /// The record as the controllers left it; nil if there is none that can be read.
    private func recorded() -> ClusterRecord? {
        guard let bytes = try? DurableFile.read(folder.recordFile, limit: 4 << 20) else { return nil }
        return try? JSONDecoder().decode(ClusterRecord.self, from: Data(bytes))
    }

    /// Removes the folder; only called for a folder whose `cluster.json` says that it is ours.
    package func remove(report: @Sendable (String) -> Void) throws {
        do {
            try FileManager.default.removeItem(atPath: folder.path)
        } catch {
            throw CommandFailure(.failed, "could not remove \(folder.path): \(plain(error))")
        }
        report("Removed \(folder.path).")
    }

    private func end(
        _ what: String,
        _ processes: [RunningProcess],
        within limit: Duration,
        _ report: @Sendable (String) -> Void
    ) async {
        let alive = processes.filter(\.isAlive)
        if alive.isEmpty { return }
        for process in alive { process.signal(SIGTERM) }
        // A stopped process takes no other signal than this before SIGKILL.
        for process in alive { process.signal(SIGCONT) }
        if await gone(alive, within: limit) {
            report("  \(what): stopped (\(alive.count))")
            return
        }
        for process in alive { process.signal(SIGKILL) }
        let ended = await gone(alive, within: .seconds(5))
        report("  \(what): \(ended ? "killed, they did not stop in time" : "do not end")")
    }

    /// Servers whose launcher is gone already, or what an interrupted launcher left.
    private func endRemains(of name: InstanceName, _ report: @Sendable (String) -> Void) async {
        func remains() -> [RunningProcess] { ClusterProcesses(of: file, in: folder).remains[name] ?? [] }
        if await emptied(remains, within: .seconds(1)) { return }
        let found = ClusterProcesses(of: file, in: folder)
        if let server = found.servers[name] {
            server.signal(SIGCONT)
            server.signal(SIGINT)
            if await emptied(remains, within: .seconds(10)) {
                report("  server of \(name): stopped, its launcher was gone")
                return
            }
        }
        for process in remains() { process.signal(SIGKILL) }
        let ended = await emptied(remains, within: .seconds(5))
        report("  \(name): left-over processes \(ended ? "killed" : "do not end")")
    }

    private func gone(_ processes: [RunningProcess], within limit: Duration) async -> Bool {
        await emptied({ processes.filter(\.isAlive) }, within: limit)
    }

    private func emptied(_ list: () -> [RunningProcess], within limit: Duration) async -> Bool {
        let clock = ContinuousClock()
        let end = clock.now + limit
        while clock.now < end {
            if list().isEmpty { return true }
            // Tearing down goes on even if the task was cancelled: then this only polls faster.
            try? await Task.sleep(for: .milliseconds(20))
        }
        return list().isEmpty
    }
}
