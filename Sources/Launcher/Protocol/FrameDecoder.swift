/// A frame: its length in four bytes, most significant first, then the message.
public enum LauncherFrame {
    /// The longest message, in bytes.
    public static let limit = 2 << 20

    /// The longest piece of a tool's output in one message, in bytes.
    public static let outputLimit = 64 << 10

    /// Puts a message behind its length.
    public static func wrap(_ message: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        writer.put(message)
        return writer.bytes
    }
}

/// Why a stream of bytes is no stream of frames.
public struct FrameTooLong: Error, Hashable, Sendable {
    /// The length that the frame announced, in bytes.
    public let announced: Int
}

/// Cuts a stream of bytes into messages.
public struct FrameDecoder: Sendable {
    private var buffer: [UInt8] = []
    private var start = 0

    /// Creates a decoder at the beginning of a stream.
    public init() {}

    /// Adds bytes as they came.
    public mutating func append(_ bytes: some Collection<UInt8>) {
        if start == buffer.count {
            buffer.removeAll(keepingCapacity: buffer.capacity <= 1 << 17)
            start = 0
        }
        buffer.append(contentsOf: bytes)
    }

    /// Takes the next complete message; `nil` until there is one.
    ///
    /// - Throws: `FrameTooLong` as soon as the length is known, before anything is kept for it.
    public mutating func next() throws(FrameTooLong) -> [UInt8]? {
        guard buffer.count - start >= 4 else { return nil }
        var length = 0
        for offset in 0..<4 { length = length << 8 | Int(buffer[start + offset]) }
        guard length <= LauncherFrame.limit else { throw FrameTooLong(announced: length) }
        guard buffer.count - start - 4 >= length else { return nil }
        let first = start + 4
        let message = Array(buffer[first..<(first + length)])
        start = first + length
        if start > 1 << 16, start < buffer.count {
            buffer.removeFirst(start)
            start = 0
        }
        return message
    }
}
