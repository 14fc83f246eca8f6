package import ClusterModel
import Foundation
package import LocalCluster
import Platform

/// A cluster in a directory of its own that is gone when the work is done, however it ends.
package enum TemporaryCluster {
    /// Brings a cluster up, does the work, stops and removes the cluster; keeps its logs if the work failed.
    ///
    /// An interrupt from the keyboard, or a request to end, cancels the work.
    /// The logs are kept, too, if `isWell` does not hold for the work's result.
    package static func with<Value: Sendable>(
        _ kind: String,
        postgresBin: String? = nil,
        durability: Durability = .required,
        timings: [String: String] = [:],
        report: @escaping @Sendable (String) -> Void,
        isWell: (Value) -> Bool,
        _ work: @escaping @Sendable (LocalCluster) async throws -> Value
    ) async throws -> Value {
        let path = "/tmp/understudy-\(kind)-\(ProcessInfo.processInfo.processIdentifier)"
        let signals = try Signals.stream([Signals.interrupt, Signals.terminate])
        let task = Task<Value, any Error> {
            var options = LocalCluster.Options(directory: path)
            options.instances = 3
            options.durability = durability
            options.name = kind
            options.postgresBin = postgresBin
            options.timings = timings
            var cluster = try await LocalCluster.bringUp(options, report: report)
            try await cluster.waitUntilReady(report: report)
            return try await work(cluster)
        }
        let watch = Task {
            for await _ in signals {
                report("Interrupted: stopping everything.")
                task.cancel()
            }
        }
        let outcome = await task.result
        let keepsLogs =
            switch outcome {
            case .success(let value): !isWell(value)
            case .failure(let error): !(error is CancellationError)
            }
        // From here on an interrupt changes nothing: the end of everything is already under way.
        try await tearDown(path, keepsLogs: keepsLogs, report: report)
        watch.cancel()
        do {
            return try outcome.get()
        } catch is CancellationError {
            throw CommandFailure(.failed, "could not finish: it was interrupted")
        }
    }

    private static func tearDown(
        _ path: String,
        keepsLogs: Bool,
        report: @escaping @Sendable (String) -> Void
    ) async throws {
        let folder = ClusterFolder(path: path)
        guard let file = try ClusterFile.read(in: folder) else {
            try? FileManager.default.removeItem(atPath: path)
            return
        }
        let teardown = Teardown(of: file, in: folder)
        try await teardown.stop(report: { _ in })
        guard keepsLogs else { return try teardown.remove(report: { _ in }) }
        for name in file.names { try? FileManager.default.removeItem(atPath: folder.dataDirectory(name)) }
        report("Everything is stopped. The logs are in \(path) (controller/controller.log, one/agent.log, …).")
    }
}
