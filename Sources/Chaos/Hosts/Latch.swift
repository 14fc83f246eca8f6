import Foundation
import Synchronization

/// A value that another thread sets once.
final class Latch<Value: Sendable>: Sendable {
    private let content = Mutex<Value?>(nil)

    func set(_ value: Value) { content.withLock { $0 = value } }

    /// Waits for it; whoever sets it does nothing that takes long.
    func wait() -> Value {
        while true {
            if let value = content.withLock({ $0 }) { return value }
            usleep(500)
        }
    }
}
