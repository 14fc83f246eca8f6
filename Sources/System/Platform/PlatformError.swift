import Glibc

/// A refusal of the operating system: what was tried, on what, and why it failed.
public struct PlatformError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What was tried, as a verb and its object: `write file /run/state`.
    public let attempt: String
    /// Why it failed, in the system's own words or ours.
    public let cause: String
    /// What the reader can do about it; empty when nothing sensible can be said.
    public let mend: String

    /// Describes a failure in words.
    public init(_ attempt: String, cause: String, mend: String = "") {
        self.attempt = attempt
        self.cause = cause
        self.mend = mend
    }

    /// Describes a failed system call by its error number.
    init(_ attempt: String, code: Int32, mend: String = "") {
        self.init(attempt, cause: errorText(code), mend: mend)
    }

    /// The whole sentence: `could not <verb> <object>: <cause>; <mend>`.
    public var description: String {
        mend.isEmpty ? "could not \(attempt): \(cause)" : "could not \(attempt): \(cause); \(mend)"
    }
}

/// The system's words for an error number.
func errorText(_ code: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    let size = buffer.count
    // Safe: the buffer outlives the call; glibc answers with it or with a constant string.
    let text = unsafe buffer.withUnsafeMutableBufferPointer { pointer -> String in
        guard let base = pointer.baseAddress, unsafe strerror_r(code, base, size) == 0 else { return "error \(code)" }
        return unsafe String(cString: base)
    }
    return text
}

/// Repeats a system call while a signal interrupts it.
func uninterrupted(_ call: () -> Int32) -> Int32 {
    while true {
        let result = call()
        if result != -1 || errno != EINTR { return result }
    }
}

/// Errors of the operating system by their numbers.
public enum SystemError {
    /// The system's words for an error number.
    public static func text(_ code: Int32) -> String { errorText(code) }
}
