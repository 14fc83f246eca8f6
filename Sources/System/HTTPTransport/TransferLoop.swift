import CCurl
import Platform

/// The thread's loop: one `curl_multi` for all transfers.
final class TransferLoop {
    private let mailbox: TransferMailbox
    private let configuration: HTTPConfiguration
    private let authorities: [UInt8]
    /// Counts the answers that did not come in time.
    private var generation = 0
    private var handles: [EasyHandle] = []

    init(_ mailbox: TransferMailbox, _ configuration: HTTPConfiguration, authorities: [UInt8]) {
        self.mailbox = mailbox
        self.configuration = configuration
        self.authorities = authorities
    }

    func run() {
        guard let multi = mailbox.multi else { return }
        let limit = configuration.connectionLimit
        _ = unsafe CCurl_multi_set_long(multi.handle, CURLMOPT_MAXCONNECTS, limit)
        _ = unsafe CCurl_multi_set_long(multi.handle, CURLMOPT_MAX_TOTAL_CONNECTIONS, limit)
        while true {
            let (commands, isClosed) = mailbox.take()
            for command in commands { obey(command, multi) }
            if isClosed { break }
            var running: Int32 = 0
            // Safe here and below: the handles live as long as this loop uses them, and on this thread only.
            _ = unsafe curl_multi_perform(multi.handle, &running)
            collect(multi)
            expire(multi)
            _ = unsafe curl_multi_poll(multi.handle, nil, 0, patience, nil)
        }
        let closed = "the client was closed"
        for handle in handles {
            handle.transfer.end(.failure(HTTPError(.closed, handle.transfer.request.attempt, cause: closed)))
            _ = unsafe curl_multi_remove_handle(multi.handle, handle.easy)
            mailbox.ended()
        }
        handles = []
        mailbox.silence()
    }

    private func obey(_ command: TransferMailbox.Command, _ multi: MultiHandle) {
        switch command {
        case .start(let transfer): start(transfer, multi)
        case .cancel(let transfer):
            if let handle = handle(of: transfer) { release(handle, multi) }
        case .resume(let transfer):
            if let handle = handle(of: transfer) {
                handle.lastActivity = MonotonicClock.now()
                _ = unsafe curl_easy_pause(handle.easy, CURLPAUSE_CONT)
            }
        }
    }

    private func handle(of transfer: Transfer) -> EasyHandle? {
        handles.first { $0.transfer === transfer }
    }

    private func start(_ transfer: Transfer, _ multi: MultiHandle) {
        let attempt = transfer.request.attempt
        guard !transfer.isOver else { return mailbox.ended() }
        guard let handle = EasyHandle(transfer) else {
            transfer.end(.failure(HTTPError(.closed, attempt, cause: "libcurl has no memory left")))
            return mailbox.ended()
        }
        guard handle.prepare(configuration, authorities: trust),
            unsafe curl_multi_add_handle(multi.handle, handle.easy) == CURLM_OK
        else {
            transfer.end(.failure(HTTPError(.invalid, attempt, cause: "libcurl refused the settings of the request")))
            return mailbox.ended()
        }
        handles.append(handle)
    }

    /// The authorities, followed by a comment that changes when an answer did not come in time.
    ///
    /// Connections are shared among transfers of equal trust only. One that has gone silent may have other streams on
    /// it and so live on for a while: nothing new is to be put on it.
    private var trust: [UInt8] { generation == 0 ? authorities : authorities + Array("\n# \(generation)\n".utf8) }

    private func collect(_ multi: MultiHandle) {
        var code = CURLE_OK
        while let easy = unsafe CCurl_next_finished(multi.handle, &code) {
            guard let handle = handles.first(where: { unsafe $0.easy == easy }) else { continue }
            handle.transfer.end(handle.outcome(code))
            release(handle, multi)
        }
    }

    private func release(_ handle: EasyHandle, _ multi: MultiHandle) {
        _ = unsafe curl_multi_remove_handle(multi.handle, handle.easy)
        handles.removeAll { $0 === handle }
        mailbox.ended()
    }

    private func expire(_ multi: MultiHandle) {
        let now = MonotonicClock.now()
        for handle in handles {
            guard let limit = handle.transfer.limit(lastActivity: handle.lastActivity), limit <= now else { continue }
            let request = handle.transfer.request
            if handle.transfer.isStream, handle.transfer.hasHead {
                let cause = "nothing came for \(request.idleLimit)"
                handle.transfer.end(.failure(HTTPError(.idle, request.attempt, cause: cause)))
            } else {
                let place = handle.isConnected ? "" : ", not even a connection"
                let cause = "no complete answer within \(request.deadline)\(place)"
                handle.transfer.end(.failure(HTTPError(.deadline, request.attempt, cause: cause)))
            }
            generation += 1
            release(handle, multi)
        }
    }

    /// How long to wait for something to happen, in milliseconds.
    private var patience: Int32 {
        let now = MonotonicClock.now()
        let limits = handles.compactMap { $0.transfer.limit(lastActivity: $0.lastActivity) }
        guard let next = limits.min() else { return 60_000 }
        let (seconds, attoseconds) = max(next - now, .zero).components
        if seconds >= 60 { return 60_000 }
        return Int32(seconds) * 1000 + Int32(attoseconds / 1_000_000_000_000_000) + 1
    }
}
