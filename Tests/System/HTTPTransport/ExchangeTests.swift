import Foundation
import HTTPTransport
import KubernetesStandIn
import Synchronization
import TLSTransport
import Testing

@Suite("HTTP exchanges", .serialized)
struct ExchangeTests {
    private static let echo: HTTPSServer.Handler = { request, responder in
        let token = request.headers["authorization"] ?? "none"
        let text = "\(request.method) \(request.pathText) \(token) \(request.subject ?? "anonymous") "
        responder.answer(200, headers: [("X-Echo", "yes")], body: Array(text.utf8) + request.body)
    }

    @Test("method, address, headers and body come through, and so do status, headers and body of the answer")
    func exchange() async throws {
        try await TestServer.run(handler: Self.echo) { test in
            for method in [HTTPMethod.get, .post, .put, .patch, .delete] {
                let body: [UInt8]? = method == .get ? nil : Array("body\u{0}é".utf8)
                let headers = [HTTPHeader("Authorization", "Bearer abc"), HTTPHeader("Content-Type", "text/plain")]
                let answer = try await test.client.send(
                    HTTPRequest(method, "\(test.url)/a%2Fb/c?x=1", headers: headers, body: body)
                )
                #expect(answer.head.status == 200 && answer.head["x-echo"] == "yes")
                let text = "\(method.rawValue) /a/b/c Bearer abc anonymous " + (body == nil ? "" : "body\u{0}é")
                #expect(String(decoding: answer.body, as: UTF8.self) == text)
            }
            #expect(test.server.counts.accepted == 1, "one connection serves requests one after the other")
        }
    }

    @Test("any status is an answer, and a redirect is not followed")
    func statuses() async throws {
        try await TestServer.run { request, responder in
            let status = Int(request.path[0]) ?? 0
            responder.answer(status, headers: [("Location", "/200")], body: Array("why".utf8))
        } body: { test in
            for status in [200, 302, 404, 409, 500, 503] {
                let answer = try await test.client.send(HTTPRequest(.get, "\(test.url)/\(status)"))
                #expect(answer.head.status == status && answer.body == Array("why".utf8))
            }
        }
    }

    @Test("a server of another authority, or of another name, gets no request")
    func untrusted() async throws {
        try await TestServer.run(hosts: ["127.0.0.1"], handler: Self.echo) { test in
            let other = try CertificateAuthority(named: "test")
            let strangers = [HTTPAuthorities.pem(other.pem.certificate), .system]
            for authorities in strangers {
                let client = try HTTPClient(HTTPConfiguration(authorities: authorities))
                let error = await failure { () throws(HTTPError) in
                    _ = try await client.send(HTTPRequest(.get, test.url + "/"))
                }
                #expect(error?.kind == .untrusted && error?.mayHaveTakenEffect == false, "\(error?.description ?? "")")
            }
            let named = "https://localhost:\(test.server.port)/"
            let error = await failure { () throws(HTTPError) in
                _ = try await test.client.send(HTTPRequest(.get, named))
            }
            #expect(error?.kind == .untrusted, "\(error?.description ?? "")")
            #expect(test.server.counts.requests == 0)
        }
    }

    @Test("a client certificate says who we are, one of another authority is refused")
    func identity() async throws {
        try await TestServer.run(handler: Self.echo) { test in
            func client(of authority: CertificateAuthority) throws -> HTTPClient {
                let issued = try authority.issue(uri: "understudy://a/b", name: "operator")
                return try HTTPClient(
                    HTTPConfiguration(
                        authorities: .pem(test.issuer.certificate),
                        identity: HTTPIdentity(certificate: issued.certificate, key: issued.key)
                    )
                )
            }
            let answer = try await client(of: test.authority()).send(HTTPRequest(.get, test.url + "/"))
            #expect(String(decoding: answer.body, as: UTF8.self).contains("CN=operator"))
            let stranger = try client(of: CertificateAuthority(named: "test"))
            let error = await failure { () throws(HTTPError) in
                _ = try await stranger.send(HTTPRequest(.get, test.url + "/"))
            }
            #expect(error != nil)
            #expect(test.server.counts.requests == 1)
        }
    }

    @Test("credentials that are no PEM text, and files that are not there, are named")
    func badCredentials() async throws {
        let client = try HTTPClient(HTTPConfiguration(authorities: .pem(Array("nonsense".utf8))))
        let request = HTTPRequest(.get, "https://127.0.0.1:1/")
        #expect(await failure { () throws(HTTPError) in _ = try await client.send(request) } != nil)
        #expect(throws: HTTPError.self) { try HTTPAuthorities.file("/nowhere/ca.crt") }
        #expect(throws: HTTPError.self) { try HTTPIdentity(certificateFile: "/nowhere/a", keyFile: "/nowhere/b") }
    }

