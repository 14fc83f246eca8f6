import Foundation
import LocalCluster
import Platform

/// Everything that runs on a host, found by the network namespace that it is in.
package struct HostProcesses: Sendable {
    private let mark: String?

    package init(of host: Host) {
        var information = stat()
        // Safe: the structure outlives the call.
        mark = unsafe stat(host.namespaceFile, &information) == 0 ? "net:[\(information.st_ino)]" : nil
    }

    /// The numbers of all its processes.
    package func all() -> [Int32] {
        guard let mark else { return [] }
        let own = ProcessInfo.processInfo.processIdentifier
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { Int32($0) }.filter { number in
            guard number != own else { return false }
            return (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(number)/ns/net")) == mark
        }
    }

    /// Kills every process, also those that are born meanwhile.
    package func endAll() async {
        for _ in 0..<200 {
            let left = all().filter { RunningProcess($0) != nil }
            if left.isEmpty { return }
            for number in left { kill(number, SIGKILL) }
            // Whoever was cancelled still has to clean up.
            try? await Task.sleep(for: .milliseconds(10))
            if Task.isCancelled { usleep(10_000) }
        }
    }

    /// Stops every process until nobody runs any more, as when a machine is suspended.
    package func freeze() {
        for _ in 0..<50 {
            let running = all().filter { !Self.isStopped($0) }
            if running.isEmpty { return }
            for number in running { kill(number, SIGSTOP) }
            usleep(1000)
        }
    }

    /// Lets them all go on.
    package func thaw() { for number in all() { kill(number, SIGCONT) } }

    private static func isStopped(_ number: Int32) -> Bool {
        guard let text = try? String(contentsOfFile: "/proc/\(number)/stat", encoding: .utf8),
            let end = text.lastIndex(of: ")")
        else { return true }
        let state = text[text.index(after: end)...].split(separator: " ").first
        return state == "T" || state == "Z" || state == "X"
    }
}
