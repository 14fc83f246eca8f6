import COpenSSL
import Synchronization

/// The settings that every new connection of one side is made from: TLS 1.3 only, mutual authentication.
///
/// Renewed credentials replace the whole set at once; connections that are up keep the one they began with.
public final class TLSContext: Sendable {
    private let files: TLSFiles?
    let admitsAnonymous: Bool
    private let current: Mutex<LibraryContext>

    /// Makes a context of files, which `reload` reads again.
    ///
    /// An expired certificate is accepted here, so that a program can start and be mended later: see `complaint`.
    ///
    /// - Throws: `TLSError` naming the file that is missing, unreadable or does not hold what it should.
    public init(files: TLSFiles) throws(TLSError) {
        self.files = files
        admitsAnonymous = false
        current = Mutex(try LibraryContext(try files.read(), named: files))
    }

    /// Makes a context of PEM text in memory.
    ///
    /// - Parameters:
    ///   - credentials: What this side shows and trusts.
    ///   - admitsAnonymous: Whether, as a server, peers are served that show no certificate; one that is shown is
    ///     checked all the same.
    /// - Throws: `TLSError` if the text does not hold what it should.
    public init(credentials: TLSCredentials, admitsAnonymous: Bool = false) throws(TLSError) {
        files = nil
        self.admitsAnonymous = admitsAnonymous
        current = Mutex(try LibraryContext(credentials, named: nil, admitsAnonymous: admitsAnonymous))
    }

    /// Our own certificate as new connections show it.
    public var certificate: CertificateSummary { snapshot().summary }

    /// What would make peers refuse our own certificate now; `nil` when nothing would.
    public var complaint: String? { snapshot().complaint() }

    /// Reads the files again and uses them for every new connection, or keeps the old ones.
    ///
    /// - Throws: `TLSError` if the new set cannot be read, does not belong together, would be refused by peers that
    ///   trust the same authority, or is another identity's; everything then goes on as before.
    public func reload() throws(TLSError) {
        guard let files else { return }
        let fresh = try LibraryContext(try files.read(), named: files)
        let attempt = "reload certificate \(files.certificate)"
        if let complaint = fresh.complaint() {
            throw TLSError(attempt, cause: complaint, mend: "the old one stays in use until this is mended")
        }
        guard fresh.summary.uris == certificate.uris else {
            throw TLSError(
                attempt,
                cause: "it belongs to \(fresh.summary.uris), not to \(certificate.uris)",
                mend: "an identity changes only by a restart; the old certificate stays in use"
            )
        }
        current.withLock { $0 = fresh }
    }

    func snapshot() -> LibraryContext { current.withLock { $0 } }
}

/// Owner of one `SSL_CTX`, which is never changed after it was made.
@safe
final class LibraryContext: @unchecked Sendable {
    // Safe to share: OpenSSL counts references atomically, and nothing is set on it after `init`.
    private let handle: OpaquePointer
    let summary: CertificateSummary

    init(
        _ credentials: TLSCredentials,
        named files: TLSFiles?,
        admitsAnonymous: Bool = false
    ) throws(TLSError) {
        let certificateName = files?.certificate ?? "in memory"
        guard let made = unsafe SSL_CTX_new(TLS_method()) else { throw TLSError.lifted("make a TLS context") }
        do {
            try unsafe Self.configure(made, admitsAnonymous)
            try unsafe Self.trust(made, credentials.authorities, name: files?.authorities ?? "in memory")
            summary = try unsafe Self.present(made, credentials.certificate, name: certificateName)
            try unsafe Self.unlock(made, credentials.key, name: files?.key ?? "in memory", for: certificateName)
        } catch {
            unsafe SSL_CTX_free(made)
            throw error
        }
        unsafe handle = made
    }

    deinit { unsafe SSL_CTX_free(handle) }

    /// Makes the state of one new connection; the caller owns it.
    func newConnection() -> OpaquePointer? { unsafe SSL_new(handle) }

    func complaint() -> String? {
        // Safe: the handle lives as long as this object.
        let result = Int(unsafe COpenSSL_verify_own_certificate(handle))
        _ = takeLibraryErrors()
        return result == Int(X509_V_OK) ? nil : "our certificate does not verify: \(verificationText(result))"
    }

    private static func configure(_ context: OpaquePointer, _ admitsAnonymous: Bool) throws(TLSError) {
        guard unsafe COpenSSL_allow_only_tls13(context) != 0 else { throw TLSError.lifted("demand TLS 1.3") }
        unsafe COpenSSL_forbid_resumption(context)
        unsafe COpenSSL_set_modes(context)
        let demand = admitsAnonymous ? 0 : SSL_VERIFY_FAIL_IF_NO_PEER_CERT
        unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER | demand, nil)
    }

    private static func trust(_ context: OpaquePointer, _ pem: [UInt8], name: String) throws(TLSError) {
        let attempt = "load certificate authority \(name)"
        let store = unsafe SSL_CTX_get_cert_store(context)
        var count = 0
        for certificate in try certificates(pem, attempt: attempt) {
            guard unsafe X509_STORE_add_cert(store, certificate.handle) == 1 else { throw TLSError.lifted(attempt) }
            count += 1
        }
        guard count > 0 else { throw TLSError(attempt, cause: "it holds no PEM certificate") }
    }

    private static func present(
        _ context: OpaquePointer,
        _ pem: [UInt8],
        name: String
    ) throws(TLSError) -> CertificateSummary {
        let attempt = "load certificate \(name)"
        let chain = try certificates(pem, attempt: attempt)
        guard let own = chain.first else { throw TLSError(attempt, cause: "it holds no PEM certificate") }
        guard unsafe SSL_CTX_use_certificate(context, own.handle) == 1 else { throw TLSError.lifted(attempt) }
        for certificate in chain.dropFirst() {
            guard unsafe COpenSSL_add_chain_certificate(context, certificate.handle) != 0 else {
                throw TLSError.lifted(attempt)
            }
        }
        return unsafe CertificateSummary(of: own.handle)
    }

    private static func unlock(
        _ context: OpaquePointer,
        _ pem: [UInt8],
        name: String,
        for certificate: String
    ) throws(TLSError) {
        let attempt = "load private key \(name)"
        guard let key = PrivateKey(pem: pem) else {
            _ = takeLibraryErrors()
            throw TLSError(attempt, cause: "it holds no unencrypted PEM private key")
        }
        guard unsafe SSL_CTX_use_PrivateKey(context, key.handle) == 1, unsafe SSL_CTX_check_private_key(context) == 1
        else {
            _ = takeLibraryErrors()
            throw TLSError(
                attempt,
                cause: "it does not belong to certificate \(certificate)",
                mend: "replace key and certificate together"
            )
        }
    }

    private static func certificates(_ pem: [UInt8], attempt: String) throws(TLSError) -> [Certificate] {
        guard let certificates = Certificate.all(in: pem) else {
            throw TLSError.lifted(attempt, otherwise: "it is damaged", mend: "it must hold PEM certificates only")
        }
        return certificates
    }
}
