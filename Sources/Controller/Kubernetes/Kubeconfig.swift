import HTTPTransport
import Platform
import Yams

extension KubernetesCredentials {
    /// The largest kubeconfig file, in bytes.
    public static let kubeconfigSizeLimit = 1 << 20

    /// Reads one context of a kubeconfig file.
    ///
    /// Understood are servers with certificate authorities, and users with a client certificate, a token or a file with
    /// one. Whatever would need a program to be run, or the server not to be checked, is refused.
    ///
    /// - Parameters:
    ///   - path: The file; relative paths in it count from its folder.
    ///   - context: Which context; nil means the file's current one.
    /// - Returns: The credentials; files that it names are read again as they are renewed.
    /// - Throws: `KubernetesError` naming file, entry and mend.
    /// - SeeAlso: Kubernetes reference, "kubeconfig (v1)".
    public static func kubeconfig(
        _ path: String,
        context: String? = nil
    ) throws(KubernetesError) -> KubernetesCredentials {
        let attempt = "read kubeconfig \(path)"
        let bytes: [UInt8]?
        do {
            bytes = try DurableFile.read(path, limit: kubeconfigSizeLimit)
        } catch {
            throw KubernetesError(.credentials, attempt, cause: error.cause, mend: "make it readable for this user")
        }
        guard let bytes, let text = String(validating: bytes, as: UTF8.self) else {
            let cause = bytes == nil ? "there is no such file" : "it is not UTF-8"
            throw KubernetesError(.credentials, attempt, cause: cause, mend: "name another file")
        }
        let root: Node?
        do {
            root = try Yams.compose(yaml: text)
        } catch {
            throw KubernetesError(.credentials, attempt, cause: "it is not valid YAML", mend: "mend or replace it")
        }
        return try KubeconfigReader(path: path, attempt: attempt, root: root).credentials(context)
    }
}

/// Finds what one context means.
private struct KubeconfigReader {
    let path: String
    let attempt: String
    let root: Node?

    func credentials(_ wanted: String?) throws(KubernetesError) -> KubernetesCredentials {
        guard let name = wanted ?? text(root, "current-context"), !name.isEmpty else {
            throw fault("it has no current-context", "set one by `kubectl config use-context`, or name a context")
        }
        let context = try entry("contexts", "context", name)
        guard let clusterName = text(context, "cluster") else {
            throw fault("context '\(name)' names no cluster", "add one")
        }
        let cluster = try entry("clusters", "cluster", clusterName)
        guard var server = text(cluster, "server"), server.hasPrefix("https://") else {
            throw fault("cluster '\(clusterName)' has no server that begins with https://", "give it one")
        }
        while server.hasSuffix("/") { server.removeLast() }
        try refuse(in: cluster, of: "cluster '\(clusterName)'", refusedOfClusters)
        var credentials = KubernetesCredentials(server: server, authorities: .system)
        credentials.namespace = text(context, "namespace").flatMap { $0.isEmpty ? nil : $0 } ?? "default"
        if let data = try data(cluster, "certificate-authority-data") {
            credentials.authorities = .pem(data)
        } else if let file = text(cluster, "certificate-authority").map(absolute) {
            credentials.authoritiesFile = file
            credentials.authorities = try lifted { () throws(HTTPError) in try .file(file) }
        }
        if let userName = text(context, "user"), !userName.isEmpty {
            try apply(try entry("users", "user", userName), of: "user '\(userName)'", to: &credentials)
        }
        return credentials
    }

    private func apply(
        _ user: Node?,
        of place: String,
        to credentials: inout KubernetesCredentials
    ) throws(KubernetesError) {
        try refuse(in: user, of: place, refusedOfUsers)
        if let file = text(user, "tokenFile") {
            credentials.token = .file(absolute(file))
        } else if let token = text(user, "token"), !token.isEmpty {
            credentials.token = .fixed(token)
        }
        let certificate = try data(user, "client-certificate-data")
        let key = try data(user, "client-key-data")
        let files = (text(user, "client-certificate").map(absolute), text(user, "client-key").map(absolute))
        switch (certificate, key, files.0, files.1) {
        case (let certificate?, let key?, _, _):
            credentials.identity = HTTPIdentity(certificate: certificate, key: key)
        case (nil, nil, let certificate?, let key?):
            credentials.identityFiles = .init(certificate: certificate, key: key)
            credentials.identity = try lifted { () throws(HTTPError) in
                try HTTPIdentity(certificateFile: certificate, keyFile: key)
            }
        case (nil, nil, nil, nil): break
        default:
            throw fault("\(place) has only one of client certificate and client key", "give both, in the same form")
        }
        if case .none = credentials.token, credentials.identity == nil {
            throw fault("\(place) has neither a token nor a client certificate", "add one")
        }
    }

