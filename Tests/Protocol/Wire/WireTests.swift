import ClusterModel
import ClusterProtocol
import Testing

private func member(_ name: String, _ incarnation: String) throws -> MemberID {
    MemberID(name: try #require(InstanceName(name)), incarnation: try #require(Incarnation(incarnation)))
}

private func fullReport() throws -> InstanceReport {
    var state = InstanceState()
    state.incarnation = Incarnation("0a1b2c3d")
    state.promised = Stamp(term: Term(rawValue: 7), version: RecordVersion(rawValue: 41))
    state.role = .rewinding
    state.primaryOfTerm = Term(rawValue: 6)
    state.releasedTerm = Term(rawValue: 5)
    state.tainted = true
    let voter = MemberID(name: try #require(InstanceName("two")), incarnation: Incarnation(number: 5))
    state.rules = [Rule(voters: [voter], required: 1, mode: .required)]
    let identifier = SystemIdentifier(rawValue: 7_300_000_000_000_000_001)
    var report = InstanceReport(sequence: 99, state: state, directory: .present(identifier), server: .promoting)
    let capacity = CapacitySettings(
        maxConnections: 100,
        maxWorkerProcesses: 8,
        maxWALSenders: 10,
        maxPreparedTransactions: 1,
        maxLocksPerTransaction: 64
    )
    let position = WALPosition(timeline: Timeline(rawValue: 3), lsn: LSN(rawValue: 0x16_B374_D848))
    var status = ServerStatus(inRecovery: true, position: position, systemIdentifier: identifier, capacity: capacity)
    status.insertLSN = LSN(rawValue: 11)
    status.replayLSN = LSN(rawValue: 12)
    let sender = Endpoint(host: "10.0.0.1", port: 5432)
    status.receiver = ReceiverStatus(
        status: "streaming",
        timeline: Timeline(rawValue: 3),
        sender: sender,
        sinceLastMessage: .milliseconds(12)
    )
    status.senders = [
        SenderStatus(applicationName: "b_1", usesOwnSlot: true, state: "streaming", flushLSN: LSN(rawValue: 13))
    ]
    status.demandedCapacity = capacity
    status.replayPaused = true
    status.serverVersion = 150018
    status.clientsAdmitted = true
    status.synchronousNames = "ANY 1 (b)"
    status.heartbeatAge = .milliseconds(-3)
    report.status = status
    report.statusAge = .nanoseconds(123_456_789)
    report.stoppedTimeline = Timeline(rawValue: 2)
    report.prepared = PreparedAnswer(term: Term(rawValue: 7), position: position)
    report.confirmation = RuleConfirmation(version: RecordVersion(rawValue: 41), barrier: LSN(rawValue: 14))
    report.promotion = PromotionResult(
        term: Term(rawValue: 6),
        timeline: Timeline(rawValue: 3),
        switchLSN: LSN(rawValue: 15),
        forkLSN: LSN(rawValue: 16),
        parent: Timeline(rawValue: 2)
    )
    report.keptWAL = ["/data/divergent-wal/joining-00000003-left-00000002-at-0-10"]
    report.following = Following(term: Term(rawValue: 7), primary: try #require(InstanceName("b")))
    report.readyToHandOver = RecordVersion(rawValue: 40)
    report.weakened = ["role app commits with synchronous_commit = off", "every role"]
    report.rules = [Rule(voters: [try member("b", "00000001")], required: 1, mode: .required)]
    report.opened = true
    report.activity = "cloning: 120 of 300 MB"
    report.downFor = .seconds(2)
    report.isReady = 2
    report.freeBytes = 1 << 40
    report.fault = "the disk is full"
    report.state.grantedTerm = Term(rawValue: 6)
    report.state.agents = [AgentAddress(name: try #require(InstanceName("b")), endpoint: sender)]
    report.boundFor = .seconds(2)
    report.leaderless = LeaderlessSpan(length: .seconds(9), extendedBy: [try #require(InstanceName("b"))])
    return report
}

/// The names of the properties whose value is the same in both, so that a forgotten one shows.
private func equalProperties(_ left: Any, _ right: Any) -> [String] {
    zip(Mirror(reflecting: left).children, Mirror(reflecting: right).children).compactMap { left, right in
        "\(left.value)" == "\(right.value)" ? left.label : nil
    }
}

@Suite("Messages on the wire")
struct WireTests {
    @Test("every field of a report crosses the wire")
    func reportCrosses() throws {
        let report = try fullReport()
        let empty = InstanceReport(sequence: 0, state: InstanceState(), directory: .empty, server: .down)
        #expect(equalProperties(report, empty) == [], "the report of this test must fill every property")
        let plain = ServerStatus(
            inRecovery: false,
            position: WALPosition(timeline: .none, lsn: .zero),
            systemIdentifier: SystemIdentifier(rawValue: 0),
            capacity: CapacitySettings(
                maxConnections: 0,
                maxWorkerProcesses: 0,
                maxWALSenders: 0,
                maxPreparedTransactions: 0,
                maxLocksPerTransaction: 0
            )
        )
        #expect(equalProperties(try #require(report.status), plain) == [])
        // Whose data a tainted directory holds is the agent's own affair.
        #expect(equalProperties(report.state, InstanceState()) == ["copyOf", "hasRecovered"])
        for sent in [report, empty] {
            let bytes = try WireCodec.encode(.agent(.report(sent)))
            #expect(try WireCodec.decodeClientFrame(bytes) == .agent(.report(sent)))
        }
    }

    @Test("every order and answer crosses the wire")
    func ordersCross() throws {
        let stamp = Stamp(term: Term(rawValue: 7), version: RecordVersion(rawValue: 41))
        let a = try member("a", "00000001")
        let b = try member("b", "00000002")
        let rules = [Rule.birth(.required), Rule(voters: [b, a], required: 1, mode: .required)]
        let history = [
            Primacy(term: .none, primary: nil, timeline: .first, parent: .none, forkLSN: .zero, why: "birth"),
            Primacy(
                term: Term(rawValue: 2),
                primary: a,
                timeline: Timeline(rawValue: 2),
                parent: .first,
                forkLSN: LSN(rawValue: 77),
                why: "crash",
                isConfirmed: true
            ),
        ]
        let server = Endpoint(host: "127.0.0.1", port: 5432)
        let identifier = SystemIdentifier(rawValue: .max)
        let plan = FollowPlan(
            primary: a.name,
            server: server,
            systemIdentifier: identifier,
            history: history,
            peers: [a, b],
            discard: b.incarnation
        )
        let kinds: [Order.Kind] = [
            .initialize(
                Initialization(
                    rules: rules,
                    members: [
                        InstanceSpec(name: a.name, server: server, failoverPriority: -2, noFailover: true),
                        InstanceSpec(name: b.name, server: server, agent: server),
                    ]
                )
            ),
            .prepare(recover: false),
            .prepare(recover: true),
            .promote(Promotion(timeline: Timeline(rawValue: 9), rules: rules, peers: [a], history: history)),
            .follow(plan), .catchUp(plan),
            .govern(Governance(rules: rules, peers: [a, b])),
            .govern(
                Governance(rules: rules, peers: [a], agents: [AgentAddress(name: a.name, endpoint: server)])
            ),
            .handOver(HandOver(stops: false, deadline: .zero)),
            .handOver(HandOver(stops: true, deadline: .milliseconds(4500))),
        ]
        for kind in kinds {
            let frame = ServerFrame.controller(.order(Order(stamp: stamp, kind: kind)))
            #expect(try WireCodec.decodeServerFrame(WireCodec.encode(frame)) == frame)
        }
        let copy = ServerFrame.controller(.keepCopy(Array("{}".utf8)))
        #expect(try WireCodec.decodeServerFrame(WireCodec.encode(copy)) == copy)
        let kept = ClientFrame.agent(.keeps(copy: Array("{\"ü\": 1}".utf8)))
        #expect(try WireCodec.decodeClientFrame(WireCodec.encode(kept)) == kept)
        for lease in [nil, Duration.seconds(3)] {
            let frame = ServerFrame.controller(.answer(ReportAnswer(sequence: 4, stamp: stamp, lease: lease)))
            #expect(try WireCodec.decodeServerFrame(WireCodec.encode(frame)) == frame)
        }
        let refusal = ClientFrame.agent(.refused(OrderRefusal(stamp: stamp, order: "promote", reason: "no")))
        #expect(try WireCodec.decodeClientFrame(WireCodec.encode(refusal)) == refusal)
    }

    @Test("what agents ask each other crosses the wire, within its limits (R10)")
    func leasesCross() throws {
        let a = try member("a", "00000001")
        let request = LeaseRequest(sequence: 7, term: Term(rawValue: 3), primary: a)
        let asked = ClientFrame.agent(.asksLease(request))
        #expect(try WireCodec.decodeClientFrame(WireCodec.encode(asked)) == asked)
        let answers = [
            LeaseAnswer(sequence: 7, voter: a, highestTerm: Term(rawValue: 3), lease: .seconds(3)),
            LeaseAnswer(sequence: 7, voter: nil, highestTerm: .none, lease: nil, reason: "no data"),
        ]
        for answer in answers {
            #expect(try WireCodec.decodeServerFrame(WireCodec.encode(ServerFrame.lease(answer))) == .lease(answer))
        }
        var report = InstanceReport(sequence: 1, state: InstanceState(), directory: .empty, server: .down)
        report.state.grantedTerm = Term(rawValue: 3)
        report.state.agents = [AgentAddress(name: a.name, endpoint: Endpoint(host: "::1", port: 7431))]
        report.boundFor = .seconds(2)
        report.leaderless = LeaderlessSpan(length: .seconds(9), extendedBy: [a.name])
        let told = ClientFrame.agent(.report(report))
        #expect(try WireCodec.decodeClientFrame(WireCodec.encode(told)) == told)
        report.state.agents = Array(repeating: report.state.agents[0], count: AgentAddress.limit + 1)
        let bytes = try WireCodec.encode(ClientFrame.agent(.report(report)))
        #expect(throws: WireError.self) { try WireCodec.decodeClientFrame(bytes) }
    }

    @Test("lengths of time and texts beyond all reason arrive cut to what can be reckoned with")
    func extremeReport() throws {
        var report = try fullReport()
        for nanoseconds in [Int64.min, .max] {
            report.statusAge = .nanoseconds(nanoseconds)
            report.downFor = .nanoseconds(nanoseconds)
            report.boundFor = .nanoseconds(nanoseconds)
            report.fault = String(repeating: "x", count: 50_000)
            let frame = try WireCodec.decodeClientFrame(WireCodec.encode(.agent(.report(report))))
            guard case .agent(.report(let found)) = frame else { throw WireError("not a report") }
            #expect(found.fault.count == InstanceReport.textLimit)
            let century = Duration.seconds(100 * 366 * 86_400)
            for span in [found.statusAge, found.downFor, found.boundFor] {
                #expect(span == (nanoseconds < 0 ? .zero - century : century))
            }
            let now = MonotonicInstant(nanoseconds: 5)
            #expect((now - found.statusAge) >= MonotonicInstant(nanoseconds: 0))
        }
        #expect(MonotonicInstant(nanoseconds: 5) - .nanoseconds(Int64.min) > MonotonicInstant(nanoseconds: 5))
    }

    @Test("introductions and the command line's questions cross the wire")
    func conversationCrosses() throws {
        let cluster = try #require(ClusterName("main"))
        let agent = PeerIdentity(cluster: cluster, role: .agent(try #require(InstanceName("a"))))
        let frames: [ClientFrame] = [
            .hello(Hello(software: "0.1.0", identity: agent)),
            .hello(Hello(software: "0.1.0", identity: .operator(of: cluster))),
            .hello(Hello(version: ProtocolVersion(major: 2, minor: 9), software: "", identity: nil)),
            .request(id: 1, .status),
            .request(id: 2, .command(verb: "switchover", arguments: ["--to", "b"])),
        ]
        for frame in frames { #expect(try WireCodec.decodeClientFrame(WireCodec.encode(frame)) == frame) }
        let answers: [ServerFrame] = [
            .welcome(Welcome(software: "0.1.0")), .rejection(reason: "no"), .answer(id: 1, .status(json: "{}")),
            .answer(id: 2, .command(exitCode: 3, text: "refused")), .answer(id: 3, .rejected(reason: "unknown verb")),
        ]
        for frame in answers { #expect(try WireCodec.decodeServerFrame(WireCodec.encode(frame)) == frame) }
    }

    @Test("an order of a newer program arrives as unknown, with the number of its kind")
    func unknownOrderIsNamed() throws {
        // ServerFrame.order (4) { stamp (1) {}, field 99 {} }
        let bytes: [UInt8] = [0x22, 5, 0x0a, 0, 0x9a, 0x06, 0]
        #expect(try WireCodec.decodeServerFrame(bytes) == .controller(.unknown(kind: "order 99")))
        // ServerFrame field 99 {}
        #expect(try WireCodec.decodeServerFrame([0x9a, 0x06, 0]) == .controller(.unknown(kind: "message 99")))
        #expect(try WireCodec.decodeClientFrame([0x9a, 0x06, 0]) == .unknown(kind: "message 99"))
        // ClientFrame.request (4) { id (1): 5, field 99 {} }
        let request: [UInt8] = [0x22, 5, 0x08, 5, 0x9a, 0x06, 0]
        #expect(try WireCodec.decodeClientFrame(request) == .request(id: 5, .unknown(kind: "request 99")))
    }

    @Test("an unknown field beside known ones is ignored")
    func unknownFieldIsIgnored() throws {
        let frame = ServerFrame.controller(.answer(ReportAnswer(sequence: 4, stamp: .none, lease: nil)))
        // Field 99 of the frame, and field 99 of the answer inside it.
        let answer: [UInt8] = [0x08, 4, 0x12, 0, 0x9a, 0x06, 1, 7]
        #expect(try WireCodec.decodeServerFrame([0x1a, UInt8(answer.count)] + answer + [0x9a, 0x06, 0]) == frame)
    }

    @Test(
        "values that cannot be are refused with their name",
        arguments: [
            // Report without a state of the server, with directory empty.
            ([0x12, 6, 0x12, 0, 0x1a, 2, 0x0a, 0] as [UInt8], "durable role 0"),
            // Report whose incarnation is no incarnation.
            ([0x12, 7, 0x12, 5, 0x0a, 1, 0x7a, 0x18, 1], "'z' is no incarnation"),
            // Report whose server state is of a newer program.
            ([0x12, 10, 0x12, 2, 0x18, 1, 0x1a, 2, 0x0a, 0, 0x20, 77], "server state 77"),
            ([0xff, 0xff, 0xff], "garbled"),
        ]
    )
    func impossibleValueIsRefused(_ bytes: [UInt8], _ reason: String) throws {
        let error = #expect(throws: WireError.self) { _ = try WireCodec.decodeClientFrame(bytes) }
        #expect(error?.description.contains(reason) == true, "\(error?.description ?? "accepted")")
    }

    @Test("damaged bytes are refused or read, never more")
    func damagedBytesDoNoHarm() throws {
        let good = try WireCodec.encode(.agent(.report(fullReport())))
        var chance = SplitMix(state: 42)
        var refused = 0
        for round in 0..<20000 {
            var bytes = good
            for _ in 0...(round % 4) {
                let place = Int(chance.next() % UInt64(bytes.count))
                bytes[place] = UInt8(truncatingIfNeeded: chance.next())
            }
            if round % 3 == 0 { bytes.removeLast(Int(chance.next() % UInt64(bytes.count))) }
            if (try? WireCodec.decodeClientFrame(bytes)) == nil { refused += 1 }
            _ = try? WireCodec.decodeServerFrame(bytes)
        }
        #expect(refused > 1000)
    }

    @Test("a message larger than a frame is refused on both sides")
    func oversizedIsRefused() throws {
        let text = String(repeating: "x", count: FrameLimits.payload)
        #expect(throws: WireError.self) { _ = try WireCodec.encode(.answer(id: 1, .status(json: text))) }
        let bytes = [UInt8](repeating: 0, count: FrameLimits.payload + 1)
        #expect(throws: WireError.self) { _ = try WireCodec.decodeClientFrame(bytes) }
    }
}

@Suite("Identities")
struct PeerIdentityTests {
    @Test(
        "an identity is read back from its URI",
        arguments: ["main/a", "main/controller", "main/operator", "m-1/db-0"]
    )
    func identityIsReadBack(_ text: String) throws {
        let identity = try #require(PeerIdentity(uri: "understudy://" + text))
        #expect(identity.description == text)
        #expect(identity.uri == "understudy://" + text)
    }

    @Test(
        "anything else is nobody",
        arguments: [
            "", "understudy://main", "understudy://main/", "understudy:///a", "understudy://main/a/b", "https://main/a",
            "understudy://Main/a", "understudy://main/a b", "understudy://main/-a", "UNDERSTUDY://main/a",
            "understudy://main/controller/", "understudy://main/a?x", " understudy://main/a",
        ]
    )
    func otherIsNobody(_ uri: String) {
        #expect(PeerIdentity(uri: uri) == nil)
    }

    @Test("no instance can be named so that it speaks as the controller or a person")
    func reservedNamesAreRefused() throws {
        let cluster = try #require(ClusterName("main"))
        for name in ["controller", "operator"] {
            #expect(PeerIdentity(cluster: cluster, role: .agent(try #require(InstanceName(name)))) == nil)
        }
    }

    @Test("a certificate with two names, or none, is nobody's")
    func oneNameOnly() {
        #expect(throws: WireError.self) { _ = try PeerIdentity.sole(among: []) }
        #expect(throws: WireError.self) {
            _ = try PeerIdentity.sole(among: ["understudy://main/a", "understudy://main/controller"])
        }
    }
}

/// A small seeded generator.
private struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
