import LauncherProtocol
import Testing

@Suite("Launcher messages")
struct CodecTests {
    static let requests: [LauncherRequest] = [
        .hello(version: 1), .stop(.fast), .stop(.immediate), .stop(.kill), .processes, .clearPromote, .disarmLease,
        .start(arguments: ["-D", "pgdata", "ü"], environment: [EnvironmentVariable("A", "b")], leaseRequired: true),
        .signal(processID: nil, signal: 1), .signal(processID: 77, signal: 15), .promote(leaseRequired: false),
        .run(tool: "initdb", arguments: [], environment: [], timeoutMilliseconds: .max), .cancelTool(9),
        .place(path: "a/b", contents: [0, 255, 7], mode: 0o600, durable: true), .read(path: "a", limit: 5),
        .remove(path: "a"),
        .rename(from: "a", to: "b", mode: .exchange), .list(path: ""), .removeTree(path: "c"),
        .makeDirectory(path: "d", mode: 0o700), .inspect(path: "e"), .space(path: "."),
        .readStart(path: "f", count: 24), .copy(from: "g", to: "h/i", limit: 1 << 33),
        .lease(remainingMilliseconds: 3000, fenceBudgetMilliseconds: 500, countedFrom: -1),
    ]

    static let messages: [LauncherMessage] = [
        .reply(id: 1, .done), .reply(id: .max, .failure(.busy, "later")), .reply(id: 2, .started(processID: 44)),
        .reply(id: 3, .processes([ServerProcess(processID: 1, parentProcessID: 2, title: "postgres: startup")])),
        .reply(id: 4, .contents(nil)), .reply(id: 4, .contents([1, 2])), .reply(id: 5, .changed(true)),
        .reply(id: 6, .entries([FolderEntry(name: "x", kind: .symbolicLink, size: 1 << 40)])),
        .reply(id: 7, .entry(nil)), .reply(id: 7, .entry(FolderEntry(name: "x", kind: .file, size: 0))),
        .reply(id: 7, .entry(FolderEntry(name: "x", kind: .file, size: 0, bornNanoseconds: .max))),
        .reply(id: 8, .space(VolumeSpace(totalBytes: .max, availableBytes: 1))),
        .reply(id: 9, .status(status(.down(nil)))), .reply(id: 9, .status(status(.down(.exited(0))))),
        .reply(id: 9, .status(status(.running(processID: 9)))), .reply(id: 9, .status(status(.ending(.signalled(9))))),
        .notice(.postmasterExited(.signalled(9))), .notice(.serverDown(.exited(2), processID: 41, killedStragglers: 7)),
        .notice(.leaseFired(.kill)), .notice(.toolOutput(tool: 1, stream: .error, bytes: [10])),
        .notice(.toolExited(tool: 1, end: .exited(-1), timedOut: true)),
    ]

    static func status(_ server: ServerState) -> LauncherStatus {
        LauncherStatus(
            version: 1,
            processID: 2,
            guardProcessID: 3,
            server: server,
            leaseRemainingMilliseconds: 4
        )
    }

    @Test("a request comes back as it was written", arguments: requests)
    func requestRoundTrip(request: LauncherRequest) throws {
        let (id, decoded) = try LauncherRequest.decode(request.encoded(id: 42))
        #expect(id == 42)
        #expect(decoded == request)
    }

    @Test("a reply or a notice comes back as it was written", arguments: messages)
    func messageRoundTrip(message: LauncherMessage) throws {
        #expect(try LauncherMessage(decoding: message.encoded()) == message)
    }

    @Test("every truncation of a message and every byte too many is refused")
    func truncationIsRefused() {
        for bytes in CodecTests.requests.map({ $0.encoded(id: 7) }) {
            for length in bytes.indices {
                #expect(throws: MalformedMessage.self) { try LauncherRequest.decode(Array(bytes[..<length])) }
            }
            #expect(throws: MalformedMessage.trailingBytes(1)) { try LauncherRequest.decode(bytes + [0]) }
        }
        for bytes in CodecTests.messages.map({ $0.encoded() }) {
            for length in bytes.indices {
                #expect(throws: MalformedMessage.self) { try LauncherMessage(decoding: Array(bytes[..<length])) }
            }
        }
    }

    @Test("a count that the bytes cannot hold is refused before anything is kept for it")
    func hugeCountsAreRefused() {
        let start: [UInt8] = [0, 0, 0, 1, 2]
        #expect(throws: MalformedMessage.impossibleCount(.max)) {
            try LauncherRequest.decode(start + [255, 255, 255, 255, 0, 0])
        }
        #expect(throws: MalformedMessage.truncated) {
            try LauncherRequest.decode([0, 0, 0, 1, 33, 255, 255, 255, 255, 65])
        }
    }

    @Test("unknown tags and texts that are not UTF-8 are refused")
    func unknownTagsAreRefused() {
        #expect(throws: MalformedMessage.unknownTag(31)) { try LauncherRequest.decode([0, 0, 0, 1, 31]) }
        #expect(throws: MalformedMessage.unknownTag(9)) { try LauncherRequest.decode([0, 0, 0, 1, 3, 9]) }
        #expect(throws: MalformedMessage.invalidText) {
            try LauncherRequest.decode([0, 0, 0, 1, 34, 0, 0, 0, 1, 0xFF])
        }
    }

    @Test("random bytes are refused or read, never a trap")
    func randomBytesDoNotTrap() {
        var seed: UInt64 = 0x9E37_79B9_7F4A_7C15
        var refused = 0
        for round in 0..<20_000 {
            var bytes: [UInt8] = [0, 0, 0, UInt8(truncatingIfNeeded: round)]
            for _ in 0..<(round % 40) {
                seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                bytes.append(UInt8(truncatingIfNeeded: seed >> 56) & 0x2F)
            }
            if (try? LauncherRequest.decode(bytes)) == nil { refused += 1 }
            _ = try? LauncherMessage(decoding: bytes)
        }
        #expect(refused > 10_000)
    }

    @Test("frames come out whole however the stream is cut")
    func framesSurviveCutting() throws {
        let messages: [[UInt8]] = [[], [1], Array(repeating: 7, count: 100_000), [2, 3]]
        let stream = messages.flatMap(LauncherFrame.wrap)
        for piece in [1, 3, 4096, stream.count] {
            var decoder = FrameDecoder()
            var found: [[UInt8]] = []
            var start = 0
            while start < stream.count {
                decoder.append(stream[start..<min(start + piece, stream.count)])
                start += piece
                while let message = try decoder.next() { found.append(message) }
            }
            #expect(found == messages)
        }
    }

    @Test("a frame over the limit is refused by its length alone")
    func overlongFrameIsRefused() throws {
        var decoder = FrameDecoder()
        decoder.append([0, 0x20, 0, 0])
        #expect(try decoder.next() == nil)
        decoder = FrameDecoder()
        decoder.append([0, 0x20, 0, 1])
        #expect(throws: FrameTooLong.self) { try decoder.next() }
    }
}
