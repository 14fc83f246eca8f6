import ClusterModel
import ClusterProtocol
import ControlChannel
import Foundation
import Logging
import NIOCore
import NIOPosix
import Platform
import Synchronization
import TLSTransport
import Testing

/// Waits until the condition holds, for ten seconds at most.
func eventually(_ what: String, _ condition: () async -> Bool) async throws {
    let deadline = MonotonicClock.now() + .seconds(10)
    while await !condition() {
        try #require(MonotonicClock.now() < deadline, "did not come true in time: \(what)")
        try await Task.sleep(for: .milliseconds(5))
    }
}

/// A value that several tasks write and the test reads.
final class Shared<Value: Sendable>: Sendable {
    private let value: Mutex<Value>

    init(_ value: Value) { self.value = Mutex(value) }

    var current: Value { value.withLock { $0 } }

    func change(_ body: @Sendable (inout Value) -> Void) { value.withLock { body(&$0) } }
}

/// A logger whose lines the test reads.
struct LineLog: LogHandler {
    let lines: Shared<[String]>
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .trace

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let fields = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        let line = "\(event.message) \(fields.joined(separator: " "))"
        lines.change { $0.append(line) }
    }

    static func logger(_ lines: Shared<[String]>) -> Logger {
        Logger(label: "test") { _ in LineLog(lines: lines) }
    }
}

func clusterName(_ text: String) -> ClusterName { ClusterName(text) ?? fallbackCluster }
func instanceName(_ text: String) -> InstanceName { InstanceName(text) ?? fallbackInstance }
private let fallbackCluster = ClusterName("unnamed") ?? { fatalError("the name is valid") }()
private let fallbackInstance = InstanceName("unnamed") ?? { fatalError("the name is valid") }()

/// Certificates of one cluster, and of a stranger.
struct Credentials: Sendable {
    let authority: CertificateAuthority.Issued
    let stranger: CertificateAuthority.Issued

    init() throws {
        authority = try CertificateAuthority(named: "understudy main").pem
        stranger = try CertificateAuthority(named: "stranger").pem
    }

    func issue(_ name: String, byStranger: Bool = false, validFor: Duration = .seconds(3600)) throws -> TLSCredentials {
        let pem = byStranger ? stranger : authority
        let signer = try CertificateAuthority(certificate: pem.certificate, key: pem.key)
        let issued = try signer.issue(uri: "understudy://\(name)", name: name, validFor: validFor)
        return TLSCredentials(authorities: authority.certificate, certificate: issued.certificate, key: issued.key)
    }

    func context(
        _ name: String,
        byStranger: Bool = false,
        validFor: Duration = .seconds(3600)
    ) throws -> TLSContext {
        try TLSContext(credentials: issue(name, byStranger: byStranger, validFor: validFor))
    }
}

/// An agent that reports every few milliseconds and counts the answers.
final class Reporter: Sendable {
    let client: ControlClient
    let log = Shared<[String]>([])
    let answers = Shared(0)
    let events = Shared<[String]>([])
    let orders = Shared<[ControllerMessage]>([])

    init(
        _ instance: String,
        port: Int,
        _ tls: TLSContext,
        cluster: String = "main",
        silence: Duration = .seconds(3),
        further: [Int] = []
    ) {
        var configuration = ControlClientConfiguration(
            cluster: clusterName(cluster),
            instance: instanceName(instance),
            endpoints: ([port] + further).map { Endpoint(host: "127.0.0.1", port: UInt16($0)) },
            software: "test"
        )
        configuration.silence = silence
        client = ControlClient(configuration, tls: tls, logger: LineLog.logger(log))
    }

    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.client.run() }
            group.addTask { await self.read() }
            group.addTask { await self.report() }
        }
    }

    private func read() async {
        for await event in client.events {
            switch event {
            case .message(.answer): answers.change { $0 += 1 }
            case .message(let message): orders.change { $0.append(message) }
            case .connected: events.change { $0.append("connected") }
            case .disconnected(let reason): events.change { $0.append("disconnected: \(reason)") }
            case .unreachable(let reason): events.change { $0.append("unreachable: \(reason)") }
            }
        }
    }

    private func report() async {
        var sequence: UInt64 = 0
        while !Task.isCancelled {
            sequence += 1
            let report = InstanceReport(sequence: sequence, state: InstanceState(), directory: .empty, server: .down)
            client.send(.report(report))
            try? await Task.sleep(for: .milliseconds(5))
        }
    }
}

/// A controller that answers every report, and what it saw.
final class Controller: Sendable {
    let server: ControlServer
    let log = Shared<[String]>([])
    let port = Shared(0)
    let events = Shared<[String]>([])
    let connections = Shared<[String: ConnectionID]>([:])
    let refusals = Shared<[OrderRefusal]>([])
    /// Of those that connected.
    let clusters = Shared<Set<String>>([])

