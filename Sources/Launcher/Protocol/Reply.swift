/// The launcher's answer to one request.
public enum LauncherReply: Hashable, Sendable {
    /// Done; there is nothing to tell.
    case done
    /// Not done, and why.
    case failure(FailureKind, String)
    /// The answer to `hello`.
    case status(LauncherStatus)
    /// The server or a tool runs under this process id.
    case started(processID: Int32)
    /// The processes of the server.
    case processes([ServerProcess])
    /// What a file holds; `nil` where there is none.
    case contents([UInt8]?)
    /// Whether something changed: removed, made.
    case changed(Bool)
    /// What a folder holds, sorted by name.
    case entries([FolderEntry])
    /// What a path stands for; `nil` for nothing.
    case entry(FolderEntry?)
    /// Room on a volume.
    case space(VolumeSpace)
}

/// What the launcher tells without being asked.
public enum LauncherNotice: Hashable, Sendable {
    /// The postmaster ended; other processes of the server may still be alive.
    case postmasterExited(ProcessEnd)
    /// The last process of the server with this postmaster is gone; so many had to be killed after it.
    case serverDown(ProcessEnd, processID: Int32, killedStragglers: UInt32)
    /// The lease timer fired.
    case leaseFired(LeaseStage)
    /// A tool wrote something.
    case toolOutput(tool: UInt32, stream: ToolStream, bytes: [UInt8])
    /// A tool and everything under it is gone.
    case toolExited(tool: UInt32, end: ProcessEnd, timedOut: Bool)
}

/// One message from launcher to agent.
public enum LauncherMessage: Hashable, Sendable {
    /// The answer to the request with this id.
    case reply(id: UInt32, LauncherReply)
    /// News.
    case notice(LauncherNotice)

    /// The bytes of this message.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter()
        switch self {
        case .reply(let id, let reply):
            writer.put(1 as UInt8)
            writer.put(number: id)
            writer.put(reply)
        case .notice(let notice):
            writer.put(2 as UInt8)
            writer.put(notice)
        }
        return writer.bytes
    }

    /// Reads a message.
    public init(decoding message: [UInt8]) throws(MalformedMessage) {
        var reader = ByteReader(message)
        switch try reader.byte() {
        case 1: self = .reply(id: try reader.number(), try reader.reply())
        case 2: self = .notice(try reader.notice())
        case let tag: throw .unknownTag(tag)
        }
        try reader.end()
    }
}

extension ByteWriter {
    fileprivate mutating func put(_ reply: LauncherReply) {
        switch reply {
        case .done: put(1 as UInt8)
        case .failure(let kind, let text):
            put(2 as UInt8)
            put(kind.rawValue)
            put(text)
        case .status(let status):
            put(3 as UInt8)
            put(status)
        case .started(let processID):
            put(4 as UInt8)
            put(number: processID)
        case .processes(let processes):
            put(5 as UInt8)
            put(list: processes) { writer, process in
                writer.put(number: process.processID)
                writer.put(number: process.parentProcessID)
                writer.put(process.title)
            }
        case .contents(let contents):
            put(6 as UInt8)
            put(optional: contents) { $0.put($1) }
        case .changed(let changed):
            put(7 as UInt8)
            put(changed)
        case .entries(let entries):
            put(8 as UInt8)
            put(list: entries) { $0.put($1) }
        case .entry(let entry):
            put(9 as UInt8)
            put(optional: entry) { $0.put($1) }
        case .space(let space):
            put(10 as UInt8)
            put(number: space.totalBytes)
            put(number: space.availableBytes)
        }
    }

    fileprivate mutating func put(_ status: LauncherStatus) {
        put(number: status.version)
        put(number: status.processID)
        put(number: status.guardProcessID)
        switch status.server {
        case .down(let end):
            put(1 as UInt8)
            put(optional: end) { $0.put($1) }
        case .running(let processID):
            put(2 as UInt8)
            put(number: processID)
        case .ending(let end):
            put(3 as UInt8)
            put(end)
        }
        put(optional: status.leaseRemainingMilliseconds) { $0.put(number: $1) }
    }

