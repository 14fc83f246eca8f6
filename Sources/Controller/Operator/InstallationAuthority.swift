import ClusterModel
import ClusterProtocol
import FoundationEssentials
import JSON
import KubernetesClient
import KubernetesObjects
import TLSTransport

/// The authority that signs the certificates of one installation, kept in a Secret.
///
/// Whoever may read that Secret can be anybody to every agent: only the operator's own account should.
struct InstallationAuthority: Sendable {
    /// The Secret's name, in the namespace of the installation.
    static let secretName = "understudy-authority"
    /// In Secrets: certificates that peers must be signed by.
    static let authorities = "ca.crt"
    static let authorityKey = "ca.key"
    static let certificate = "tls.crt"
    static let key = "tls.key"

    private let certificate: [UInt8]
    private let key: [UInt8]

    /// Reads the authority, or makes it if there is none.
    ///
    /// - Throws: `KubernetesError`; an authority that is garbled is one that says how to mend it.
    static func open(
        _ client: KubernetesClient,
        namespace: String
    ) async throws(KubernetesError) -> InstallationAuthority {
        let place = "Secret '\(secretName)' in namespace '\(namespace)'"
        do throws(KubernetesError) {
            return try InstallationAuthority(
                try await client.get(.secrets, namespace: namespace, name: secretName),
                place
            )
        } catch {
            guard error.isNotFound else { throw error }
        }
        let made: CertificateAuthority.Issued
        do {
            made = try CertificateAuthority(named: "understudy installation \(namespace)").pem
        } catch {
            throw KubernetesError(.credentials, "make a certificate authority", cause: error.description)
        }
        var secret = KubernetesObject(.secrets, namespace: namespace, name: secretName)
        secret.content["type"] = "Opaque"
        secret.content["data"] = [
            authorities: .string(encoded(made.certificate)), authorityKey: .string(encoded(made.key)),
        ]
        do throws(KubernetesError) {
            let written = try await client.create(secret, of: .secrets, fieldManager: PlanExecutor.fieldManager)
            return try InstallationAuthority(written, place)
        } catch {
            // Another operator was faster, or our own attempt was sent twice.
            guard error.isAlreadyExists else { throw error }
            return try InstallationAuthority(
                try await client.get(.secrets, namespace: namespace, name: secretName),
                place
            )
        }
    }

    private init(_ secret: KubernetesObject, _ place: String) throws(KubernetesError) {
        func bytes(_ name: String) -> [UInt8] {
            let text = secret.content["data"]?[name]?.string ?? ""
            return Data(base64Encoded: text).map { Array($0) } ?? []
        }
        (certificate, key) = (bytes(Self.authorities), bytes(Self.authorityKey))
        do {
            _ = try CertificateAuthority(certificate: certificate, key: key)
        } catch {
            let mend =
                "put '\(Self.authorities)' and '\(Self.authorityKey)' back as they were; without them every certificate "
                + "has to be made anew: delete this Secret and those of the instances"
            throw KubernetesError(.credentials, "use \(place)", cause: error.description, mend: mend)
        }
    }

    /// What the controllers of every cluster show, and whom they trust.
    ///
    /// - Throws: `TLSError` if the library refuses.
    func controllerCredentials() throws(TLSError) -> TLSCredentials {
        let authority = try CertificateAuthority(certificate: certificate, key: key)
        let issued = try authority.issue(uri: PeerIdentity.controllerOfEveryCluster, name: "understudy controller")
        return TLSCredentials(authorities: certificate, certificate: issued.certificate, key: issued.key)
    }

    /// Fills the Secret of an instance: its agent's certificate, which speaks for that instance of that cluster only.
    ///
    /// - Throws: `KubernetesError` if the names stand for nobody, `TLSError` if the library refuses.
    func issue(_ instance: String, begun: KubernetesObject) throws -> KubernetesObject {
        let owner = begun.ownerReferences.first { $0.isController }
        guard let cluster = ClusterName(owner?.uid ?? ""), let name = InstanceName(instance),
            let identity = PeerIdentity(cluster: cluster, role: .agent(name))
        else {
            let cause = "'\(instance)' of '\(owner?.uid ?? "")' is no identity"
            throw KubernetesError(.malformed, "issue the certificate '\(begun.name)'", cause: cause)
        }
        let authority = try CertificateAuthority(certificate: certificate, key: key)
        let issued = try authority.issue(
            uri: identity.uri,
            name: instance,
            validFor: .seconds(10 * 365 * 86400)
        )
        var secret = begun
        secret.content["data"] = [
            Self.authorities: .string(Self.encoded(certificate)),
            Self.certificate: .string(Self.encoded(issued.certificate)), Self.key: .string(Self.encoded(issued.key)),
        ]
        return secret
    }

    private static func encoded(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }
}
