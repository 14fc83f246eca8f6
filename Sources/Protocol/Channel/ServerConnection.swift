import ClusterModel
import ClusterProtocol
import TLSTransport

/// One peer's connection at a controller, or at another agent: from the certificate to hello to messages.
///
/// Confined to the event loop of its channel.
final class ServerConnection: FrameOwner {
    let number: UInt64
    let link: FrameLink
    let address: String
    private let roster: ServerRoster
    /// Who the certificate speaks for, once the hello has agreed with it.
    private(set) var identity: PeerIdentity?
    private var certified: PeerIdentity?

    init(_ number: UInt64, _ link: FrameLink, from address: String, roster: ServerRoster) {
        self.number = number
        self.link = link
        self.address = address
        self.roster = roster
    }

    func authenticated(_ peer: CertificateSummary, _ handler: FrameHandler) {
        do {
            let found = try PeerIdentity.sole(among: peer.uris)
            if let cluster = roster.configuration.cluster, found.cluster != cluster {
                reject(
                    handler,
                    "the certificate is of cluster '\(found.cluster)', this is "
                        + "\(roster.configuration.listener) of '\(cluster)'"
                )
                return
            }
            if let own = roster.configuration.agent {
                // Nobody commands an agent from here: others ask it, that is all.
                guard case .agent(let name) = found.role, name != own else {
                    reject(handler, "agents of other instances are answered here; \(found) is none")
                    return
                }
                certified = found
                return greetWithin(handler)
            }
            guard found.role != .controller else {
                reject(handler, "the certificate is a controller's; agents and command lines have their own")
                return
            }
            certified = found
        } catch {
            reject(handler, error.description)
            return
        }
        greetWithin(handler)
    }

    private func greetWithin(_ handler: FrameHandler) {
        let limit = roster.configuration.helloTimeout
        handler.allowSilence(limit, orElse: "the peer said no hello within \(limit.wholeMilliseconds) ms")
    }

    func received(_ payload: [UInt8], _ handler: FrameHandler) -> Bool {
        let frame: ClientFrame
        do {
            frame = try WireCodec.decodeClientFrame(payload)
        } catch {
            reject(handler, error.description)
            return true
        }
        guard let identity else {
            greet(frame, handler)
            return true
        }
        switch (frame, identity.role) {
        case (.agent(let message), .agent(let instance)) where message.isForController == isController:
            guard roster.isCurrent(identity, number) else { return true }
            let event = ServerEvent.message(instance: instance, connection: id(identity), message)
            return roster.queue.add(event, from: link, cost: payload.count + 256)
        case (.request(let question, let request), .operator):
            if case .unknown(let kind) = request {
                let reason =
                    "unknown \(kind); the command line is newer than the controller, which is version "
                    + roster.configuration.software
                send(.answer(id: question, .rejected(reason: reason)))
                return true
            }
            let event = ServerEvent.request(connection: id(identity), id: question, request)
            return roster.queue.add(event, from: link, cost: payload.count + 256)
        case (.unknown, _):
            // A newer peer's addition: nothing that this version could act on.
            return true
        default:
            reject(handler, "\(identity) may not send this kind of message")
            return true
        }
    }

    func id(_ identity: PeerIdentity) -> ConnectionID { ConnectionID(number: number, cluster: identity.cluster) }

    private var isController: Bool { roster.configuration.agent == nil }

    func ended(_ reason: String) {
        roster.leave(self, reason: reason)
    }

    private func greet(_ frame: ClientFrame, _ handler: FrameHandler) {
        guard case .hello(let hello) = frame, let certified else {
            reject(handler, "the first message must be a hello")
            return
        }
        guard hello.version.understands(.current) else {
            let theirs = "the peer (version \(hello.software)) speaks protocol \(hello.version)"
            let ours =
                "\(roster.configuration.listener) (version \(roster.configuration.software)) speaks \(ProtocolVersion.current)"
            reject(handler, "\(theirs), \(ours); the major versions must be the same")
            return
        }
        guard hello.identity == certified else {
            let said = hello.identity.map(\.description) ?? "nobody valid"
            reject(handler, "the peer says it is \(said), its certificate speaks for \(certified)")
            return
        }
        // Whoever may know is told where to go.
        if let refusal = roster.refusal(of: certified.cluster) {
            reject(handler, refusal)
            return
        }
        switch certified.role {
        case .agent(let instance):
            identity = certified
            send(.welcome(Welcome(software: roster.configuration.software)))
            let limit = roster.configuration.agentSilence
            handler.allowSilence(limit, orElse: "the agent reported nothing for \(limit.wholeMilliseconds) ms")
            roster.enter(instance, certified, self)
        case .operator, .controller:
            guard roster.enterOperator(self, of: certified.cluster) else {
                reject(handler, "\(roster.configuration.operatorLimit) command lines are connected already; try again")
                return
            }
            identity = certified
            send(.welcome(Welcome(software: roster.configuration.software)))
            let limit = roster.configuration.operatorSilence
            handler.allowSilence(limit, orElse: "the command line asked nothing for \(limit.wholeMilliseconds) ms")
        }
    }

    private func reject(_ handler: FrameHandler, _ reason: String) {
        send(.rejection(reason: reason))
        handler.finish(reason)
    }

    private func send(_ frame: ServerFrame) {
        // These frames are small; one that is not cannot be told to the peer either.
        if let payload = try? WireCodec.encode(frame) { link.send(payload) }
    }
}

extension AgentMessage {
    /// Whether it goes to the controller; else to another agent.
    fileprivate var isForController: Bool {
        switch self {
        case .report, .refused, .keeps: true
        case .asksLease: false
        }
    }
}
