import ClusterModel

/// The agent's state file: one flat object of JSON, with the version of its format.
enum StateFile {
    /// Highest version that this program understands.
    static let version: UInt64 = 1

    /// Why a file is not taken for a state.
    struct Unreadable: Error, Hashable, Sendable {
        let reason: String
    }

    /// The whole file.
    static func compose(_ state: InstanceState) -> String {
        let incarnation = state.incarnation.map { "\"\($0.text)\"" } ?? "null"
        return """
            {
              "version": \(version),
              "incarnation": \(incarnation),
              "promisedTerm": \(state.promised.term),
              "promisedVersion": \(state.promised.version),
              "role": "\(state.role.rawValue)",
              "primaryOfTerm": \(state.primaryOfTerm),
              "releasedTerm": \(state.releasedTerm),
              "tainted": \(state.tainted),
              "copyOf": \(state.copyOf.map { "\"\($0.text)\"" } ?? "null"),
              "rules": "\(RuleText.compose(state.rules))",
              "grantedTerm": \(state.grantedTerm),
              "agents": "\(AddressText.compose(state.agents))",
              "hasRecovered": \(state.hasRecovered)
            }

            """
    }

    /// Reads a file; every field must be there.
    static func parse(_ text: String) throws(Unreadable) -> InstanceState {
        let fields = try FlatObject.parse(text)
        guard case .number(let found) = fields["version"] else { throw Unreadable(reason: "it names no version") }
        guard found == version else {
            throw Unreadable(reason: "its version is \(found), this program knows version \(version)")
        }
        var state = InstanceState()
        state.incarnation = try incarnation("incarnation", fields)
        guard case .text(let role) = fields["role"], let role = DurableRole(rawValue: role) else {
            throw Unreadable(reason: "its role is unknown")
        }
        guard case .flag(let tainted) = fields["tainted"] else { throw Unreadable(reason: "'tainted' is missing") }
        state.role = role
        state.tainted = tainted
        state.promised.term = Term(rawValue: try number("promisedTerm", fields))
        state.promised.version = RecordVersion(rawValue: try number("promisedVersion", fields))
        state.primaryOfTerm = Term(rawValue: try number("primaryOfTerm", fields))
        state.releasedTerm = Term(rawValue: try number("releasedTerm", fields))
        // Not there in files of earlier versions.
        switch fields["rules"] {
        case nil: break
        case .text(let text): state.rules = try RuleText.parse(text)
        default: throw Unreadable(reason: "its rules are garbled")
        }
        if fields["copyOf"] != nil { state.copyOf = try incarnation("copyOf", fields) }
        if fields["grantedTerm"] != nil { state.grantedTerm = Term(rawValue: try number("grantedTerm", fields)) }
        switch fields["agents"] {
        case nil: break
        case .text(let text): state.agents = try AddressText.parse(text)
        default: throw Unreadable(reason: "its addresses of agents are garbled")
        }
        switch fields["hasRecovered"] {
        case nil: break
        case .flag(let hasRecovered): state.hasRecovered = hasRecovered
        default: throw Unreadable(reason: "'hasRecovered' is garbled")
        }
        return state
    }

    private static func incarnation(
        _ name: String,
        _ fields: [String: FlatObject.Value]
    ) throws(Unreadable) -> Incarnation? {
        switch fields[name] {
        case .null: return nil
        case .text(let text):
            guard let incarnation = Incarnation(text) else { throw Unreadable(reason: "'\(name)' is garbled") }
            return incarnation
        default: throw Unreadable(reason: "'\(name)' is missing")
        }
    }

    private static func number(_ name: String, _ fields: [String: FlatObject.Value]) throws(Unreadable) -> UInt64 {
        guard case .number(let value) = fields[name] else { throw Unreadable(reason: "'\(name)' is missing") }
        return value
    }
}

/// Rules in one line: `required 1 one/0000000a two/0000000b; …`.
enum RuleText {
    static func compose(_ rules: [Rule]) -> String {
        rules.map { rule in
            ([rule.mode.rawValue, "\(rule.required)"] + rule.voters.map(\.description)).joined(separator: " ")
        }.joined(separator: "; ")
    }

