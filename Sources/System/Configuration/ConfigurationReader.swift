import Yams

/// What is wrong with a configuration: every fault found, not only the first.
public struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// One sentence each: what, where, how to mend it.
    public let faults: [String]

    /// Creates a configuration error from its parts.
    public init(faults: [String]) { self.faults = faults }

    /// For people: logs, history and command line.
    public var description: String { faults.joined(separator: "\n") }
}

/// Reads one program's configuration: a flag wins over the environment, the environment over the YAML file.
///
/// Keys are dotted, such as `timings.leaseDuration`; the flag is `--timings-lease-duration`, the variable
/// `UNDERSTUDY_TIMINGS_LEASE_DURATION`. Keys that nobody asked for are faults, so that a typing error is not
/// taken for silence.
public struct ConfigurationReader {
    private let source: String
    private let flags: [String: String]
    private let environment: [String: String]
    private var root: Node?
    private var asked: Set<String> = []
    /// What was found to be wrong so far.
    public private(set) var faults: [String] = []

    /// Largest configuration file that is read.
    public static let sizeLimit = 1 << 20

    /// - Parameters:
    ///   - yaml: Contents of the file; nil if there is none.
    ///   - source: Its path, for the texts of faults.
    ///   - flags: By dotted key.
    ///   - environment: All variables of the process.
    public init(yaml: String?, source: String, flags: [String: String], environment: [String: String]) {
        self.source = source
        self.flags = flags
        self.environment = environment
        guard let yaml else { return }
        do {
            root = try Yams.compose(yaml: yaml)
        } catch {
            let text = String(describing: error).split(separator: "\n").joined(separator: " ")
            faults.append("could not read \(source): it is not valid YAML: \(text)")
        }
        if let root, root.mapping == nil { faults.append("could not read \(source): its top level must be a mapping") }
    }

    /// Notes a fault in a key's value.
    public mutating func fault(_ key: String, _ text: String) { faults.append("\(place(key)) \(text)") }

    /// Notes a fault that lies in no single key.
    public mutating func fault(_ text: String) { faults.append("\(source): \(text)") }

    /// A text; nil if the key is given nowhere.
    public mutating func text(_ key: String) -> String? {
        asked.insert(key)
        if let flag = flags[key] { return flag }
        if let variable = environment[Self.variable(key)] { return variable }
        guard let node = node(key) else { return nil }
        guard let scalar = node.scalar?.string else {
            fault(key, "must be a single value")
            return nil
        }
        return scalar
    }

    /// A text that must be there; an empty one, and a fault, if it is not.
    public mutating func requiredText(_ key: String) -> String {
        if let found = text(key), !found.isEmpty { return found }
        let flag = "--" + Self.words(key).joined(separator: "-")
        faults.append("'\(key)' is missing: give it in \(source), as \(flag) or as \(Self.variable(key))")
        return ""
    }

    /// A duration such as `500ms`, `3s` or `2m`.
    public mutating func duration(_ key: String) -> Duration? {
        guard let found = text(key) else { return nil }
        if let duration = Self.parseDuration(found) { return duration }
        fault(key, "is '\(found)', not a duration such as 500ms, 3s or 2m")
        return nil
    }

    /// A whole number within bounds.
    public mutating func number(_ key: String, within bounds: ClosedRange<UInt64>) -> UInt64? {
        guard let found = text(key) else { return nil }
        if let number = UInt64(found), bounds.contains(number) { return number }
        fault(key, "is '\(found)', not a whole number from \(bounds.lowerBound) to \(bounds.upperBound)")
        return nil
    }

    /// `true` or `false`.
    public mutating func flag(_ key: String) -> Bool? {
        guard let found = text(key) else { return nil }
        switch found {
        case "true", "yes", "on": return true
        case "false", "no", "off": return false
        default:
            fault(key, "is '\(found)', not true or false")
            return nil
        }
    }

    /// A list of texts; a flag or variable gives them separated by commas.
    public mutating func list(_ key: String) -> [String] {
        asked.insert(key)
        if let given = flags[key] ?? environment[Self.variable(key)] {
            return given.split(separator: ",").map { String($0).trimmed }
        }
        guard let node = node(key) else { return [] }
        let texts = node.sequence.map { $0.compactMap { $0.scalar?.string } }
        guard let texts, texts.count == node.sequence?.count else {
            fault(key, "must be a list of values")
            return []
        }
        return texts
    }

