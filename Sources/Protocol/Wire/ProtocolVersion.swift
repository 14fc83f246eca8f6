/// Version of what goes over the wire; told in the first frame of each connection.
public struct ProtocolVersion: Sendable, Hashable, CustomStringConvertible {
    /// Changes when old and new programs cannot understand each other.
    public let major: UInt32
    /// Grows with each addition that older programs may ignore.
    public let minor: UInt32

    /// Names a version.
    public init(major: UInt32, minor: UInt32) {
        self.major = major
        self.minor = minor
    }

    /// The version this program speaks.
    public static let current = ProtocolVersion(major: 1, minor: 0)

    /// Tells whether programs of these two versions can work together.
    public func understands(_ other: ProtocolVersion) -> Bool { major == other.major }

    /// `1.0`.
    public var description: String { "\(major).\(minor)" }
}

/// Limits of what is accepted from the other side.
public enum FrameLimits {
    /// The largest payload of one frame, in bytes, checked before anything is allocated for it.
    public static let payload = 256 * 1024
    /// The bytes of the length that stands before each payload, most significant first.
    public static let header = 4
}
