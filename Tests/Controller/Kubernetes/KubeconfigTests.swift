import Foundation
import HTTPTransport
import KubernetesClient
import KubernetesStandIn
import TLSTransport
import Testing

@Suite("Kubeconfig")
struct KubeconfigTests {
    private func withFile(_ text: String, _ body: (String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "understudy-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "config")
        try Data(text.utf8).write(to: file)
        try await body(file.path)
    }

    private func text(cluster: String, user: String) -> String {
        """
        apiVersion: v1
        kind: Config
        current-context: main
        contexts:
        - name: main
          context: {cluster: c, user: u, namespace: orders}
        - name: other
          context: {cluster: absent, user: u}
        clusters:
        - name: c
          cluster: {\(cluster)}
        users:
        - name: u
          user: {\(user)}
        """
    }

    @Test("a client certificate and an authority within the file lead to the server")
    func certificate() async throws {
        try await Fixture.run { test in
            let issued = try test.authority().issue(uri: "understudy://test/admin", name: "admin")
            func encoded(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }
            let file = text(
                cluster: "server: \"https://127.0.0.1:\(test.api.port)/\", "
                    + "certificate-authority-data: \(encoded(test.issuer.certificate))",
                user: "client-certificate-data: \(encoded(issued.certificate)), client-key-data: \(encoded(issued.key))"
            )
            try await withFile(file) { path in
                let credentials = try KubernetesCredentials.kubeconfig(path)
                #expect(credentials.namespace == "orders" && credentials.token == .none)
                let client = try KubernetesClient(credentials)
                #expect(try await client.serverVersion().minor == 36)
                client.close()
                #expect(throws: KubernetesError.self) { try KubernetesCredentials.kubeconfig(path, context: "other") }
                #expect(throws: KubernetesError.self) { try KubernetesCredentials.kubeconfig(path, context: "none") }
            }
        }
    }

    @Test("files named in it count from its folder")
    func relativeFiles() async throws {
        let authority = try CertificateAuthority(named: "test").pem.certificate
        let file = text(
            cluster: "server: \"https://h:1\", certificate-authority: ca.pem",
            user: "tokenFile: sub/token"
        )
        try await withFile(file) { path in
            #expect(throws: KubernetesError.self) { try KubernetesCredentials.kubeconfig(path) }
            let folder = path.dropLast("config".count)
            try Data(authority).write(to: URL(filePath: folder + "ca.pem"))
            let credentials = try KubernetesCredentials.kubeconfig(path)
            #expect(credentials.authorities == .pem(authority) && credentials.token == .file(folder + "sub/token"))
            #expect(credentials.authoritiesFile == folder + "ca.pem")
        }
    }

    @Test(
        "what is not supported is refused with the entry's name and a mend",
        arguments: [
            ("server: \"https://h:1\", insecure-skip-tls-verify: true", "token: t", "insecure-skip-tls-verify"),
            ("server: \"https://h:1\", proxy-url: \"http://p\"", "token: t", "proxy-url"),
            ("server: \"http://h:1\"", "token: t", "https://"),
            ("server: \"https://h:1\"", "exec: {command: aws}", "exec"),
            ("server: \"https://h:1\"", "auth-provider: {name: gcp}", "auth-provider"),
            ("server: \"https://h:1\"", "username: a, password: hidden", "username"),
            ("server: \"https://h:1\"", "client-certificate-data: AAAA", "client key"),
            ("server: \"https://h:1\"", "{}", "neither"),
            ("server: \"https://h:1\", certificate-authority-data: \"!!\"", "token: t", "base64"),
        ]
    )
    func refused(cluster: String, user: String, word: String) async throws {
        let user = user == "{}" ? "" : user
        try await withFile(text(cluster: cluster, user: user)) { path in
            do throws(KubernetesError) {
                _ = try KubernetesCredentials.kubeconfig(path)
                Issue.record("it was accepted")
            } catch {
                #expect(error.kind == .credentials && error.description.contains(word), "\(error)")
                #expect(!error.mend.isEmpty && !error.description.contains("hidden"))
            }
        }
    }

    @Test("a missing, broken or empty file is named")
    func broken() async throws {
        #expect(throws: KubernetesError.self) { try KubernetesCredentials.kubeconfig("/nowhere/config") }
        for text in ["", "a: [", "current-context: x", "- list", "current-context: main\ncontexts: 7"] {
            try await withFile(text) { path in
                #expect(throws: KubernetesError.self) { try KubernetesCredentials.kubeconfig(path) }
            }
        }
    }
}
