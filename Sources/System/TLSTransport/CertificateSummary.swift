import COpenSSL

/// What a certificate says about whom it belongs to and how long.
public struct CertificateSummary: Sendable, Hashable {
    /// The URIs among its subject alternative names, in their order: the identity.
    public let uris: [String]
    /// The subject in one line, for people.
    public let subject: String
    /// Seconds until it becomes invalid, counted when this summary was made; negative once expired.
    public let secondsLeft: Int

    /// Names longer than this, in bytes, are not an identity and are left out.
    static let uriLimit = 512

    /// Reads what is needed from the library's certificate.
    init(of certificate: OpaquePointer) {
        var uris: [String] = []
        var index: Int32 = 0
        while index < 16 {
            var length: Int32 = -1
            // Safe: the call writes at most the capacity it is given and returns the length it wrote.
            let bytes = unsafe [UInt8](unsafeUninitializedCapacity: Self.uriLimit) { buffer, count in
                let raw = unsafe UnsafeMutableRawPointer(buffer.baseAddress)?.assumingMemoryBound(to: CChar.self)
                length = unsafe COpenSSL_uri_name(certificate, index, raw, Int32(Self.uriLimit))
                count = max(Int(length), 0)
            }
            if length == -1 { break }
            if length >= 0, let text = String(validating: bytes, as: UTF8.self) { uris.append(text) }
            index += 1
        }
        self.uris = uris
        var line = [CChar](repeating: 0, count: 256)
        // Safe: the certificate is alive and the library writes at most the size it is given, ending with zero.
        subject = unsafe line.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return "" }
            _ = unsafe X509_NAME_oneline(X509_get_subject_name(certificate), base, 256)
            return unsafe String(cString: base)
        }
        var days: Int32 = 0
        var seconds: Int32 = 0
        // Safe: both times live as long as the certificate; none stands for the present moment.
        _ = unsafe ASN1_TIME_diff(&days, &seconds, nil, X509_get0_notAfter(certificate))
        secondsLeft = Int(days) * 86400 + Int(seconds)
    }
}
