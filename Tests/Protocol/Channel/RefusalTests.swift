import ClusterModel
import ClusterProtocol
import ControlChannel
import Foundation
import Platform
import TLSTransport
import Testing

@Suite("Bad peers are refused while good ones are served")
struct RefusalTests {
    @Test("a certificate of another authority is refused, and both ends say why")
    func otherAuthorityIsRefused() async throws {
        try await Arena.run { arena in
            let bad = Reporter("bad", port: arena.port, try arena.credentials.context("main/bad", byStranger: true))
            try await arena.with(bad) {
                try await eventually("both say why") {
                    arena.controller.logged(
                        "the peer's certificate was refused: unable to get local issuer certificate"
                    )
                        && bad.events.current.contains {
                            $0.contains("the peer does not know the authority that signed our certificate")
                        }
                }
                try await arena.goodGoesOn()
                #expect(!bad.events.current.contains("connected"))
            }
        }
    }

    @Test("an expired certificate is refused, and both ends say why")
    func expiredIsRefused() async throws {
        try await Arena.run { arena in
            let context = try arena.credentials.context("main/bad", validFor: .seconds(-10))
            #expect(context.complaint?.contains("expired") == true)
            let bad = Reporter("bad", port: arena.port, context)
            try await arena.with(bad) {
                try await eventually("both say why") {
                    arena.controller.logged("certificate has expired")
                        && bad.events.current.contains { $0.contains("the peer refused our certificate as expired") }
                }
                try await arena.goodGoesOn()
            }
        }
    }

    @Test("a certificate of another cluster cannot speak for this one, whatever the hello says")
    func otherClusterIsRefused() async throws {
        try await Arena.run { arena in
            let peer = try await RawPeer.connect(arena.port, try arena.credentials.context("other/bad"))
            try peer.hello("main/bad")
            try await eventually("it is told and closed") { peer.rejection != nil && peer.isClosed.current }
            #expect(peer.rejection == "the certificate is of cluster 'other', this is the controller of 'main'")
            try await eventually("the log says why") {
                arena.controller.logged("the certificate is of cluster 'other'")
            }
        }
    }

    @Test("an instance cannot speak for another instance")
    func otherInstanceIsRefused() async throws {
        try await Arena.run { arena in
            let bad = Reporter("good", port: arena.port, try arena.credentials.context("main/bad"))
            try await arena.with(bad) {
                let reason = "the peer says it is main/good, its certificate speaks for main/bad"
                try await eventually("both say why") {
                    arena.controller.logged(reason) && bad.events.current.contains { $0.contains(reason) }
                }
                try await arena.goodGoesOn()
            }
        }
    }

    @Test("an agent cannot speak as a command line, nor a command line as an agent, nor a second controller as either")
    func rolesAreHeld() async throws {
        try await Arena.run { arena in
            let report = InstanceReport(sequence: 1, state: InstanceState(), directory: .empty, server: .down)
            let agent = try await RawPeer.connect(arena.port, try arena.credentials.context("main/bad"))
            try agent.hello("main/bad")
            agent.send(frame: try WireCodec.encode(.request(id: 1, .status)))
            let person = try await RawPeer.connect(arena.port, try arena.credentials.context("main/operator"))
            try person.hello("main/operator")
            person.send(frame: try WireCodec.encode(.agent(.report(report))))
            let second = try await RawPeer.connect(arena.port, try arena.credentials.context("main/controller"))
            try second.hello("main/bad")
            try await eventually("all are closed") {
                agent.isClosed.current && person.isClosed.current && second.isClosed.current
            }
            #expect(agent.rejection == "main/bad may not send this kind of message")
            #expect(person.rejection == "main/operator may not send this kind of message")
            #expect(second.rejection?.contains("controller's") == true)
        }
    }

