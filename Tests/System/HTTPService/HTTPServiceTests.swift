import HTTPService
import NIOCore
import NIOPosix
import Testing

@Suite("Answers over HTTP")
struct HTTPServiceTests {
    private let limit = Duration.seconds(10)

    /// Runs a service on a free port for as long as the story takes.
    private func serve(
        limits: HTTPServiceLimits = HTTPServiceLimits(),
        _ story: @Sendable (Int) async throws -> Void
    ) async throws {
        let service = HTTPService(host: "127.0.0.1", port: 0, limits: limits) { question in
            guard question.path == "/lag" else { return HTTPAnswer(404, "nothing is here\n") }
            return HTTPAnswer(200, question.query.map { "\($0.name)=\($0.value);" }.joined())
        }
        let (ports, port) = AsyncStream.makeStream(of: Int.self)
        let running = Task { try await service.run { port.yield($0) } }
        defer { running.cancel() }
        for await port in ports {
            try await story(port)
            break
        }
        running.cancel()
        try await running.value
    }

    /// What comes back for these very bytes until the other end closes.
    private func raw(_ port: Int, _ text: String) async throws -> String {
        try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
            .executeThenClose { inbound, outbound in
                try await outbound.write(ByteBuffer(string: text))
                var answer = ""
                for try await piece in inbound { answer += String(buffer: piece) }
                return answer
            }
    }

    @Test("a question is answered with its query; an unknown path is not there")
    func answers() async throws {
        try await serve { port in
            let target = "/lag?maxLag=10MB&verbose"
            let found = try await HTTPAsk.get(host: "127.0.0.1", port: port, target: target, within: limit)
            #expect(found.status == 200 && found.body == "maxLag=10MB;verbose=;")
            #expect(found.contentType.hasPrefix("text/plain"))
            let other = try await HTTPAsk.get(host: "127.0.0.1", port: port, target: "/", within: limit)
            #expect(other.status == 404)
        }
    }

    @Test("two questions on one connection are answered in order, and HEAD without a body")
    func connectionIsKept() async throws {
        try await serve { port in
            let answer = try await raw(
                port,
                "GET /lag?first HTTP/1.1\r\nHost: x\r\n\r\nHEAD /lag?other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            let parts = answer.split(separator: "HTTP/1.1 200 OK\r\n")
            #expect(parts.count == 2)
            #expect(parts.first?.hasSuffix("\r\n\r\nfirst=;") == true)
            #expect(parts.last?.contains("Content-Length: 7\r\n") == true && parts.last?.hasSuffix("\r\n\r\n") == true)
        }
    }

    @Test(
        "what is no question is refused, and the service goes on",
        arguments: [
            ("POST /lag HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "405"),
            ("GET /lag HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "400"),
            ("GET /\(String(repeating: "a", count: 3000)) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "414"),
            ("what is this\r\n\r\n", "400"),
        ]
    )
    func refused(bytes: String, status: String) async throws {
        try await serve { port in
            #expect(try await raw(port, bytes).hasPrefix("HTTP/1.1 \(status) "))
            let found = try await HTTPAsk.get(host: "127.0.0.1", port: port, target: "/lag", within: limit)
            #expect(found.status == 200)
        }
    }

    @Test("who asks nothing whole is let go")
    func silence() async throws {
        var limits = HTTPServiceLimits()
        limits.idle = .milliseconds(300)
        try await serve(limits: limits) { port in
            let answer = try await raw(port, "GET /lag HTT")
            #expect(answer.isEmpty)
        }
    }

    @Test("a connection beyond the limit is answered, and the longest silent one closed")
    func limitHolds() async throws {
        var limits = HTTPServiceLimits()
        limits.connections = 1
        limits.idle = .seconds(3600)
        try await serve(limits: limits) { port in
            let silent = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connect(host: "127.0.0.1", port: port).get()
            try await silent.writeAndFlush(ByteBuffer(string: "GET /lag HTT")).get()
            let found = try await HTTPAsk.get(host: "127.0.0.1", port: port, target: "/lag", within: limit)
            #expect(found.status == 200)
            try await silent.closeFuture.get()
        }
    }

    @Test("who sends questions and takes no answers is not read for ever")
    func answersNotTaken() async throws {
        var limits = HTTPServiceLimits()
        limits.idle = .milliseconds(500)
        try await serve(limits: limits) { port in
            let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .channelOption(.autoRead, value: false)
                .connect(host: "127.0.0.1", port: port).get()
            let questions = String(repeating: "GET /lag HTTP/1.1\r\nHost: x\r\n\r\n", count: 1000)
            // The other end stops reading and then closes, long before all of this is sent.
            var isCutOff = false
            do {
                for _ in 0..<10_000 { try await channel.writeAndFlush(ByteBuffer(string: questions)).get() }
            } catch {
                isCutOff = true
            }
            #expect(isCutOff)
            try? await channel.close()
        }
    }

    @Test("a header beyond the limit is refused")
    func longHeader() async throws {
        try await serve { port in
            let header = String(repeating: "X-Long: \(String(repeating: "a", count: 1000))\r\n", count: 40)
            // Refused with an answer, or cut off in the middle of it.
            let answer = (try? await raw(port, "GET /lag HTTP/1.1\r\nHost: x\r\n\(header)\r\n")) ?? ""
            #expect(!answer.contains(" 200 "))
        }
    }

    @Test("a port in use is named with the mend")
    func portInUse() async throws {
        try await serve { port in
            let second = HTTPService(host: "127.0.0.1", port: port) { _ in HTTPAnswer(200, "") }
            let error = await #expect(throws: HTTPServiceError.self) { try await second.run() }
            #expect(error?.description.contains("127.0.0.1 port \(port)") == true)
            #expect(error?.description.contains("choose another") == true)
        }
    }
}
