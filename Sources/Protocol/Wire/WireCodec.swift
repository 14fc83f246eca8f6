import ClusterModel
import SwiftProtobuf

/// Turns frames into bytes and back; everything read is checked before it becomes a value.
public enum WireCodec {
    /// Encodes what goes to the end that was connected to.
    ///
    /// - Throws: `WireError` if it does not fit into one frame.
    public static func encode(_ frame: ClientFrame) throws(WireError) -> [UInt8] {
        var wire = WireClientFrame()
        switch frame {
        case .hello(let hello): wire.hello = WireHello(hello)
        case .agent(.report(let report)): wire.report = WireInstanceReport(report)
        case .agent(.refused(let refusal)): wire.refused = WireOrderRefusal(refusal)
        case .agent(.keeps(let copy)): wire.recordCopy = String(decoding: copy, as: UTF8.self)
        case .agent(.asksLease(let request)): wire.asksLease = WireLeaseRequest(request)
        case .request(let id, let request): wire.request = WireOperatorRequest(id, request)
        case .unknown: break
        }
        return try bytes(of: wire)
    }

    /// Encodes what goes from the end that was connected to.
    ///
    /// - Throws: `WireError` if it does not fit into one frame.
    public static func encode(_ frame: ServerFrame) throws(WireError) -> [UInt8] {
        var wire = WireServerFrame()
        switch frame {
        case .welcome(let welcome): wire.welcome = WireWelcome(welcome)
        case .rejection(let reason): wire.rejection = WireRejection(reason)
        case .controller(.answer(let answer)): wire.answer = WireReportAnswer(answer)
        case .controller(.order(let order)): wire.order = WireOrder(order)
        case .controller(.keepCopy(let copy)): wire.keepCopy = String(decoding: copy, as: UTF8.self)
        case .controller(.unknown): break
        case .answer(let id, let answer): wire.operatorAnswer = WireOperatorAnswer(id, answer)
        case .lease(let answer): wire.leaseAnswer = WireLeaseAnswer(answer)
        }
        return try bytes(of: wire)
    }

    /// Decodes what came to the end that was connected to.
    ///
    /// - Throws: `WireError` if the bytes are no message or hold a value that cannot be.
    public static func decodeClientFrame(_ bytes: [UInt8]) throws(WireError) -> ClientFrame {
        let wire: WireClientFrame = try message(bytes)
        switch wire.body {
        case .hello(let hello): return .hello(hello.model)
        case .report(let report): return .agent(.report(try report.model()))
        case .refused(let refusal): return .agent(.refused(refusal.model))
        case .request(let request): return .request(id: request.id, request.model)
        case .recordCopy(let copy): return .agent(.keeps(copy: Array(copy.utf8)))
        case .asksLease(let request): return .agent(.asksLease(try request.model()))
        case nil: return .unknown(kind: unknownKind(wire.unknownFields, of: "message"))
        }
    }

    /// Decodes what came from the end that was connected to.
    ///
    /// - Throws: `WireError` if the bytes are no message or hold a value that cannot be.
    public static func decodeServerFrame(_ bytes: [UInt8]) throws(WireError) -> ServerFrame {
        let wire: WireServerFrame = try message(bytes)
        switch wire.body {
        case .welcome(let welcome): return .welcome(welcome.model)
        case .rejection(let rejection): return .rejection(reason: rejection.reason)
        case .answer(let answer): return .controller(.answer(answer.model))
        case .order(let order): return .controller(try order.model())
        case .operatorAnswer(let answer): return .answer(id: answer.id, answer.model)
        case .keepCopy(let copy): return .controller(.keepCopy(Array(copy.utf8)))
        case .leaseAnswer(let answer): return .lease(try answer.model())
        case nil: return .controller(.unknown(kind: unknownKind(wire.unknownFields, of: "message")))
        }
    }

    private static func bytes(of message: some Message) throws(WireError) -> [UInt8] {
        let bytes: [UInt8]
        do {
            bytes = try message.serializedBytes()
        } catch {
            throw WireError("could not encode a message: \(error)")
        }
        guard bytes.count <= FrameLimits.payload else {
            throw WireError("a message of \(bytes.count) bytes exceeds the limit of \(FrameLimits.payload)")
        }
        return bytes
    }

    private static func message<Wire: Message>(_ bytes: [UInt8]) throws(WireError) -> Wire {
        guard bytes.count <= FrameLimits.payload else {
            throw WireError("a message of \(bytes.count) bytes exceeds the limit of \(FrameLimits.payload)")
        }
        do {
            return try Wire(serializedBytes: bytes)
        } catch {
            throw WireError("a message of \(bytes.count) bytes is garbled: \(error)")
        }
    }
}

/// Names what a newer program sent by the number of its field.
func unknownKind(_ fields: UnknownStorage, of what: String) -> String {
    var number: UInt64 = 0
    var shift: UInt64 = 0
    for byte in fields.data.prefix(5) {
        number |= UInt64(byte & 0x7f) << shift
        if byte & 0x80 == 0 { return "\(what) \(number >> 3)" }
        shift += 7
    }
    return "empty \(what)"
}
