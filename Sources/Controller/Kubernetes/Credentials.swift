public import HTTPTransport
import Platform
import Synchronization

/// Where an API server is, how it is recognised, and how we show who we are.
public struct KubernetesCredentials: Sendable {
    /// A bearer token, or where it is found.
    public enum Token: Hashable, Sendable {
        /// None: a client certificate says who we are.
        case none
        /// The token itself.
        case fixed(String)
        /// A file that is replaced from time to time.
        case file(String)
    }

    /// The server's address, without a slash at its end.
    public var server: String
    /// Whom to believe to be the server; nil if a file says so.
    public var authorities: HTTPAuthorities
    /// The file that the authorities were read from and may be renewed in.
    public var authoritiesFile: String?
    /// The client certificate.
    public var identity: HTTPIdentity?
    /// The files that the client certificate was read from and may be renewed in.
    public var identityFiles: IdentityFiles?
    /// The bearer token.
    public var token: Token
    /// The namespace that is meant where none is named.
    public var namespace: String

    /// Two files that belong together.
    public struct IdentityFiles: Hashable, Sendable {
        /// The certificate.
        public let certificate: String
        /// Its key.
        public let key: String
    }

    /// Names credentials.
    public init(
        server: String,
        authorities: HTTPAuthorities,
        identity: HTTPIdentity? = nil,
        token: Token = .none,
        namespace: String = "default"
    ) {
        self.server = server
        self.authorities = authorities
        self.identity = identity
        self.token = token
        self.namespace = namespace
    }

    /// The folder in which a pod finds its service account.
    public static let serviceAccountFolder = "/var/run/secrets/kubernetes.io/serviceaccount"

    /// Takes up the service account of the pod that this process runs in.
    ///
    /// - Parameters:
    ///   - environment: All variables of the process.
    ///   - folder: Where `token`, `ca.crt` and `namespace` lie.
    /// - Returns: The credentials; the token is read again as it is renewed.
    /// - Throws: `KubernetesError` if the process does not run in a pod, or the account is not mounted.
    /// - SeeAlso: Kubernetes documentation, "Accessing the Kubernetes API from a Pod".
    public static func inCluster(
        environment: [String: String],
        folder: String = serviceAccountFolder
    ) throws(KubernetesError) -> KubernetesCredentials {
        let attempt = "use the pod's service account"
        guard let host = environment["KUBERNETES_SERVICE_HOST"], !host.isEmpty,
            let port = environment["KUBERNETES_SERVICE_PORT"], UInt16(port) != nil
        else {
            throw KubernetesError(
                .credentials,
                attempt,
                cause: "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set",
                mend: "run it in a pod, or name a kubeconfig file"
            )
        }
        let authoritiesFile = "\(folder)/ca.crt"
        let authorities: HTTPAuthorities
        do {
            authorities = try .file(authoritiesFile)
        } catch {
            let mend = "let the pod mount its account"
            throw KubernetesError(.credentials, attempt, cause: error.description, mend: mend)
        }
        let place = host.contains(":") && !host.hasPrefix("[") ? "[\(host)]" : host
        var credentials = KubernetesCredentials(server: "https://\(place):\(port)", authorities: authorities)
        credentials.authoritiesFile = authoritiesFile
        credentials.token = .file("\(folder)/token")
        _ = try TokenReader(credentials.token).token(isRefused: false)
        if let bytes = try? DurableFile.read("\(folder)/namespace", limit: 256), !bytes.isEmpty {
            credentials.namespace = trimmed(String(decoding: bytes, as: UTF8.self))
        }
        return credentials
    }
}

/// Gives the bearer token, read again once in a while and when it was refused.
final class TokenReader: Sendable {
    private struct Content {
        var token: String?
        var readAt: Duration?
    }

    /// How long a token from a file is used before the file is read again.
    static let lifetime = Duration.seconds(10)
    /// The largest token file, in bytes.
    static let sizeLimit = 32768

    private let source: KubernetesCredentials.Token
    private let content = Mutex(Content())

    init(_ source: KubernetesCredentials.Token) { self.source = source }

    /// Gives the token, from the file if what was read is old or was refused.
    ///
    /// - Parameter isRefused: Whether the server did not take the last one.
    /// - Returns: The token; nil where none is used.
    /// - Throws: `KubernetesError` if there is no file and none was read before, or it holds no token.
    func token(isRefused: Bool) throws(KubernetesError) -> String? {
        switch source {
        case .none: return nil
        case .fixed(let token): return token
        case .file(let path):
            let now = MonotonicClock.now()
            let known = content.withLock { content -> String? in
                guard let readAt = content.readAt, now - readAt < Self.lifetime, !isRefused else { return nil }
                return content.token
            }
            if let known { return known }
            let fresh = try read(path)
            content.withLock { $0 = Content(token: fresh, readAt: now) }
            return fresh
        }
    }

    private func read(_ path: String) throws(KubernetesError) -> String {
        let attempt = "read bearer token \(path)"
        let bytes: [UInt8]?
        do {
            bytes = try DurableFile.read(path, limit: Self.sizeLimit)
        } catch {
            throw KubernetesError(.credentials, attempt, cause: error.cause, mend: "make it readable for this user")
        }
        let token = trimmed(String(decoding: bytes ?? [], as: UTF8.self))
        guard !token.isEmpty, token.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw KubernetesError(
                .credentials,
                attempt,
                cause: bytes == nil ? "there is no such file" : "it holds no token",
                mend: "let the pod mount its service account, or name another file"
            )
        }
        return token
    }
}

/// The text without blanks and line ends around it.
func trimmed(_ text: String) -> String {
    let isBlank: (Character) -> Bool = { $0.isWhitespace }
    var rest = text.drop(while: isBlank)
    while let last = rest.last, isBlank(last) { rest.removeLast() }
    return String(rest)
}
