import ChaosChecker
import ChaosHosts
import ClusterModel
import Foundation
import LocalCluster
import Platform
import Synchronization

/// One run: a cluster, its clients, their log, and what came of it so far.
struct Run: Sendable {
    let cluster: ChaosCluster
    let database: Database
    let recorder: Recorder
    let journal: Journal
    let observer: Observer
    let seed: UInt64

    /// How long the cluster may take to become whole once everything is healed.
    static let healingLimit = Duration.seconds(120)
    /// It must be seen whole for so long.
    private static let steadiness = Duration.seconds(1)

    /// Plays rounds of drawn faults.
    func rounds(_ count: Int) async throws -> Summary {
        var summary = Summary()
        var plan = FaultPlan(seed: seed)
        for number in 1...count {
            summary.rounds = number
            let faults = plan.round()
            for fault in faults { summary.faults[fault.kind.rawValue, default: 0] += 1 }
            let begin = MonotonicClock.nanoseconds()
            let term = observer.view?.term ?? .none
            try await play(faults, round: number)
            let missing = try await becomeWhole(within: Self.healingLimit)
            let gap = gap(since: begin)
            summary.gaps.append(gap)
            if missing.isEmpty {
                journal.say(
                    "round \(number)/\(count): whole again; longest time without a commit \(gap) ms\(changes(since: term))"
                )
                continue
            }
            summary.stuck += 1
            journal.say("round \(number)/\(count): STUCK: \(missing.joined(separator: "; "))")
            await journal.keepView(cluster, named: "stuck-\(number)")
            // One more chance shows whether the state is a dead end; without it further rounds say nothing.
            if !(try await becomeWhole(within: Self.healingLimit)).isEmpty { return summary }
            journal.say("round \(number)/\(count): whole after all")
        }
        return summary
    }

    /// Injects and heals at the times that were drawn.
    private func play(_ faults: [Fault], round: Int) async throws {
        let begin = MonotonicClock.now()
        let ends = faults.enumerated().map { ($0, $1.start + $1.length) }.sorted { $0.1 < $1.1 }
        var injections: [Int: Injection] = [:]
        var segments: Task<Void, Never>?
        defer { segments?.cancel() }
        var events = faults.enumerated().map { (at: $1.start, index: $0, heals: false) }
        events += ends.map { (at: $0.1, index: $0.0, heals: true) }
        for event in events.sorted(by: { $0.at < $1.at }) {
            try await sleep(until: begin + event.at)
            if event.heals {
                if let injection = injections[event.index] { await cluster.heal(injection) }
            } else {
                let injection = try await cluster.inject(faults[event.index], primary: observer.primary)
                injections[event.index] = injection
                if faults[event.index].kind == .diskFull { segments = Task { await database.useUpSegments() } }
                let length = faults[event.index].length.wholeMilliseconds
                let mark = injection.host.name == observer.primary?.text ? " (primary)" : ""
                journal.say("round \(round): \(injection.text)\(mark), for \(length) ms")
            }
        }
        await cluster.healAll()
    }

    /// Waits until a primary takes every kind of write and all standbys stream.
    ///
    /// - Returns: What is missing at the deadline; empty if the cluster is whole.
    func becomeWhole(within limit: Duration) async throws -> [String] {
        let end = MonotonicClock.now() + limit
        let before = recorder.counts
        var since: Duration?
        var missing = ["an answer of the controller"]
        while MonotonicClock.now() < end {
            try Task.checkCancellation()
            if let view = await observer.look() {
                missing = LocalCluster.missing(in: view)
                let now = recorder.counts
                for kind in LogEntry.Kind.allCases where (now[kind] ?? 0) <= (before[kind] ?? 0) + 2 {
                    missing.append("clients that do '\(kind.rawValue)' do not get on")
                }
            }
            let now = MonotonicClock.now()
            since = missing.isEmpty ? since ?? now : nil
            if let since, now - since >= Self.steadiness { return [] }
            try await Task.sleep(for: .milliseconds(100))
        }
        return missing
    }

    /// The changes of primary since a term, in words, with the phases of the last one; empty if there was none.
    func changes(since term: Term) -> String {
        guard let view = observer.view, let last = view.lastFailover, last.term > term else { return "" }
        let phases = last.phases
        return "; \(last.from?.text ?? "nobody") → \(last.to) in term \(last.term) (was \(term)): detect "
            + "\(phases.detect), decide \(phases.decide), prepare \(phases.prepare), promote \(phases.promote), "
            + "route \(phases.route) ms"
    }

    /// The longest time without an acknowledged commit since a moment, in milliseconds.
    func gap(since moment: UInt64) -> Int64 {
        let now = Int64(MonotonicClock.nanoseconds())
        return Gaps.longest(recorder.acknowledged, from: Int64(moment), to: now) / 1_000_000
    }

    /// Waits until something holds.
    ///
    /// - Returns: Whether it came to hold in time.
    func wait(within limit: Duration, until holds: () async -> Bool) async throws -> Bool {
        let end = MonotonicClock.now() + limit
        while MonotonicClock.now() < end {
            try Task.checkCancellation()
            if await holds() { return true }
            try await Task.sleep(for: .milliseconds(20))
        }
        return false
    }

    func sleep(until moment: Duration) async throws {
        let left = moment - MonotonicClock.now()
        if left > .zero { try await Task.sleep(for: left) }
    }
}

/// Looks at the cluster all the time, so that faults know whom they strike.
final class Observer: Sendable {
    private let latest = Mutex<ClusterView?>(nil)
    private let ask: @Sendable () async -> ClusterView?

    init(_ cluster: ChaosCluster) { ask = { await cluster.view() } }

    /// Who was primary when the controller last answered.
    var primary: InstanceName? { latest.withLock { $0?.primary } }
    /// The last answer.
    var view: ClusterView? { latest.withLock { $0 } }

    /// Asks now; nil if there is no answer.
    func look() async -> ClusterView? {
        let view = await ask()
        if let view { latest.withLock { $0 = view } }
        return view
    }

    /// Asks until the task is cancelled.
    func run() async {
        while !Task.isCancelled {
            _ = await look()
            try? await Task.sleep(for: .milliseconds(200))
        }
    }
}

/// What happened, for people, on the screen and in a file.
final class Journal: Sendable {
    private let directory: String
    private let begin = MonotonicClock.now()

    init(directory: String) { self.directory = directory }

    func say(_ line: String) {
        let text = "\(seconds(MonotonicClock.now() - begin)) \(line)"
        print(text)
        fflush(nil)
        let stamped = "\(WallClock.text(WallClock.milliseconds())) \(text)\n"
        try? AppendFile.append(Array(stamped.utf8), to: "\(directory)/chaos.log", sizeLimit: .max)
    }

    /// Keeps what the controller shows and who runs.
    func keepView(_ cluster: ChaosCluster, named name: String) async {
        let report = await StatusReport.take(of: cluster.file, in: cluster.local.folder)
        let text = (try? report.json()) ?? report.text()
        try? DurableFile.write(Array(text.utf8), to: "\(directory)/\(name).json")
    }
}
