import ClusterModel
import InstanceDecision
import Testing

/// A position alone does not tell by which way a data directory came to it.
///
/// Seen in thought: `c` is promoted by hand while its agent is down, takes timeline 2 and is made a standby again by hand;
/// the record gives timeline 2 to `b`. By its control file `c` is a standby on timeline 2, which the record knows.
@Suite("Rejoin: the whole chain of the history file (D94)")
struct LineageTests {
    private typealias Fork = Lineage.Fork

    private func lineage(_ timeline: UInt32, _ forks: [(UInt32, UInt64)]) -> Lineage {
        Lineage(
            timeline: Timeline(rawValue: timeline),
            forks: forks.map { Fork(parent: Timeline(rawValue: $0.0), lsn: LSN(rawValue: $0.1)) }
        )
    }

    /// What a standby that was cut at 2000 on timeline 3 does when its history file says that.
    private func steps(_ found: Lineage, confirmed: Bool = true) throws -> (steps: [String], tainted: Bool) {
        var bench = try Bench.attached { _ in }
        bench.attach(bench.machine.state, .running(lease: nil))
        var history = [
            bench.primacy(1, 1, parent: 0, fork: 0), bench.primacy(2, 2, parent: 1, fork: 900),
            bench.primacy(4, 3, parent: 2, fork: 1200), bench.primacy(5, 4, parent: 3, fork: 2500),
        ]
        for index in history.indices { history[index].isConfirmed = confirmed }
        bench.tell(.observed(bench.status(timeline: 3, end: 2000)))
        let cut = try bench.order(.follow(bench.plan(history)), term: 5, version: 7)
        #expect(cut.steps.contains("cut"))
        let position = WALPosition(timeline: Timeline(rawValue: 3), lsn: LSN(rawValue: 2000))
        let read = try bench.tell(.completed(cut.id, .cut(position)))
        #expect(read.steps == ["read lineage"])
        let actions = try bench.tell(.completed(read.id, .lineage(found)))
        return (actions.steps, bench.machine.state.tainted)
    }

    @Test("who went the recorded way follows, and is not asked again")
    func recordedWay() throws {
        let found = try steps(lineage(3, [(1, 900), (2, 1200)]))
        #expect(found.steps == ["follow"] && !found.tainted)
    }

    @Test(
        "who came by another way to a recorded timeline is stopped and made anew",
        arguments: [[(1, 800), (2, 1200)], [(1, 900), (2, 1100)], [(1, 1200)], [(2, 1200)], []] as [[(UInt32, UInt64)]]
    )
    func otherWay(forks: [(UInt32, UInt64)]) throws {
        let found = try steps(lineage(3, forks))
        #expect(found.tainted)
        #expect(!found.steps.contains("follow") && found.steps.contains("stop fast"))
    }

    @Test("a timeline that the record never gave is a contradiction")
    func unknownTimeline() throws {
        let found = try steps(lineage(3, [(1, 900), (2, 1000), (7, 1200)]))
        #expect(found.tainted)
    }

    @Test("a fork that no primary confirmed may lie before the end that its candidate told")
    func unconfirmedFork() throws {
        #expect(try steps(lineage(3, [(1, 800), (2, 1200)]), confirmed: false).steps == ["follow"])
        #expect(try steps(lineage(3, [(1, 901), (2, 1200)]), confirmed: false).tainted)
    }

    @Test("a history file is read as PostgreSQL writes it; comments say nothing")
    func historyFile() {
        let text = "1\t0/3000060\tno recovery target specified\n\n# a comment\n2\t0/5000148\tno recovery\n"
        let found = Lineage(timeline: Timeline(rawValue: 3), historyFile: text)
        #expect(found.forks.map(\.parent.rawValue) == [1, 2])
        #expect(found.end(on: .first) == LSN("0/3000060"))
        #expect(found.end(on: Timeline(rawValue: 3)) == nil)
        #expect(found.end(on: Timeline(rawValue: 9)) == .zero)
        #expect(Lineage(timeline: Timeline(rawValue: 3), historyFile: "# only this\n").forks.isEmpty)
    }
}
