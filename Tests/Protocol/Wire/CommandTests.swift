import ClusterModel
import ClusterProtocol
import Testing

@Suite("Commands in words")
struct CommandTests {
    @Test("every command is read as it was written")
    func crossing() throws {
        let name = try #require(InstanceName("b"))
        let commands: [ClusterCommand] = [
            .switchover(to: nil, by: "an operator", isDryRun: false),
            .switchover(to: name, by: "an agent", isDryRun: true),
            .promote(name, acceptsDataLoss: false, isDryRun: true),
            .promote(name, acceptsDataLoss: true, isDryRun: false),
            .promote(name, acceptsDataLoss: true, oldPrimaryIsOff: true, isDryRun: false),
            .pause(reason: ""), .pause(reason: "moving house"), .resume, .abandon,
            .rebuild(name, commitsMayWait: false, isDryRun: true),
            .rebuild(name, commitsMayWait: true, isDryRun: false),
        ]
        for command in commands {
            let (verb, arguments) = command.words
            #expect(try ClusterCommand(verb: verb, arguments: arguments) == command)
        }
    }

    @Test(
        "what is no command is refused with the reason",
        arguments: [
            ("switchover", ["b", "c"]), ("switchover", ["B/../"]), ("switchover", ["--force"]), ("promote", []),
            ("promote", ["--accept-data-loss"]), ("promote", ["b", "c"]), ("resume", ["now"]), ("abandon", ["b"]),
            ("pause", ["one", "two"]), ("rebuild", []), ("rebuild", ["b", "--force"]), ("drop", []), ("", []),
        ] as [(String, [String])]
    )
    func refused(verb: String, arguments: [String]) {
        #expect(throws: WireError.self) { try ClusterCommand(verb: verb, arguments: arguments) }
    }

    @Test("a reason is one line of bounded length")
    func reasons() throws {
        let long = String(repeating: "x", count: 10_000)
        let command = try ClusterCommand(verb: "pause", arguments: ["a\nb\u{1B}[2J" + long])
        guard case .pause(let reason) = command else {
            Issue.record("it must be a pause")
            return
        }
        #expect(reason.count == 200 && reason.hasPrefix("a b [2Jx"))
    }
}
