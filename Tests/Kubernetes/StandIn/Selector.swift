import JSON

/// A condition on labels and fields, as list and watch take it.
struct Selector {
    private enum Term {
        case equals(String, Set<String>)
        case differs(String, Set<String>)
        case exists(String)
        case lacks(String)
    }

    private let labels: [Term]
    private let fields: [(path: [String], value: String, isEqual: Bool)]

    init(labels: String?, fields: String?) throws(Refusal) {
        var terms: [Term] = []
        for text in Self.split(labels ?? "") { terms.append(try Self.term(text)) }
        self.labels = terms
        var conditions: [(path: [String], value: String, isEqual: Bool)] = []
        for text in Self.split(fields ?? "") {
            guard let (name, value, isEqual) = Self.comparison(text) else {
                throw .badRequest("unable to parse field selector '\(text)'")
            }
            guard ["metadata.name", "metadata.namespace", "spec.nodeName", "status.phase"].contains(name) else {
                throw .badRequest("field label not supported: \(name)")
            }
            conditions.append((name.split(separator: ".").map(String.init), value, isEqual))
        }
        self.fields = conditions
    }

    func matches(_ object: JSONValue) -> Bool {
        let values = (object["metadata"]?["labels"]?.object ?? [:]).compactMapValues(\.string)
        let labelsMatch = labels.allSatisfy { term in
            switch term {
            case .equals(let name, let wanted): values[name].map(wanted.contains) ?? false
            case .differs(let name, let refused): values[name].map { !refused.contains($0) } ?? true
            case .exists(let name): values[name] != nil
            case .lacks(let name): values[name] == nil
            }
        }
        return labelsMatch && fields.allSatisfy { ((object[path: $0.path]?.string ?? "") == $0.value) == $0.isEqual }
    }

    private static func term(_ text: String) throws(Refusal) -> Term {
        if let (name, value, isEqual) = comparison(text) {
            return isEqual ? .equals(name, [value]) : .differs(name, [value])
        }
        let words = text.split(separator: " ", maxSplits: 2).map(String.init)
        if words.count == 3, words[2].hasPrefix("("), words[2].hasSuffix(")") {
            let values = Set(
                words[2].dropFirst().dropLast().split(separator: ",").map { String($0.drop { $0 == " " }) }
            )
            if words[1] == "in" { return .equals(words[0], values) }
            if words[1] == "notin" { return .differs(words[0], values) }
        }
        guard words.count == 1 else { throw .badRequest("unable to parse requirement '\(text)'") }
        return text.hasPrefix("!") ? .lacks(String(text.dropFirst())) : .exists(text)
    }

    private static func comparison(_ text: String) -> (String, String, Bool)? {
        guard let sign = text.firstIndex(of: "=") else { return nil }
        let value = text[sign...].drop { $0 == "=" }
        let name = text[..<sign]
        if name.hasSuffix("!") { return (String(name.dropLast()), String(value), false) }
        return (String(name), String(value), true)
    }

    /// Parts between commas that stand in no parentheses.
    private static func split(_ text: String) -> [String] {
        var parts: [String] = [""]
        var depth = 0
        for character in text {
            if character == "(" { depth += 1 }
            if character == ")" { depth -= 1 }
            if character == ",", depth == 0 {
                parts.append("")
            } else if character != " " || depth > 0 || !(parts.last ?? "").isEmpty {
                parts[parts.count - 1].append(character)
            }
        }
        return parts.filter { !$0.isEmpty }
    }
}
