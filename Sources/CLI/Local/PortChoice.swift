import Platform

/// Chooses the ports of a new cluster: one for each server, then the controllers', then the agents'.
enum PortChoice {
    private static let first = 15432
    private static let attempts = 200

    /// Finds the first of `count` neighbouring ports that are free; it is `base`, if the user chose that.
    static func choose(_ count: Int, base: Int?) throws(CommandFailure) -> Int {
        if let base {
            try checkRange(base, count)
            for port in base..<base + count { try check(port) }
            return base
        }
        for attempt in 0..<attempts {
            let candidate = first + attempt * 16
            if (candidate..<candidate + count).allSatisfy({ NetworkPort.isFree($0) }) { return candidate }
        }
        throw CommandFailure(
            .failed,
            "could not find \(count) free ports in a row on 127.0.0.1; free some, or choose with --port"
        )
    }

    /// Refuses a first port that leaves no room for the others, or that belongs to the system.
    static func checkRange(_ base: Int, _ count: Int) throws(CommandFailure) {
        guard base < 1024 || base > 65536 - count else { return }
        throw CommandFailure(.usage, "could not use port \(base): choose one between 1024 and \(65536 - count)")
    }

    static func check(_ port: Int) throws(CommandFailure) {
        guard !NetworkPort.isFree(port) else { return }
        throw CommandFailure(
            .failed,
            "could not use port \(port) on 127.0.0.1: another program listens there; stop that program, or choose "
                + "other ports with --port"
        )
    }
}
