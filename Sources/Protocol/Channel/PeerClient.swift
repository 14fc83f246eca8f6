public import ClusterModel
import ClusterProtocol
public import Logging
import NIOCore
import NIOPosix
import Synchronization
public import TLSTransport

/// An agent's answer to a question, with the instance that its certificate names.
public struct PeerEvent: Sendable {
    /// Whose agent answered.
    public let instance: InstanceName
    /// What it said.
    public let answer: LeaseAnswer
}

/// An agent's end towards the agents of other instances: connections are made when there is something to ask, and end
/// by themselves when nothing is (R10).
public final class PeerClient: Sendable {
    private struct Peer: Sendable {
        var endpoint: Endpoint
        var link: FrameLink?
        /// Asked while the connection was being made; only the newest question is worth an answer.
        var waiting: LeaseRequest?
        var number: UInt64
    }

    private struct State: Sendable {
        var peers: [InstanceName: Peer] = [:]
        var last: UInt64 = 0
        var isOver = false
    }

    private struct Call: Sendable {
        let address: AgentAddress
        let number: UInt64
    }

    private let cluster: ClusterName
    private let instance: InstanceName
    private let software: String
    private let silence: Duration
    private let tls: TLSContext
    private let logger: Logger
    private let queue = EventQueue<PeerEvent>()
    private let state = Mutex(State())
    private let calls: AsyncStream<Call>
    private let caller: AsyncStream<Call>.Continuation

    /// How many bytes may wait for an agent that does not read.
    private static let outboundLimit = 64 * 1024

    /// Makes a client that connects to nobody yet.
    ///
    /// - Parameters:
    ///   - cluster: The cluster.
    ///   - instance: The instance whose agent this is.
    ///   - software: Version of the program, told to peers.
    ///   - silence: How long a connection may take to be made, and how long it may be silent; after that it is made anew.
    ///   - tls: Our certificate and whom we trust.
    ///   - logger: Told of connections that fail.
    public init(
        cluster: ClusterName,
        instance: InstanceName,
        software: String,
        silence: Duration,
        tls: TLSContext,
        logger: Logger
    ) {
        self.cluster = cluster
        self.instance = instance
        self.software = software
        self.silence = silence
        self.tls = tls
        self.logger = logger
        (calls, caller) = AsyncStream<Call>.makeStream(bufferingPolicy: .bufferingNewest(AgentAddress.limit * 4))
    }

    /// What agents answered, in order, for one reader; ends with `run`.
    public var events: some AsyncSequence<PeerEvent, Never> & Sendable { queue.events }

    /// Asks those agents; one that cannot be reached answers never.
    public func ask(_ request: LeaseRequest, of addresses: [AgentAddress]) {
        for address in addresses.prefix(AgentAddress.limit) where address.name != instance {
            let (link, call) = state.withLock { state -> (FrameLink?, Call?) in
                if state.isOver { return (nil, nil) }
                if var peer = state.peers[address.name] {
                    guard peer.endpoint != address.endpoint else {
                        if peer.link == nil { peer.waiting = request }
                        state.peers[address.name] = peer
                        return (peer.link, nil)
                    }
                    peer.link?.close("the agent of '\(address.name)' has another address now")
                }
                state.last += 1
                let fresh = Peer(endpoint: address.endpoint, waiting: request, number: state.last)
                state.peers[address.name] = fresh
                return (nil, Call(address: address, number: state.last))
            }
            if let link { send(request, over: link) }
            if let call { caller.yield(call) }
        }
    }

    /// Makes and keeps connections until the task is cancelled.
    public func run() async {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        await withDiscardingTaskGroup { tasks in
            for await call in calls { tasks.addTask { [self] in await connect(call, on: group) } }
            tasks.cancelAll()
        }
        state.withLock { state in
            state.isOver = true
            state.peers = [:]
        }
        queue.finish()
        try? await group.shutdownGracefully()
    }

    private func connect(_ call: Call, on group: any EventLoopGroup) async {
        let name = call.address.name
        defer {
            state.withLock { state in
                if state.peers[name]?.number == call.number { state.peers[name] = nil }
            }
        }
        guard let own = PeerIdentity(cluster: cluster, role: .agent(instance)),
            let expected = PeerIdentity(cluster: cluster, role: .agent(name))
        else { return }
        let settings = ClientSettings(
            identity: own,
            expected: expected,
            software: software,
            tls: tls,
            connectTimeout: silence / 2,
            silence: silence,
            outboundLimit: Self.outboundLimit
        )
        let actions = ClientConnection.Actions(
            welcomed: { [self] link in
                let request = state.withLock { state -> LeaseRequest? in
                    guard state.peers[name]?.number == call.number else { return nil }
                    state.peers[name]?.link = link
                    return state.peers[name]?.waiting
                }
                if let request { send(request, over: link) }
            },
            received: { [self] frame, link, cost in
                guard case .lease(let answer) = frame else { return true }
                return queue.add(PeerEvent(instance: name, answer: answer), from: link, cost: cost)
            }
        )
        let reason = await ClientConnection.run(to: call.address.endpoint, on: group, settings, actions)
        logger.info("connection to another agent", metadata: ["instance.name": "\(name)", "reason": "\(reason)"])
    }

    private func send(_ request: LeaseRequest, over link: FrameLink) {
        // A question is small; one that is not cannot be asked.
        if let payload = try? WireCodec.encode(.agent(.asksLease(request))) { link.send(payload) }
    }
}
