import ClusterModel

// Reports, between wire and values.

extension WireInstanceReport {
    init(_ report: InstanceReport) {
        self.init()
        sequence = report.sequence
        state = WireInstanceState(report.state)
        directory = WireDataDirectory(report.directory)
        server = WireServerState(report.server)
        if let latest = report.status { status = WireServerStatus(latest) }
        statusAgeNs = report.statusAge.wholeNanoseconds
        if let timeline = report.stoppedTimeline { stoppedTimeline = timeline.rawValue }
        if let answer = report.prepared {
            prepared.term = answer.term.rawValue
            prepared.position = WirePosition(answer.position)
        }
        if let confirmed = report.confirmation {
            confirmation.recordVersion = confirmed.version.rawValue
            confirmation.barrierLsn = confirmed.barrier.rawValue
        }
        if let result = report.promotion { promotion = WirePromotionResult(result) }
        if let followed = report.following {
            following.term = followed.term.rawValue
            following.primary = followed.primary.text
        }
        if let version = report.readyToHandOver { readyToHandOver = version.rawValue }
        rules = report.rules.map(WireRule.init)
        weakened = report.weakened
        opened = report.opened
        activity = report.activity
        if let time = report.downFor { downForNs = time.wholeNanoseconds }
        if let code = report.isReady { isReady = Int32(clamping: code) }
        if let free = report.freeBytes { freeBytes = free }
        fault = report.fault
        keptWal = report.keptWAL
        if let time = report.boundFor { boundForNs = time.wholeNanoseconds }
        if let span = report.leaderless { leaderless = WireLeaderlessSpan(span) }
    }

    func model() throws(WireError) -> InstanceReport {
        var report = InstanceReport(
            sequence: sequence,
            state: try state.model(),
            directory: try directory.model(),
            server: try server.model()
        )
        report.status = hasStatus ? try status.model() : nil
        report.statusAge = span(statusAgeNs)
        report.stoppedTimeline = hasStoppedTimeline ? Timeline(rawValue: stoppedTimeline) : nil
        if hasPrepared {
            report.prepared = PreparedAnswer(term: Term(rawValue: prepared.term), position: prepared.position.model)
        }
        if hasConfirmation {
            let version = RecordVersion(rawValue: confirmation.recordVersion)
            report.confirmation = RuleConfirmation(version: version, barrier: LSN(rawValue: confirmation.barrierLsn))
        }
        report.promotion = hasPromotion ? promotion.model : nil
        if hasFollowing {
            let primary = try name(following.primary, "followed primary")
            report.following = Following(term: Term(rawValue: following.term), primary: primary)
        }
        report.readyToHandOver = hasReadyToHandOver ? RecordVersion(rawValue: readyToHandOver) : nil
        report.rules = try ClusterProtocol.rules(rules)
        let limit = InstanceReport.textLimit
        report.weakened = weakened.prefix(InstanceReport.weakenedLimit).map { String($0.prefix(limit)) }
        report.opened = opened
        report.activity = String(activity.prefix(limit))
        report.downFor = hasDownForNs ? span(downForNs) : nil
        report.isReady = hasIsReady ? Int(isReady) : nil
        report.freeBytes = hasFreeBytes ? freeBytes : nil
        report.fault = String(fault.prefix(limit))
        report.keptWAL = keptWal.prefix(8).map { String($0.prefix(limit)) }
        report.boundFor = hasBoundForNs ? span(boundForNs) : nil
        report.leaderless = hasLeaderless ? try leaderless.model() : nil
        return report
    }
}

extension WirePromotionResult {
    init(_ result: PromotionResult) {
        self.init()
        term = result.term.rawValue
        timeline = result.timeline.rawValue
        switchLsn = result.switchLSN.rawValue
        forkLsn = result.forkLSN.rawValue
        parent = result.parent.rawValue
    }

    var model: PromotionResult {
        PromotionResult(
            term: Term(rawValue: term),
            timeline: Timeline(rawValue: timeline),
            switchLSN: LSN(rawValue: switchLsn),
            forkLSN: LSN(rawValue: forkLsn),
            parent: Timeline(rawValue: parent)
        )
    }
}

extension WireInstanceState {
    init(_ state: InstanceState) {
        self.init()
        if let made = state.incarnation { incarnation = made.text }
        promised = WireStamp(state.promised)
        role =
            switch state.role {
            case .none: .none
            case .initializing: .initializing
            case .cloning: .cloning
            case .rewinding: .rewinding
            case .standby: .standby
            case .primary: .primary
            }
        primaryOfTerm = state.primaryOfTerm.rawValue
        releasedTerm = state.releasedTerm.rawValue
        tainted = state.tainted
        rules = state.rules.map(WireRule.init)
        grantedTerm = state.grantedTerm.rawValue
        agents = state.agents.map(WireAgentAddress.init)
    }

    func model() throws(WireError) -> InstanceState {
        var state = InstanceState()
        state.incarnation = hasIncarnation ? try ClusterProtocol.incarnation(incarnation, "incarnation") : nil
        state.promised = promised.model
        switch role {
        case .none: state.role = .none
        case .initializing: state.role = .initializing
        case .cloning: state.role = .cloning
        case .rewinding: state.role = .rewinding
        case .standby: state.role = .standby
        case .primary: state.role = .primary
        case .unspecified, .UNRECOGNIZED: throw WireError("a report has durable role \(role.rawValue)")
        }
        state.primaryOfTerm = Term(rawValue: primaryOfTerm)
        state.releasedTerm = Term(rawValue: releasedTerm)
        state.tainted = tainted
        state.rules = try ClusterProtocol.rules(rules)
        state.grantedTerm = Term(rawValue: grantedTerm)
        state.agents = try addresses(agents)
        return state
    }
}

