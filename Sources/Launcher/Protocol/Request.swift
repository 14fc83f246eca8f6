/// Version of the messages between agent and launcher.
public let launcherProtocolVersion: UInt32 = 2

/// An order of the agent; paths are relative to the data folder.
public enum LauncherRequest: Hashable, Sendable {
    /// Opens the connection: the first request, and only once.
    case hello(version: UInt32)
    /// Starts the server; with `leaseRequired` only under an armed lease.
    case start(arguments: [String], environment: [EnvironmentVariable], leaseRequired: Bool)
    /// Stops the server.
    case stop(StopMode)
    /// Signals the postmaster (`nil`) or one process of the server.
    case signal(processID: Int32?, signal: Int32)
    /// Lists the processes of the server.
    case processes
    /// Places the trigger file and signals the postmaster; with `leaseRequired` only under an armed lease.
    case promote(leaseRequired: Bool)
    /// Removes a left-over trigger file.
    case clearPromote
    /// Runs one of the server's own tools; its id is the request's. 0 milliseconds: no limit.
    case run(tool: String, arguments: [String], environment: [EnvironmentVariable], timeoutMilliseconds: UInt64)
    /// Kills a tool and everything under it.
    case cancelTool(UInt32)
    /// Writes a file in one step; if `durable`, it survives a power cut once this is answered.
    case place(path: String, contents: [UInt8], mode: UInt32, durable: Bool)
    /// Reads a file of at most `limit` bytes.
    case read(path: String, limit: UInt32)
    /// Removes a file, a symbolic link or an empty folder.
    case remove(path: String)
    /// Renames within the data folder.
    case rename(from: String, to: String, mode: RenameMode)
    /// Lists a folder.
    case list(path: String)
    /// Removes a folder and everything in it.
    case removeTree(path: String)
    /// Makes a folder; one that is there already is left as it is.
    case makeDirectory(path: String, mode: UInt32)
    /// Tells what a path stands for.
    case inspect(path: String)
    /// Reads the first bytes of a file, at most `count`.
    case readStart(path: String, count: UInt32)
    /// Copies a file of at most `limit` bytes to a name that is not taken.
    case copy(from: String, to: String, limit: UInt64)
    /// Measures the volume of a path; the only order that follows symbolic links.
    case space(path: String)
    /// Arms the lease timer anew; 0 remaining milliseconds fire it at once.
    ///
    /// `countedFrom` is the moment of which the remaining time was true, in nanoseconds on the machine's boot-time
    /// clock, so that an order that waited in the socket does not prolong the lease.
    case lease(remainingMilliseconds: UInt64, fenceBudgetMilliseconds: UInt64, countedFrom: Int64)
    /// Disarms the lease timer.
    case disarmLease
}

extension LauncherRequest {
    /// The message that carries this request under an id.
    public func encoded(id: UInt32) -> [UInt8] {
        var writer = ByteWriter()
        writer.put(number: id)
        write(to: &writer)
        return writer.bytes
    }

    /// Reads the id and the request of a message.
    public static func decode(
        _ message: [UInt8]
    ) throws(MalformedMessage) -> (id: UInt32, request: LauncherRequest) {
        var reader = ByteReader(message)
        let id: UInt32 = try reader.number()
        let tag = try reader.byte()
        let request =
            if tag < 32 {
                try serverRequest(tag, &reader)
            } else {
                try folderRequest(tag, &reader)
            }
        try reader.end()
        return (id, request)
    }

    private func write(to writer: inout ByteWriter) {
        switch self {
        case .hello(let version):
            writer.put(1 as UInt8)
            writer.put(number: version)
        case .start(let arguments, let environment, let leaseRequired):
            writer.put(2 as UInt8)
            writer.put(list: arguments) { $0.put($1) }
            writer.put(environment: environment)
            writer.put(leaseRequired)
        case .stop(let mode):
            writer.put(3 as UInt8)
            writer.put(mode.rawValue)
        case .signal(let processID, let signal):
            writer.put(4 as UInt8)
            writer.put(optional: processID) { $0.put(number: $1) }
            writer.put(number: signal)
        case .processes: writer.put(5 as UInt8)
        case .promote(let leaseRequired):
            writer.put(6 as UInt8)
            writer.put(leaseRequired)
        case .clearPromote: writer.put(7 as UInt8)
        case .run(let tool, let arguments, let environment, let timeoutMilliseconds):
            writer.put(8 as UInt8)
            writer.put(tool)
            writer.put(list: arguments) { $0.put($1) }
            writer.put(environment: environment)
            writer.put(number: timeoutMilliseconds)
        case .cancelTool(let tool):
            writer.put(9 as UInt8)
            writer.put(number: tool)
        case .lease(let remainingMilliseconds, let fenceBudgetMilliseconds, let countedFrom):
            writer.put(10 as UInt8)
            writer.put(number: remainingMilliseconds)
            writer.put(number: fenceBudgetMilliseconds)
            writer.put(number: countedFrom)
        case .disarmLease: writer.put(11 as UInt8)
        default: writeFolderRequest(to: &writer)
        }
    }