    @Test("what cannot be sent safely is refused before anything is sent")
    func refusedRequests() async throws {
        try await TestServer.run(handler: Self.echo) { test in
            let plain = HTTPRequest(.get, "http://127.0.0.1:\(test.server.port)/")
            let file = HTTPRequest(.get, "file:///etc/passwd")
            let blank = HTTPRequest(.get, test.url + "/a b")
            let injected = HTTPRequest(.get, test.url + "/", headers: [HTTPHeader("A", "b\r\nC: d")])
            let unnamed = HTTPRequest(.get, test.url + "/", headers: [HTTPHeader("A: b", "c")])
            for request in [plain, file, blank, injected, unnamed] {
                let error = await failure { () throws(HTTPError) in
                    _ = try await test.client.send(request)
                }
                #expect(error?.kind == .invalid, "\(request.url)")
            }
            #expect(test.server.counts.accepted == 0)
        }
    }

    @Test("nobody there, and nobody who answers, end within their limits")
    func limitsOfTime() async throws {
        try await TestServer.run { _, _ in
        } body: { test in
            let silent = HTTPRequest(.get, test.url + "/", deadline: .milliseconds(200))
            let late = await failure { () throws(HTTPError) in
                _ = try await test.client.send(silent)
            }
            #expect(late?.kind == .deadline && late?.mayHaveTakenEffect == true && late?.isRetryable == true)
            let header = await failure { () throws(HTTPError) in
                _ = try await test.client.stream(silent)
            }
            #expect(header?.kind == .deadline)
            try await eventually("the server sees that nobody waits") { test.server.counts.open == 0 }
        }
        let client = try HTTPClient(HTTPConfiguration(authorities: .system))
        let nobody = await failure { () throws(HTTPError) in
            _ = try await client.send(HTTPRequest(.get, "https://127.0.0.1:1/"))
        }
        #expect(nobody?.kind == .unreachable && nobody?.mayHaveTakenEffect == false)
    }

    @Test("an answer that breaks off at any byte is an error")
    func cutAnswers() async throws {
        let body = Array("0123456789".utf8)
        // Learn the length of the whole answer first, so that a cut at its last byte but one is among the tests.
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
        try await TestServer.run { request, responder in
            responder.cut(afterBytes: Int(request.path[0]) ?? 0)
            responder.answer(200, body: body)
        } body: { test in
            for count in 0..<head.utf8.count + body.count {
                let request = HTTPRequest(.post, "\(test.url)/\(count)", body: [1])
                let error = await failure { () throws(HTTPError) in
                    _ = try await test.client.send(request)
                }
                #expect(error?.kind == .lost && error?.mayHaveTakenEffect == true, "cut after \(count) bytes")
            }
        }
    }

    @Test("answers with too large a body or header are given up")
    func limitsOfSize() async throws {
        try await TestServer.run { request, responder in
            let size = Int(request.path[1]) ?? 0
            if request.path[0] == "body" { return responder.answer(200, body: Array(repeating: 65, count: size)) }
            responder.answer(200, headers: [("X-Long", String(repeating: "a", count: size))])
        } body: { test in
            func ask(_ path: String) async -> HTTPError? {
                await failure { () throws(HTTPError) in
                    _ = try await test.client.send(HTTPRequest(.get, test.url + path, bodyLimit: 1000))
                }
            }
            #expect(await ask("/body/1000") == nil)
            #expect(await ask("/body/1001")?.kind == .tooLarge)
            #expect(await ask("/header/60000") == nil)
            #expect(await ask("/header/66000")?.kind == .tooLarge)
        }
    }

    @Test("more requests than allowed are refused, and places become free again")
    func transferLimit() async throws {
        try await TestServer.run(configure: { $0.transferLimit = 2 }) { _, _ in
        } body: { test in
            let request = HTTPRequest(.get, test.url + "/", deadline: .milliseconds(500))
            let kinds = await withTaskGroup(of: HTTPError.Kind?.self) { group in
                for _ in 0..<6 {
                    group.addTask {
                        await failure { () throws(HTTPError) in _ = try await test.client.send(request) }?.kind
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(kinds.filter { $0 == .closed }.count == 4 && kinds.filter { $0 == .deadline }.count == 2)
            let again = await failure { () throws(HTTPError) in
                _ = try await test.client.send(request)
            }
            #expect(again?.kind == .deadline)
        }
    }
}
