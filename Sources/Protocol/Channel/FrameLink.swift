import ClusterProtocol
import NIOCore
import Synchronization

/// What other threads hold of a connection: they can send, close, and say that a message was taken.
final class FrameLink: Sendable {
    /// Asks the connection's handler to close, and says why.
    struct CloseRequest: Sendable {
        let reason: String
    }

    /// Asks the connection's handler to read on.
    struct ResumeRequest: Sendable {}

    /// Above this many bytes waiting to be taken the connection is not read any further.
    static let inboundLimit = 1024 * 1024

    private let channel: any Channel
    private let outboundLimit: Int
    private let outbound = Atomic<Int>(0)
    private let inbound = Atomic<Int>(0)

    init(_ channel: any Channel, outboundLimit: Int) {
        self.channel = channel
        self.outboundLimit = outboundLimit
    }

    /// Sends one frame; a peer that does not read is closed instead of being waited for.
    func send(_ payload: [UInt8]) {
        let size = FrameLimits.header + payload.count
        let waiting = outbound.wrappingAdd(size, ordering: .relaxed).newValue
        guard waiting <= outboundLimit else {
            close("the peer does not read: more than \(outboundLimit) bytes wait for it")
            return
        }
        var buffer = channel.allocator.buffer(capacity: size)
        buffer.writeInteger(UInt32(payload.count))
        buffer.writeBytes(payload)
        let promise = channel.eventLoop.makePromise(of: Void.self)
        promise.futureResult.whenComplete { [self] _ in outbound.wrappingSubtract(size, ordering: .relaxed) }
        channel.writeAndFlush(buffer, promise: promise)
    }

    /// Closes the connection after what was sent before; the first reason given counts.
    func close(_ reason: String) {
        channel.triggerUserOutboundEvent(CloseRequest(reason: reason), promise: nil)
    }

    /// Counts a message that waits to be taken; `false` when reading must stop until some were.
    func holds(_ cost: Int) -> Bool {
        inbound.wrappingAdd(cost, ordering: .relaxed).newValue < Self.inboundLimit
    }

    /// Counts a message that was taken.
    func took(_ cost: Int) {
        let (old, new) = inbound.wrappingSubtract(cost, ordering: .relaxed)
        if old > Self.inboundLimit / 2 && new <= Self.inboundLimit / 2 {
            channel.triggerUserOutboundEvent(ResumeRequest(), promise: nil)
        }
    }
}

/// Events for one reader.
///
/// A connection whose messages are not taken is not read on: nothing piles up.
struct EventQueue<Event: Sendable>: Sendable {
    private struct Item: Sendable {
        let event: Event
        let link: FrameLink?
        let cost: Int
    }

    private let stream: AsyncStream<Item>
    private let continuation: AsyncStream<Item>.Continuation

    init() {
        (stream, continuation) = AsyncStream<Item>.makeStream()
    }

    /// The events in their order, for one reader.
    var events: some AsyncSequence<Event, Never> & Sendable {
        stream.map { item in
            item.link?.took(item.cost)
            return item.event
        }
    }

    /// Adds an event; `false` when its connection must not be read on yet.
    func add(_ event: Event, from link: FrameLink? = nil, cost: Int = 0) -> Bool {
        let mayContinue = link?.holds(cost) ?? true
        continuation.yield(Item(event: event, link: link, cost: cost))
        return mayContinue
    }

    func finish() { continuation.finish() }
}
