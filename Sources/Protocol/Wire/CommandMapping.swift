public import ClusterModel

// Commands of people, between words and values.

extension ClusterCommand {
    /// Longest reason that is kept.
    static let reasonLimit = 200

    /// Reads a command.
    ///
    /// - Throws: `WireError` with what is wrong and what mends it.
    public init(verb: String, arguments: [String]) throws(WireError) {
        var words = arguments
        func takeFlag(_ flag: String) -> Bool {
            guard let place = words.firstIndex(of: flag) else { return false }
            words.remove(at: place)
            return true
        }
        switch verb {
        case "switchover":
            let isDryRun = takeFlag("--dry-run")
            let by = takeFlag("--by-agent") ? "an agent" : "an operator"
            guard words.count <= 1 else { throw WireError("'switchover' takes one instance at most") }
            self = .switchover(to: try words.first.map(Self.instance), by: by, isDryRun: isDryRun)
        case "promote":
            let isDryRun = takeFlag("--dry-run")
            let accepts = takeFlag("--accept-data-loss")
            let isOff = takeFlag("--old-primary-is-off")
            guard words.count == 1 else { throw WireError("'promote' takes one instance") }
            self = .promote(
                try Self.instance(words[0]),
                acceptsDataLoss: accepts,
                oldPrimaryIsOff: isOff,
                isDryRun: isDryRun
            )
        case "rebuild":
            let isDryRun = takeFlag("--dry-run")
            let mayWait = takeFlag("--commits-may-wait")
            guard words.count == 1 else { throw WireError("'rebuild' takes one instance") }
            self = .rebuild(try Self.instance(words[0]), commitsMayWait: mayWait, isDryRun: isDryRun)
        case "pause":
            guard words.count <= 1 else { throw WireError("'pause' takes one reason") }
            self = .pause(reason: Self.line(words.first ?? ""))
        case "resume", "abandon":
            guard words.isEmpty else { throw WireError("'\(verb)' takes no arguments") }
            self = verb == "resume" ? .resume : .abandon
        default:
            throw WireError("'\(verb.prefix(40))' is not a command of this version; upgrade the controller")
        }
    }

    /// As the command line sends it.
    public var words: (verb: String, arguments: [String]) {
        switch self {
        case .switchover(let target, let by, let isDryRun):
            let flags = (isDryRun ? ["--dry-run"] : []) + (by == "an agent" ? ["--by-agent"] : [])
            return ("switchover", flags + [target?.text].compactMap { $0 })
        case .promote(let name, let accepts, let isOff, let isDryRun):
            let flags =
                (isDryRun ? ["--dry-run"] : []) + (accepts ? ["--accept-data-loss"] : [])
                + (isOff ? ["--old-primary-is-off"] : [])
            return ("promote", flags + [name.text])
        case .pause(let reason): return ("pause", reason.isEmpty ? [] : [reason])
        case .resume: return ("resume", [])
        case .abandon: return ("abandon", [])
        case .rebuild(let name, let mayWait, let isDryRun):
            let flags = (isDryRun ? ["--dry-run"] : []) + (mayWait ? ["--commits-may-wait"] : [])
            return ("rebuild", flags + [name.text])
        }
    }

    private static func instance(_ word: String) throws(WireError) -> InstanceName {
        guard let name = InstanceName(word) else {
            throw WireError("'\(line(word).prefix(60))' cannot be the name of an instance")
        }
        return name
    }

    /// One line without control characters, of bounded length.
    private static func line(_ text: String) -> String {
        let scalars = text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? " " : $0 }
        return String(String(String.UnicodeScalarView(scalars)).prefix(reasonLimit))
    }
}
