package import ClusterModel
import Foundation
import LocalCluster
import Platform

/// Failover times beside the floor that PostgreSQL itself sets, and what agent and launcher cost at rest.
package struct QuickBench: Sendable {
    private let rounds: Int
    private let durability: Durability
    private let postgresBin: String?
    private let report: @Sendable (String) -> Void

    private static let floorRounds = 7
    private static let restSeconds = 10

    /// `postgresBin` is the folder of the server's programs; nil for the newest that is found.
    package init(
        rounds: Int,
        durability: Durability = .required,
        postgresBin: String? = nil,
        report: @escaping @Sendable (String) -> Void
    ) {
        self.rounds = rounds
        self.durability = durability
        self.postgresBin = postgresBin
        self.report = report
    }

    private struct Rest: Sendable {
        var agentMegabytes = 0.0
        var agentPercent = 0.0
        var launcherMegabytes = 0.0
        var launcherPercent = 0.0
    }

    private struct Measured: Sendable {
        var failovers: [Double] = []
        var detects: [Double] = []
        var rest = Rest()
        /// The first commit of a server alone, and the first one that a second server holds, too.
        var floor: [Double] = []
        var acknowledgedFloor: [Double] = []
    }

    /// Runs it; the last line is `BENCH-QUICK {…}`.
    package func run() async throws {
        let measured = try await TemporaryCluster.with(
            "bench",
            postgresBin: postgresBin,
            durability: durability,
            timings: ["repeatedFailoverDelay": "0ms"],
            report: report,
            isWell: { _ in true }
        ) { cluster in try await measure(cluster) }
        report(line(measured))
    }

    private func measure(_ cluster: LocalCluster) async throws -> Measured {
        var measured = Measured()
        report("")
        report("At rest for \(Self.restSeconds) s …")
        measured.rest = try await rest(cluster)
        report("\(rounds) times SIGKILL of the primary's postmaster; repeatedFailoverDelay is 0 in this cluster.")
        let client = WritingClient(ports: cluster.file.instances.map(\.port))
        try await client.prepare(deadline: .seconds(20))
        let writing = Task { await client.run() }
        defer { writing.cancel() }
        for round in 1...rounds {
            let (total, phases) = try await failover(cluster, client)
            measured.failovers.append(total)
            measured.detects.append(Double(phases.detect))
            report(
                "  \(round): \(Self.text(total)) ms (detect \(phases.detect), decide \(phases.decide), prepare "
                    + "\(phases.prepare), promote \(phases.promote), route \(phases.route))"
            )
        }
        writing.cancel()
        await writing.value
        report("PostgreSQL alone, from trigger file to first commit, \(Self.floorRounds) times …")
        measured.floor = try await floor(in: cluster, isAcknowledged: false)
        report("The same, until a second standby that is pointed at it has the commit, too …")
        measured.acknowledgedFloor = try await floor(in: cluster, isAcknowledged: true)
        return measured
    }

    private func floor(in cluster: LocalCluster, isAcknowledged: Bool) async throws -> [Double] {
        let floor = PromotionFloor(
            bin: cluster.file.postgresBin,
            folder: "\(cluster.folder.path)/floor",
            rounds: Self.floorRounds,
            isAcknowledged: isAcknowledged
        )
        let samples = try await floor.measure()
        report("  " + samples.map(Self.text).joined(separator: ", ") + " ms")
        return samples
    }

    /// One failover: kill, first commit elsewhere, and then everything healed.
    private func failover(_ cluster: LocalCluster, _ client: WritingClient) async throws -> (Double, PhaseTimes) {
        let question = try ControllerQuestion(of: cluster.file, in: cluster.folder)
        let before = try await healed(question)
        guard let old = before.primary, let port = cluster.file.instances.first(where: { $0.name == old })?.port else {
            throw CommandFailure(.failed, "could not find the primary")
        }
        let count = client.acknowledged.count
        try await until("the client writes", within: .seconds(10)) { client.acknowledged.count > count + 20 }
        try Strike(at: cluster.file, in: cluster.folder).send(.kill, to: .server, of: old)
        let struck = MonotonicClock.now()
        try await until("a new primary takes writes", within: .seconds(60)) {
            client.first(notOn: port, after: struck) != nil
        }
        guard let first = client.first(notOn: port, after: struck) else {
            throw CommandFailure(.failed, "could not find the first commit again")
        }
        let after = try await healed(question)
        return (Self.milliseconds(first.at - struck), after.lastFailover?.phases ?? PhaseTimes())
    }

    private func healed(_ question: ControllerQuestion) async throws -> ClusterView {
        let end = MonotonicClock.now() + .seconds(120)
        var missing = ["an answer of the controller"]
        while MonotonicClock.now() < end {
            if let view = try? await question.view() {
                missing = LocalCluster.missing(in: view)
                if missing.isEmpty { return view }
            }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw CommandFailure(.timedOut, "could not see the cluster whole again: \(missing.joined(separator: "; "))")
    }

    private func until(_ what: String, within limit: Duration, _ holds: () -> Bool) async throws {
        let end = MonotonicClock.now() + limit
        while !holds() {
            guard MonotonicClock.now() < end else {
                throw CommandFailure(.timedOut, "could not see in time that \(what)")
            }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// The most that any agent and any launcher takes, launchers with both their processes.
    private func rest(_ cluster: LocalCluster) async throws -> Rest {
        let processes = ClusterProcesses(of: cluster.file, in: cluster.folder)
        let agents = Array(processes.agents.values)
        let launchers = Array(processes.launchers.values)
        let pairs = launchers.map { guardian in
            [guardian]
                + RunningProcess.all().filter { $0.parent == guardian.processID && $0.program == guardian.program }
        }
        try await Task.sleep(for: .seconds(Self.restSeconds))
        var rest = Rest()
        rest.agentMegabytes = agents.map { Self.megabytes([$0]) }.max() ?? 0
        rest.agentPercent = agents.map { Self.percent([$0]) }.max() ?? 0
        rest.launcherMegabytes = pairs.map(Self.megabytes).max() ?? 0
        rest.launcherPercent = pairs.map(Self.percent).max() ?? 0
        return rest
    }

    private static func megabytes(_ processes: [RunningProcess]) -> Double {
        Double(processes.compactMap(\.residentBytes).reduce(0, +)) / 1_048_576
    }

    /// Share of one core since the processes were looked at; the kernel counts 100 ticks a second.
    private static func percent(_ processes: [RunningProcess]) -> Double {
        let spent = processes.map { process in
            Double((RunningProcess(process.processID)?.processorTicks ?? 0)) - Double(process.processorTicks)
        }
        return spent.reduce(0, +) / Double(restSeconds)
    }

    private func line(_ measured: Measured) -> String {
        let median = Self.median(measured.failovers)
        let floor = Self.median(measured.floor)
        let acknowledged = Self.median(measured.acknowledgedFloor)
        let fields: [(String, String)] = [
            ("durability", "\"\(durability.rawValue)\""), ("rounds", "\(measured.failovers.count)"),
            ("failover_ms_median", Self.text(median)),
            ("failover_ms_min", Self.text(measured.failovers.min() ?? 0)),
            ("failover_ms_max", Self.text(measured.failovers.max() ?? 0)),
            ("floor_ms_median", Self.text(floor)), ("floor_rounds", "\(measured.floor.count)"),
            ("ratio", Self.text(floor > 0 ? median / floor : 0)),
            ("acknowledged_floor_ms_median", Self.text(acknowledged)),
            ("acknowledged_ratio", Self.text(acknowledged > 0 ? median / acknowledged : 0)),
            ("detect_ms_median", Self.text(Self.median(measured.detects))),
            ("agent_rss_mb", Self.text(measured.rest.agentMegabytes)),
            ("agent_cpu_percent", Self.text(measured.rest.agentPercent)),
            ("launcher_rss_mb", Self.text(measured.rest.launcherMegabytes)),
            ("launcher_cpu_percent", Self.text(measured.rest.launcherPercent)), ("repeated_failover_delay_ms", "0"),
        ]
        return "BENCH-QUICK {" + fields.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",") + "}"
    }

    /// The middle value; of an even number, the mean of the two in the middle.
    package static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return 0 }
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }

    private static func milliseconds(_ duration: Duration) -> Double { Double(duration.wholeNanoseconds) / 1_000_000 }

    private static func text(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(abs(tenths % 10))"
    }
}