    @Test(
        "a peer without a certificate is refused, and told so",
        arguments: [
            (["-tls1_3"], "certificate required", "the peer sent no certificate"),
            (["-tls1_2"], "protocol version", "the peer offers no TLS 1.3"),
        ]
    )
    func opensslIsRefused(_ arguments: [String], _ told: String, _ logged: String) async throws {
        try await Arena.run { arena in
            let request = ProcessRequest(
                "/bin/sh",
                ["-c", "sleep 0.3 | openssl s_client -connect 127.0.0.1:\(arena.port) \(arguments[0]) -ign_eof"]
            )
            let outcome = try await ChildProcess.run(request, deadline: .seconds(10))
            #expect((outcome.errorText + outcome.outputText).contains(told), "\(outcome.errorText)")
            try await eventually("the log says why") { arena.controller.logged(logged) }
        }
    }

    @Test(
        "a peer that does not speak TLS is closed with a word for it in the log",
        arguments: [
            ("GET / HTTP/1.0\r\n\r\n", "plain HTTP"), ("\u{0}\u{0}\u{0}\u{10}hello, controller", "does not speak TLS"),
        ]
    )
    func plainTextIsRefused(_ text: String, _ logged: String) async throws {
        try await Arena.run { arena in
            let peer = try await RawPeer.connect(arena.port, nil)
            peer.send(Array(text.utf8))
            try await eventually("it is closed") { peer.isClosed.current }
            try await eventually("the log says why") { arena.controller.logged(logged) }
        }
    }

    @Test("a frame that claims four gigabytes closes its connection")
    func oversizedFrameIsRefused() async throws {
        try await Arena.run { arena in
            let peer = try await RawPeer.connect(arena.port, try arena.credentials.context("main/bad"))
            try peer.hello("main/bad")
            try await eventually("it is welcome") { peer.frames.count == 1 }
            peer.send([0xff, 0xff, 0xff, 0xff])
            try await eventually("it is closed") { peer.isClosed.current }
            let reason = "the peer announced a frame of 4294967295 bytes, more than the limit of 262144"
            try await eventually("the break is told") {
                arena.controller.events.current.contains("bad disconnected: \(reason)")
            }
        }
    }

    @Test("a garbled message, a garbled first message and a cut frame close their connections with a reason")
    func garbledIsRefused() async throws {
        try await Arena.run { arena in
            let context = try arena.credentials.context("main/bad")
            let first = try await RawPeer.connect(arena.port, context)
            first.send(frame: [0xff, 0xff, 0xff])
            try await eventually("it is closed") { first.isClosed.current }
            #expect(first.rejection?.contains("garbled") == true)

            let later = try await RawPeer.connect(arena.port, context)
            try later.hello("main/bad")
            later.send(frame: [0x12, 0x7f, 1, 2, 3])
            try await eventually("it is closed") { later.isClosed.current }
            try await eventually("the break is told") {
                arena.controller.events.current.contains {
                    $0.hasPrefix("bad disconnected: a message of 5 bytes is garbled")
                }
            }

            let cut = try await RawPeer.connect(arena.port, context)
            try cut.hello("main/bad")
            try await eventually("it is welcome") { cut.frames.count == 1 }
            cut.send([0, 0, 1, 0, 42])
            cut.close()
            try await eventually("the break is told") {
                arena.controller.events.current.contains(
                    "bad disconnected: the peer closed the connection within a frame"
                )
            }

            let rude = try await RawPeer.connect(arena.port, context)
            rude.send(frame: try WireCodec.encode(.request(id: 1, .status)))
            try await eventually("it is closed") { rude.isClosed.current }
            #expect(rude.rejection == "the first message must be a hello")
        }
    }

