import Glibc

/// TCP ports of this machine.
public enum NetworkPort {
    /// Finds a port on which nobody listens now.
    ///
    /// It lies below the range that the kernel gives to outgoing connections: a client that tries such a port again
    /// and again while nobody listens may be given the very same as its own, and so connect to itself.
    ///
    /// - Parameter address: The numeric IPv4 address to look on.
    /// - Returns: The port; another program may take it before the caller does.
    /// - Throws: `PlatformError` if there is none, or the address is not this machine's.
    public static func findFree(on address: String = "127.0.0.1") throws(PlatformError) -> Int {
        let attempt = "find a free port on \(address)"
        _ = try socketAddress(address, port: 0, attempt: attempt)
        for _ in 0..<1000 {
            let port = Int.random(in: 10240..<32768)
            if isFree(port, on: address) { return port }
        }
        throw PlatformError(attempt, cause: "a thousand ports were tried and none could be had")
    }

    /// Tells whether a port could be listened on now.
    public static func isFree(_ port: Int, on address: String = "127.0.0.1") -> Bool {
        guard let number = UInt16(exactly: port),
            var endpoint = try? socketAddress(address, port: number, attempt: "probe port")
        else { return false }
        let listener = FileDescriptor(owning: socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
        var reuse: Int32 = 1
        let length = socklen_t(MemoryLayout<sockaddr_in>.size)
        // Safe: both structures outlive the calls that read them.
        _ = unsafe setsockopt(listener.number, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<Int32>.size))
        return unsafe withUnsafeMutablePointer(to: &endpoint) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                unsafe bind(listener.number, generic, length) == 0
            }
        }
    }

    private static func socketAddress(
        _ address: String,
        port: UInt16,
        attempt: String
    ) throws(PlatformError) -> sockaddr_in {
        var endpoint = sockaddr_in()
        endpoint.sin_family = sa_family_t(AF_INET)
        endpoint.sin_port = port.bigEndian
        // Safe: the destination is the structure's own address field.
        guard unsafe inet_pton(AF_INET, address, &endpoint.sin_addr) == 1 else {
            throw PlatformError(attempt, cause: "\(address) is not a numeric IPv4 address")
        }
        return endpoint
    }
}
