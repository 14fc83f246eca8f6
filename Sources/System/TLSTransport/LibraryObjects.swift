import COpenSSL

/// Owner of one `X509`.
@safe
final class Certificate {
    let handle: OpaquePointer

    init(owning handle: OpaquePointer) {
        unsafe self.handle = handle
    }

    deinit { unsafe X509_free(handle) }

    /// All certificates of a PEM text; `nil` if one of them is damaged.
    static func all(in pem: [UInt8]) -> [Certificate]? {
        unsafe withMemory(pem) { memory in
            var found: [Certificate] = []
            while let handle = unsafe COpenSSL_read_certificate(memory) {
                unsafe found.append(Certificate(owning: handle))
            }
            // The end of the text is an error of its own kind, which is not one for us.
            let code = ERR_peek_last_error()
            guard COpenSSL_error_reason(code) == PEM_R_NO_START_LINE else { return nil }
            _ = takeLibraryErrors()
            return found
        }
    }

    /// This certificate as PEM text.
    func pem() -> [UInt8] {
        unsafe written { memory in unsafe PEM_write_bio_X509(memory, handle) }
    }
}

/// Owner of one `EVP_PKEY`.
@safe
final class PrivateKey {
    let handle: OpaquePointer

    /// Makes a new key on the curve P-256.
    init?() {
        guard let made = unsafe COpenSSL_new_p256_key() else { return nil }
        unsafe handle = made
    }

    /// Reads a key that is not encrypted.
    init?(pem: [UInt8]) {
        guard let read = unsafe withMemory(pem, { memory in unsafe COpenSSL_read_key(memory) }) else { return nil }
        unsafe handle = read
    }

    deinit { unsafe EVP_PKEY_free(handle) }

    /// This key as PEM text, not encrypted.
    func pem() -> [UInt8] {
        unsafe written { memory in unsafe PEM_write_bio_PKCS8PrivateKey(memory, handle, nil, nil, 0, nil, nil) }
    }
}

/// Lends bytes as a read-only memory BIO.
private func withMemory<Result>(_ bytes: [UInt8], _ body: (OpaquePointer) -> Result?) -> Result? {
    // Safe: the BIO reads the array only while the closure runs, and is freed before it ends.
    unsafe bytes.withUnsafeBytes { buffer -> Result? in
        guard let memory = unsafe BIO_new_mem_buf(buffer.baseAddress, Int32(clamping: buffer.count)) else {
            return nil
        }
        defer { _ = unsafe BIO_free(memory) }
        return unsafe body(memory)
    }
}

/// Collects what the body writes into a memory BIO; empty if it failed.
private func written(_ body: (OpaquePointer) -> Int32) -> [UInt8] {
    guard let memory = unsafe BIO_new(BIO_s_mem()) else { return [] }
    defer { _ = unsafe BIO_free(memory) }
    guard unsafe body(memory) == 1 else { return [] }
    var data: UnsafeMutablePointer<CChar>? = nil
    let count = unsafe COpenSSL_memory(memory, &data)
    // Safe: the bytes belong to the BIO, which lives until they are copied.
    return unsafe [UInt8](UnsafeRawBufferPointer(start: data, count: count))
}
