package import LocalCluster
package import Platform
import Synchronization

/// Starts again what ended, as a service manager on each host would; what is held stays down.
package final class Keeper: Sendable {
    /// One program on one host.
    package struct Part: Hashable, Sendable {
        package let part: ClusterPart
        package let host: Host

        package init(_ part: ClusterPart, on host: Host) {
            self.part = part
            self.host = host
        }
    }

    private struct Charge {
        let part: Part
        let request: ProcessRequest
        var child: ChildProcess?
        var isHeld = false
        /// When it was first seen to be gone.
        var gone: Duration?
    }

    private let charges = Mutex<[Charge]>([])
    private let report: @Sendable (String) -> Void

    /// As `RestartSec=1` would have it.
    private static let restartDelay = Duration.seconds(1)
    private static let interval = Duration.milliseconds(50)

    package init(report: @escaping @Sendable (String) -> Void) { self.report = report }

    /// Takes a program into its care and starts it on its host.
    package func start(_ part: Part, _ request: ProcessRequest) throws {
        let child = try ChildProcess.start(request)
        charges.withLock { $0.append(Charge(part: part, request: request, child: child)) }
    }

    /// Looks after everything until the task is cancelled.
    package func run() async {
        while !Task.isCancelled {
            look()
            try? await Task.sleep(for: Self.interval)
        }
    }

    /// Lets parts stay down once they end, until they are released.
    package func hold(_ parts: [Part]) { set(parts, isHeld: true) }

    /// Starts held parts again.
    package func release(_ parts: [Part]) { set(parts, isHeld: false) }

    /// Signals a part as it runs now.
    package func signal(_ part: Part, _ number: Int32) {
        charges.withLock { $0.first { $0.part == part }?.child }?.signal(number)
    }

    /// Whether a part runs.
    package func isAlive(_ part: Part) -> Bool {
        charges.withLock { charges in charges.first { $0.part == part }?.child.map { $0.exit == nil } ?? false }
    }

    /// The parts of a host.
    package func parts(of host: Host) -> [Part] {
        charges.withLock { charges in charges.map(\.part).filter { $0.host == host } }
    }

    private func set(_ parts: [Part], isHeld: Bool) {
        charges.withLock { charges in
            for index in charges.indices where parts.contains(charges[index].part) {
                charges[index].isHeld = isHeld
                // A machine that comes back starts its programs at once.
                if !isHeld { charges[index].gone = charges[index].gone.map { $0 - Self.restartDelay } }
            }
        }
    }

    private func look() {
        let now = MonotonicClock.now()
        charges.withLock { charges in
            for index in charges.indices where charges[index].child.map({ $0.exit != nil }) ?? true {
                let since = charges[index].gone ?? now
                charges[index].gone = since
                guard !charges[index].isHeld, now - since >= Self.restartDelay else { continue }
                do {
                    charges[index].child = try ChildProcess.start(charges[index].request)
                    charges[index].gone = nil
                } catch {
                    charges[index].gone = now
                    report("\(error)")
                }
            }
        }
    }
}
