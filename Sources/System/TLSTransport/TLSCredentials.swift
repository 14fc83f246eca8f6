import Platform

/// What one side of a connection shows and trusts, as PEM text.
public struct TLSCredentials: Sendable {
    /// Certificates of the authorities that a peer's certificate must come from.
    public let authorities: [UInt8]
    /// Our own certificate, followed by any intermediate ones.
    public let certificate: [UInt8]
    /// The private key of our own certificate, not encrypted.
    public let key: [UInt8]

    /// Takes PEM text as it is; it is checked when a context is made of it.
    public init(authorities: [UInt8], certificate: [UInt8], key: [UInt8]) {
        self.authorities = authorities
        self.certificate = certificate
        self.key = key
    }
}

/// Where the credentials lie, so that they can be read again when they were renewed.
public struct TLSFiles: Sendable, Hashable {
    /// PEM file with the certificates of the trusted authorities.
    public let authorities: String
    /// PEM file with our own certificate, followed by any intermediate ones.
    public let certificate: String
    /// PEM file with the private key of our own certificate.
    public let key: String

    /// The largest size of such a file, in bytes.
    public static let sizeLimit = 65536

    /// Names the three files.
    public init(authorities: String, certificate: String, key: String) {
        self.authorities = authorities
        self.certificate = certificate
        self.key = key
    }

    /// Reads the three files.
    ///
    /// - Throws: `TLSError` naming the file that is missing, unreadable or too large.
    public func read() throws(TLSError) -> TLSCredentials {
        TLSCredentials(
            authorities: try contents(authorities, "certificate authority"),
            certificate: try contents(certificate, "certificate"),
            key: try contents(key, "private key")
        )
    }

    private func contents(_ path: String, _ what: String) throws(TLSError) -> [UInt8] {
        let bytes: [UInt8]?
        do {
            bytes = try DurableFile.read(path, limit: Self.sizeLimit)
        } catch {
            throw TLSError("load \(what) \(path)", cause: error.cause, mend: "make it readable for this user")
        }
        guard let bytes else {
            throw TLSError("load \(what) \(path)", cause: "there is no such file", mend: "create it or name another")
        }
        return bytes
    }
}
