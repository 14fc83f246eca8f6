/// Why a text is not JSON, or more than we take.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Where, in bytes from the beginning.
    public let offset: Int
    /// What is wrong there.
    public let cause: String

    /// One sentence.
    public var description: String { "could not read JSON: \(cause) at byte \(offset)" }
}

extension JSONValue {
    /// Arrays and objects within each other deeper than this are refused.
    public static let depthLimit = 100

    /// Reads a text, which must hold one value and nothing else.
    ///
    /// Of two members with one name the last counts. Takes memory in proportion to the text; limit its size before.
    ///
    /// - Throws: `JSONError` naming the place.
    public init(parsing bytes: [UInt8]) throws(JSONError) {
        var parser = JSONParser(bytes)
        self = try parser.document()
    }
}

/// Reads one text from left to right.
private struct JSONParser {
    private let bytes: [UInt8]
    private var place = 0
    private var depth = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func document() throws(JSONError) -> JSONValue {
        let value = try value()
        skipBlanks()
        guard place == bytes.count else { throw fault("something follows the value") }
        return value
    }

    private func fault(_ cause: String) -> JSONError { JSONError(offset: place, cause: cause) }

    private var next: UInt8? { place < bytes.count ? bytes[place] : nil }

    private mutating func skipBlanks() {
        while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { place += 1 }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        skipBlanks()
        guard next == byte else { return false }
        place += 1
        return true
    }

    private mutating func value() throws(JSONError) -> JSONValue {
        skipBlanks()
        switch next {
        case UInt8(ascii: "{"): return try nested { parser throws(JSONError) in try parser.object() }
        case UInt8(ascii: "["): return try nested { parser throws(JSONError) in try parser.array() }
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case nil: throw fault("the text ends too early")
        default: return try number()
        }
    }

    private mutating func nested(
        _ body: (inout JSONParser) throws(JSONError) -> JSONValue
    ) throws(JSONError) -> JSONValue {
        guard depth < JSONValue.depthLimit else { throw fault("more than \(JSONValue.depthLimit) levels") }
        depth += 1
        defer { depth -= 1 }
        place += 1
        return try body(&self)
    }

    private mutating func object() throws(JSONError) -> JSONValue {
        var values: [String: JSONValue] = [:]
        if take(UInt8(ascii: "}")) { return .object(values) }
        repeat {
            skipBlanks()
            guard next == UInt8(ascii: "\"") else { throw fault("a name is missing") }
            let name = try string()
            guard take(UInt8(ascii: ":")) else { throw fault("a colon is missing") }
            values[name] = try value()
        } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "}")) else { throw fault("an object does not end") }
        return .object(values)
    }

    private mutating func array() throws(JSONError) -> JSONValue {
        var values: [JSONValue] = []
        if take(UInt8(ascii: "]")) { return .array(values) }
        repeat { values.append(try value()) } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "]")) else { throw fault("an array does not end") }
        return .array(values)
    }

    private mutating func word(_ text: String, _ value: JSONValue) throws(JSONError) -> JSONValue {
        guard bytes[place...].starts(with: text.utf8) else { throw fault("an unknown word stands") }
        place += text.utf8.count
        return value
    }

    private mutating func number() throws(JSONError) -> JSONValue {
        let start = place
        if next == UInt8(ascii: "-") { place += 1 }
        let first = next
        guard digits() > 0, first != UInt8(ascii: "0") || place - start - (bytes[start] == 0x2d ? 1 : 0) == 1 else {
            throw fault("a value is malformed")
        }
        if next == UInt8(ascii: ".") {
            place += 1
            guard digits() > 0 else { throw fault("a number is malformed") }
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            place += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { place += 1 }
            guard digits() > 0 else { throw fault("a number is malformed") }
        }
        return .number(JSONNumber(checked: String(decoding: bytes[start..<place], as: UTF8.self)))
    }

    private mutating func digits() -> Int {
        let start = place
        while let byte = next, (0x30...0x39).contains(byte) { place += 1 }
        return place - start
    }

    private mutating func string() throws(JSONError) -> String {
        place += 1
        var content: [UInt8] = []
        var start = place
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                content += bytes[start..<place]
                guard let text = String(validating: content, as: UTF8.self) else { throw fault("a text is not UTF-8") }
                place += 1
                return text
            case UInt8(ascii: "\\"):
                content += bytes[start..<place]
                place += 1
                content += Array(String(try escaped()).utf8)
                start = place
            case 0..<0x20: throw fault("a text holds a control character")
            default: place += 1
            }
        }
        throw fault("a text does not end")
    }

    /// What stands after a backslash.
    private mutating func escaped() throws(JSONError) -> Unicode.Scalar {
        guard let byte = next else { throw fault("a text does not end") }
        place += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try unicode()
        default: throw fault("an unknown escape stands")
        }
    }

    /// One scalar of one or two `uXXXX`; half of a pair is replaced, as most readers do.
    private mutating func unicode() throws(JSONError) -> Unicode.Scalar {
        let first = try hexadecimal()
        if let scalar = Unicode.Scalar(first) { return scalar }
        let afterFirst = place
        guard first < 0xdc00, bytes[place...].starts(with: [UInt8(ascii: "\\"), UInt8(ascii: "u")]) else {
            return "\u{fffd}"
        }
        place += 2
        let second = try hexadecimal()
        guard (0xdc00..<0xe000).contains(second),
            let scalar = Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
        else {
            place = afterFirst
            return "\u{fffd}"
        }
        return scalar
    }

    private mutating func hexadecimal() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = digit(byte) else { throw fault("an escape is malformed") }
            value = value << 4 | digit
            place += 1
        }
        return value
    }

    private func digit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case 0x30...0x39: UInt32(byte) - 0x30
        case 0x61...0x66: UInt32(byte) - 0x57
        case 0x41...0x46: UInt32(byte) - 0x37
        default: nil
        }
    }
}
