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
        var agents: [InstanceName: UInt64] = [:]
        var operators: Set<UInt64> = []
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
        return ServerConnection(ConnectionID(number: number), link, from: address, roster: self)
    }

    /// Enters an agent that has said hello; its older connection is closed and reported first.
    func enter(_ instance: InstanceName, _ connection: ServerConnection) {
        let older = state.withLock { state -> (UInt64, FrameLink?)? in
            state.pending.removeAll { $0 == connection.id.number }
            guard let older = state.agents.updateValue(connection.id.number, forKey: instance) else { return nil }
            return (older, state.links[older])
        }
        if let (number, link) = older {
            let reason = "a newer connection of the same instance took over"
            left(instance, ConnectionID(number: number), reason)
            link?.close(reason)
        }
        let metadata: Logger.Metadata = ["instance.name": "\(instance)", "peer.address": "\(connection.address)"]
        logger.info("agent connected", metadata: metadata)
        let event = ServerEvent.connected(
            instance: instance,
            remoteAddress: connection.address,
            connection: connection.id
        )
        _ = queue.add(event)
    }

    /// Enters a command line that has said hello; `false` if there are too many.
    func enterOperator(_ connection: ServerConnection) -> Bool {
        state.withLock { state in
            guard state.operators.count < configuration.operatorLimit else { return false }
            state.pending.removeAll { $0 == connection.id.number }
            state.operators.insert(connection.id.number)
            return true
        }
    }

    /// Tells whether this connection is the instance's newest.
    func isCurrent(_ instance: InstanceName, _ connection: ConnectionID) -> Bool {
        state.withLock { $0.agents[instance] == connection.number }
    }

    /// Forgets a connection that is over.
    func leave(_ connection: ServerConnection, reason: String) {
        let (instance, empty) = state.withLock { state -> (InstanceName?, CheckedContinuation<Void, Never>?) in
            let number = connection.id.number
            state.links[number] = nil
            state.pending.removeAll { $0 == number }
            state.operators.remove(number)
            var left: InstanceName?
            if case .agent(let name)? = connection.identity?.role, state.agents[name] == number {
                state.agents[name] = nil
                left = name
            }
            guard state.links.isEmpty, let empty = state.onEmpty else { return (left, nil) }
            state.onEmpty = nil
            return (left, empty)
        }
        if let instance { left(instance, connection.id, reason) }
        if connection.identity == nil { refused(connection.address, reason) }
        empty?.resume()
    }

    /// Why nobody is taken now; nil while this controller leads.
    var refusal: String? { state.withLock { $0.refusal } }

    /// Takes nobody any more, or everybody again; those that are connected are told why and leave.
    func refuse(_ reason: String?) {
        let links = state.withLock { state in
            state.refusal = reason
            // Those that have not said hello are told when they do.
            return reason == nil ? [] : (Array(state.agents.values) + state.operators).compactMap { state.links[$0] }
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
