import Foundation
import HTTPTransport
import KubernetesStandIn
import Synchronization
import TLSTransport
import Testing

@Suite("HTTP streams", .serialized)
struct StreamTests {
    @Test("pieces arrive as they are sent, in order, and the end is the server's")
    func pieces() async throws {
        let held = Mutex<Responder?>(nil)
        try await TestServer.run { _, responder in
            held.withLock { $0 = responder }
            responder.begin(200)
        } body: { test in
            let stream = try await test.client.stream(HTTPRequest(.get, test.url + "/"))
            #expect(stream.head.status == 200)
            let responder = try #require(held.withLock { $0 })
            for number in 0..<100 {
                responder.write(Array("\(number)\n".utf8))
                #expect(try await stream.body.next() == Array("\(number)\n".utf8))
            }
            responder.end()
            #expect(try await stream.body.next() == nil)
            #expect(try await stream.body.next() == nil)
        }
    }

    @Test("a reader that does not read makes the server wait, and nothing is missing when it reads again")
    func backPressure() async throws {
        let piece = [UInt8](repeating: 7, count: 65536)
        let total = 64 << 20
        let sent = Mutex(0)
        @Sendable func send(_ responder: Responder) {
            let isDone = sent.withLock { $0 >= total }
            if isDone { return responder.end() }
            responder.write(piece) {
                sent.withLock { $0 += piece.count }
                send(responder)
            }
        }
        try await TestServer.run { _, responder in
            responder.begin(200)
            send(responder)
        } body: { test in
            let stream = try await test.client.stream(HTTPRequest(.get, test.url + "/", idleLimit: .seconds(1)))
            // The server stands still once the buffers of both kernels are full.
            var before = -1
            let end = ContinuousClock.now + .seconds(20)
            while before != sent.withLock({ $0 }), ContinuousClock.now < end {
                before = sent.withLock { $0 }
                try await Task.sleep(for: .milliseconds(300))
            }
            #expect(before < total / 2, "the server was not made to wait: it sent \(before) bytes")
            var received = 0
            for try await part in stream.body { received += part.count }
            #expect(received == total)
        }
    }

    @Test("a silent stream ends by its limit, one that has just been read does not")
    func idle() async throws {
        try await TestServer.run { _, responder in
            responder.begin(200)
            responder.write([1])
        } body: { test in
            let request = HTTPRequest(.get, test.url + "/", idleLimit: .milliseconds(300))
            let stream = try await test.client.stream(request)
            #expect(try await stream.body.next() == [1])
            let error = await failure { () throws(HTTPError) in
                _ = try await stream.body.next()
            }
            #expect(error?.kind == .idle && error?.isRetryable == true)
        }
    }

    @Test("a stream that breaks off throws after what had come")
    func cut() async throws {
        try await TestServer.run { _, responder in
            responder.begin(200)
            responder.write([1, 2, 3]) { responder.drop() }
        } body: { test in
            let stream = try await test.client.stream(HTTPRequest(.get, test.url + "/"))
            #expect(try await stream.body.next() == [1, 2, 3])
            let error = await failure { () throws(HTTPError) in
                _ = try await stream.body.next()
            }
            #expect(error?.kind == .lost)
        }
    }

    @Test("cancelling the task ends request and stream at once, and the server notices")
    func cancellation() async throws {
        try await TestServer.run { request, responder in
            if request.path[0] == "stream" { responder.begin(200) }
        } body: { test in
            let begin = ContinuousClock.now
            for path in ["/stream", "/silent"] {
                let task = Task {
                    await failure { () throws(HTTPError) in
                        let request = HTTPRequest(.get, test.url + path, deadline: .seconds(60))
                        if path == "/silent" {
                            _ = try await test.client.send(request)
                        } else {
                            _ = try await test.client.stream(request).body.next()
                        }
                    }
                }
                try await eventually("the request arrived") { test.server.counts.open == 1 }
                task.cancel()
                #expect(await task.value?.kind == .cancelled)
                try await eventually("the connection is closed") { test.server.counts.open == 0 }
            }
            #expect(ContinuousClock.now - begin < .seconds(20))
        }
    }

    @Test("letting go of a stream gives it up")
    func letGo() async throws {
        try await TestServer.run { _, responder in
            responder.begin(200)
        } body: { test in
            for _ in 0..<3 { _ = try await test.client.stream(HTTPRequest(.get, test.url + "/")) }
            try await eventually("the connections are closed") { test.server.counts.open == 0 }
        }
    }

    @Test("many streams share the one thread")
    func manyStreams() async throws {
        let held = Mutex<[Responder]>([])
        try await TestServer.run { _, responder in
            held.withLock { $0.append(responder) }
            responder.begin(200)
        } body: { test in
            var streams: [HTTPStream] = []
            for _ in 0..<20 { streams.append(try await test.client.stream(HTTPRequest(.get, test.url + "/"))) }
            for responder in held.withLock({ $0 }) { responder.write([9]) }
            for stream in streams { #expect(try await stream.body.next() == [9]) }
        }
    }

    @Test("a closed client fails what waits, and leaves no thread, descriptor or connection behind")
    func nothingLeft() async throws {
        func count(_ folder: String) -> Int {
            (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/\(folder)").count) ?? 0
        }
        try await TestServer.run { _, responder in
            responder.begin(200)
        } body: { test in
            let (threads, descriptors) = (count("task"), count("fd"))
            var configuration = HTTPConfiguration(authorities: .pem(test.issuer.certificate))
            configuration.version = .http1
            for _ in 0..<5 {
                let client = try HTTPClient(configuration)
                var streams: [HTTPStream] = []
                for _ in 0..<4 { streams.append(try await client.stream(HTTPRequest(.get, test.url + "/"))) }
                client.close()
                for stream in streams {
                    let error = await failure { () throws(HTTPError) in
                        _ = try await stream.body.next()
                    }
                    #expect(error?.kind == .closed)
                }
                let late = await failure { () throws(HTTPError) in
                    _ = try await client.send(HTTPRequest(.get, test.url))
                }
                #expect(late?.kind == .closed)
            }
            try await eventually("the connections are closed") { test.server.counts.open == 0 }
            try await eventually("descriptors are as many as before") { count("fd") <= descriptors }
            // The pool of Swift's own threads may have grown by the machine's few.
            try await eventually("threads are as many as before") { count("task") <= threads + 2 }
        }
    }
}
