import Foundation
import HTTPTransport
import JSON
import KubernetesClient
import KubernetesObjects
import KubernetesStandIn
import TLSTransport
import Testing

@Suite("Kubernetes requests", .serialized)
struct RequestTests {
    @Test("a write whose answer is lost says so, and writing the same version again is a conflict")
    func lostAnswer() async throws {
        try await Fixture.run { test in
            let first = try await test.create("a")
            var changed = first
            changed["spec", "size"] = 2
            test.api.inject(StandInFault(.loseAnswer, times: 2) { $0.method == "PUT" })
            let lost = await failure {
                _ = try await test.client.replace(changed, of: Fixture.widgets, fieldManager: "test")
            }
            #expect(lost?.kind == .transport(.lost) && lost?.mayHaveTakenEffect == true)
            let again = await failure {
                _ = try await test.client.replace(changed, of: Fixture.widgets, fieldManager: "test")
            }
            #expect(again?.isConflict == true || again?.kind == .transport(.lost))
            let read = try await test.get("a")
            #expect(read.spec["size"] == 2, "the write took effect once")
            #expect(read.generation == 2)
        }
    }

    @Test("an answer cut at any byte is an error, and the next request works")
    func cutAnswers() async throws {
        try await Fixture.run { test in
            try await test.create("a")
            let whole = try await test.get("a").content.bytes.count + 80
            for count in stride(from: 0, to: whole, by: 13) {
                test.api.inject(StandInFault(.cut(afterBytes: count), times: 2) { $0.method == "GET" })
                let error = await failure { _ = try await test.get("a") }
                #expect(error?.kind == .transport(.lost), "cut after \(count) bytes")
                // A second one may be left where libcurl did not ask twice.
                _ = await failure { _ = try await test.get("a") }
                #expect(try await test.get("a").name == "a")
            }
        }
    }

