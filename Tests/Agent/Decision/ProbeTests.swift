import ClusterModel
import InstanceDecision
import Testing

@Suite("Probes of Kubernetes and of load balancers")
struct ProbeTests {
    private let begin = MonotonicInstant(nanoseconds: 1_000_000_000)

    private func desk() -> ProbeDesk { ProbeDesk(timings: Timings(), readyLag: 1000, at: begin) }

    private func report(_ server: ServerState, receiving: Bool = true, lag: UInt64 = 0) throws -> InstanceReport {
        let bench = try Bench()
        var report = InstanceReport(
            sequence: 1,
            state: InstanceState(),
            directory: .present(bench.number),
            server: server
        )
        guard server == .standby || server == .primary else { return report }
        var status = bench.status(end: 5000, inRecovery: server == .standby)
        status.replayLSN = LSN(rawValue: 5000 - lag)
        if server == .standby, receiving {
            status.receiver = ReceiverStatus(
                status: "streaming",
                timeline: .first,
                sender: Endpoint(host: "a", port: 1),
                sinceLastMessage: .zero
            )
        }
        report.status = status
        if server == .primary {
            report.state.role = .primary
            report.state.primaryOfTerm = Term(rawValue: 1)
        }
        return report
    }

    @Test("an agent that has seen nothing yet is alive, not started and not ready; one that stands still is not alive")
    func beginning() {
        var desk = desk()
        #expect(desk.live(at: begin).isYes)
        #expect(!desk.started(at: begin).isYes && !desk.ready(at: begin).isYes && !desk.primary(at: begin).isYes)
        #expect(!desk.live(at: begin + .seconds(11)).isYes)
        desk.turned(at: begin + .seconds(11))
        #expect(desk.live(at: begin + .seconds(12)).isYes)
    }

    @Test("a primary is one only while it is open, and only as long as its agent says so")
    func primary() throws {
        var desk = desk()
        var report = try report(.primary)
        desk.take(report, at: begin)
        #expect(desk.started(at: begin).isYes && !desk.primary(at: begin).isYes && !desk.ready(at: begin).isYes)
        report.opened = true
        desk.take(report, at: begin)
        #expect(desk.primary(at: begin).isYes && desk.ready(at: begin).isYes)
        #expect(desk.readable(within: 0, at: begin).isYes)
        #expect(!desk.replica(within: nil, at: begin).isYes)
        #expect(!desk.primary(at: begin + .seconds(3)).isYes)
        report.state.releasedTerm = Term(rawValue: 1)
        desk.take(report, at: begin)
        #expect(!desk.primary(at: begin).isYes)
    }

    @Test("a standby is ready within the lag, and for a while after it lost its primary: reads go on during a failover")
    func standby() throws {
        var desk = desk()
        desk.take(try report(.standby, lag: 900), at: begin)
        #expect(desk.ready(at: begin).isYes && !desk.primary(at: begin).isYes)
        #expect(desk.replica(within: 900, at: begin).isYes && !desk.replica(within: 899, at: begin).isYes)
        #expect(desk.readable(within: nil, at: begin).isYes)
        desk.take(try report(.standby, lag: 1001), at: begin)
        #expect(!desk.ready(at: begin).isYes && desk.replica(within: nil, at: begin).isYes)
        for seconds in 1...40 {
            let now = begin + .seconds(seconds)
            desk.take(try report(.standby, receiving: false), at: now)
            #expect(desk.ready(at: now).isYes == (seconds < 30))
            #expect(!desk.replica(within: nil, at: now).isYes)
        }
    }

    @Test("one that was down must receive again before it is ready, and each refusal says why")
    func restarted() throws {
        var desk = desk()
        desk.take(try report(.standby), at: begin)
        var down = try report(.down)
        down.activity = "cloning: 120 of 300 MB"
        desk.take(down, at: begin)
        let refusal = desk.ready(at: begin)
        #expect(!refusal.isYes && refusal.checks.contains { $0.failure?.contains("cloning: 120 of 300 MB") == true })
        desk.take(try report(.standby, receiving: false), at: begin)
        #expect(!desk.ready(at: begin).isYes && desk.started(at: begin).isYes)
    }
}