extension WireDataDirectory {
    init(_ directory: DataDirectory) {
        self.init()
        switch directory {
        case .empty: empty = WireNothing()
        case .present(let identifier): systemIdentifier = identifier.rawValue
        case .foreign(let reason): foreignReason = reason
        }
    }

    func model() throws(WireError) -> DataDirectory {
        switch content {
        case .empty: return .empty
        case .systemIdentifier(let identifier): return .present(SystemIdentifier(rawValue: identifier))
        case .foreignReason(let reason): return .foreign(reason: reason)
        case nil: throw WireError("a report says nothing of its data directory")
        }
    }
}

extension WireServerState {
    init(_ state: ServerState) {
        self =
            switch state {
            case .down: .down
            case .starting: .starting
            case .standby: .standby
            case .promoting: .promoting
            case .primary: .primary
            case .stopping: .stopping
            case .unresponsive: .unresponsive
            }
    }

    func model() throws(WireError) -> ServerState {
        switch self {
        case .down: .down
        case .starting: .starting
        case .standby: .standby
        case .promoting: .promoting
        case .primary: .primary
        case .stopping: .stopping
        case .unresponsive: .unresponsive
        case .unspecified, .UNRECOGNIZED: throw WireError("a report has server state \(rawValue)")
        }
    }
}

extension WireServerStatus {
    init(_ status: ServerStatus) {
        self.init()
        inRecovery = status.inRecovery
        position = WirePosition(status.position)
        insertLsn = status.insertLSN.rawValue
        replayLsn = status.replayLSN.rawValue
        systemIdentifier = status.systemIdentifier.rawValue
        if let current = status.receiver { receiver = WireReceiverStatus(current) }
        senders = status.senders.map(WireSenderStatus.init)
        capacity = WireCapacitySettings(status.capacity)
        if let demanded = status.demandedCapacity { demandedCapacity = WireCapacitySettings(demanded) }
        replayPaused = status.replayPaused
        serverVersion = Int64(status.serverVersion)
        clientsAdmitted = status.clientsAdmitted
        synchronousNames = status.synchronousNames
        if let age = status.heartbeatAge { heartbeatAgeNs = age.wholeNanoseconds }
    }

    func model() throws(WireError) -> ServerStatus {
        var status = ServerStatus(
            inRecovery: inRecovery,
            position: position.model,
            systemIdentifier: SystemIdentifier(rawValue: systemIdentifier),
            capacity: capacity.model
        )
        status.insertLSN = LSN(rawValue: insertLsn)
        status.replayLSN = LSN(rawValue: replayLsn)
        status.receiver = hasReceiver ? try receiver.model() : nil
        status.senders = senders.map(\.model)
        status.demandedCapacity = hasDemandedCapacity ? demandedCapacity.model : nil
        status.replayPaused = replayPaused
        status.serverVersion = Int(serverVersion)
        status.clientsAdmitted = clientsAdmitted
        status.synchronousNames = synchronousNames
        status.heartbeatAge = hasHeartbeatAgeNs ? span(heartbeatAgeNs) : nil
        return status
    }
}

extension WireReceiverStatus {
    init(_ receiver: ReceiverStatus) {
        self.init()
        status = receiver.status
        timeline = receiver.timeline.rawValue
        sender = WireEndpoint(receiver.sender)
        if let time = receiver.sinceLastMessage { sinceLastMessageNs = time.wholeNanoseconds }
    }

    func model() throws(WireError) -> ReceiverStatus {
        ReceiverStatus(
            status: status,
            timeline: Timeline(rawValue: timeline),
            sender: try sender.model("a receiver's sender"),
            sinceLastMessage: hasSinceLastMessageNs ? span(sinceLastMessageNs) : nil
        )
    }
}

extension WireSenderStatus {
    init(_ sender: SenderStatus) {
        self.init()
        applicationName = sender.applicationName
        usesOwnSlot = sender.usesOwnSlot
        state = sender.state
        flushLsn = sender.flushLSN.rawValue
    }

    var model: SenderStatus {
        SenderStatus(
            applicationName: applicationName,
            usesOwnSlot: usesOwnSlot,
            state: state,
            flushLSN: LSN(rawValue: flushLsn)
        )
    }
}

extension WireCapacitySettings {
    init(_ settings: CapacitySettings) {
        self.init()
        maxConnections = Int64(settings.maxConnections)
        maxWorkerProcesses = Int64(settings.maxWorkerProcesses)
        maxWalSenders = Int64(settings.maxWALSenders)
        maxPreparedTransactions = Int64(settings.maxPreparedTransactions)
        maxLocksPerTransaction = Int64(settings.maxLocksPerTransaction)
    }

    var model: CapacitySettings {
        CapacitySettings(
            maxConnections: Int(maxConnections),
            maxWorkerProcesses: Int(maxWorkerProcesses),
            maxWALSenders: Int(maxWalSenders),
            maxPreparedTransactions: Int(maxPreparedTransactions),
            maxLocksPerTransaction: Int(maxLocksPerTransaction)
        )
    }
}
