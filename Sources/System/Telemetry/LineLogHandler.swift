import Logging
import Platform

/// Writes one line per message to standard error: moment in universal time, level, program, words, details.
///
/// Milliseconds, because the steps of a failover lie closer together than a second.
struct LineLogHandler: LogHandler {
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]
    private let label: String

    init(label: String, level: Logger.Level) {
        self.label = label
        logLevel = level
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let given = metadata.merging(event.metadata ?? [:]) { _, new in new }
        let details = given.sorted { $0.key < $1.key }.compactMap { key, value -> String? in
            let text = "\(value)"
            return text.isEmpty || text == "[]" ? nil : "\(key)=\(text)"
        }
        let moment = WallClock.text(WallClock.milliseconds())
        let line = "\(moment) \(event.level) \(label): \(event.message)"
        StandardError.write(details.isEmpty ? line : line + "  {" + details.joined(separator: " ") + "}")
    }
}