    init(_ tls: TLSContext, port: Int = 0, adjust: (inout ControlServerConfiguration) -> Void = { _ in }) {
        var configuration = ControlServerConfiguration(
            cluster: clusterName("main"),
            host: "127.0.0.1",
            port: port,
            software: "0.1.0-test"
        )
        adjust(&configuration)
        server = ControlServer(configuration, tls: tls, logger: LineLog.logger(log))
    }

    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.server.run { port in self.port.change { $0 = port } } }
            group.addTask { await self.read() }
            try await group.waitForAll()
        }
    }

    private func read() async {
        for await event in server.events {
            switch event {
            case .connected(let instance, _, let connection):
                connections.change { $0[instance.text] = connection }
                clusters.change { $0.insert(connection.cluster.text) }
                events.change { $0.append("\(instance) connected") }
            case .message(_, let connection, .report(let report)):
                let answer = ReportAnswer(sequence: report.sequence, stamp: .none, lease: .seconds(3))
                server.send(.answer(answer), to: connection)
            case .message(_, _, .refused(let refusal)): refusals.change { $0.append(refusal) }
            case .message(_, _, .asksLease), .message(_, _, .keeps):
                events.change { $0.append("asked what only agents are asked") }
            case .request(let connection, let id, .status):
                server.answer(.status(json: "{\"cluster\":\"main\"}"), to: connection, request: id)
            case .request(_, _, .command("ignore", _)): break
            case .request(let connection, let id, .command("boast", _)):
                let text = String(repeating: "x", count: 300_000)
                server.answer(.command(exitCode: 0, text: text), to: connection, request: id)
            case .request(let connection, let id, .command(let verb, let arguments)):
                let text = ([verb] + arguments).joined(separator: " ")
                server.answer(.command(exitCode: 3, text: text), to: connection, request: id)
            case .request: break
            case .disconnected(let instance, _, let reason):
                events.change { $0.append("\(instance) disconnected: \(reason)") }
            }
        }
    }

    func logged(_ text: String) -> Bool { log.current.contains { $0.contains(text) } }
}

/// One controller, one good agent that exchanges messages all the time, and whatever the test adds.
struct Arena: Sendable {
    let credentials: Credentials
    let controller: Controller
    let good: Reporter
    var port: Int { controller.port.current }

    /// Runs the test's body, and demands that the good agent was served before, during and after without a break.
    static func run(
        adjust: (inout ControlServerConfiguration) -> Void = { _ in },
        _ body: (Arena) async throws -> Void
    ) async throws {
        let credentials = try Credentials()
        let controller = Controller(try credentials.context("main/controller"), adjust: adjust)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await controller.run() }
            try await eventually("the controller listens") { controller.port.current != 0 }
            let good = Reporter("good", port: controller.port.current, try credentials.context("main/good"))
            group.addTask { await good.run() }
            let arena = Arena(credentials: credentials, controller: controller, good: good)
            try await arena.goodGoesOn()
            do {
                try await body(arena)
                try await arena.goodGoesOn()
                #expect(good.events.current == ["connected"])
            } catch {
                group.cancelAll()
                throw error
            }
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    /// Waits until the good agent has had several more answers.
    func goodGoesOn() async throws {
        let before = good.answers.current
        try await eventually("the good agent is answered") { good.answers.current >= before + 3 }
    }

    /// Runs an agent beside the good one while the body lasts.
    func with(_ reporter: Reporter, _ body: () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await reporter.run() }
            defer { group.cancelAll() }
            try await body()
        }
    }
}

/// A peer that sends whatever bytes the test wants, inside TLS or without it.
final class RawPeer: Sendable {
    let received = Shared<[UInt8]>([])
    let isClosed = Shared(false)
    private let channel: any Channel

    private init(_ channel: any Channel) { self.channel = channel }

    static func connect(_ port: Int, _ tls: TLSContext?, reads: Bool = true) async throws -> RawPeer {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: port).get()
        return try await wrap(channel, tls, side: .client, reads: reads)
    }

    static func wrap(
        _ channel: any Channel,
        _ tls: TLSContext?,
        side: TLSSide,
        reads: Bool = true
    ) async throws -> RawPeer {
        let peer = RawPeer(channel)
        let ready = channel.eventLoop.makePromise(of: Void.self)
        let added = channel.eventLoop.submit {
            var handlers: [any ChannelHandler] = [Collector(peer, ready)]
            if let tls { handlers.insert(TLSHandler(tls, side: side), at: 0) } else { ready.succeed() }
            try channel.pipeline.syncOperations.addHandlers(handlers)
        }
        added.whenFailure { ready.fail($0) }
        // Fails when the other side has closed already, which the test then sees.
        try? await channel.setOption(.autoRead, value: true).get()
        try await ready.futureResult.get()
        if !reads { try await channel.setOption(.autoRead, value: false).get() }
        return peer
    }

    func send(_ bytes: [UInt8]) { channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil) }

    func send(frame payload: [UInt8]) {
        send([0, UInt8(payload.count >> 16), UInt8(payload.count >> 8 & 0xff), UInt8(payload.count & 0xff)] + payload)
    }

    func hello(_ name: String, version: ProtocolVersion = .current) throws {
        let identity = PeerIdentity(uri: "understudy://\(name)")
        send(frame: try WireCodec.encode(.hello(Hello(version: version, software: "9.9", identity: identity))))
    }

    func close() { channel.close(promise: nil) }

    /// The frames that came so far.
    var frames: [[UInt8]] {
        var rest = received.current[...]
        var frames: [[UInt8]] = []
        while rest.count >= 4 {
            let length = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
            guard rest.count >= 4 + length else { break }
            frames.append(Array(rest.dropFirst(4).prefix(length)))
            rest = rest.dropFirst(4 + length)
        }
        return frames
    }

    /// The reason of the rejection that came, if one did.
    var rejection: String? {
        for frame in frames {
            if case .rejection(let reason)? = try? WireCodec.decodeServerFrame(frame) { return reason }
        }
        return nil
    }

    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let peer: RawPeer
        private let ready: EventLoopPromise<Void>

        init(_ peer: RawPeer, _ ready: EventLoopPromise<Void>) {
            self.peer = peer
            self.ready = ready
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = Array(unwrapInboundIn(data).readableBytesView)
            peer.received.change { $0 += bytes }
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if event is TLSEvent { ready.succeed() }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { ready.fail(error) }

        func channelInactive(context: ChannelHandlerContext) {
            ready.fail(ChannelError.eof)
            peer.isClosed.change { $0 = true }
        }
    }
}
