import Simulation
import Testing

@Suite("Small clusters, exhaustively")
struct ExhaustiveTests {
    @Test("no order of events breaks a promise in one primary and one standby")
    func oneAndOne() {
        var options = ExhaustiveOptions(standbys: 1, depth: 12, states: 8000)
        options.repeats = 1
        options.jumps = 1
        let result = explore(options)
        #expect(result.violation == nil, "\(result.trace)")
        #expect(result.states > 1000)
    }

    @Test("two controllers that both believe they lead break nothing")
    func twoControllers() {
        var options = ExhaustiveOptions(standbys: 1, depth: 9, states: 4000)
        options.controllers = 2
        options.jumps = 0
        let result = explore(options)
        #expect(result.violation == nil, "\(result.trace)")
        #expect(result.states > 500)
    }

    @Test("a breach is found with its shortest trace")
    func shortestTrace() {
        var options = ExhaustiveOptions(standbys: 2, depth: 10, states: 20_000)
        options.jumps = 0
        options.repeats = 0
        options.brokenRule = .oneAnswerLess
        let result = explore(options)
        #expect(result.violation?.hasPrefix("I3") == true)
        #expect(result.trace.count == 8, "\(result.trace)")
    }

    @Test("the same world is searched the same way")
    func isRepeatable() {
        let options = ExhaustiveOptions(standbys: 1, depth: 6, states: 2000)
        let one = explore(options)
        let other = explore(options)
        #expect(one.states == other.states)
        #expect(one.depth == other.depth)
    }
}
