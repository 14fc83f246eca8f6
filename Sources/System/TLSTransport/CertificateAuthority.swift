import COpenSSL
public import Platform

/// An authority that signs certificates of one cluster: EC P-256 keys, SHA-256 signatures.
public final class CertificateAuthority {
    private let certificate: Certificate
    private let key: PrivateKey

    /// A certificate and its private key as PEM text.
    public struct Issued: Sendable {
        /// The certificate.
        public let certificate: [UInt8]
        /// Its private key, not encrypted.
        public let key: [UInt8]
    }

    /// Makes a new authority.
    ///
    /// - Parameters:
    ///   - name: Its common name, for people.
    ///   - validFor: How long its own certificate is valid from now; negative makes an expired one.
    /// - Throws: `TLSError` if the library refuses.
    public init(named name: String, validFor: Duration = .seconds(10 * 365 * 86400)) throws(TLSError) {
        let attempt = "make certificate authority \(name)"
        guard let key = PrivateKey() else { throw TLSError.lifted(attempt) }
        let draft = try CertificateDraft(attempt: attempt, name: name, key: key, validFor: validFor)
        try draft.add(NID_basic_constraints, "critical,CA:TRUE,pathlen:0", issuer: draft.certificate)
        try draft.add(NID_key_usage, "critical,keyCertSign,cRLSign", issuer: draft.certificate)
        try draft.add(NID_subject_key_identifier, "hash", issuer: draft.certificate)
        self.certificate = try draft.signed(by: draft.certificate, key)
        self.key = key
    }

    /// Takes up an authority made before.
    public init(certificate: [UInt8], key: [UInt8]) throws(TLSError) {
        let attempt = "load certificate authority"
        guard let certificate = Certificate.all(in: certificate)?.first, let key = PrivateKey(pem: key) else {
            throw TLSError.lifted(attempt, otherwise: "it holds no PEM certificate and key")
        }
        guard unsafe X509_check_private_key(certificate.handle, key.handle) == 1 else {
            throw TLSError.lifted(attempt)
        }
        self.certificate = certificate
        self.key = key
    }

    /// The authority's own certificate and key as PEM text; whoever holds the key is the authority.
    public var pem: Issued { Issued(certificate: certificate.pem(), key: key.pem()) }

    /// Signs a certificate that stands for one URI, as client and as server.
    ///
    /// - Parameters:
    ///   - uri: The identity, its only subject alternative name; letters, digits and `:/._-` only.
    ///   - name: The common name, for people; at most 64 characters.
    ///   - validFor: How long it is valid from now; negative makes an expired one.
    /// - Returns: The certificate and a new private key of its own.
    /// - Throws: `TLSError` if the name is not allowed or the library refuses.
    public func issue(
        uri: String,
        name: String,
        validFor: Duration = .seconds(365 * 86400)
    ) throws(TLSError) -> Issued {
        let attempt = "issue certificate for \(uri)"
        // The library reads the name as a line of configuration: nothing that could add another name may get there.
        let allowed = uri.utf8.allSatisfy { byte in
            (0x61...0x7a).contains(byte) || (0x41...0x5a).contains(byte) || (0x2d...0x3a).contains(byte)
                || byte == UInt8(ascii: "_")
        }
        guard allowed, !uri.isEmpty, uri.utf8.count <= CertificateSummary.uriLimit else {
            throw TLSError(attempt, cause: "the name has a character that is not allowed")
        }
        return try issue(alternatives: "URI:\(uri)", name: name, validFor: validFor, attempt)
    }

    /// Signs a certificate that stands for hosts, for servers whose clients check the name they connected to.
    ///
    /// - Parameters:
    ///   - hosts: DNS names and numeric addresses, its subject alternative names; 1 to 32.
    ///   - name: The common name; at most 64 characters.
    ///   - validFor: How long it is valid from now; negative makes an expired one.
    /// - Returns: The certificate and a new private key of its own.
    /// - Throws: `TLSError` if a name is not allowed or the library refuses.
    public func issue(
        hosts: [String],
        name: String,
        validFor: Duration = .seconds(365 * 86400)
    ) throws(TLSError) -> Issued {
        let attempt = "issue certificate for \(hosts.joined(separator: ", "))"
        let areAllowed = hosts.allSatisfy { host in
            !host.isEmpty && host.utf8.count <= 253
                && host.utf8.allSatisfy { byte in
                    (0x61...0x7a).contains(byte) || (0x41...0x5a).contains(byte) || (0x30...0x3a).contains(byte)
                        || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
                }
        }
        guard areAllowed, (1...32).contains(hosts.count) else {
            throw TLSError(attempt, cause: "a name has a character that is not allowed, or there are too few or many")
        }
        let alternatives = hosts.map { host in
            let isAddress = host.contains(":") || host.utf8.allSatisfy { $0 == 0x2e || (0x30...0x39).contains($0) }
            return isAddress ? "IP:\(host)" : "DNS:\(host)"
        }
        return try issue(alternatives: alternatives.joined(separator: ","), name: name, validFor: validFor, attempt)
    }

