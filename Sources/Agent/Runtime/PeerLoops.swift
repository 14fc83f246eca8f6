import ClusterModel
import ControlChannel
import InstanceDecision
import Logging
import Telemetry

/// What goes on between agents, beside leaders (R10).
extension AgentShell {
    /// Answers the agents of other instances, for ever; without an address to listen on nobody can ask.
    func keepListening() async {
        guard let place = configuration.listen else { return }
        var said = ""
        while !Task.isCancelled {
            var settings = ControlServerConfiguration(
                cluster: configuration.cluster,
                host: place.host,
                port: Int(place.port),
                software: version
            )
            settings.agent = configuration.instance
            settings.connectionLimit = AgentAddress.limit * 2
            settings.pendingLimit = AgentAddress.limit
            let server = ControlServer(settings, tls: tls, logger: logger)
            listener = server
            let reading = Task { [self] in await readAskers(server) }
            do throws(ControlError) {
                try await server.run()
            } catch {
                let reason = "\(error)"
                if reason != said {
                    logger.error("other agents are not answered", metadata: [LogKey.reason: "\(reason)"])
                }
                said = reason
            }
            await reading.value
            listener = nil
            questions = []
            try? await Task.sleep(for: .seconds(2))
        }
    }

    private func readAskers(_ server: ControlServer) async {
        for await event in server.events {
            guard case .message(let name, let connection, .asksLease(let request)) = event else { continue }
            lastQuestion += 1
            questions.append((lastQuestion, connection))
            if questions.count > Self.questionLimit { questions.removeFirst() }
            apply(.asked(request, from: name, question: lastQuestion))
        }
    }

    func readPeers() async {
        for await event in peers.events { apply(.peerAnswered(event.answer, from: event.instance)) }
    }

    /// How many questions may wait for an answer; older ones are given up.
    private static let questionLimit = 64

    func answerPeer(_ answer: LeaseAnswer, _ question: UInt64) {
        guard let place = questions.firstIndex(where: { $0.number == question }) else { return }
        listener?.answer(answer, to: questions.remove(at: place).connection)
    }
}