    fileprivate mutating func put(_ entry: FolderEntry) {
        put(entry.name)
        put(entry.kind.rawValue)
        put(number: entry.size)
        put(optional: entry.bornNanoseconds) { $0.put(number: $1) }
    }

    fileprivate mutating func put(_ end: ProcessEnd) {
        switch end {
        case .exited(let status):
            put(1 as UInt8)
            put(number: status)
        case .signalled(let signal):
            put(2 as UInt8)
            put(number: signal)
        }
    }

    fileprivate mutating func put(_ notice: LauncherNotice) {
        switch notice {
        case .postmasterExited(let end):
            put(1 as UInt8)
            put(end)
        case .serverDown(let end, let processID, let killedStragglers):
            put(2 as UInt8)
            put(end)
            put(number: processID)
            put(number: killedStragglers)
        case .leaseFired(let stage):
            put(3 as UInt8)
            put(stage.rawValue)
        case .toolOutput(let tool, let stream, let bytes):
            put(4 as UInt8)
            put(number: tool)
            put(stream.rawValue)
            put(bytes)
        case .toolExited(let tool, let end, let timedOut):
            put(5 as UInt8)
            put(number: tool)
            put(end)
            put(timedOut)
        }
    }
}

extension ByteReader {
    fileprivate mutating func reply() throws(MalformedMessage) -> LauncherReply {
        switch try byte() {
        case 1: .done
        case 2: .failure(try value(), try text())
        case 3: .status(try status())
        case 4: .started(processID: try number())
        case 5:
            .processes(
                try list { (inner) throws(MalformedMessage) in
                    ServerProcess(
                        processID: try inner.number(),
                        parentProcessID: try inner.number(),
                        title: try inner.text()
                    )
                }
            )
        case 6: .contents(try optional { (inner) throws(MalformedMessage) in try inner.byteString() })
        case 7: .changed(try flag())
        case 8: .entries(try list { (inner) throws(MalformedMessage) in try inner.entry() })
        case 9: .entry(try optional { (inner) throws(MalformedMessage) in try inner.entry() })
        case 10: .space(VolumeSpace(totalBytes: try number(), availableBytes: try number()))
        case let tag: throw .unknownTag(tag)
        }
    }

    fileprivate mutating func status() throws(MalformedMessage) -> LauncherStatus {
        LauncherStatus(
            version: try number(),
            processID: try number(),
            guardProcessID: try number(),
            server: try serverState(),
            leaseRemainingMilliseconds: try optional { (inner) throws(MalformedMessage) in try inner.number() }
        )
    }

    fileprivate mutating func serverState() throws(MalformedMessage) -> ServerState {
        switch try byte() {
        case 1: .down(try optional { (inner) throws(MalformedMessage) in try inner.processEnd() })
        case 2: .running(processID: try number())
        case 3: .ending(try processEnd())
        case let tag: throw .unknownTag(tag)
        }
    }

    fileprivate mutating func entry() throws(MalformedMessage) -> FolderEntry {
        FolderEntry(
            name: try text(),
            kind: try value(),
            size: try number(),
            bornNanoseconds: try optional { (inner) throws(MalformedMessage) in try inner.number() }
        )
    }

    fileprivate mutating func processEnd() throws(MalformedMessage) -> ProcessEnd {
        switch try byte() {
        case 1: .exited(try number())
        case 2: .signalled(try number())
        case let tag: throw .unknownTag(tag)
        }
    }

    fileprivate mutating func notice() throws(MalformedMessage) -> LauncherNotice {
        switch try byte() {
        case 1: .postmasterExited(try processEnd())
        case 2: .serverDown(try processEnd(), processID: try number(), killedStragglers: try number())
        case 3: .leaseFired(try value())
        case 4: .toolOutput(tool: try number(), stream: try value(), bytes: try byteString())
        case 5: .toolExited(tool: try number(), end: try processEnd(), timedOut: try flag())
        case let tag: throw .unknownTag(tag)
        }
    }
}
