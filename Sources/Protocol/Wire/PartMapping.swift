import ClusterModel

// The parts that reports and orders are made of, between wire and values.

func name(_ text: String, _ field: String) throws(WireError) -> InstanceName {
    guard let name = InstanceName(text) else { throw WireError("\(field) '\(text.prefix(80))' is no instance name") }
    return name
}

func incarnation(_ text: String, _ field: String) throws(WireError) -> Incarnation {
    guard let incarnation = Incarnation(text) else {
        throw WireError("\(field) '\(text.prefix(80))' is no incarnation")
    }
    return incarnation
}

/// `map` that throws the one error of this module.
func mapped<Wire, Model>(_ list: [Wire], _ body: (Wire) throws(WireError) -> Model) throws(WireError) -> [Model] {
    var models: [Model] = []
    models.reserveCapacity(list.count)
    for element in list { models.append(try body(element)) }
    return models
}

extension WireStamp {
    init(_ stamp: Stamp) {
        self.init()
        term = stamp.term.rawValue
        recordVersion = stamp.version.rawValue
    }

    var model: Stamp {
        Stamp(term: Term(rawValue: term), version: RecordVersion(rawValue: recordVersion))
    }
}

extension WirePosition {
    init(_ position: WALPosition) {
        self.init()
        timeline = position.timeline.rawValue
        lsn = position.lsn.rawValue
    }

    var model: WALPosition { WALPosition(timeline: Timeline(rawValue: timeline), lsn: LSN(rawValue: lsn)) }
}

extension WireEndpoint {
    init(_ endpoint: Endpoint) {
        self.init()
        host = endpoint.host
        port = UInt32(endpoint.port)
    }

    func model(_ field: String) throws(WireError) -> Endpoint {
        guard let port = UInt16(exactly: port), host.utf8.count <= 255, host.utf8.allSatisfy({ $0 > 0x20 }) else {
            throw WireError("\(field) is no address and port")
        }
        return Endpoint(host: host, port: port)
    }
}

extension WireMember {
    init(_ member: MemberID) {
        self.init()
        name = member.name.text
        incarnation = member.incarnation.text
    }

    func model() throws(WireError) -> MemberID {
        MemberID(
            name: try ClusterProtocol.name(name, "member"),
            incarnation: try ClusterProtocol.incarnation(incarnation, "member's incarnation")
        )
    }
}

extension WireRule {
    init(_ rule: Rule) {
        self.init()
        voters = rule.voters.map(WireMember.init)
        required = UInt32(clamping: rule.required)
        mode =
            switch rule.mode {
            case .async: .async
            case .required: .required
            case .preferred: .preferred
            }
    }

    func model() throws(WireError) -> Rule {
        let durability: Durability
        switch mode {
        case .async: durability = .async
        case .required: durability = .required
        case .preferred: durability = .preferred
        case .unspecified, .UNRECOGNIZED: throw WireError("a rule has durability mode \(mode.rawValue)")
        }
        guard required <= 1000 else { throw WireError("a rule demands \(required) acknowledgements") }
        let members = try mapped(voters) { (member) throws(WireError) in try member.model() }
        return Rule(voters: members, required: Int(required), mode: durability)
    }
}

extension WirePrimacy {
    init(_ primacy: Primacy) {
        self.init()
        term = primacy.term.rawValue
        if let member = primacy.primary { primary = WireMember(member) }
        timeline = primacy.timeline.rawValue
        parent = primacy.parent.rawValue
        forkLsn = primacy.forkLSN.rawValue
        why = primacy.why
        isConfirmed = primacy.isConfirmed
    }

    func model() throws(WireError) -> Primacy {
        Primacy(
            term: Term(rawValue: term),
            primary: hasPrimary ? try primary.model() : nil,
            timeline: Timeline(rawValue: timeline),
            parent: Timeline(rawValue: parent),
            forkLSN: LSN(rawValue: forkLsn),
            why: why,
            isConfirmed: isConfirmed
        )
    }
}

extension WireInstanceSpec {
    init(_ specification: InstanceSpec) {
        self.init()
        name = specification.name.text
        server = WireEndpoint(specification.server)
        failoverPriority = Int64(specification.failoverPriority)
        noFailover = specification.noFailover
        if let endpoint = specification.agent { agent = WireEndpoint(endpoint) }
    }

    func model() throws(WireError) -> InstanceSpec {
        InstanceSpec(
            name: try ClusterProtocol.name(name, "instance"),
            server: try server.model("an instance's server"),
            failoverPriority: Int(failoverPriority),
            noFailover: noFailover,
            agent: hasAgent ? try agent.model("an instance's agent") : nil
        )
    }
}

func rules(_ wire: [WireRule]) throws(WireError) -> [Rule] {
    try mapped(wire) { (rule) throws(WireError) in try rule.model() }
}

func members(_ wire: [WireMember]) throws(WireError) -> [MemberID] {
    try mapped(wire) { (member) throws(WireError) in try member.model() }
}

func primacies(_ wire: [WirePrimacy]) throws(WireError) -> [Primacy] {
    try mapped(wire) { (primacy) throws(WireError) in try primacy.model() }
}

/// A length of time from another machine, within what sums and differences of such can hold: a hundred years.
func span(_ nanoseconds: Int64) -> Duration {
    let century: Int64 = 100 * 366 * 86_400 * 1_000_000_000
    return .nanoseconds(min(max(nanoseconds, -century), century))
}
