import ArgumentParser
import ClusterModel
import Demo
import LocalCluster

/// Shows a failover from beginning to end.
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Kill a primary under a writing client, and prove that nothing was lost.",
        discussion: """
            Brings up three instances in a temporary directory, writes without pause, kills the primary's postmaster with \
            SIGKILL, shows the failover as it happens, waits until the old primary streams as a standby again, and reads \
            every acknowledged row back. The last line is one JSON object after the word DEMO. Stops everything at \
            the end, also when interrupted.
            """
    )

    @OptionGroup var server: ServerOptions

    func run() async throws {
        try await Demo(postgresBin: server.postgresBin, report: say).run()
    }
}

/// Measures the failover.
struct BenchQuick: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench-quick",
        abstract: "Measure failovers beside what PostgreSQL alone needs for a promotion.",
        discussion: """
            SIGKILL of the postmaster to the first commit on the new primary, several times; the same run's floor: \
            PostgreSQL alone from trigger file to first commit, of a server alone and of one whose commits wait for \
            another standby; memory and processor time of agent and launcher at rest. The last line is one JSON object after the word BENCH-QUICK.
            """
    )

    @Option(help: "How many failovers.")
    var rounds = 10

    @Option(help: "What a commit waits for: required, preferred or async.")
    var durability: Durability = .required

    @OptionGroup var server: ServerOptions

    func validate() throws {
        guard (1...100).contains(rounds) else { throw ValidationError("--rounds takes a number from 1 to 100") }
    }

    func run() async throws {
        try await QuickBench(rounds: rounds, durability: durability, postgresBin: server.postgresBin, report: say).run()
    }
}
