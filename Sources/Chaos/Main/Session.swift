import ChaosChecker
import ChaosHosts
import ClusterModel
import Foundation
import LocalCluster
import Platform
import Synchronization

/// From the first host to the last line, with everything removed however it ends.
struct Session: Sendable {
    let path: String
    let options: ChaosCluster.Options
    let rounds: Int
    let scenario: Scenario?
    let minutes: Int
    let keep: Bool
    let weakensClients: Bool

    private static let anomaliesShown = 20
    /// The default of `maximumLagOnFailover`, which the cluster is run with.
    private static let lossLimit: UInt64 = 1 << 20

    /// - Returns: Whether all is well.
    func run() async throws -> Bool {
        let journal = Journal(directory: path)
        let signals = try Signals.stream([Signals.interrupt, Signals.terminate, Signals.hangUp])
        try ChaosCluster.requirePrograms()
        await ChaosCluster.sweep { journal.say($0) }
        let namespaces = ChaosCluster.hosts()
        let made = Mutex<Fabric?>(nil)
        let task = Task<Bool, any Error> {
            journal.say("seed \(options.seed), durability \(options.durability.rawValue), directory \(path)")
            let cluster = try await ChaosCluster.bringUp(options, on: namespaces) { journal.say($0) }
            made.withLock { $0 = cluster.fabric }
            return try await play(cluster, journal)
        }
        let watch = Task {
            for await _ in signals {
                journal.say("Interrupted: removing everything.")
                task.cancel()
            }
        }
        let outcome = await task.result
        await ChaosCluster.tearDown(namespaces, directory: path, fabric: made.withLock { $0 })
        watch.cancel()
        let isWell = (try? outcome.get()) ?? false
        cleanUp(isWell: isWell, journal)
        do {
            return try outcome.get()
        } catch is CancellationError {
            throw CommandFailure(.failed, "could not finish: it was interrupted")
        }
    }

    private func play(_ cluster: ChaosCluster, _ journal: Journal) async throws -> Bool {
        let database = Database(of: cluster.file)
        let recorder = Recorder(path: "\(path)/history.jsonl")
        let observer = Observer(cluster)
        let run = Run(
            cluster: cluster,
            database: database,
            recorder: recorder,
            journal: journal,
            observer: observer,
            seed: options.seed
        )
        let helpers = [
            Task { await cluster.keeper.run() }, Task { await observer.run() }, Task { await recorder.run() },
        ]
        defer { for helper in helpers { helper.cancel() } }
        try await database.prepare(weakened: weakensClients, deadline: .seconds(90))
        let clients = Clients(on: database, recorder: recorder, seed: options.seed)
        let missing: [String]
        var summary: Summary
        do {
            missing = try await run.becomeWhole(within: .seconds(90))
            guard missing.isEmpty else {
                await journal.keepView(cluster, named: "birth")
                throw CommandFailure(.failed, "could not bring the cluster up: \(missing.joined(separator: "; "))")
            }
            journal.say("The cluster is whole; \(observer.primary?.text ?? "nobody") is primary. Clients write.")
            summary =
                if let scenario {
                    try await run.scenario(scenario, rounds: rounds, minutes: minutes)
                } else {
                    try await run.rounds(rounds)
                }
        } catch {
            await clients.stop()
            throw error
        }
        await clients.stop()
        let verdict = try await judge(run)
        summary.operations = recorder.operations
        summary.lostAcknowledged = verdict.count(.lostAcknowledged)
        summary.doubleWriters = verdict.count(.doubleWriter)
        tell(verdict, journal)
        print(summary.line)
        return summary.isClean && verdict.anomalies.isEmpty
    }

    private func judge(_ run: Run) async throws -> Verdict {
        try run.recorder.flush()
        let final = try await run.database.finalState(deadline: .seconds(120))
        let history = History(entries: run.recorder.entries)
        let limit: UInt64? = options.durability == .async ? Self.lossLimit : nil
        return Verdict(of: history, final: final, promise: Promise(sum: Database.accountSum, lossLimit: limit))
    }

    private func tell(_ verdict: Verdict, _ journal: Journal) {
        for anomaly in verdict.anomalies.prefix(Self.anomaliesShown) { journal.say("WRONG: \(anomaly)") }
        if verdict.anomalies.count > Self.anomaliesShown {
            journal.say("… and \(verdict.anomalies.count - Self.anomaliesShown) more.")
        }
        let counts = Anomaly.Kind.allCases.map { "\($0.rawValue) \(verdict.count($0))" }.joined(separator: ", ")
        journal.say("Judged: \(counts); lost within the limit of async: \(verdict.excusedLosses).")
    }

    /// Logs stay after a failure; the servers' data only if asked for.
    private func cleanUp(isWell: Bool, _ journal: Journal) {
        let manager = FileManager.default
        try? manager.removeItem(atPath: "\(path)/programs")
        if keep {
            journal.say("Data and logs are in \(path).")
        } else if isWell {
            try? manager.removeItem(atPath: path)
        } else {
            for name in ChaosCluster.instanceNames { try? manager.removeItem(atPath: "\(path)/\(name)/volume") }
            try? manager.removeItem(atPath: "\(path)/volume.image")
            journal.say("The logs are in \(path): history.jsonl, controller/controller.log, one/agent.log, …")
        }
    }
}