    private func issue(
        alternatives: String,
        name: String,
        validFor: Duration,
        _ attempt: String
    ) throws(TLSError) -> Issued {
        guard let ownKey = PrivateKey() else { throw TLSError.lifted(attempt) }
        let draft = try CertificateDraft(attempt: attempt, name: name, key: ownKey, validFor: validFor)
        try draft.add(NID_basic_constraints, "critical,CA:FALSE", issuer: certificate)
        try draft.add(NID_key_usage, "critical,digitalSignature", issuer: certificate)
        try draft.add(NID_ext_key_usage, "serverAuth,clientAuth", issuer: certificate)
        try draft.add(NID_subject_alt_name, alternatives, issuer: certificate)
        try draft.add(NID_authority_key_identifier, "keyid", issuer: certificate)
        return Issued(certificate: try draft.signed(by: certificate, key).pem(), key: ownKey.pem())
    }

    /// Signs a certificate and writes it with its key beside the authority's certificate.
    ///
    /// - Parameters:
    ///   - uri: The identity.
    ///   - name: The common name.
    ///   - files: Where to write; the key is readable by its owner only.
    ///   - owner: Whom the files are given to; `nil` leaves them to this process's user.
    ///   - validFor: How long it is valid from now.
    /// - Throws: `TLSError` if the name is not allowed, `PlatformError` if a file cannot be written.
    public func issue(
        uri: String,
        name: String,
        to files: TLSFiles,
        owner: UserAccount? = nil,
        validFor: Duration = .seconds(365 * 86400)
    ) throws {
        let issued = try issue(uri: uri, name: name, validFor: validFor)
        try DurableFile.write(issued.key, to: files.key, mode: 0o600)
        try DurableFile.write(issued.certificate, to: files.certificate, mode: 0o644)
        try DurableFile.write(certificate.pem(), to: files.authorities, mode: 0o644)
        for path in [files.key, files.certificate, files.authorities] { try owner?.takeOwnership(of: path) }
    }
}

/// A certificate that is being filled in.
private struct CertificateDraft {
    let attempt: String
    let certificate: Certificate

    init(attempt: String, name: String, key: PrivateKey, validFor: Duration) throws(TLSError) {
        self.attempt = attempt
        guard let made = unsafe X509_new() else { throw TLSError.lifted(attempt) }
        certificate = unsafe Certificate(owning: made)
        var serial: UInt64 = .random(in: 1...UInt64(Int64.max))
        serial |= 1 << 62
        // Clocks of two machines differ a little: a new certificate is valid from a while ago.
        let start = min(-300, Int(validFor.components.seconds) - 300)
        let subject = unsafe X509_get_subject_name(made)
        let written =
            unsafe X509_set_version(made, 2) == 1
            && ASN1_INTEGER_set_uint64(X509_get_serialNumber(made), serial) == 1
            && X509_gmtime_adj(X509_getm_notBefore(made), start) != nil
            && X509_gmtime_adj(X509_getm_notAfter(made), Int(validFor.components.seconds)) != nil
            && X509_NAME_add_entry_by_txt(subject, "CN", 0x1000 | 1, String(name.prefix(64)), -1, -1, 0) == 1
            && X509_set_pubkey(made, key.handle) == 1
        guard written else { throw TLSError.lifted(attempt) }
    }

    func add(_ extensionNumber: Int32, _ value: String, issuer: Certificate) throws(TLSError) {
        guard unsafe COpenSSL_add_extension(certificate.handle, issuer.handle, extensionNumber, value) == 1 else {
            throw TLSError.lifted(attempt)
        }
    }

    func signed(by issuer: Certificate, _ key: PrivateKey) throws(TLSError) -> Certificate {
        let name = unsafe X509_get_subject_name(issuer.handle)
        guard unsafe X509_set_issuer_name(certificate.handle, name) == 1,
            unsafe X509_sign(certificate.handle, key.handle, EVP_sha256()) > 0
        else { throw TLSError.lifted(attempt) }
        return certificate
    }
}
