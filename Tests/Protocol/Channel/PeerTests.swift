import ClusterModel
import ClusterProtocol
import ControlChannel
import Platform
import Synchronization
import TLSTransport
import Testing

/// An agent that grants whatever it is asked, and what it saw.
private final class Granter: Sendable {
    let server: ControlServer
    let log = Shared<[String]>([])
    let port = Shared(0)
    let requests = Shared<[LeaseRequest]>([])

    init(_ instance: String, _ tls: TLSContext) {
        var configuration = ControlServerConfiguration(
            cluster: clusterName("main"),
            host: "127.0.0.1",
            port: 0,
            software: "test"
        )
        configuration.agent = instanceName(instance)
        server = ControlServer(configuration, tls: tls, logger: LineLog.logger(log))
    }

    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await self.server.run { port in self.port.change { $0 = port } } }
            group.addTask { await self.read() }
        }
    }

    private func read() async {
        for await event in server.events {
            guard case .message(_, let connection, .asksLease(let request)) = event else { continue }
            requests.change { $0.append(request) }
            let answer = LeaseAnswer(
                sequence: request.sequence,
                voter: nil,
                highestTerm: request.term,
                lease: .seconds(3)
            )
            server.answer(answer, to: connection)
        }
    }

    func address(_ name: String) async throws -> AgentAddress {
        try await eventually("it listens") { port.current != 0 }
        return AgentAddress(
            name: instanceName(name),
            endpoint: Endpoint(host: "127.0.0.1", port: UInt16(port.current))
        )
    }
}

@Suite("Agents among each other", .timeLimit(.minutes(1)))
struct PeerTests {
    private func client(_ instance: String, _ tls: TLSContext, _ log: Shared<[String]>) -> PeerClient {
        PeerClient(
            cluster: clusterName("main"),
            instance: instanceName(instance),
            software: "test",
            silence: .seconds(2),
            tls: tls,
            logger: LineLog.logger(log)
        )
    }

    private func request(_ sequence: UInt64) -> LeaseRequest {
        let primary = MemberID(name: instanceName("a"), incarnation: Incarnation(number: 1))
        return LeaseRequest(sequence: sequence, term: Term(rawValue: 2), primary: primary)
    }

    /// Runs an asking and a granting agent for the span of the body.
    private func with(
        _ client: PeerClient,
        _ granter: Granter,
        _ body: (Shared<[PeerEvent]>) async throws -> Void
    ) async throws {
        let answers = Shared<[PeerEvent]>([])
        let running = Task {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await client.run() }
                group.addTask { await granter.run() }
                group.addTask { for await event in client.events { answers.change { $0.append(event) } } }
            }
        }
        let result: Result<Void, any Error>
        do {
            try await body(answers)
            result = .success(())
        } catch { result = .failure(error) }
        running.cancel()
        await running.value
        try result.get()
    }

    @Test("a question is answered over mutual TLS, the next one over the same connection (R10)")
    func asks() async throws {
        let credentials = try Credentials()
        let granter = Granter("b", try credentials.context("main/b"))
        let client = client("a", try credentials.context("main/a"), Shared([]))
        try await with(client, granter) { answers in
            let address = try await granter.address("b")
            for sequence in UInt64(1)...5 {
                client.ask(request(sequence), of: [address])
                try await eventually("answer \(sequence)") {
                    answers.current.contains { $0.answer.sequence == sequence && $0.instance.text == "b" }
                }
            }
            #expect(granter.log.current.count { $0.hasPrefix("agent connected") } == 1)
            // Nobody is at that address; the others are asked all the same.
            let nobody = AgentAddress(name: instanceName("c"), endpoint: Endpoint(host: "127.0.0.1", port: 1))
            client.ask(request(6), of: [nobody, address])
            try await eventually("the answer of who is there") { answers.current.contains { $0.answer.sequence == 6 } }
        }
    }

    @Test("an agent answers neither strangers nor command lines, nor whoever is not whom it was taken for (R10)")
    func refuses() async throws {
        let credentials = try Credentials()
        let granter = Granter("b", try credentials.context("main/b"))
        let log = Shared<[String]>([])
        let client = client("a", try credentials.context("main/a"), log)
        try await with(client, granter) { answers in
            let address = try await granter.address("b")
            let wrong = AgentAddress(name: instanceName("c"), endpoint: address.endpoint)
            client.ask(request(1), of: [wrong])
            try await eventually("the certificate is compared") {
                log.current.contains { $0.contains("it is main/b, not main/c") }
            }
            let question = OperatorClient(
                cluster: clusterName("main"),
                endpoints: [address.endpoint],
                tls: try credentials.context("main/operator"),
                software: "test"
            )
            await #expect(throws: ControlError.self) { _ = try await question.ask(.status, deadline: .seconds(3)) }
            let other = self.client("a", try credentials.context("other/a"), log)
            let running = Task { await other.run() }
            other.ask(request(2), of: [address])
            try await eventually("the other cluster's agent is refused") {
                granter.log.current.contains { $0.contains("the certificate is of cluster 'other'") }
            }
            running.cancel()
            await running.value
            #expect(granter.requests.current.isEmpty && answers.current.isEmpty)
        }
    }

    @Test("an agent takes no reports, and a controller no questions of agents (R10)")
    func wrongEnd() async throws {
        let credentials = try Credentials()
        let granter = Granter("b", try credentials.context("main/b"))
        let client = client("a", try credentials.context("main/controller"), Shared([]))
        try await with(client, granter) { _ in
            let address = try await granter.address("b")
            // A controller has no business there either.
            client.ask(request(1), of: [address])
            try await eventually("it is refused") {
                granter.log.current.contains { $0.contains("agents of other instances are answered here") }
            }
            #expect(granter.requests.current.isEmpty)
        }
    }
}
