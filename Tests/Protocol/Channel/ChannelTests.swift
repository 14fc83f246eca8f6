import ClusterModel
import ClusterProtocol
import ControlChannel
import Foundation
import NIOCore
import NIOPosix
import Platform
import TLSTransport
import Testing

@Suite("Controller, agents and command line talk")
struct ChannelTests {
    @Test("reports go up, answers and orders come down")
    func messagesPass() async throws {
        try await Arena.run { arena in
            let connection = try #require(arena.controller.connections.current["good"])
            let order = Order(
                stamp: Stamp(term: Term(rawValue: 3), version: RecordVersion(rawValue: 9)),
                kind: .prepare(recover: true)
            )
            #expect(arena.controller.server.send(.order(order), to: connection))
            try await eventually("the order arrives") { arena.good.orders.current == [.order(order)] }
            let refusal = OrderRefusal(stamp: order.stamp, order: "prepare", reason: "not now")
            #expect(arena.good.client.send(.refused(refusal)))
            try await eventually("the refusal arrives") { arena.controller.refusals.current == [refusal] }
        }
    }

    @Test("a newer connection of an instance takes over, and the older is told as gone first")
    func newerTakesOver() async throws {
        try await Arena.run { arena in
            let context = try arena.credentials.context("main/b")
            let older = try await RawPeer.connect(arena.port, context)
            try older.hello("main/b")
            try await eventually("it is welcome") { older.frames.count == 1 }
            let newer = try await RawPeer.connect(arena.port, context)
            try newer.hello("main/b")
            try await eventually("the newer is welcome, the older closed") {
                newer.frames.count == 1 && older.isClosed.current
            }
            let reason = "a newer connection of the same instance took over"
            try await eventually("it is told in this order") {
                let events = arena.controller.events.current.filter { $0.hasPrefix("b ") }
                return events == ["b connected", "b disconnected: \(reason)", "b connected"]
            }
            newer.close()
        }
    }

    @Test("an agent comes back by itself when the controller was restarted")
    func agentComesBack() async throws {
        let credentials = try Credentials()
        let port = try NetworkPort.findFree()
        let agent = Reporter("a", port: port, try credentials.context("main/a"))
        let tls = try credentials.context("main/controller")
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await agent.run() }
            defer { group.cancelAll() }
            try await eventually("nobody is there") { agent.events.current.contains { $0.contains("refused") } }
            for round in 1...2 {
                let controller = Controller(tls, port: port)
                let running = Task { try await controller.run() }
                let before = agent.answers.current
                try await eventually("answers come in round \(round)") { agent.answers.current > before + 2 }
                running.cancel()
                try await running.value
                try await eventually("the end is told") {
                    agent.events.current.filter { $0.hasPrefix("disconnected") }.count == round
                }
                #expect(!agent.client.isConnected)
            }
        }
        #expect(
            agent.log.current.contains { $0.contains("could not connect to 127.0.0.1:\(port): Connection refused") }
        )
    }

    @Test("the certificate is renewed without a break, and a bad new one changes nothing")
    func certificateIsRenewed() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "understudy-test-\(UUID().uuidString)").path
        try DurableFile.makeDirectory(folder)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let files = TLSFiles(
            authorities: folder + "/ca.pem",
            certificate: folder + "/controller.pem",
            key: folder + "/controller.key"
        )
        let credentials = try Credentials()
        func write(validFor: Duration) throws {
            let issued = try credentials.issue("main/controller", validFor: validFor)
            try DurableFile.write(issued.authorities, to: files.authorities)
            try DurableFile.write(issued.certificate, to: files.certificate)
            try DurableFile.write(issued.key, to: files.key)
        }
        try write(validFor: .seconds(3600))
        let tls = try TLSContext(files: files)
        let controller = Controller(tls)
        let running = Task { try await controller.run() }
        defer { running.cancel() }
        try await eventually("the controller listens") { controller.port.current != 0 }
        let old = Reporter("a", port: controller.port.current, try credentials.context("main/a"))
        let new = Reporter("b", port: controller.port.current, try credentials.context("main/b"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await old.run() }
            defer { group.cancelAll() }
            try await eventually("the first agent is answered") { old.answers.current > 2 }
            try write(validFor: .seconds(7200))
            try tls.reload()
            try DurableFile.write(Array("garbage".utf8), to: files.key)
            #expect(throws: TLSError.self) { try tls.reload() }
            group.addTask { await new.run() }
            try await eventually("the second agent is answered") { new.answers.current > 2 }
            #expect(old.events.current == ["connected"])
        }
        #expect(tls.certificate.secondsLeft > 3600)
    }

    @Test("the command line gets its answers, several at a time")
    func commandLineIsAnswered() async throws {
        try await Arena.run { arena in
            let endpoints = [
                Endpoint(host: "127.0.0.1", port: UInt16(try NetworkPort.findFree())),
                Endpoint(host: "127.0.0.1", port: UInt16(arena.port)),
            ]
            let tls = try arena.credentials.context("main/operator")
            let person = OperatorClient(
                cluster: clusterName("main"),
                endpoints: endpoints,
                tls: tls,
                software: "test"
            )
            async let status = person.ask(.status, deadline: .seconds(5))
            async let command = person.ask(.command(verb: "kill", arguments: ["a"]), deadline: .seconds(5))
            #expect(try await status == .status(json: "{\"cluster\":\"main\"}"))
            #expect(try await command == .command(exitCode: 3, text: "kill a"))
            let large = String(repeating: "x", count: 300_000)
            await #expect(throws: ControlError.self) {
                try await person.ask(.command(verb: large, arguments: []), deadline: .seconds(5))
            }
            let answer = try await person.ask(.command(verb: "boast", arguments: []), deadline: .seconds(5))
            #expect(answer == .rejected(reason: "the answer does not fit into one message of 262144 bytes"))
            let error = await #expect(throws: ControlError.self) {
                try await person.ask(.command(verb: "ignore", arguments: []), deadline: .milliseconds(200))
            }
            #expect(error?.description.contains("no answer within 200 ms") == true)
        }
    }

    @Test("the command line says what keeps it from asking")
    func commandLineSaysWhy() async throws {
        try await Arena.run { arena in
            let endpoint = Endpoint(host: "127.0.0.1", port: UInt16(arena.port))
            let stranger = OperatorClient(
                cluster: clusterName("main"),
                endpoints: [endpoint],
                tls: try arena.credentials.context("main/operator", byStranger: true),
                software: "test"
            )
            let error = await #expect(throws: ControlError.self) {
                try await stranger.ask(.status, deadline: .seconds(5))
            }
            #expect(error?.description.contains("does not know the authority that signed our certificate") == true)
        }
    }

    @Test("a port in use is named, with what mends it")
    func usedPortIsNamed() async throws {
        try await Arena.run { arena in
            let second = Controller(try arena.credentials.context("main/controller"), port: arena.port)
            let error = await #expect(throws: ControlError.self) { try await second.run() }
            let expected = "could not listen on 127.0.0.1 port \(arena.port): Address already in use"
            #expect(error?.description.hasPrefix(expected) == true)
        }
    }
}

