import Platform

/// Whom a client believes to be the server that its address names.
public enum HTTPAuthorities: Hashable, Sendable {
    /// Those that the machine's own bundle lists.
    case system
    /// Those of this PEM text only.
    case pem([UInt8])

    /// Reads a bundle.
    ///
    /// - Throws: `HTTPError` if the file is missing, too large or cannot be read.
    public static func file(_ path: String) throws(HTTPError) -> HTTPAuthorities {
        .pem(try credentialFile(path, "load certificate authorities \(path)"))
    }
}

/// The certificate with which a client shows who it is.
public struct HTTPIdentity: Hashable, Sendable {
    /// The certificate as PEM text, followed by any intermediate ones.
    public let certificate: [UInt8]
    /// Its private key as PEM text, not encrypted.
    public let key: [UInt8]

    /// Takes PEM text as it is; it is checked when a connection is made.
    public init(certificate: [UInt8], key: [UInt8]) {
        self.certificate = certificate
        self.key = key
    }

    /// Reads the two files.
    ///
    /// - Throws: `HTTPError` if one is missing, too large or cannot be read.
    public init(certificateFile: String, keyFile: String) throws(HTTPError) {
        certificate = try credentialFile(certificateFile, "load client certificate \(certificateFile)")
        key = try credentialFile(keyFile, "load client key \(keyFile)")
    }
}

/// Settings of a client, for its whole life.
public struct HTTPConfiguration: Hashable, Sendable {
    /// Which versions of the protocol are offered.
    public enum Version: Hashable, Sendable {
        /// HTTP/2 where the server speaks it, else HTTP/1.1: many requests share one connection.
        case http2
        /// HTTP/1.1: each request under way has a connection of its own.
        case http1
    }

    /// Whom to believe.
    public var authorities: HTTPAuthorities
    /// Who we are; nil where a token says so.
    public var identity: HTTPIdentity?
    /// How long a connection may take, TLS included.
    public var connectTimeout: Duration
    /// Which versions are offered.
    public var version: Version
    /// How many requests and streams may be under way at once.
    public var transferLimit: Int
    /// How many connections there may be, used and unused; requests wait for one.
    public var connectionLimit: Int

    /// The largest file of certificates, in bytes.
    public static let fileSizeLimit = 1 << 20

    /// Creates settings.
    public init(
        authorities: HTTPAuthorities,
        identity: HTTPIdentity? = nil,
        connectTimeout: Duration = .seconds(5),
        version: Version = .http2,
        transferLimit: Int = 256,
        connectionLimit: Int = 64
    ) {
        self.authorities = authorities
        self.identity = identity
        self.connectTimeout = connectTimeout
        self.version = version
        self.transferLimit = transferLimit
        self.connectionLimit = connectionLimit
    }
}

/// Reads a file of certificates or keys.
func credentialFile(_ path: String, _ attempt: String) throws(HTTPError) -> [UInt8] {
    let bytes: [UInt8]?
    do {
        bytes = try DurableFile.read(path, limit: HTTPConfiguration.fileSizeLimit)
    } catch {
        throw HTTPError(.invalid, attempt, cause: error.cause, mend: "make it readable for this user")
    }
    guard let bytes else {
        throw HTTPError(.invalid, attempt, cause: "there is no such file", mend: "create it or name another")
    }
    return bytes
}