    private func refuse(
        in node: Node?,
        of place: String,
        _ refused: [(key: String, cause: String, mend: String)]
    ) throws(KubernetesError) {
        for row in refused {
            guard let value = node?.mapping?[row.key], value.scalar?.string != "false", value.scalar?.string != ""
            else {
                continue
            }
            throw fault("\(place) has \(row.key), \(row.cause)", row.mend)
        }
    }

    private func entry(_ list: String, _ key: String, _ name: String) throws(KubernetesError) -> Node? {
        let entries = root?.mapping?[list]?.sequence.map(Array.init) ?? []
        guard let found = entries.first(where: { text($0, "name") == name }), let content = found.mapping?[key] else {
            throw fault("\(list) has no '\(name)'", "add it or choose another context")
        }
        return content
    }

    private func text(_ node: Node?, _ key: String) -> String? { node?.mapping?[key]?.scalar?.string }

    private func data(_ node: Node?, _ key: String) throws(KubernetesError) -> [UInt8]? {
        guard let text = text(node, key), !text.isEmpty else { return nil }
        guard let bytes = decodedBase64(text) else { throw fault("\(key) is not base64", "replace it") }
        return bytes
    }

    private func absolute(_ file: String) -> String {
        if file.hasPrefix("/") { return file }
        guard let slash = path.lastIndex(of: "/") else { return file }
        return path[...slash] + file
    }

    private func lifted<Value>(_ body: () throws(HTTPError) -> Value) throws(KubernetesError) -> Value {
        do {
            return try body()
        } catch {
            throw fault(error.description, "mend the entry")
        }
    }

    private func fault(_ cause: String, _ mend: String) -> KubernetesError {
        KubernetesError(.credentials, attempt, cause: cause, mend: mend)
    }
}

private let refusedOfClusters = [
    (
        key: "insecure-skip-tls-verify", cause: "which would let anybody pose as the server",
        mend: "give certificate-authority-data instead"
    ),
    (key: "proxy-url", cause: "and proxies are not used", mend: "give an address that can be reached directly"),
    (key: "tls-server-name", cause: "which is not used", mend: "give the server an address that its certificate names"),
]

private let refusedOfUsers = [
    (
        key: "exec", cause: "and no program is run for credentials",
        mend: "give a token of a service account (`kubectl create token`) or a client certificate"
    ),
    (
        key: "auth-provider", cause: "and no provider is asked for credentials",
        mend: "give a token of a service account (`kubectl create token`) or a client certificate"
    ),
    (key: "username", cause: "and passwords are not used", mend: "give a token or a client certificate"),
    (key: "as", cause: "and nobody is impersonated", mend: "use that account's own credentials"),
]

/// Bytes of a base64 text, line ends allowed; nil if it is none.
///
/// - SeeAlso: RFC 4648, section 4.
func decodedBase64(_ text: String) -> [UInt8]? {
    var bytes: [UInt8] = []
    var (collected, bits, padding) = (UInt32(0), 0, 0)
    for byte in text.utf8 {
        let value: UInt8
        switch byte {
        case 0x41...0x5a: value = byte - 0x41
        case 0x61...0x7a: value = byte - 0x61 + 26
        case 0x30...0x39: value = byte - 0x30 + 52
        case UInt8(ascii: "+"): value = 62
        case UInt8(ascii: "/"): value = 63
        case UInt8(ascii: "="):
            padding += 1
            continue
        case 0x0a, 0x0d, 0x20: continue
        default: return nil
        }
        if padding > 0 { return nil }
        collected = collected << 6 | UInt32(value)
        bits += 6
        if bits >= 8 {
            bits -= 8
            bytes.append(UInt8(truncatingIfNeeded: collected >> UInt32(bits)))
        }
    }
    return padding <= 2 && bits < 6 && collected & (1 << UInt32(bits) - 1) == 0 ? bytes : nil
}