@Suite("An agent before a controller that is not what it should be")
struct StrangeControllerTests {
    /// A TLS server that does what the test says with its first connection.
    private func serve(
        _ tls: TLSContext,
        _ body: (Int, AsyncStream<RawPeer>) async throws -> Void
    ) async throws {
        let (peers, continuation) = AsyncStream<RawPeer>.makeStream()
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    Task { continuation.yield(try await RawPeer.wrap(channel, tls, side: .server)) }
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        do {
            try await body(listener.localAddress?.port ?? 0, peers)
        } catch {
            try await listener.close()
            throw error
        }
        try await listener.close()
    }

    @Test("a server that is not its cluster's controller is told nothing", arguments: ["main/b", "other/controller"])
    func falseControllerIsRefused(_ name: String) async throws {
        let credentials = try Credentials()
        try await serve(try credentials.context(name)) { port, peers in
            let agent = Reporter("a", port: port, try credentials.context("main/a"))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await agent.run() }
                defer { group.cancelAll() }
                var iterator = peers.makeAsyncIterator()
                let peer = try #require(await iterator.next())
                try await eventually("it is left") { peer.isClosed.current }
                #expect(peer.received.current.isEmpty)
                try await eventually("it is said why") {
                    agent.events.current.first?.contains("it is \(name), not main/controller") == true
                }
            }
        }
    }

    @Test("an order of a newer controller is handed on as unknown, and the connection lives")
    func unknownOrderIsHandedOn() async throws {
        let credentials = try Credentials()
        try await serve(try credentials.context("main/controller")) { port, peers in
            let agent = Reporter("a", port: port, try credentials.context("main/a"))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await agent.run() }
                defer { group.cancelAll() }
                var iterator = peers.makeAsyncIterator()
                let peer = try #require(await iterator.next())
                peer.send(frame: try WireCodec.encode(.welcome(Welcome(software: "9.9"))))
                peer.send(frame: [0x22, 5, 0x0a, 0, 0x9a, 0x06, 0])
                try await eventually("it is handed on") { agent.orders.current == [.unknown(kind: "order 99")] }
                let refusal = OrderRefusal(stamp: .none, order: "order 99", reason: "unknown order")
                agent.client.send(.refused(refusal))
                try await eventually("the refusal arrives") {
                    peer.frames.contains { (try? WireCodec.decodeClientFrame($0)) == .agent(.refused(refusal)) }
                }
                #expect(agent.client.isConnected)
            }
        }
    }

    @Test("a controller that falls silent is left for a new connection")
    func silentControllerIsLeft() async throws {
        let credentials = try Credentials()
        try await serve(try credentials.context("main/controller")) { port, peers in
            let tls = try credentials.context("main/a")
            let agent = Reporter("a", port: port, tls, silence: .seconds(1))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await agent.run() }
                defer { group.cancelAll() }
                var iterator = peers.makeAsyncIterator()
                let peer = try #require(await iterator.next())
                peer.send(frame: try WireCodec.encode(.welcome(Welcome(software: "9.9"))))
                try await eventually("it is left") { peer.isClosed.current }
                try await eventually("it is said why") {
                    agent.events.current.contains("disconnected: the controller said nothing for 1000 ms")
                }
                _ = try #require(await iterator.next())
            }
        }
    }

    @Test("a controller of another major version, and one that talks too early, are left with a reason")
    func rudeControllerIsLeft() async throws {
        let credentials = try Credentials()
        let future = Welcome(version: ProtocolVersion(major: 3, minor: 0), software: "9.9")
        let early = ServerFrame.controller(.answer(ReportAnswer(sequence: 1, stamp: .none, lease: .seconds(3))))
        for (frame, reason) in [
            (ServerFrame.welcome(future), "it speaks protocol 3.0, we speak 1.0"), (early, "before its welcome"),
        ] {
            try await serve(try credentials.context("main/controller")) { port, peers in
                let agent = Reporter("a", port: port, try credentials.context("main/a"))
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { await agent.run() }
                    defer { group.cancelAll() }
                    var iterator = peers.makeAsyncIterator()
                    let peer = try #require(await iterator.next())
                    peer.send(frame: try WireCodec.encode(frame))
                    try await eventually("it is left") { agent.events.current.contains { $0.contains(reason) } }
                    #expect(agent.answers.current == 0)
                }
            }
        }
    }
}
