package import ClusterModel
import Foundation
import LocalCluster
import Platform

/// One failover from beginning to end, under a client that writes without pause.
package struct Demo: Sendable {
    private let postgresBin: String?
    private let report: @Sendable (String) -> Void

    /// `postgresBin` is the folder of the server's programs; nil for the newest that is found.
    package init(postgresBin: String? = nil, report: @escaping @Sendable (String) -> Void) {
        self.postgresBin = postgresBin
        self.report = report
    }

    /// What the last line says.
    package struct Verdict: Hashable, Sendable {
        package var result: String
        package var writeGap: Int64
        package var phases: PhaseTimes
        package var acknowledged: Int
        package var lost: Int
        package var streaming: Int

        package init(
            result: String,
            writeGap: Int64,
            phases: PhaseTimes,
            acknowledged: Int,
            lost: Int,
            streaming: Int
        ) {
            self.result = result
            self.writeGap = writeGap
            self.phases = phases
            self.acknowledged = acknowledged
            self.lost = lost
            self.streaming = streaming
        }

        var isWell: Bool { result == "ok" }

        /// `DEMO {…}`, its keys in the order that people expect.
        package var line: String {
            let times =
                "\"detect\":\(phases.detect),\"decide\":\(phases.decide),\"prepare\":\(phases.prepare),"
                + "\"promote\":\(phases.promote),\"route\":\(phases.route)"
            return "DEMO {\"result\":\"\(result)\",\"write_gap_ms\":\(writeGap),\"phases_ms\":{\(times)},"
                + "\"acknowledged\":\(acknowledged),\"lost\":\(lost),\"streaming\":\(streaming)}"
        }
    }

    /// Runs it.
    ///
    /// - Throws: `CommandFailure` if anything acknowledged is missing, or a standby does not stream at the end.
    package func run() async throws {
        let verdict = try await TemporaryCluster.with(
            "demo",
            postgresBin: postgresBin,
            report: report,
            isWell: \.isWell
        ) { cluster in try await show(cluster) }
        report(verdict.line)
        guard verdict.isWell else {
            throw CommandFailure(
                .failed,
                "could not complete the demo: \(verdict.lost) acknowledged rows are missing, \(verdict.streaming) "
                    + "standbys stream"
            )
        }
    }

    private func show(_ cluster: LocalCluster) async throws -> Verdict {
        let client = WritingClient(ports: cluster.file.instances.map(\.port))
        try await client.prepare(deadline: .seconds(20))
        report("")
        report("A client writes rows without pause and follows target_session_attrs=read-write.")
        let writing = Task { await client.run() }
        defer { writing.cancel() }
        try await waitFor(200, from: client, report)
        let question = try ControllerQuestion(of: cluster.file, in: cluster.folder)
        let before = try await question.view()
        guard let old = before.primary, let port = cluster.file.instances.first(where: { $0.name == old })?.port else {
            throw CommandFailure(.failed, "could not find the primary of the cluster that was just brought up")
        }
        let process = try Strike(at: cluster.file, in: cluster.folder).send(.kill, to: .server, of: old)
        let struck = MonotonicClock.now()
        let watcher = PhaseWatcher(question: question, origin: struck, report: report)
        report("")
        report(
            "SIGKILL to the postmaster of \(old), process \(process), after \(client.acknowledged.count) acknowledged rows."
        )
        let taken = try await watcher.watch(from: before, deadline: .seconds(60)) { view in
            view.phase == .steady && view.term > before.term && client.first(notOn: port, after: struck) != nil
        }
        guard let taken else { throw stalled("no standby took over", client) }
        if let first = client.first(notOn: port, after: struck) {
            report(
                "  The first row on \(taken.primary?.text ?? "the new primary") was acknowledged "
                    + "\((first.at - struck).wholeMilliseconds) ms after the kill."
            )
        }
        let healed = try await watcher.watch(from: taken, deadline: .seconds(120)) { view in
            LocalCluster.missing(in: view).isEmpty
        }
        writing.cancel()
        await writing.value
        let final: ClusterView
        if let healed { final = healed } else { final = try await question.view() }
        return try await conclude(client, final, since: struck)
    }

    /// Reads everything back and says what came of it.
    private func conclude(_ client: WritingClient, _ view: ClusterView, since struck: Duration) async throws -> Verdict
    {
        let acknowledged = client.acknowledged
        let there = try await client.readBack(deadline: .seconds(60))
        let lost = acknowledged.filter { !there.contains($0.number) }
        let streaming = view.instances.filter { $0.streaming && $0.name != view.primary }.count
        let expected = view.instances.count - 1
        let isWell = lost.isEmpty && streaming == expected && !acknowledged.isEmpty
        let gap = Self.longestGap(in: acknowledged.map(\.at), around: struck)
        report("")
        report(
            "Read back \(there.count) rows: \(acknowledged.count) were acknowledged, \(lost.count) of them are missing; "
                + "\(streaming) of \(expected) standbys stream."
        )
        return Verdict(
            result: isWell ? "ok" : "failed",
            writeGap: gap.wholeMilliseconds,
            phases: view.lastFailover?.phases ?? PhaseTimes(),
            acknowledged: acknowledged.count,
            lost: lost.count,
            streaming: streaming
        )
    }

    /// The longest time without an acknowledgement that ends after `moment`.
    package static func longestGap(in times: [Duration], around moment: Duration) -> Duration {
        var longest = Duration.zero
        for (earlier, later) in zip(times, times.dropFirst()) where later >= moment {
            longest = max(longest, later - earlier)
        }
        return longest
    }

    private func waitFor(_ count: Int, from client: WritingClient, _ report: @Sendable (String) -> Void) async throws {
        let end = MonotonicClock.now() + .seconds(30)
        while client.acknowledged.count < count {
            guard MonotonicClock.now() < end else {
                throw stalled("the client does not get \(count) rows written", client)
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    private func stalled(_ what: String, _ client: WritingClient) -> CommandFailure {
        let trouble = client.trouble
        let words = trouble.last.isEmpty ? "" : "; the client's last failure: \(trouble.last)"
        return CommandFailure(.timedOut, "could not go on: \(what) in time\(words)")
    }
}
