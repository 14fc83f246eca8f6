import COpenSSL
import NIOCore

/// Which end of a connection we are.
public enum TLSSide: Sendable {
    /// The end that connected.
    case client
    /// The end that was connected to.
    case server
}

/// One connection's state in the library, fed with and drained of bytes; no socket is involved.
///
/// Confined to the event loop of its channel.
@safe
final class TLSSession {
    enum Step {
        /// The step is complete.
        case done
        /// More bytes of the peer are needed.
        case needsBytes
        /// The peer has said that it sends nothing more.
        case closedByPeer
        case failed(TLSError)
    }

    private let connection: OpaquePointer
    private let attempt: String
    /// Bytes of the peer that the library has not taken yet.
    var received = ByteBuffer()
    /// Bytes for the peer that the channel has not taken yet.
    var outgoing = ByteBuffer()

    init(_ context: TLSContext, side: TLSSide, peer: String) throws(TLSError) {
        attempt = side == .client ? "connect to \(peer)" : "accept a connection from \(peer)"
        guard let made = unsafe context.snapshot().newConnection() else { throw TLSError.lifted(attempt) }
        guard let bio = unsafe bufferMethod.newBIO() else {
            unsafe SSL_free(made)
            throw TLSError.lifted(attempt)
        }
        unsafe connection = made
        // Safe: the session owns the connection, which owns the BIO, so the BIO never outlives what it points to.
        unsafe BIO_set_data(bio, Unmanaged.passUnretained(self).toOpaque())
        unsafe SSL_set_bio(connection, bio, bio)
        if side == .client {
            unsafe SSL_set_connect_state(connection)
        } else {
            unsafe SSL_set_accept_state(connection)
        }
    }

    deinit { unsafe SSL_free(connection) }

    /// Takes the handshake as far as the bytes received so far allow.
    func handshake() -> Step {
        ERR_clear_error()
        let result = unsafe SSL_do_handshake(connection)
        return result == 1 ? .done : step(result)
    }

    /// The peer's certificate; `nil` before the handshake is complete.
    func peerCertificate() -> CertificateSummary? {
        // Safe: the certificate is borrowed from the connection only while it is summarized.
        guard let certificate = unsafe SSL_get0_peer_certificate(connection) else { return nil }
        return unsafe CertificateSummary(of: certificate)
    }

    /// Decrypts one piece of what was received.
    func read(into plain: inout ByteBuffer) -> Step {
        ERR_clear_error()
        var result: Int32 = 0
        // Safe: the library writes at most the capacity it is given and returns the count written.
        unsafe plain.writeWithUnsafeMutableBytes(minimumWritableBytes: 16384) { buffer in
            result = unsafe SSL_read(connection, buffer.baseAddress, Int32(clamping: buffer.count))
            return max(Int(result), 0)
        }
        return result > 0 ? .done : step(result)
    }

    /// Encrypts all the bytes; the outcome waits in `outgoing`.
    func write(_ plain: ByteBuffer) -> TLSError? {
        ERR_clear_error()
        // Safe: the library reads at most the count it is given while the buffer is lent.
        return unsafe plain.withUnsafeReadableBytes { buffer -> TLSError? in
            var rest = unsafe buffer[...]
            while unsafe !rest.isEmpty {
                let part = unsafe UnsafeRawBufferPointer(rebasing: rest)
                let result = unsafe SSL_write(connection, part.baseAddress, Int32(clamping: part.count))
                guard result > 0 else {
                    if case .failed(let error) = step(result) { return error }
                    return TLSError(attempt, cause: "the connection takes no more data")
                }
                unsafe rest = unsafe rest.dropFirst(Int(result))
            }
            return nil
        }
    }

    /// Says goodbye to the peer; the words wait in `outgoing`.
    func shutDown() {
        ERR_clear_error()
        _ = unsafe SSL_shutdown(connection)
        ERR_clear_error()
    }

    private func step(_ result: Int32) -> Step {
        switch unsafe SSL_get_error(connection, result) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .needsBytes
        case SSL_ERROR_ZERO_RETURN: return .closedByPeer
        default: return .failed(TLSError.ofConnection(attempt, verifyResult: unsafe SSL_get_verify_result(connection)))
        }
    }
}

/// The kind of BIO that reads and writes a session's two buffers.
@safe
private final class BufferMethod: @unchecked Sendable {
    // Safe to share: made once, never changed, never freed.
    private let method: OpaquePointer?

    init() {
        guard let made = unsafe BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "buffers") else {
            unsafe method = nil
            return
        }
        _ = unsafe BIO_meth_set_create(made) { bio in
            unsafe BIO_set_init(bio, 1)
            return 1
        }
        _ = unsafe BIO_meth_set_write(made) { bio, data, count in
            guard let session = unsafe session(of: bio), let data = unsafe data, count > 0 else { return -1 }
            unsafe COpenSSL_clear_retry(bio)
            unsafe session.outgoing.writeBytes(UnsafeRawBufferPointer(start: data, count: Int(count)))
            return count
        }
        _ = unsafe BIO_meth_set_read(made) { bio, data, count in
            guard let session = unsafe session(of: bio), let data = unsafe data, count > 0 else { return -1 }
            unsafe COpenSSL_clear_retry(bio)
            let taken = min(Int(count), session.received.readableBytes)
            guard taken > 0 else {
                unsafe COpenSSL_retry_read(bio)
                return -1
            }
            unsafe session.received.readWithUnsafeReadableBytes { bytes in
                unsafe UnsafeMutableRawBufferPointer(start: data, count: taken).copyMemory(
                    from: .init(rebasing: bytes[..<taken])
                )
                return taken
            }
            return Int32(taken)
        }
        _ = unsafe BIO_meth_set_ctrl(made) { _, command, _, _ in
            // Nothing is kept back, so a flush has nothing to do; no other question is answered.
            command == BIO_CTRL_FLUSH ? 1 : 0
        }
        unsafe method = made
    }

    func newBIO() -> OpaquePointer? {
        guard let method = unsafe method else { return nil }
        return unsafe BIO_new(method)
    }
}

private let bufferMethod = BufferMethod()

private func session(of bio: OpaquePointer?) -> TLSSession? {
    // Safe: the pointer was set to the session that owns this BIO.
    guard let data = unsafe BIO_get_data(bio) else { return nil }
    return unsafe Unmanaged<TLSSession>.fromOpaque(data).takeUnretainedValue()
}
