import COpenSSL

/// Why a TLS connection, certificate or key was refused, in one sentence.
public struct TLSError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What was tried, as a verb and its object.
    public let attempt: String
    /// Why it failed.
    public let cause: String
    /// What the reader can do about it; empty when nothing sensible can be said.
    public let mend: String

    /// Describes a refusal in words.
    public init(_ attempt: String, cause: String, mend: String = "") {
        self.attempt = attempt
        self.cause = cause
        self.mend = mend
    }

    /// The whole sentence: `could not <verb> <object>: <cause>; <mend>`.
    public var description: String {
        mend.isEmpty ? "could not \(attempt): \(cause)" : "could not \(attempt): \(cause); \(mend)"
    }

    /// Lifts the library's error queue, so that it is empty for the next call.
    static func lifted(_ attempt: String, otherwise: String = "OpenSSL gave no reason", mend: String = "") -> TLSError {
        TLSError(attempt, cause: takeLibraryErrors().first?.text ?? otherwise, mend: mend)
    }

    /// Names the reason of a failed handshake or record as the person who reads the log needs it.
    static func ofConnection(_ attempt: String, verifyResult: Int) -> TLSError {
        let errors = takeLibraryErrors()
        if verifyResult != Int(X509_V_OK) {
            return TLSError(
                attempt,
                cause: "the peer's certificate was refused: \(verificationText(verifyResult))",
                mend: verificationMend(verifyResult)
            )
        }
        guard let first = errors.first else {
            return TLSError(attempt, cause: "the peer closed the connection during the TLS handshake")
        }
        if let (cause, mend) = alertMeanings[first.reason] { return TLSError(attempt, cause: cause, mend: mend) }
        return TLSError(attempt, cause: first.text)
    }
}

/// One entry of the library's error queue.
struct LibraryError {
    let text: String
    /// The reason number if the entry comes from the TLS part of the library, else -1.
    let reason: Int32
}

/// Empties the calling thread's error queue; the oldest error, the root cause, comes first.
func takeLibraryErrors() -> [LibraryError] {
    var errors: [LibraryError] = []
    while true {
        let code = COpenSSL_next_error()
        if code == 0 { return errors }
        // Safe: the library answers with a constant string or with nothing.
        let text = unsafe ERR_reason_error_string(code).map { unsafe String(cString: $0) } ?? "error \(code)"
        let reason = COpenSSL_error_is_ssl(code) != 0 ? COpenSSL_error_reason(code) : -1
        if errors.count < 16 { errors.append(LibraryError(text: text, reason: reason)) }
    }
}

/// The library's words for the outcome of a certificate's verification.
func verificationText(_ result: Int) -> String {
    // Safe: the library answers with a constant string.
    unsafe X509_verify_cert_error_string(result).map { unsafe String(cString: $0) } ?? "verification error \(result)"
}

/// What mends a certificate that did not verify.
func verificationMend(_ result: Int) -> String {
    switch Int32(truncatingIfNeeded: result) {
    case X509_V_ERR_CERT_HAS_EXPIRED: "renew it, and check the clocks of both machines"
    case X509_V_ERR_CERT_NOT_YET_VALID: "check the clocks of both machines"
    default: "give both sides certificates of the same cluster's authority"
    }
}

private let refusedMend = "check that this side's certificate is current and of the same cluster's authority"

/// Meanings of the TLS part's reason numbers that a wrong set-up shows; an alert's is 1000 + its number.
private let alertMeanings: [Int32: (cause: String, mend: String)] = [
    SSL_R_SSLV3_ALERT_BAD_CERTIFICATE: ("the peer refused our certificate as bad", refusedMend),
    SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED: ("the peer refused our certificate as expired", "renew it"),
    SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN: ("the peer refused our certificate", refusedMend),
    SSL_R_TLSV1_ALERT_UNKNOWN_CA: (
        "the peer does not know the authority that signed our certificate", refusedMend
    ),
    SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED: (
        "the peer demands a certificate and we sent none", "configure certificate and key"
    ),
    SSL_R_TLSV1_ALERT_PROTOCOL_VERSION: ("the peer does not speak our version of TLS", "both sides need TLS 1.3"),
    SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: (
        "the peer sent no certificate", "only peers with a certificate of this cluster's authority are served"
    ),
    SSL_R_UNSUPPORTED_PROTOCOL: ("the peer offers no TLS 1.3", "it must speak TLS 1.3"),
    SSL_R_WRONG_VERSION_NUMBER: ("the peer does not speak TLS", "it must speak TLS 1.3"),
    SSL_R_HTTP_REQUEST: ("the peer speaks plain HTTP, not TLS", "it must speak TLS 1.3"),
]
