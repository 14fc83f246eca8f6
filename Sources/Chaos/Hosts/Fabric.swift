import CNetwork
import Foundation
import LocalCluster
import Platform
import Synchronization

/// A switch in user space: takes frames from one end of each host's cable and passes them on by its rules.
///
/// Ports are numbered from 0, and the hardware address of each host ends with its port: nothing has to be learned.
package final class Fabric: Sendable {
    /// Counts of frames, to see that the network is what it seems.
    package struct Traffic: Hashable, Sendable {
        package var passed = 0
        package var dropped = 0
    }

    private struct State {
        var table: LinkTable
        var traffic = Traffic()
        var isEnded = false
        var failure: CommandFailure?
        var isReady = false
    }

    private let ports: Int
    private let state: Mutex<State>

    /// Largest frame: hosts have a transmission unit of 9000 bytes.
    private static let frameSize = 9216
    /// Frames taken from one port before the others have their turn.
    private static let turn = 64
    /// How long the switch sleeps at most: so long may closing it take.
    private static let nap: Int32 = 100

    private init(ports: Int) {
        self.ports = ports
        state = Mutex(State(table: LinkTable(ports: ports)))
    }

    /// Starts a switch whose ports are these interfaces of a namespace.
    ///
    /// - Throws: `CommandFailure` if the interfaces cannot be listened on.
    package static func start(interfaces: [String], in namespace: String, seed: UInt64) throws -> Fabric {
        let fabric = Fabric(ports: interfaces.count)
        try WorkerThread.start("switch") {
            // Only this thread moves: sockets stay where they were made.
            var sockets: [Int32] = []
            if unsafe CNetwork_join(namespace) == 0 {
                sockets = interfaces.map { unsafe CNetwork_packet_socket($0) }
            }
            let code = errno
            defer { for socket in sockets where socket >= 0 { close(socket) } }
            guard sockets.count == interfaces.count, !sockets.contains(-1) else {
                let cause = SystemError.text(code)
                fabric.state.withLock { state in
                    state.failure = CommandFailure(.failed, "could not listen on the cables in \(namespace): \(cause)")
                }
                return
            }
            fabric.state.withLock { $0.isReady = true }
            fabric.serve(sockets, SeededChance(seed: seed))
        }
        while true {
            let (isReady, failure) = fabric.state.withLock { ($0.isReady, $0.failure) }
            if let failure { throw failure }
            if isReady { return fabric }
            usleep(1000)
        }
    }

    /// Changes the rules of links, all at one moment.
    package func change(_ body: (inout LinkTable) -> Void) { state.withLock { body(&$0.table) } }

    /// Frames so far.
    package var traffic: Traffic { state.withLock { $0.traffic } }

    /// Ends the switch; closing its sockets takes a moment more.
    package func end() { state.withLock { $0.isEnded = true } }

    private func serve(_ sockets: [Int32], _ seeded: SeededChance) {
        var chance = seeded
        var queue = FrameQueue()
        var buffer = [UInt8](repeating: 0, count: Self.frameSize)
        var polled = sockets.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        // A later frame of a link never overtakes an earlier one by jitter alone.
        var horizon = Array(repeating: Array(repeating: UInt64(0), count: ports), count: ports)
        while true {
            let wait = queue.nextDue.map { Self.milliseconds(until: $0) } ?? Self.nap
            // Safe: the array and its count belong together and outlive the call.
            _ = unsafe poll(&polled, nfds_t(polled.count), min(wait, Self.nap))
            let (table, isEnded) = state.withLock { ($0.table, $0.isEnded) }
            if isEnded { return }
            var traffic = Traffic()
            for port in sockets.indices where polled[port].revents != 0 {
                for _ in 0..<Self.turn {
                    // Safe: the call writes at most the buffer's size.
                    let count = unsafe CNetwork_receive(sockets[port], &buffer, buffer.count)
                    guard count >= 14 else { break }
                    guard count <= buffer.count else { continue }
                    let now = MonotonicClock.nanoseconds()
                    for target in targets(of: buffer[5], broadcast: buffer[0] & 1 == 1, from: port) {
                        let rule = table[port, target]
                        let fates = rule.fates(&chance)
                        if fates.isEmpty { traffic.dropped += 1 } else { traffic.passed += 1 }
                        for late in fates {
                            if late == .zero && horizon[port][target] <= now {
                                // Safe: so many bytes of the buffer were filled.
                                _ = unsafe CNetwork_send(sockets[target], buffer, count)
                                continue
                            }
                            var due = now + UInt64(late / .nanoseconds(1))
                            // Whatever is not to be overtaken waits for what was sent before it.
                            if late < LinkRule.overtaking || rule.reorderPerMille == 0 {
                                due = max(due, horizon[port][target])
                                horizon[port][target] = due
                            }
                            queue.push(Array(buffer[0..<count]), to: target, due: due)
                        }
                    }
                }
            }
            let now = MonotonicClock.nanoseconds()
            while let item = queue.pop(by: now) {
                // Safe: pointer and count belong to the same array.
                _ = unsafe CNetwork_send(sockets[item.port], item.frame, item.frame.count)
            }
            state.withLock { state in
                state.traffic.passed += traffic.passed
                state.traffic.dropped += traffic.dropped
            }
        }
    }

    private func targets(of address: UInt8, broadcast: Bool, from port: Int) -> [Int] {
        if broadcast { return (0..<ports).filter { $0 != port } }
        let target = Int(address)
        return target < ports && target != port ? [target] : []
    }

    private static func milliseconds(until due: UInt64) -> Int32 {
        let now = MonotonicClock.nanoseconds()
        return due <= now ? 0 : Int32(clamping: (due - now) / 1_000_000 + 1)
    }
}