    @Test("too many requests, and a server that asks to wait, are waited for within bounds")
    func retryAfter() async throws {
        var limits = Fixture.quick
        limits.retryAfterLimit = .seconds(2)
        limits.deadline = .seconds(5)
        try await Fixture.run(limits: limits) { test in
            try await test.create("a")
            test.api.inject(StandInFault(.refuse(status: 429, retryAfterSeconds: 0)))
            test.api.inject(StandInFault(.refuse(status: 503, retryAfterSeconds: 1)))
            let begin = ContinuousClock.now
            #expect(try await test.get("a").name == "a")
            #expect(ContinuousClock.now - begin >= .seconds(1))
            test.api.inject(StandInFault(.refuse(status: 429, retryAfterSeconds: 3600)))
            let late = await failure { _ = try await test.get("a") }
            #expect(
                late?.status?.code == 429 && late?.status?.retryAfter == .seconds(3600) && late?.isRetryable == true
            )
            test.api.inject(StandInFault(.refuse(status: 500, retryAfterSeconds: nil)))
            let broken = await failure { _ = try await test.get("a") }
            #expect(broken?.status?.code == 500 && broken?.mayHaveTakenEffect == true)
            test.api.inject(StandInFault(.refuse(status: 429, retryAfterSeconds: 0), times: 100))
            #expect(await failure { _ = try await test.get("a") }?.status?.code == 429)
            let asked = test.api.log.filter { $0.hasPrefix("GET") }
            #expect(asked.count == 10, "three for the first, one each for the next two, five for the last")
        }
    }

    @Test("a server that does not answer is given up by the deadline, a cancelled task at once")
    func silence() async throws {
        var limits = Fixture.quick
        limits.deadline = .milliseconds(400)
        try await Fixture.run(limits: limits) { test in
            test.api.inject(StandInFault(.silence))
            let late = await failure { _ = try await test.get("a") }
            #expect(late?.kind == .transport(.deadline))
        }
        try await Fixture.run { test in
            test.api.inject(StandInFault(.silence))
            let begin = ContinuousClock.now
            let task = Task { await failure { _ = try await test.get("a") } }
            try await eventually("the request arrived") { !test.api.log.isEmpty }
            task.cancel()
            #expect(await task.value?.isCancelled == true)
            #expect(ContinuousClock.now - begin < .seconds(10))
        }
    }

    @Test("no more requests than allowed leave the client")
    func rate() async throws {
        var limits = Fixture.quick
        limits.requestsPerSecond = 20
        limits.burst = 5
        limits.deadline = .milliseconds(500)
        try await Fixture.run(limits: limits) { test in
            let begin = ContinuousClock.now
            let errors = await withTaskGroup(of: KubernetesError?.self) { group in
                for _ in 0..<40 { group.addTask { await failure { _ = try await test.client.serverVersion() } } }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(errors.contains { $0?.kind == .throttled })
            let elapsed = (ContinuousClock.now - begin).components
            let allowed = 5 + 20 * (elapsed.seconds * 1000 + elapsed.attoseconds / 1_000_000_000_000_000) / 1000 + 1
            #expect(test.api.counts.requests <= allowed)
        }
    }

    @Test("a token that the server does not take is read again from its file, once")
    func rotation() async throws {
        try await Fixture.run { test in
            let folder = FileManager.default.temporaryDirectory.appending(path: "understudy-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            try Data("secret\n".utf8).write(to: folder.appending(path: "token"))
            try Data(test.issuer.certificate).write(to: folder.appending(path: "ca.crt"))
            try Data("orders".utf8).write(to: folder.appending(path: "namespace"))
            let environment = ["KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "\(test.api.port)"]
            let credentials = try KubernetesCredentials.inCluster(environment: environment, folder: folder.path)
            #expect(credentials.namespace == "orders")
            let client = try KubernetesClient(credentials, limits: Fixture.quick)
            _ = try await client.serverVersion()
            test.api.accept(tokens: ["renewed"])
            let refused = await failure { _ = try await client.serverVersion() }
            #expect(refused?.status?.code == 401 && refused?.description.contains("secret") == false)
            try Data("renewed".utf8).write(to: folder.appending(path: "token"))
            _ = try await client.serverVersion()
            #expect(test.api.counts.requests == 1 + 2 + 2)
            let six = environment.merging(["KUBERNETES_SERVICE_HOST": "::1"]) { $1 }
            let server = try KubernetesCredentials.inCluster(environment: six, folder: folder.path).server
            #expect(server == "https://[::1]:\(test.api.port)")
            #expect(throws: KubernetesError.self) {
                try KubernetesCredentials.inCluster(environment: [:], folder: folder.path)
            }
            client.close()
        }
    }

    @Test("an authority that was renewed in its file is taken up, a wrong one is refused")
    func authorities() async throws {
        try await Fixture.run { test in
            let file = FileManager.default.temporaryDirectory.appending(path: "understudy-\(UUID().uuidString).pem")
            defer { try? FileManager.default.removeItem(at: file) }
            let other = try CertificateAuthority(named: "kubernetes").pem.certificate
            try Data(other).write(to: file)
            var credentials = test.credentials
            credentials.authorities = try .file(file.path)
            credentials.authoritiesFile = file.path
            let client = try KubernetesClient(credentials, limits: Fixture.quick)
            let error = await failure { _ = try await client.serverVersion() }
            #expect(error?.kind == .transport(.untrusted) && test.api.counts.requests == 0)
            try Data(test.issuer.certificate).write(to: file)
            #expect(try await client.serverVersion().major == 1)
            client.close()
        }
    }

    @Test("the server is strict: unknown routes, other content types, broken bodies, bodies too large, no account")
    func strictness() async throws {
        try await Fixture.run(bodyLimit: 1000) { test in
            let http = try HTTPClient(HTTPConfiguration(authorities: test.credentials.authorities))
            let widgets = "/apis/test.dev/v1/namespaces/default/widgets"
            func status(
                _ method: HTTPMethod,
                _ path: String,
                _ type: String = "application/json",
                _ body: String? = nil,
                token: String = "secret"
            ) async throws -> Int {
                let headers = [HTTPHeader("Authorization", "Bearer \(token)"), HTTPHeader("Content-Type", type)]
                let url = test.credentials.server + path
                let request = HTTPRequest(method, url, headers: headers, body: body.map { Array($0.utf8) })
                return try await http.send(request).head.status
            }
            #expect(try await status(.get, "/apis/test.dev/v1/gadgets") == 404)
            #expect(try await status(.get, "/apis/test.dev/v1/namespaces/default/configmaps") == 404)
            #expect(try await status(.get, "/api/v1/namespaces/default/configmaps/x/status") == 404)
            #expect(try await status(.get, "/elsewhere") == 404)
            #expect(try await status(.post, widgets, "text/plain", "{}") == 415)
            #expect(try await status(.patch, widgets + "/a", "application/json", "{}") == 415)
            #expect(try await status(.post, widgets, "application/json", "{") == 400)
            #expect(try await status(.post, widgets, "application/json", "{}") == 400)
            #expect(try await status(.post, widgets, "application/json", String(repeating: " ", count: 1001)) == 413)
            #expect(try await status(.put, widgets, "application/json", "{}") == 405)
            #expect(try await status(.get, widgets, token: "guess") == 401)
            let absent = #"{"kind":"Widget","apiVersion":"test.dev/v1","metadata":{"name":"a"}}"#
            #expect(
                try await status(.post, "/apis/test.dev/v1/namespaces/x/widgets", "application/json", absent) == 404
            )
            let badName = absent.replacing("\"a\"", with: "\"A_b\"")
            #expect(try await status(.post, widgets, "application/json", badName) == 422)
            http.close()
        }
    }
}
