import ArgumentParser
import ClusterModel
import Simulation

/// How many members a small world has.
enum SmallWorldChoice: String, ExpressibleByArgument, CaseIterable {
    case two = "1+1"
    case three = "1+2"
    case four = "1+3"

    var standbys: Int {
        switch self {
        case .two: 1
        case .three: 2
        case .four: 3
        }
    }
}

/// Commits, faults, repeats, jumps, controllers and failovers, as `1,1,0,1,1,1`.
struct SmallBounds: ExpressibleByArgument {
    let numbers: [Int]

    init(numbers: [Int]) { self.numbers = numbers }

    init?(argument: String) {
        let numbers = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) ?? -1 }
        guard numbers.count == 6, numbers.allSatisfy({ (0...9).contains($0) }), (1...2).contains(numbers[4]) else {
            return nil
        }
        self.numbers = numbers
    }

    var defaultValueDescription: String { numbers.map(String.init).joined(separator: ",") }

    var json: String {
        let names = ["commits", "faults", "repeats", "jumps", "controllers", "failovers"]
        return "{" + zip(names, numbers).map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}"
    }
}

/// What has happened when a search begins.
enum BeginningChoice: String, ExpressibleByArgument, CaseIterable {
    case steady, leaving, silent, joining

    var beginning: SmallBeginning {
        switch self {
        case .steady: .steady
        case .leaving: .leaving
        case .silent: .silent
        case .joining: .joining
        }
    }
}

extension Simulate {
    /// Searches a small world and prints the shortest counterexample, if there is one.
    func explore() throws {
        var options = ExhaustiveOptions(standbys: world.standbys, depth: depth, states: states)
        options.commits = bounds.numbers[0]
        options.faults = bounds.numbers[1]
        options.repeats = bounds.numbers[2]
        options.jumps = bounds.numbers[3]
        options.controllers = bounds.numbers[4]
        options.failovers = bounds.numbers[5]
        options.durability = durability.modes[0]
        options.beginning = beginning.beginning
        options.brokenRule = disableRule?.rule
        let clock = ContinuousClock()
        let begun = clock.now
        let limit = Duration.seconds(seconds)
        let result = Simulation.explore(options) { clock.now - begun > limit }
        for (number, line) in result.trace.enumerated() { print("\(number + 1). \(line)") }
        if let violation = result.violation {
            print(violation)
            print(result.isShortest ? "no way there is shorter" : "there may be a shorter way")
            print("play it again: replay(options, [\(result.steps.map(\.code).joined(separator: ", "))])")
        }
        let taken = (clock.now - begun).components.seconds
        print(
            "EXHAUSTIVE {\"world\":\"\(world.rawValue)\",\"mode\":\"\(options.durability.rawValue)\","
                + "\"beginning\":\"\(beginning.rawValue)\",\"bounds\":\(bounds.json),\"states\":\(result.states),"
                + "\"depth\":\(result.depth),\"complete\":\(result.isComplete),"
                + "\"violations\":\(result.violation == nil ? 0 : 1),\"seconds\":\(taken)}"
        )
        if result.violation != nil { throw ExitCode.failure }
    }
}
