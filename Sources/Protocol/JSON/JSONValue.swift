/// A value of JSON, with everything it came with: what nobody knows the meaning of is kept as it is.
///
/// - SeeAlso: RFC 8259.
public enum JSONValue: Hashable, Sendable {
    /// Nothing.
    case null
    /// True or false.
    case bool(Bool)
    /// A number, kept exact.
    case number(JSONNumber)
    /// A text.
    case string(String)
    /// Values in order.
    case array([JSONValue])
    /// Values by name; their order means nothing.
    case object([String: JSONValue])

    /// The text, if it is one.
    public var string: String? {
        if case .string(let text) = self { text } else { nil }
    }

    /// The truth value, if it is one.
    public var bool: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The whole number, if it is one that 64 bits hold.
    public var integer: Int64? {
        if case .number(let number) = self { number.integer } else { nil }
    }

    /// The values in order, if it is an array.
    public var array: [JSONValue]? {
        if case .array(let values) = self { values } else { nil }
    }

    /// The values by name, if it is an object.
    public var object: [String: JSONValue]? {
        if case .object(let values) = self { values } else { nil }
    }

    /// The value of a name; nil if this is no object or has no such name.
    ///
    /// Setting makes an object of what is none; setting nil removes the name.
    public subscript(name: String) -> JSONValue? {
        get { object?[name] }
        set {
            if newValue == nil, object == nil { return }
            var values = object ?? [:]
            // The old owner lets go first, so that the values are changed in place.
            self = .null
            values[name] = newValue
            self = .object(values)
        }
    }

    /// The value at the end of a path of names; nil if a step of it is missing.
    ///
    /// Setting makes the missing steps.
    public subscript(path path: [String]) -> JSONValue? {
        get { path.reduce(Optional(self)) { $0?[$1] } }
        set {
            guard let first = path.first else {
                self = newValue ?? .null
                return
            }
            if path.count == 1 {
                self[first] = newValue
            } else if newValue != nil || self[first] != nil {
                var step = self[first] ?? .object([:])
                step[path: Array(path.dropFirst())] = newValue
                self[first] = step
            }
        }
    }

    /// What becomes of this value by a merge patch: null removes, an object changes what it names, all else replaces.
    ///
    /// - SeeAlso: RFC 7386.
    public func merged(with patch: JSONValue) -> JSONValue {
        guard case .object(let changes) = patch else { return patch }
        var values = object ?? [:]
        for name in changes.keys.sorted() {
            guard let change = changes[name] else { continue }
            values[name] = change == .null ? nil : (values[name] ?? .null).merged(with: change)
        }
        return .object(values)
    }
}

/// A number as it was written, so that none loses digits on its way.
public struct JSONNumber: Hashable, Sendable {
    /// Its text, as JSON allows it.
    public let text: String

    /// A whole number.
    public init(_ value: Int64) { text = "\(value)" }

    /// Takes a text that the parser has checked.
    init(checked text: String) { self.text = text }

    /// The whole number, if it is one that 64 bits hold.
    public var integer: Int64? { Int64(text) }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral {
    /// A text.
    public init(stringLiteral value: String) { self = .string(value) }

    /// A whole number.
    public init(integerLiteral value: Int64) { self = .number(JSONNumber(value)) }

    /// True or false.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
}

extension JSONValue: ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral {
    /// Values in order.
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }

    /// Values by name; of two with one name the last.
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object([String: JSONValue](elements) { $1 })
    }
}
