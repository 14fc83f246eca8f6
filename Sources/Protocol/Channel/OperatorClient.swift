public import ClusterModel
public import ClusterProtocol
import NIOCore
import NIOPosix
import Synchronization
public import TLSTransport

/// The command line's end: one question, one answer.
public struct OperatorClient: Sendable {
    private let endpoints: [Endpoint]
    private let cluster: ClusterName
    private let tls: TLSContext
    private let software: String
    private let mend: String

    /// Names the controllers of a cluster and the certificate to show them.
    ///
    /// `mend` is what a person can do where none answers.
    public init(
        cluster: ClusterName,
        endpoints: [Endpoint],
        tls: TLSContext,
        software: String,
        mend: String = "check that it runs"
    ) {
        self.cluster = cluster
        self.endpoints = endpoints
        self.tls = tls
        self.software = software
        self.mend = mend
    }

    /// Asks the first controller that takes us.
    ///
    /// - Parameters:
    ///   - request: The question.
    ///   - deadline: How long everything may take together.
    /// - Returns: The answer, which may be a refusal.
    /// - Throws: `ControlError` if no controller answered in time; once a controller has taken us no other is asked, so
    ///   that a command is never given twice.
    public func ask(_ request: OperatorRequest, deadline: Duration) async throws(ControlError) -> OperatorAnswer {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let exchange = Exchange()
        let expiry = group.next().scheduleTask(in: TimeAmount(deadline)) { exchange.expire() }
        var reason = "no controller is configured"
        for endpoint in endpoints where !exchange.isSettled {
            reason = await attempt(request, at: endpoint, exchange, deadline, on: group)
        }
        expiry.cancel()
        try? await group.shutdownGracefully()
        if let answer = exchange.answer { return answer }
        if exchange.isExpired { reason = "no answer within \(deadline.wholeMilliseconds) ms" }
        throw ControlError("could not ask the controller of cluster '\(cluster)': \(reason); \(mend)")
    }

    private func attempt(
        _ request: OperatorRequest,
        at endpoint: Endpoint,
        _ exchange: Exchange,
        _ deadline: Duration,
        on group: any EventLoopGroup
    ) async -> String {
        let settings = ClientSettings(
            identity: .operator(of: cluster),
            expected: .controller(of: cluster),
            software: software,
            tls: tls,
            connectTimeout: min(endpoints.count > 1 ? deadline / (2 * endpoints.count) : deadline, .seconds(5)),
            silence: deadline,
            outboundLimit: 2 * FrameLimits.payload
        )
        let actions = ClientConnection.Actions(
            welcomed: { link in
                do {
                    let payload = try WireCodec.encode(.request(id: 1, request))
                    exchange.asked(link)
                    link.send(payload)
                } catch {
                    link.close("\(error)")
                }
            },
            received: { frame, link, _ in
                if case .answer(1, let answer) = frame { exchange.settle(answer) }
                link.close("the answer has come")
                return true
            }
        )
        return await ClientConnection.run(to: endpoint, on: group, settings, actions)
    }
}

/// Where one question stands.
private final class Exchange: Sendable {
    private struct State: Sendable {
        var link: FrameLink?
        var answer: OperatorAnswer?
        var isExpired = false
    }

    private let state = Mutex(State())

    var answer: OperatorAnswer? { state.withLock { $0.answer } }
    var isExpired: Bool { state.withLock { $0.isExpired } }
    /// Whether no further controller may be asked.
    var isSettled: Bool { state.withLock { $0.link != nil || $0.isExpired } }

    func asked(_ link: FrameLink) { state.withLock { $0.link = link } }
    func settle(_ answer: OperatorAnswer) { state.withLock { $0.answer = answer } }

    func expire() {
        let link = state.withLock { state in
            state.isExpired = true
            return state.link
        }
        link?.close("the deadline has passed")
    }
}