    /// A mapping from text to text; only in the file.
    public mutating func mapping(_ key: String) -> [String: String] {
        asked.insert(key)
        guard let node = node(key) else { return [:] }
        var result: [String: String] = [:]
        for (name, value) in node.mapping ?? [:] {
            guard let name = name.scalar?.string, let value = value.scalar?.string else {
                fault(key, "must be a mapping of names to single values")
                return [:]
            }
            result[name] = value
        }
        if node.mapping == nil { fault(key, "must be a mapping") }
        return result
    }

    /// A list of mappings, each read by `body` with a reader of its own; only in the file.
    public mutating func entries(_ key: String, _ body: (inout ConfigurationReader) -> Void) {
        asked.insert(key)
        guard let node = node(key) else { return }
        guard let sequence = node.sequence else { return fault(key, "must be a list") }
        for (index, element) in sequence.enumerated() {
            var reader = ConfigurationReader(
                yaml: nil,
                source: "\(source): \(key)[\(index)]",
                flags: [:],
                environment: [:]
            )
            guard element.mapping != nil else {
                fault(key, "entry \(index) must be a mapping")
                continue
            }
            reader.root = element
            body(&reader)
            reader.refuseUnknownKeys()
            faults += reader.faults
        }
    }

    /// Notes a fault for each key of the file that nobody asked for.
    public mutating func refuseUnknownKeys() {
        guard let mapping = root?.mapping else { return }
        refuseUnknown(mapping, prefix: "")
    }

    /// Throws all faults found, if there are any.
    public func check() throws(ConfigurationError) {
        if !faults.isEmpty { throw ConfigurationError(faults: faults) }
    }

    private mutating func refuseUnknown(_ mapping: Node.Mapping, prefix: String) {
        for (name, value) in mapping {
            let key = prefix + (name.scalar?.string ?? "?")
            if asked.contains(key) { continue }
            if let inner = value.mapping, asked.contains(where: { $0.hasPrefix(key + ".") }) {
                refuseUnknown(inner, prefix: key + ".")
            } else {
                faults.append("\(source): '\(key)' is not a known key; remove it or correct its spelling")
            }
        }
    }

    private func place(_ key: String) -> String {
        if flags[key] != nil { return "--" + Self.words(key).joined(separator: "-") }
        if environment[Self.variable(key)] != nil { return Self.variable(key) }
        return "\(source): '\(key)'"
    }

    private func node(_ key: String) -> Node? {
        var current = root
        for part in key.split(separator: ".") { current = current?.mapping?[Node(String(part))] }
        return current
    }

    /// `timings.leaseDuration` → `timings`, `lease`, `duration`.
    static func words(_ key: String) -> [String] {
        var words: [String] = []
        for part in key.split(separator: ".") {
            words.append("")
            for character in part {
                if character.isUppercase { words.append("") }
                words[words.count - 1] += character.lowercased()
            }
        }
        return words
    }

    static func variable(_ key: String) -> String { "UNDERSTUDY_" + words(key).joined(separator: "_").uppercased() }

    /// Reads `500ms`, `3s`, `2m`, `1h`; nil if it is none of these or longer than a day.
    public static func parseDuration(_ text: String) -> Duration? {
        let units: [(String, Duration)] = [
            ("ms", .milliseconds(1)), ("s", .seconds(1)), ("m", .seconds(60)), ("h", .seconds(3600)),
        ]
        for (suffix, unit) in units where text.hasSuffix(suffix) {
            guard let count = Int(text.dropLast(suffix.count)), count >= 0, count <= 86_400_000 else { continue }
            let duration = unit * count
            return duration <= .seconds(86_400) ? duration : nil
        }
        return nil
    }
}

extension String {
    fileprivate var trimmed: String {
        var rest = self[...]
        while rest.first?.isWhitespace == true { rest.removeFirst() }
        while rest.last?.isWhitespace == true { rest.removeLast() }
        return String(rest)
    }
}