    static func parse(_ text: String) throws(StateFile.Unreadable) -> [Rule] {
        var rules: [Rule] = []
        for part in text.split(separator: ";") {
            let words = part.split(separator: " ")
            guard words.count >= 2, let mode = Durability(rawValue: String(words[0])), let required = Int(words[1]),
                rules.count < ClusterRecord.ruleLimit
            else { throw .init(reason: "its rules are garbled") }
            let voters = words.dropFirst(2).compactMap(member)
            guard voters.count == words.count - 2, (0...voters.count).contains(required) else {
                throw .init(reason: "its rules are garbled")
            }
            rules.append(Rule(voters: voters, required: required, mode: mode))
        }
        return rules
    }

    private static func member(_ text: Substring) -> MemberID? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let name = InstanceName(String(parts[0])),
            let incarnation = Incarnation(String(parts[1]))
        else { return nil }
        return MemberID(name: name, incarnation: incarnation)
    }
}

/// Where agents answer, in one line: `one=10.0.0.1:7431 two=[::1]:7431`.
enum AddressText {
    static func compose(_ addresses: [AgentAddress]) -> String {
        addresses.filter { isPlain($0.endpoint.host) }.map { "\($0.name)=\($0.endpoint.host):\($0.endpoint.port)" }
            .joined(separator: " ")
    }

    static func parse(_ text: String) throws(StateFile.Unreadable) -> [AgentAddress] {
        let words = text.split(separator: " ")
        guard words.count <= AgentAddress.limit else { throw .init(reason: "it names too many agents") }
        let addresses = words.compactMap(address)
        guard addresses.count == words.count else { throw .init(reason: "its addresses of agents are garbled") }
        return addresses
    }

    private static func address(_ word: Substring) -> AgentAddress? {
        guard let equals = word.firstIndex(of: "="), let colon = word.lastIndex(of: ":"), equals < colon,
            let name = InstanceName(String(word[..<equals])), let port = UInt16(word[word.index(after: colon)...])
        else { return nil }
        let host = String(word[word.index(after: equals)..<colon])
        return isPlain(host) ? AgentAddress(name: name, endpoint: Endpoint(host: host, port: port)) : nil
    }

    /// Nothing that the file could not hold; an address with such a character reaches nobody anyway.
    private static func isPlain(_ host: String) -> Bool {
        !host.isEmpty && host.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x5C }
    }
}

/// A JSON object that holds texts without escapes, whole numbers, truth values and null; nothing nested.
enum FlatObject {
    enum Value: Hashable, Sendable {
        case text(String)
        case number(UInt64)
        case flag(Bool)
        case null
    }

    static func parse(_ text: String) throws(StateFile.Unreadable) -> [String: Value] {
        var rest = text[...]
        var fields: [String: Value] = [:]
        try expect("{", &rest)
        repeat {
            guard case .text(let name) = try value(&rest) else { throw .init(reason: "a name is expected") }
            try expect(":", &rest)
            guard fields.updateValue(try value(&rest), forKey: name) == nil else {
                throw .init(reason: "'\(name)' stands there twice")
            }
        } while take(",", &rest)
        try expect("}", &rest)
        skipBlanks(&rest)
        guard rest.isEmpty else { throw .init(reason: "something follows its end") }
        return fields
    }

    private static func value(_ rest: inout Substring) throws(StateFile.Unreadable) -> Value {
        if take("\"", &rest) {
            let text = rest.prefix { $0 != "\"" && $0 != "\\" && !$0.isNewline }
            rest = rest.dropFirst(text.count)
            guard take("\"", &rest) else { throw .init(reason: "a text has no end") }
            return .text(String(text))
        }
        let word = rest.prefix { $0.isLetter || $0.isNumber }
        rest = rest.dropFirst(word.count)
        switch word {
        case "true": return .flag(true)
        case "false": return .flag(false)
        case "null": return .null
        default:
            guard let number = UInt64(word) else { throw .init(reason: "it is cut off or garbled") }
            return .number(number)
        }
    }

    private static func expect(_ character: Character, _ rest: inout Substring) throws(StateFile.Unreadable) {
        guard take(character, &rest) else { throw .init(reason: "it is cut off or garbled") }
        skipBlanks(&rest)
    }

    private static func take(_ character: Character, _ rest: inout Substring) -> Bool {
        skipBlanks(&rest)
        guard rest.first == character else { return false }
        rest.removeFirst()
        if character != "\"" { skipBlanks(&rest) }
        return true
    }

    private static func skipBlanks(_ rest: inout Substring) { rest = rest.drop { $0.isWhitespace } }
}
