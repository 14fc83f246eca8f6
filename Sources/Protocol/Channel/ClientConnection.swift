import ClusterModel
import ClusterProtocol
import NIOCore
import NIOPosix
import TLSTransport

/// What one end that connects needs to know.
struct ClientSettings: Sendable {
    let identity: PeerIdentity
    /// Whom the other end's certificate must name.
    let expected: PeerIdentity
    let software: String
    let tls: TLSContext
    /// For the connection itself, and again for the handshake.
    var connectTimeout: Duration = .seconds(5)
    /// How long the other end may be silent, from the end of the handshake on.
    let silence: Duration
    let outboundLimit: Int
}

/// One connection to a controller, or another agent: certificate, hello, messages.
///
/// "Connected" means that the hello was answered.
/// Confined to the event loop of its channel.
final class ClientConnection: FrameOwner {
    struct Actions: Sendable {
        let welcomed: @Sendable (FrameLink) -> Void
        /// Returns `false` when the connection must not be read on yet.
        let received: @Sendable (ServerFrame, FrameLink, Int) -> Bool
    }

    private let settings: ClientSettings
    private let actions: Actions
    private let end: EventLoopPromise<String>
    private let place: String
    private var isWelcome = false

    private init(_ settings: ClientSettings, _ actions: Actions, _ end: EventLoopPromise<String>, place: String) {
        self.settings = settings
        self.actions = actions
        self.end = end
        self.place = place
    }

    /// Connects once and returns when that connection is over, with the reason.
    static func run(
        to endpoint: Endpoint,
        on group: any EventLoopGroup,
        _ settings: ClientSettings,
        _ actions: Actions
    ) async -> String {
        let end = group.next().makePromise(of: String.self)
        let bootstrap = ClientBootstrap(group: group)
            .connectTimeout(TimeAmount(settings.connectTimeout))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.maxMessagesPerRead, value: 4)
        let channel: any Channel
        do {
            channel = try await bootstrap.connect(host: endpoint.host, port: Int(endpoint.port)).get()
            // Not in a channel initializer: a name with several addresses makes channels that lose the race.
            try await channel.eventLoop.submit {
                let link = FrameLink(channel, outboundLimit: settings.outboundLimit)
                let connection = ClientConnection(settings, actions, end, place: "\(endpoint)")
                let secure = TLSHandler(
                    settings.tls,
                    side: .client,
                    handshakeTimeout: TimeAmount(settings.connectTimeout)
                )
                try channel.pipeline.syncOperations.addHandlers([secure, FrameHandler(link, owner: connection)])
            }.get()
        } catch {
            let reason = "could not connect to \(endpoint): \(describe(error))"
            end.succeed(reason)
            return reason
        }
        let reason = await withTaskCancellationHandler {
            (try? await end.futureResult.get()) ?? "the connection was closed"
        } onCancel: {
            channel.triggerUserOutboundEvent(FrameLink.CloseRequest(reason: "this program is stopping"), promise: nil)
        }
        return reason
    }

    func authenticated(_ peer: CertificateSummary, _ handler: FrameHandler) {
        let expected = settings.expected
        if expected.role == .controller, peer.uris == [PeerIdentity.controllerOfEveryCluster] { return greet(handler) }
        do {
            let found = try PeerIdentity.sole(among: peer.uris)
            guard found == expected else {
                handler.finish("refused \(place): it is \(found), not \(expected)")
                return
            }
        } catch {
            handler.finish("refused \(place): \(error)")
            return
        }
        greet(handler)
    }

    private func greet(_ handler: FrameHandler) {
        let milliseconds = settings.silence.wholeMilliseconds
        handler.allowSilence(settings.silence, orElse: "\(other) said nothing for \(milliseconds) ms")
        let hello = Hello(software: settings.software, identity: settings.identity)
        if let payload = try? WireCodec.encode(.hello(hello)) { handler.link.send(payload) }
    }

    func received(_ payload: [UInt8], _ handler: FrameHandler) -> Bool {
        let frame: ServerFrame
        do {
            frame = try WireCodec.decodeServerFrame(payload)
        } catch {
            handler.finish("closed the connection to \(place): \(error)")
            return true
        }
        switch frame {
        case .rejection(let reason):
            handler.finish("\(other) at \(place) refused us: \(reason)")
            return true
        case .welcome(let welcome):
            guard !isWelcome, welcome.version.understands(.current) else {
                let theirs = "it speaks protocol \(welcome.version), we speak \(ProtocolVersion.current)"
                handler.finish("closed the connection to \(place): \(theirs)")
                return true
            }
            isWelcome = true
            actions.welcomed(handler.link)
            return true
        case .controller, .answer, .lease:
            guard isWelcome else {
                handler.finish("closed the connection to \(place): it sent a message before its welcome")
                return true
            }
            return actions.received(frame, handler.link, payload.count + 256)
        }
    }

    func ended(_ reason: String) {
        end.succeed(reason)
    }

    /// The other end, in a sentence.
    private var other: String {
        if case .agent(let name) = settings.expected.role { return "the agent of '\(name)'" }
        return "the controller"
    }
}

/// Delays between attempts: doubled each time up to a limit, half of each left to chance, so that many agents that
/// lost the same controller do not come back at the same moment.
struct Backoff: Sendable {
    private static let first = Duration.milliseconds(50)
    private let limit: Duration
    private var current = Self.first

    init(limit: Duration = .seconds(2)) { self.limit = limit }

    mutating func reset() { current = Self.first }

    /// The next delay; `chance` is any random number.
    mutating func next(chance: UInt64) -> Duration {
        let half = current / 2
        let delay = half + half * Double(chance >> 11) / Double(1 << 53)
        current = min(current * 2, limit)
        return delay
    }
}
