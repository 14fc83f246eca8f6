import ClusterModel
import ClusterProtocol
import Logging
import NIOCore
import Synchronization
import TLSTransport

/// Who is connected to a controller; keeps the limits, and one connection per instance.
final class ServerRoster: Sendable {
    let configuration: ControlServerConfiguration
    let queue = EventQueue<ServerEvent>()
    private let logger: Logger
    private let state = Mutex(State())

    private struct State: Sendable {
        var next: UInt64 = 1
        var links: [UInt64: FrameLink] = [:]
        /// Connections that have not said hello, oldest first.
        var pending: [UInt64] = []
        var agents: [PeerIdentity: UInt64] = [:]
        var operators: [UInt64: ClusterName] = [:]
        /// Where the configuration names no cluster: those whose peers are taken.
        var admitted: Set<ClusterName> = []
        /// Why nobody is taken now; nil while this controller leads.
        var refusal: String?
        var isStopping = false
        var onEmpty: CheckedContinuation<Void, Never>?
    }

    init(_ configuration: ControlServerConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    func link(of connection: ConnectionID) -> FrameLink? { state.withLock { $0.links[connection.number] } }

    /// Takes a new TCP connection, or refuses it because there are too many.
    func accept(_ channel: any Channel) -> ServerConnection? {
        let link = FrameLink(channel, outboundLimit: configuration.outboundLimit)
        let address = channel.remoteAddress.map(addressText) ?? "an unknown address"
        let (number, evicted) = state.withLock { state -> (UInt64?, FrameLink?) in
            guard !state.isStopping, state.links.count < configuration.connectionLimit else { return (nil, nil) }
            let number = state.next
            state.next += 1
            state.links[number] = link
            state.pending.append(number)
            guard state.pending.count > configuration.pendingLimit else { return (number, nil) }
            return (number, state.links[state.pending.removeFirst()])
        }
        evicted?.close("too many connections have not said hello, and this is the oldest of them")
        guard let number else {
            refused(address, "there are \(configuration.connectionLimit) connections already")
            return nil
        }
        return ServerConnection(number, link, from: address, roster: self)
    }

    /// Enters an agent that has said hello; its older connection is closed and reported first.
    func enter(_ instance: InstanceName, _ identity: PeerIdentity, _ connection: ServerConnection) {
        let older = state.withLock { state -> (UInt64, FrameLink?)? in
            state.pending.removeAll { $0 == connection.number }
            guard let older = state.agents.updateValue(connection.number, forKey: identity) else { return nil }
            return (older, state.links[older])
        }
        if let (number, link) = older {
            let reason = "a newer connection of the same instance took over"
            left(instance, ConnectionID(number: number, cluster: identity.cluster), reason)
            link?.close(reason)
        }
        let metadata: Logger.Metadata = ["instance.name": "\(instance)", "peer.address": "\(connection.address)"]
        logger.info("agent connected", metadata: metadata)
        let event = ServerEvent.connected(
            instance: instance,
            remoteAddress: connection.address,
            connection: connection.id(identity)
        )
        _ = queue.add(event)
    }

    /// Enters a command line that has said hello; `false` if there are too many.
    func enterOperator(_ connection: ServerConnection, of cluster: ClusterName) -> Bool {
        state.withLock { state in
            guard state.operators.count < configuration.operatorLimit else { return false }
            state.pending.removeAll { $0 == connection.number }
            state.operators[connection.number] = cluster
            return true
        }
    }

    /// Tells whether this connection is the instance's newest.
    func isCurrent(_ identity: PeerIdentity, _ number: UInt64) -> Bool {
        state.withLock { $0.agents[identity] == number }
    }

    /// Forgets a connection that is over.
    func leave(_ connection: ServerConnection, reason: String) {
        let (instance, empty) = state.withLock { state -> (InstanceName?, CheckedContinuation<Void, Never>?) in
            let number = connection.number
            state.links[number] = nil
            state.pending.removeAll { $0 == number }
            state.operators[number] = nil
            var left: InstanceName?
            if let identity = connection.identity, case .agent(let name) = identity.role,
                state.agents[identity] == number
            {
                state.agents[identity] = nil
                left = name
            }
            guard state.links.isEmpty, let empty = state.onEmpty else { return (left, nil) }
            state.onEmpty = nil
            return (left, empty)
        }
        if let instance, let identity = connection.identity { left(instance, connection.id(identity), reason) }
        if connection.identity == nil { refused(connection.address, reason) }
        empty?.resume()
    }

    /// Why nobody of that cluster is taken now; nil if somebody is.
    func refusal(of cluster: ClusterName) -> String? {
        state.withLock { state in
            if let refusal = state.refusal { return refusal }
            if configuration.cluster != nil || state.admitted.contains(cluster) { return nil }
            return "this controller keeps no cluster '\(cluster)', or not yet"
        }
    }

    /// Takes peers of a cluster from now on.
    func admit(_ cluster: ClusterName) { state.withLock { _ = $0.admitted.insert(cluster) } }

    /// Takes no peer of a cluster any more; those that are connected are told why and leave.
    func dismiss(_ cluster: ClusterName, _ reason: String) {
        let links = state.withLock { state in
            state.admitted.remove(cluster)
            let agents = state.agents.filter { $0.key.cluster == cluster }.values
            let operators = state.operators.filter { $0.value == cluster }.keys
            return (Array(agents) + operators).compactMap { state.links[$0] }
        }
        for link in links { link.close(reason) }
    }

    /// Takes nobody any more, or everybody again; those that are connected are told why and leave.
    func refuse(_ reason: String?) {
        let links = state.withLock { state in
            state.refusal = reason
            // Those that have not said hello are told when they do.
            return reason == nil
                ? [] : (Array(state.agents.values) + state.operators.keys).compactMap { state.links[$0] }
        }
        for link in links { link.close(reason ?? "") }
    }

    /// Closes every connection and waits until they are gone.
    func closeAll(_ reason: String) async {
        let links = state.withLock { state in
            state.isStopping = true
            return Array(state.links.values)
        }
        for link in links { link.close(reason) }
        await withCheckedContinuation { continuation in
            let isEmpty = state.withLock { state in
                if !state.links.isEmpty { state.onEmpty = continuation }
                return state.links.isEmpty
            }
            if isEmpty { continuation.resume() }
        }
    }

    private func left(_ instance: InstanceName, _ connection: ConnectionID, _ reason: String) {
        logger.notice("agent disconnected", metadata: ["instance.name": "\(instance)", "reason": "\(reason)"])
        _ = queue.add(.disconnected(instance: instance, connection: connection, reason: reason))
    }

    private func refused(_ address: String, _ reason: String) {
        logger.warning("connection refused", metadata: ["peer.address": "\(address)", "reason": "\(reason)"])
    }
}
