import ClusterModel
import ClusterProtocol
import ControlChannel
import Testing

@Suite("Controllers that stand by")
struct StandByTests {
    @Test("agents and command lines find the one that leads, and leave it when another does (R11)")
    func leaderIsFound() async throws {
        let credentials = try Credentials()
        let tls = try credentials.context("main/controller")
        let (one, two) = (Controller(tls), Controller(tls))
        let reason = "this controller does not lead; the leader is elsewhere"
        one.server.refuseEverybody(because: reason)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await one.run() }
            group.addTask { try await two.run() }
            defer { group.cancelAll() }
            try await eventually("both listen") { one.port.current != 0 && two.port.current != 0 }
            let context = try credentials.context("main/a")
            let agent = Reporter("a", port: one.port.current, context, further: [two.port.current])
            group.addTask { await agent.run() }
            try await eventually("the second answers") { agent.answers.current > 2 }
            #expect(one.events.current.isEmpty && two.events.current == ["a connected"])
            #expect(agent.events.current.first?.contains(reason) == true)
            let client = OperatorClient(
                cluster: clusterName("main"),
                endpoints: [one, two].map { Endpoint(host: "127.0.0.1", port: UInt16($0.port.current)) },
                tls: try credentials.context("main/operator"),
                software: "test"
            )
            let first = try await client.ask(.command(verb: "hello", arguments: []), deadline: .seconds(20))
            #expect(first == .command(exitCode: 3, text: "hello"))
            two.server.refuseEverybody(because: reason)
            one.server.refuseEverybody(because: nil)
            try await eventually("the first has it now") { one.events.current == ["a connected"] }
            #expect(two.events.current == ["a connected", "a disconnected: \(reason)"])
            let before = agent.answers.current
            try await eventually("the first answers") { agent.answers.current > before + 2 }
        }
    }
}
