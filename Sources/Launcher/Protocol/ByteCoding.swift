/// Why bytes are not a message.
public enum MalformedMessage: Error, Hashable, Sendable {
    /// The bytes end before the message does.
    case truncated
    /// Bytes are left over after the message.
    case trailingBytes(Int)
    /// A tag that this version does not know.
    case unknownTag(UInt8)
    /// A text that is not UTF-8.
    case invalidText
    /// A count that the rest of the message cannot hold.
    case impossibleCount(UInt32)
}

/// Appends big-endian numbers, texts and byte strings.
public struct ByteWriter: Sendable {
    /// What was written so far.
    public private(set) var bytes: [UInt8] = []

    /// Creates an empty writer.
    public init() {}

    /// Appends one byte.
    public mutating func put(_ value: UInt8) {
        bytes.append(value)
    }

    /// Appends a truth value as one byte.
    public mutating func put(_ value: Bool) {
        bytes.append(value ? 1 : 0)
    }

    /// Appends a number, most significant byte first.
    public mutating func put<Number: FixedWidthInteger>(number: Number) {
        var shift = Number.bitWidth
        while shift > 0 {
            shift -= 8
            bytes.append(UInt8(truncatingIfNeeded: number >> Number(shift)))
        }
    }

    /// Appends a byte string behind its length.
    public mutating func put(_ value: [UInt8]) {
        put(number: UInt32(value.count))
        bytes.append(contentsOf: value)
    }

    /// Appends a text as UTF-8 behind its length.
    public mutating func put(_ value: String) {
        put(Array(value.utf8))
    }

    /// Appends a list behind its count.
    public mutating func put<Element>(list: [Element], _ body: (inout ByteWriter, Element) -> Void) {
        put(number: UInt32(list.count))
        for element in list { body(&self, element) }
    }

    /// Appends a value that may be absent.
    public mutating func put<Value>(optional: Value?, _ body: (inout ByteWriter, Value) -> Void) {
        put(optional != nil)
        if let optional { body(&self, optional) }
    }
}

/// Takes apart what `ByteWriter` wrote; trusts no length or count in it.
public struct ByteReader: Sendable {
    private let bytes: [UInt8]
    private var position = 0

    /// Creates a reader of the bytes.
    public init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// How many bytes are left.
    public var remaining: Int { bytes.count - position }

    /// Takes one byte.
    public mutating func byte() throws(MalformedMessage) -> UInt8 {
        guard remaining > 0 else { throw .truncated }
        defer { position += 1 }
        return bytes[position]
    }

    /// Takes a truth value.
    public mutating func flag() throws(MalformedMessage) -> Bool {
        switch try byte() {
        case 0: false
        case 1: true
        case let other: throw .unknownTag(other)
        }
    }

    /// Takes a number, most significant byte first.
    public mutating func number<Number: FixedWidthInteger>(
        _ type: Number.Type = Number.self
    ) throws(MalformedMessage) -> Number {
        let size = Number.bitWidth / 8
        guard remaining >= size else { throw .truncated }
        var value: Number = 0
        for _ in 0..<size {
            value = (size == 1 ? 0 : value << 8) | Number(truncatingIfNeeded: bytes[position])
            position += 1
        }
        return value
    }

    /// Takes a byte string.
    public mutating func byteString() throws(MalformedMessage) -> [UInt8] {
        let count: UInt32 = try number()
        guard Int(count) <= remaining else { throw .truncated }
        defer { position += Int(count) }
        return Array(bytes[position..<(position + Int(count))])
    }

    /// Takes a text.
    public mutating func text() throws(MalformedMessage) -> String {
        guard let text = String(validating: try byteString(), as: UTF8.self) else { throw .invalidText }
        return text
    }

    /// Takes a list; nothing is allocated for a count that the bytes cannot hold.
    public mutating func list<Element>(
        _ body: (inout ByteReader) throws(MalformedMessage) -> Element
    ) throws(MalformedMessage) -> [Element] {
        let count: UInt32 = try number()
        guard Int(count) <= remaining else { throw .impossibleCount(count) }
        var elements: [Element] = []
        for _ in 0..<count { elements.append(try body(&self)) }
        return elements
    }

    /// Takes a value that may be absent.
    public mutating func optional<Value>(
        _ body: (inout ByteReader) throws(MalformedMessage) -> Value
    ) throws(MalformedMessage) -> Value? {
        try flag() ? try body(&self) : nil
    }

    /// Ends the message: nothing may be left.
    public func end() throws(MalformedMessage) {
        guard remaining == 0 else { throw .trailingBytes(remaining) }
    }
}
