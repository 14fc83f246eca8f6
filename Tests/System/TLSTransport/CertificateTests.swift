import Foundation
import Platform
import TLSTransport
import Testing

@Suite("Certificates")
struct CertificateTests {
    private let folder: String

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "understudy-test-\(UUID().uuidString)").path
        try DurableFile.makeDirectory(folder)
    }

    private func files(_ name: String) -> TLSFiles {
        TLSFiles(
            authorities: "\(folder)/\(name)-ca.pem",
            certificate: "\(folder)/\(name).pem",
            key: "\(folder)/\(name).key"
        )
    }

    /// Runs the test's body and removes its folder whatever comes of it.
    private func cleanly(_ body: () async throws -> Void) async throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await body()
    }

    @Test("an issued certificate names its identity, and the openssl program verifies it")
    func issuedVerifies() async throws {
        try await cleanly {
            let authority = try CertificateAuthority(named: "understudy main")
            try authority.issue(uri: "understudy://main/a", name: "a", to: files("a"))
            let context = try TLSContext(files: files("a"))
            #expect(context.certificate.uris == ["understudy://main/a"])
            #expect(context.complaint == nil)
            #expect((364 * 86400...365 * 86400).contains(context.certificate.secondsLeft))
            let request = ProcessRequest(
                "/usr/bin/openssl",
                ["verify", "-x509_strict", "-CAfile", files("a").authorities, files("a").certificate]
            )
            let outcome = try await ChildProcess.run(request, deadline: .seconds(20))
            #expect(outcome.exit.isSuccess, "\(outcome.errorText)")
            let mode = try FileManager.default.attributesOfItem(atPath: files("a").key)[.posixPermissions] as? Int
            #expect(mode == 0o600)
        }
    }

    @Test("an authority that was written down signs again")
    func authorityIsTakenUp() async throws {
        try await cleanly {
            let pem = try CertificateAuthority(named: "understudy main").pem
            let again = try CertificateAuthority(certificate: pem.certificate, key: pem.key)
            try again.issue(uri: "understudy://main/a", name: "a", to: files("a"))
            #expect(try TLSContext(files: files("a")).complaint == nil)
            let other = try CertificateAuthority(named: "other").pem
            #expect(throws: TLSError.self) {
                _ = try CertificateAuthority(certificate: pem.certificate, key: other.key)
            }
        }
    }

    @Test(
        "a name that could smuggle a second identity is refused",
        arguments: [
            "understudy://main/a,URI:understudy://main/controller", "a\nb", "", "understudy://main/ä", "@section",
            "a b",
        ]
    )
    func smuggledNameIsRefused(_ uri: String) async throws {
        try await cleanly {
            let authority = try CertificateAuthority(named: "understudy main")
            #expect(throws: TLSError.self) { _ = try authority.issue(uri: uri, name: "a") }
        }
    }

    @Test("missing, oversized and wrong files are named with what is wrong")
    func wrongFilesAreNamed() async throws {
        try await cleanly {
            let authority = try CertificateAuthority(named: "understudy main")
            let good = files("a")
            try authority.issue(uri: "understudy://main/a", name: "a", to: good)
            try authority.issue(uri: "understudy://main/b", name: "b", to: files("b"))
            try DurableFile.write(Array("nothing".utf8), to: folder + "/text")
            try DurableFile.write([UInt8](repeating: 65, count: 70000), to: folder + "/huge")
            func sentence(_ authorities: String, _ certificate: String, _ key: String) -> String {
                let files = TLSFiles(authorities: authorities, certificate: certificate, key: key)
                do {
                    _ = try TLSContext(files: files)
                    return "accepted"
                } catch {
                    return error.description
                }
            }
            #expect(sentence(good.authorities, folder + "/none", good.key).contains("there is no such file"))
            #expect(sentence(folder + "/text", good.certificate, good.key).contains("it holds no PEM certificate"))
            #expect(sentence(good.authorities, folder + "/huge", good.key).contains("more than the limit of 65536"))
            #expect(sentence(good.authorities, good.certificate, folder + "/text").contains("no unencrypted PEM"))
            #expect(sentence(good.authorities, good.certificate, files("b").key).contains("does not belong to"))
        }
    }

    @Test("an encrypted key is refused without asking for its password")
    func encryptedKeyIsRefused() async throws {
        try await cleanly {
            let authority = try CertificateAuthority(named: "understudy main")
            let good = files("a")
            try authority.issue(uri: "understudy://main/a", name: "a", to: good)
            let locked = folder + "/locked.key"
            let request = ProcessRequest(
                "/usr/bin/openssl",
                ["pkcs8", "-topk8", "-in", good.key, "-out", locked, "-passout", "pass:secret"]
            )
            #expect(try await ChildProcess.run(request, deadline: .seconds(20)).exit.isSuccess)
            let files = TLSFiles(authorities: good.authorities, certificate: good.certificate, key: locked)
            let error = #expect(throws: TLSError.self) { _ = try TLSContext(files: files) }
            #expect(error?.description.contains("no unencrypted PEM") == true, "\(error?.description ?? "accepted")")
        }
    }

    @Test("a reload takes a good new certificate and keeps the old one instead of a bad one")
    func reloadIsAllOrNothing() async throws {
        try await cleanly {
            let authority = try CertificateAuthority(named: "understudy main")
            let place = files("a")
            try authority.issue(uri: "understudy://main/a", name: "a", to: place, validFor: .seconds(3600))
            let context = try TLSContext(files: place)
            try authority.issue(uri: "understudy://main/a", name: "a", to: place, validFor: .seconds(7200))
            try context.reload()
            #expect(context.certificate.secondsLeft > 3600)

            func refusal() -> String {
                do {
                    try context.reload()
                    return "accepted"
                } catch {
                    return error.description
                }
            }
            try authority.issue(uri: "understudy://main/a", name: "a", to: place, validFor: .seconds(-10))
            #expect(refusal().contains("expired"))
            try authority.issue(uri: "understudy://main/b", name: "b", to: place)
            #expect(refusal().contains("belongs to"))
            let stranger = try CertificateAuthority(named: "stranger").issue(uri: "understudy://main/a", name: "a")
            try DurableFile.write(stranger.certificate, to: place.certificate)
            try DurableFile.write(stranger.key, to: place.key)
            #expect(refusal().contains("does not verify"))
            try DurableFile.write(Array("garbage".utf8), to: place.key)
            #expect(refusal().contains("could not load private key"))
            #expect(context.certificate.uris == ["understudy://main/a"])
            #expect(context.certificate.secondsLeft > 3600)
        }
    }
}
