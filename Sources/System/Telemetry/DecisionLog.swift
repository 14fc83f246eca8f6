public import ClusterModel
public import Logging

extension Logger {
    /// Writes a decision with what it rested on; role changes and failover steps are notices.
    public func decided(_ explanation: Explanation) {
        let metadata: Logger.Metadata = [
            LogKey.kind: "\(explanation.kind.rawValue)",
            LogKey.rule: "\(explanation.rule)",
            LogKey.evidence: .array(explanation.evidence.map { .string($0) }),
        ]
        log(level: explanation.kind.logLevel, "\(explanation.text)", metadata: metadata)
    }
}

extension Explanation.Kind {
    var logLevel: Logger.Level {
        switch self {
        case .fault, .fence, .backoff: .warning
        case .refused, .follow, .lease, .rules: .info
        case .switchover, .abandoned, .pause, .byHand: .notice
        case .birth, .evidence, .prepare, .candidate, .promote, .opened, .waiting, .release, .rejoin, .record: .notice
        }
    }
}

/// Sends log lines to standard error, from the given level on; once per process.
public func bootstrapLogging(level: Logger.Level) {
    LoggingSystem.bootstrap { LineLogHandler(label: $0, level: level) }
}
