import ClusterModel
import Simulation
import Testing

/// Searches that end within seconds; the pages on the simulator name those that take minutes.
@Suite("Small clusters, exhaustively")
struct ExhaustiveTests {
    private func world(_ standbys: Int, commits: Int = 1, faults: Int = 1, failovers: Int = 1) -> ExhaustiveOptions {
        var options = ExhaustiveOptions(standbys: standbys, depth: 10_000, states: 20_000)
        options.commits = commits
        options.faults = faults
        options.failovers = failovers
        options.repeats = 0
        options.jumps = 0
        return options
    }

    @Test("in one primary and one standby no order of events with one fault breaks a promise, and none is left to try")
    func oneAndOne() {
        let result = explore(world(1))
        #expect(result.violation == nil, "\(result.trace)")
        #expect(result.isComplete)
        #expect(result.states > 400)
    }

    @Test("one primary and two standbys break nothing as far as a few thousand states go")
    func oneAndTwo() {
        var options = world(2)
        options.states = 3000
        let result = explore(options)
        #expect(result.violation == nil, "\(result.trace)")
        #expect(result.states == 3000)
        #expect(!result.isComplete)
    }

    @Test("two controllers that both believe they lead break nothing")
    func twoControllers() {
        var options = world(1)
        options.controllers = 2
        options.states = 3000
        let result = explore(options)
        #expect(result.violation == nil, "\(result.trace)")
        #expect(result.states > 500)
    }

    @Test("a change of rules under way breaks nothing", arguments: [SmallBeginning.leaving, .silent, .joining])
    func changeUnderWay(beginning: SmallBeginning) {
        var options = world(2)
        options.beginning = beginning
        options.states = 2000
        let result = explore(options)
        #expect(result.violation == nil, "\(result.trace)")
        #expect(result.states > 1000)
    }

    @Test("'preferred' leaves k = 1, and returns, without a breach", arguments: [SmallBeginning.leaving, .joining])
    func singleServer(beginning: SmallBeginning) {
        var options = world(1)
        options.durability = .preferred
        options.beginning = beginning
        options.states = 2000
        let result = explore(options)
        #expect(result.violation == nil, "\(result.trace)")
        #expect(result.states > 1000)
    }

    @Test("a breach is found with its shortest trace, and the trace alone shows it again")
    func shortestTrace() {
        var options = world(2)
        options.brokenRule = .oneAnswerLess
        let result = explore(options)
        #expect(result.violation?.hasPrefix("I3") == true)
        #expect(result.isShortest)
        #expect(result.trace.count == 8, "\(result.trace)")
        #expect(replay(options, result.steps).violation == result.violation)
        options.brokenRule = nil
        #expect(replay(options, result.steps).violation == nil)
    }

    /// c alone has the commit; the rule without it ends before b has flushed; a is lost and b takes over.
    @Test("a change that ends without R12's barrier loses a commit that only the leaving voter has")
    func noBarrier() {
        var options = world(2)
        options.beginning = .silent
        options.brokenRule = .changeWithoutBarrier
        let steps: [SmallStep] = [
            .commit(0), .stream(2), .swap(0), .deliver(0, 0, again: false), .swap(0), .cutOff(0), .swap(0),
            .deliver(1, 1, again: false), .swap(0), .deliver(1, 1, again: false), .work(1),
        ]
        #expect(replay(options, steps).violation?.hasPrefix("I3") == true)
        // With the barrier the fifth step cannot be taken: the old rule stays in the record.
        options.brokenRule = nil
        let fair = replay(options, steps)
        #expect(fair.violation == nil)
        #expect(fair.trace.count == 5)
    }

    @Test("a step is written as a test takes it")
    func code() {
        #expect(SmallStep.deliver(1, 0, again: false).code == ".deliver(1, 0, again: false)")
        #expect(SmallStep.swap(0).code == ".swap(0)")
    }

    @Test("the same world is searched the same way")
    func isRepeatable() {
        var options = world(1)
        options.states = 300
        let one = explore(options)
        let other = explore(options)
        #expect(one.states == other.states)
        #expect(one.depth == other.depth)
    }
}