    private func writeFolderRequest(to writer: inout ByteWriter) {
        switch self {
        case .place(let path, let contents, let mode, let durable):
            writer.put(32 as UInt8)
            writer.put(path)
            writer.put(contents)
            writer.put(number: mode)
            writer.put(durable)
        case .read(let path, let limit):
            writer.put(33 as UInt8)
            writer.put(path)
            writer.put(number: limit)
        case .remove(let path): writer.put(34, path)
        case .rename(let from, let to, let mode):
            writer.put(35, from)
            writer.put(to)
            writer.put(mode.rawValue)
        case .list(let path): writer.put(36, path)
        case .removeTree(let path): writer.put(37, path)
        case .makeDirectory(let path, let mode):
            writer.put(38, path)
            writer.put(number: mode)
        case .inspect(let path): writer.put(39, path)
        case .space(let path): writer.put(40, path)
        case .readStart(let path, let count):
            writer.put(41, path)
            writer.put(number: count)
        case .copy(let from, let to, let limit):
            writer.put(42, from)
            writer.put(to)
            writer.put(number: limit)
        default: break
        }
    }

    private static func serverRequest(
        _ tag: UInt8,
        _ reader: inout ByteReader
    ) throws(MalformedMessage) -> LauncherRequest {
        switch tag {
        case 1: .hello(version: try reader.number())
        case 2:
            .start(
                arguments: try reader.texts(),
                environment: try reader.environment(),
                leaseRequired: try reader.flag()
            )
        case 3: .stop(try reader.value())
        case 4:
            .signal(
                processID: try reader.optional { (inner) throws(MalformedMessage) in try inner.number() },
                signal: try reader.number()
            )
        case 5: .processes
        case 6: .promote(leaseRequired: try reader.flag())
        case 7: .clearPromote
        case 8:
            .run(
                tool: try reader.text(),
                arguments: try reader.texts(),
                environment: try reader.environment(),
                timeoutMilliseconds: try reader.number()
            )
        case 9: .cancelTool(try reader.number())
        case 10:
            .lease(
                remainingMilliseconds: try reader.number(),
                fenceBudgetMilliseconds: try reader.number(),
                countedFrom: try reader.number()
            )
        case 11: .disarmLease
        default: throw .unknownTag(tag)
        }
    }

    private static func folderRequest(
        _ tag: UInt8,
        _ reader: inout ByteReader
    ) throws(MalformedMessage) -> LauncherRequest {
        let path = try reader.text()
        return switch tag {
        case 32:
            .place(
                path: path,
                contents: try reader.byteString(),
                mode: try reader.number(),
                durable: try reader.flag()
            )
        case 33: .read(path: path, limit: try reader.number())
        case 34: .remove(path: path)
        case 35: .rename(from: path, to: try reader.text(), mode: try reader.value())
        case 36: .list(path: path)
        case 37: .removeTree(path: path)
        case 38: .makeDirectory(path: path, mode: try reader.number())
        case 39: .inspect(path: path)
        case 40: .space(path: path)
        case 41: .readStart(path: path, count: try reader.number())
        case 42: .copy(from: path, to: try reader.text(), limit: try reader.number())
        default: throw .unknownTag(tag)
        }
    }
}

extension ByteWriter {
    mutating func put(environment: [EnvironmentVariable]) {
        put(list: environment) { writer, variable in
            writer.put(variable.name)
            writer.put(variable.value)
        }
    }

    mutating func put(_ tag: UInt8, _ path: String) {
        put(tag)
        put(path)
    }
}

extension ByteReader {
    mutating func texts() throws(MalformedMessage) -> [String] {
        try list { (inner) throws(MalformedMessage) in try inner.text() }
    }

    mutating func environment() throws(MalformedMessage) -> [EnvironmentVariable] {
        try list { (inner) throws(MalformedMessage) in EnvironmentVariable(try inner.text(), try inner.text()) }
    }

    /// Takes one of a closed set of values.
    mutating func value<Value: RawRepresentable<UInt8>>() throws(MalformedMessage) -> Value {
        let raw = try byte()
        guard let value = Value(rawValue: raw) else { throw .unknownTag(raw) }
        return value
    }
}
