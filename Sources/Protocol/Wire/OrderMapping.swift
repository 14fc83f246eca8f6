import ClusterModel

// Orders and answers, between wire and values.

extension WireReportAnswer {
    init(_ answer: ReportAnswer) {
        self.init()
        sequence = answer.sequence
        stamp = WireStamp(answer.stamp)
        if let lease = answer.lease { leaseNs = lease.wholeNanoseconds }
    }

    var model: ReportAnswer {
        ReportAnswer(sequence: sequence, stamp: stamp.model, lease: hasLeaseNs ? span(leaseNs) : nil)
    }
}

extension WireOrderRefusal {
    init(_ refusal: OrderRefusal) {
        self.init()
        stamp = WireStamp(refusal.stamp)
        order = refusal.order
        reason = refusal.reason
    }

    var model: OrderRefusal { OrderRefusal(stamp: stamp.model, order: order, reason: reason) }
}

extension WireOrder {
    init(_ order: Order) {
        self.init()
        stamp = WireStamp(order.stamp)
        switch order.kind {
        case .initialize(let initialization): initialize = WireInitialization(initialization)
        case .prepare(let recover):
            prepare = WirePreparation()
            prepare.recover = recover
        case .promote(let promotion): promote = WirePromotion(promotion)
        case .follow(let plan): follow = WireFollowPlan(plan)
        case .govern(let governance): govern = WireGovernance(governance)
        case .handOver(let handOver): self.handOver = WireHandOver(handOver)
        case .catchUp(let plan): catchUp = WireFollowPlan(plan)
        }
    }

    func model() throws(WireError) -> ControllerMessage {
        let order: Order.Kind
        switch kind {
        case .initialize(let initialization): order = .initialize(try initialization.model())
        case .prepare(let preparation): order = .prepare(recover: preparation.recover)
        case .promote(let promotion): order = .promote(try promotion.model())
        case .follow(let plan): order = .follow(try plan.model())
        case .govern(let governance): order = .govern(try governance.model())
        case .handOver(let handOver): order = .handOver(handOver.model)
        case .catchUp(let plan): order = .catchUp(try plan.model())
        case nil: return .unknown(kind: unknownKind(unknownFields, of: "order"))
        }
        return .order(Order(stamp: stamp.model, kind: order))
    }
}

extension WireInitialization {
    init(_ initialization: Initialization) {
        self.init()
        rules = initialization.rules.map(WireRule.init)
        members = initialization.members.map(WireInstanceSpec.init)
    }

    func model() throws(WireError) -> Initialization {
        Initialization(
            rules: try ClusterProtocol.rules(rules),
            members: try mapped(members) { (member) throws(WireError) in try member.model() }
        )
    }
}

extension WirePromotion {
    init(_ promotion: Promotion) {
        self.init()
        timeline = promotion.timeline.rawValue
        rules = promotion.rules.map(WireRule.init)
        peers = promotion.peers.map(WireMember.init)
        history = promotion.history.map(WirePrimacy.init)
        agents = promotion.agents.map(WireAgentAddress.init)
    }

    func model() throws(WireError) -> Promotion {
        Promotion(
            timeline: Timeline(rawValue: timeline),
            rules: try ClusterProtocol.rules(rules),
            peers: try members(peers),
            history: try primacies(history),
            agents: try addresses(agents)
        )
    }
}

extension WireFollowPlan {
    init(_ plan: FollowPlan) {
        self.init()
        primary = plan.primary.text
        server = WireEndpoint(plan.server)
        systemIdentifier = plan.systemIdentifier.rawValue
        history = plan.history.map(WirePrimacy.init)
        peers = plan.peers.map(WireMember.init)
        if let discard = plan.discard { discardIncarnation = discard.text }
    }

    func model() throws(WireError) -> FollowPlan {
        FollowPlan(
            primary: try name(primary, "primary"),
            server: try server.model("the primary's server"),
            systemIdentifier: SystemIdentifier(rawValue: systemIdentifier),
            history: try primacies(history),
            peers: try members(peers),
            discard: hasDiscardIncarnation ? try incarnation(discardIncarnation, "incarnation to discard") : nil
        )
    }
}

extension WireHandOver {
    init(_ handOver: HandOver) {
        self.init()
        stops = handOver.stops
        deadlineNs = handOver.deadline.wholeNanoseconds
    }

    var model: HandOver { HandOver(stops: stops, deadline: span(deadlineNs)) }
}

extension WireGovernance {
    init(_ governance: Governance) {
        self.init()
        rules = governance.rules.map(WireRule.init)
        peers = governance.peers.map(WireMember.init)
        agents = governance.agents.map(WireAgentAddress.init)
    }

    func model() throws(WireError) -> Governance {
        Governance(
            rules: try ClusterProtocol.rules(rules),
            peers: try members(peers),
            agents: try addresses(agents)
        )
    }
}
