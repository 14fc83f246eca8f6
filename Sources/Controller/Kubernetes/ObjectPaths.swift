import KubernetesObjects

extension APIResource {
    /// The path of objects, or of one, or of a part of one.
    ///
    /// - SeeAlso: Kubernetes documentation, API concepts, "Resource URIs".
    func path(namespace: String?, name: String? = nil, part: String? = nil) -> String {
        var steps = group.isEmpty ? ["api", version] : ["apis", group, version]
        if isNamespaced, let namespace { steps += ["namespaces", namespace] }
        steps.append(plural)
        if let name { steps.append(name) }
        if let part { steps.append(part) }
        return "/" + steps.map(percentEncoded).joined(separator: "/")
    }
}

/// The text as one step of a path or one value of a query.
func percentEncoded(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in text.utf8 {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: bytes.append(byte)
        default: bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}
