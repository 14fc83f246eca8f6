import Glibc

/// Environment variables of this process.
public enum ProcessEnvironment {
    /// All variables as they are now.
    public static var variables: [String: String] {
        var found: [String: String] = [:]
        var next = unsafe environ
        // Safe: the array of texts ends with a null pointer, and nothing here changes the environment.
        while let entry = unsafe next.pointee {
            let text = unsafe String(cString: entry)
            if let equals = text.firstIndex(of: "=") {
                found[String(text[..<equals])] = String(text[text.index(after: equals)...])
            }
            unsafe next += 1
        }
        return found
    }
}

/// The stream for what goes wrong.
public enum StandardError {
    /// Writes one line.
    public static func write(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        var written = 0
        // Safe: the pointer and its length come from the same living array.
        unsafe bytes.withUnsafeBytes { buffer in
            while written < buffer.count {
                let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[written...])
                let count = unsafe Glibc.write(2, rest.baseAddress, rest.count)
                if count <= 0 { return }
                written += count
            }
        }
    }
}