    @Test("another major version is refused with a reason that names both")
    func otherVersionIsRefused() async throws {
        try await Arena.run { arena in
            let peer = try await RawPeer.connect(arena.port, try arena.credentials.context("main/bad"))
            try peer.hello("main/bad", version: ProtocolVersion(major: 2, minor: 3))
            try await eventually("it is told and closed") { peer.rejection != nil && peer.isClosed.current }
            #expect(peer.rejection?.contains("(version 9.9) speaks protocol 2.3") == true)
            #expect(peer.rejection?.contains("(version 0.1.0-test) speaks 1.0") == true)
            let newer = try await RawPeer.connect(arena.port, try arena.credentials.context("main/bad"))
            try newer.hello("main/bad", version: ProtocolVersion(major: 1, minor: 7))
            try await eventually("a newer minor version is welcome") { newer.frames.count == 1 }
            #expect(newer.rejection == nil)
            newer.close()
        }
    }

    @Test("peers that say nothing, or no hello, are closed at their deadlines")
    func slowPeersAreClosed() async throws {
        let limits: (inout ControlServerConfiguration) -> Void = { configuration in
            configuration.handshakeTimeout = .milliseconds(800)
            configuration.helloTimeout = .milliseconds(400)
        }
        try await Arena.run(adjust: limits) { arena in
            var silent: [RawPeer] = []
            for _ in 0..<20 { silent.append(try await RawPeer.connect(arena.port, nil)) }
            silent[0].send([0x16, 0x03])
            let mute = try await RawPeer.connect(arena.port, try arena.credentials.context("main/bad"))
            try await arena.goodGoesOn()
            try await eventually("all are closed") {
                mute.isClosed.current && silent.allSatisfy { $0.isClosed.current }
            }
            try await eventually("the log says why") {
                arena.controller.logged("the peer did not complete the TLS handshake within 800 ms")
                    && arena.controller.logged("the peer said no hello within 400 ms")
            }
        }
    }

    @Test("connections without a hello give way to newer ones, and all together have a limit")
    func crowdIsLimited() async throws {
        let limits: (inout ControlServerConfiguration) -> Void = { configuration in
            configuration.handshakeTimeout = .seconds(60)
            configuration.pendingLimit = 3
            configuration.connectionLimit = 6
        }
        try await Arena.run(adjust: limits) { arena in
            var crowd: [RawPeer] = []
            for _ in 0..<5 { crowd.append(try await RawPeer.connect(arena.port, nil)) }
            try await eventually("the oldest two gave way") { crowd[0].isClosed.current && crowd[1].isClosed.current }
            try await eventually("the log says why") { arena.controller.logged("this is the oldest of them") }
            let agent = try await RawPeer.connect(arena.port, try arena.credentials.context("main/b"))
            try agent.hello("main/b")
            try await eventually("an agent comes through the crowd") { agent.frames.count == 1 }
            for name in ["c", "d"] {
                let next = try await RawPeer.connect(arena.port, try arena.credentials.context("main/\(name)"))
                try next.hello("main/\(name)")
                try await eventually("it is welcome") { next.frames.count == 1 }
            }
            for peer in crowd { peer.close() }
        }
    }

    @Test("a peer that does not read is closed when too much waits for it")
    func peerThatDoesNotReadIsClosed() async throws {
        try await Arena.run { arena in
            let context = try arena.credentials.context("main/bad")
            let peer = try await RawPeer.connect(arena.port, context, reads: false)
            try peer.hello("main/bad")
            try await eventually("it is welcome") { arena.controller.connections.current["bad"] != nil }
            let connection = try #require(arena.controller.connections.current["bad"])
            let why = String(repeating: "x", count: 200_000)
            let primacy = Primacy(term: .none, primary: nil, timeline: .first, parent: .none, forkLSN: .zero, why: why)
            let promotion = Promotion(timeline: .first, rules: [], peers: [], history: [primacy])
            let order = Order(stamp: .none, kind: .promote(promotion))
            for _ in 0..<100 { arena.controller.server.send(.order(order), to: connection) }
            try await eventually("it is closed") {
                arena.controller.events.current.contains { $0.hasPrefix("bad disconnected: the peer does not read") }
            }
            #expect(!arena.controller.server.send(.order(order), to: connection))
            peer.close()
        }
    }
}
