import ClusterModel

// What agents say to each other while no leader answers (R10), between wire and values.

extension WireLeaseRequest {
    init(_ request: LeaseRequest) {
        self.init()
        sequence = request.sequence
        term = request.term.rawValue
        primary = WireMember(request.primary)
    }

    func model() throws(WireError) -> LeaseRequest {
        LeaseRequest(sequence: sequence, term: Term(rawValue: term), primary: try primary.model())
    }
}

extension WireLeaseAnswer {
    init(_ answer: LeaseAnswer) {
        self.init()
        sequence = answer.sequence
        if let member = answer.voter { voter = WireMember(member) }
        highestTerm = answer.highestTerm.rawValue
        if let lease = answer.lease { leaseNs = lease.wholeNanoseconds }
        reason = answer.reason
    }

    func model() throws(WireError) -> LeaseAnswer {
        LeaseAnswer(
            sequence: sequence,
            voter: hasVoter ? try voter.model() : nil,
            highestTerm: Term(rawValue: highestTerm),
            lease: hasLeaseNs ? span(leaseNs) : nil,
            reason: String(reason.prefix(200))
        )
    }
}

extension WireAgentAddress {
    init(_ address: AgentAddress) {
        self.init()
        name = address.name.text
        endpoint = WireEndpoint(address.endpoint)
    }

    func model() throws(WireError) -> AgentAddress {
        AgentAddress(
            name: try ClusterProtocol.name(name, "agent"),
            endpoint: try endpoint.model("an agent's address")
        )
    }
}

extension WireLeaderlessSpan {
    init(_ span: LeaderlessSpan) {
        self.init()
        lengthNs = span.length.wholeNanoseconds
        extendedBy = span.extendedBy.map(\.text)
    }

    func model() throws(WireError) -> LeaderlessSpan {
        let names = try mapped(Array(extendedBy.prefix(AgentAddress.limit))) { (text) throws(WireError) in
            try ClusterProtocol.name(text, "voter that extended a lease")
        }
        return LeaderlessSpan(length: span(lengthNs), extendedBy: names)
    }
}

func addresses(_ wire: [WireAgentAddress]) throws(WireError) -> [AgentAddress] {
    guard wire.count <= AgentAddress.limit else {
        throw WireError("\(wire.count) addresses of agents exceed the limit of \(AgentAddress.limit)")
    }
    return try mapped(wire) { (address) throws(WireError) in try address.model() }
}
