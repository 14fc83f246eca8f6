import ClusterModel

/// The next step, decided from the record and what was seen last: a lost event changes nothing but the moment.
extension ClusterMachine {
    mutating func evaluate(_ now: MonotonicInstant) {
        guard loaded, pending == nil, leadsCertainly(now) else { return }
        guard let record else { return form(now) }
        noteStamps(record)
        let stale = staleReports(record)
        if !stale.isEmpty {
            readAgain(now)
            guard let doubt = rebuild(record, now) else { return }
            return wait(
                .record,
                rule: "R1",
                "the record is older than the cluster: nothing is decided until it is rebuilt from its members, or restored "
                    + "from a newer copy; \(doubt)",
                evidence: stale
            )
        }
        staleSince = nil
        handOutCopies(record, now)
        switch record.phase {
        case .forming: chooseFirstPrimary(record, now)
        case .initializing: awaitFirstPrimary(record, now)
        case .steady: keep(record, now)
        case .preparing: prepare(record, now)
        case .promoting: promote(record, now)
        }
    }

    /// Reports, and copies, that show that the record is older than the cluster (R1).
    func staleReports(_ record: ClusterRecord) -> [String] {
        let found: [String] = seen.compactMap { one in
            if let text = one.report.flatMap({ isAhead($0, record) }) { return "'\(one.spec.name)': \(text)" }
            guard let copy = one.copy, isOurs(copy, record),
                copy.term > record.term || copy.version > record.version
            else { return nil }
            return "'\(one.spec.name)': it keeps a copy of \(copy.stamp), the record is at \(record.stamp)"
        }
        guard found.isEmpty, heard.term > record.term || heard.version > record.version else { return found }
        return ["'\(heardFrom?.text ?? "")' told of \(heard) before, the record is at \(record.stamp)"]
    }

    /// Keeps in mind what members know beyond the record: whoever told of it may fall silent, or lose it.
    private mutating func noteStamps(_ record: ClusterRecord) {
        for one in seen {
            var told: [Stamp] = []
            if let report = one.report, case .present(record.systemIdentifier) = report.directory {
                told.append(report.state.promised)
            }
            if let copy = one.copy, isOurs(copy, record) { told.append(copy.stamp) }
            for stamp in told where stamp.term > record.term || stamp.version > record.version {
                guard stamp.term > heard.term || stamp.version > heard.version else { continue }
                heard = Stamp(term: max(stamp.term, heard.term), version: max(stamp.version, heard.version))
                heardFrom = one.spec.name
            }
        }
    }

    /// Whether a copy can be of this cluster's life: what an earlier one left on a disk proves nothing.
    func isOurs(_ copy: ClusterRecord, _ record: ClusterRecord) -> Bool {
        guard copy.cluster == spec.name, copy.faults.isEmpty else { return false }
        guard copy.term.rawValue < 1 << 62, copy.version.rawValue < 1 << 62 else { return false }
        return record.systemIdentifier == nil || copy.systemIdentifier == record.systemIdentifier
    }

    /// Another controller may have changed the record since it was read here (R11).
    private mutating func readAgain(_ now: MonotonicInstant) {
        if let readAt, now - readAt < spec.timings.reportInterval { return }
        readAt = now
        add(.load)
    }

    // MARK: Birth (R24)

    private mutating func form(_ now: MonotonicInstant) {
        guard pending == nil else { return }
        let first = ClusterRecord(forming: spec.name, mode: spec.durability)
        pending = first
        add(.store(first, replacing: .none))
    }

    private mutating func chooseFirstPrimary(_ record: ClusterRecord, _ now: MonotonicInstant) {
        let missing = seen.filter { !isFresh($0, now) || $0.report == nil }
        guard missing.isEmpty, let first = seen.first else {
            return wait(
                .birth,
                rule: "R24",
                "a cluster is born when all its instances have reported that they hold no data; still missing: "
                    + missing.map(\.spec.name.text).joined(separator: ", ")
            )
        }
        let holders = seen.compactMap { one -> String? in
            switch one.report?.directory {
            case .present(let number): "'\(one.spec.name)' holds data of system identifier \(number)"
            case .foreign(let reason): "'\(one.spec.name)': \(reason)"
            case .empty, nil: nil
            }
        }
        guard holders.isEmpty else {
            return wait(
                .birth,
                rule: "R5",
                "there is data, but no record of it: restore the record file, or move the data directories away",
                evidence: holders
            )
        }
        waiting = nil
        explain(.birth, rule: "R24", "'\(first.spec.name)' will be the first primary: all instances are empty")
        store {
            $0.term = Term(rawValue: 1)
            $0.phase = .initializing
            $0.primary = first.spec.name
        }
    }

    private mutating func awaitFirstPrimary(_ record: ClusterRecord, _ now: MonotonicInstant) {
        guard let name = record.primary, let one = observation(name), let report = one.report else { return }
        guard report.state.role == .primary, report.state.primaryOfTerm == record.term,
            let incarnation = report.state.incarnation, case .present(let number) = report.directory
        else {
            let plan = Initialization(rules: record.rules, members: spec.instances)
            return order(.initialize(plan), to: name, now)
        }
        let member = MemberID(name: name, incarnation: incarnation)
        store {
            $0.phase = .steady
            $0.primaryIncarnation = incarnation
            $0.systemIdentifier = number
            $0.members = [member]
            $0.highestTimeline = .first
            $0.history = [
                Primacy(
                    term: record.term,
                    primary: member,
                    timeline: .first,
                    parent: .none,
                    forkLSN: .zero,
                    why: "birth of the cluster"
                )
            ]
        }
    }

    // MARK: In office

    private mutating func keep(_ record: ClusterRecord, _ now: MonotonicInstant) {
        guard let name = record.primary else { return }
        if let loss = primaryLoss(record, now) { return replacePrimary(record, loss, now) }
        suspect(record, now)
        // Whether commits wait is judged below, from what the primary sees.
        if let primary = observation(name), isFresh(primary, now), waiting?.rule != "R12" { waiting = nil }
        if let request = record.request { return handOver(record, request, now) }
        conclude(record, now)
        if updateMembers(record, now) || changeRules(record, now) { return }
        governPrimary(record, now)
        orderFollowers(record, now)
    }

    private mutating func conclude(_ record: ClusterRecord, _ now: MonotonicInstant) {
        guard let name = record.primary, let report = observation(name)?.report, report.opened else { return }
        guard report.state.primaryOfTerm == record.term, var done = progress else { return }
        done.lap(\.route, now)
        progress = nil
        let summary = FailoverSummary(
            term: record.term,
            from: done.from,
            to: name,
            timeline: record.history.last?.timeline ?? .none,
            why: done.why,
            evidence: done.evidence,
            phases: done.phases,
            isPlanned: done.isPlanned
        )
        lastFailover = summary
        add(.concluded(summary))
    }

    private mutating func governPrimary(_ record: ClusterRecord, _ now: MonotonicInstant) {
        guard let name = record.primary, let report = observation(name)?.report else { return }
        guard report.state.isPrimaryInOffice else { return }
        // In office of an earlier term: it is to go on in this one, for which no candidate was recorded (R16).
        let goesOn = record.isContinued && report.state.primaryOfTerm < record.term
        guard report.state.primaryOfTerm == record.term || goesOn else { return }
        let changing = record.rules.count > 1 && report.confirmation?.version != record.version
        guard
            changing || goesOn || report.readyToHandOver != nil || report.rules != record.rules
                || report.state.agents != spec.agents
        else { return }
        let governance = Governance(rules: record.rules, peers: peers(of: name, record), agents: spec.agents)
        order(.govern(governance), to: name, now)
    }

    func peers(of name: InstanceName, _ record: ClusterRecord) -> [MemberID] {
        record.members.filter { $0.name != name }
    }

    mutating func orderFollowers(_ record: ClusterRecord, _ now: MonotonicInstant) {
        for one in seen where one.spec.name != record.primary { orderFollower(one, record, now) }
    }

    private mutating func orderFollower(_ one: Seen, _ record: ClusterRecord, _ now: MonotonicInstant) {
        guard let primary = record.primary, let report = one.report, one.connected else { return }
        if mustWait(report, record, now) { return }
        let wanted = Following(term: record.term, primary: primary)
        let stuck = isStuck(one, report, record, now)
        let isTold = isToldToDiscard(one, report, record)
        guard report.following != wanted || stuck || isTold else { return }
        if mustWaitForCopies(one, report, now) { return }
        let discard = stuck || isTold ? report.state.incarnation : nil
        guard let plan = followPlan(of: one, record, discard: discard) else { return }
        if stuck {
            explain(
                .rejoin,
                rule: "R14",
                "'\(one.spec.name)' has not received from '\(primary)' for "
                    + "\(spec.timings.rebuildAfter.components.seconds) s: it is rebuilt"
            )
            update(one.spec.name) { $0.notReceivingSince = nil }
        }
        order(.follow(plan), to: one.spec.name, now)
    }

    private func followPlan(of one: Seen, _ record: ClusterRecord, discard: Incarnation?) -> FollowPlan? {
        guard let primary = record.primary, let number = record.systemIdentifier,
            let server = spec.instance(primary)?.server
        else { return nil }
        return FollowPlan(
            primary: primary,
            server: server,
            systemIdentifier: number,
            history: record.history,
            peers: peers(of: one.spec.name, record),
            discard: discard
        )
    }

    /// The primary's agent is out of sight: an order repeated has the agents of the standbys look at their servers now,
    /// rather than with their next report, and what they see is the other half of the evidence (R9).
    mutating func askWitnesses(of name: InstanceName, _ now: MonotonicInstant) {
        guard let record, record.primary == name, record.phase == .steady else { return }
        let wanted = Following(term: record.term, primary: name)
        for one in seen where one.spec.name != name && isFresh(one, now) && one.report?.following == wanted {
            if let plan = followPlan(of: one, record, discard: nil) { order(.follow(plan), to: one.spec.name, now) }
        }
    }

    /// Whether a member's return would only take the machine's strength from a promotion under way.
    ///
    /// Prepared standbys follow at once: with them the new primary opens (R13, R23). Whoever must be rewound first
    /// comes when that is done, or half a second later, since it may be the one that is needed.
    private mutating func mustWait(_ report: InstanceReport, _ record: ClusterRecord, _ now: MonotonicInstant) -> Bool {
        // One that answered from its control file needs no rewind: it comes at once if it is the voter that is needed.
        let isIdle = report.server == .down && report.prepared?.term == record.term
        guard report.state.role == .primary || isIdle else { return false }
        if isIdle && isNeededToOpen(report, record, now) { return false }
        if record.phase == .promoting { return true }
        guard let progress, now - progress.mark < .milliseconds(500) else { return false }
        wakeBy(progress.mark + .milliseconds(500))
        return true
    }

    /// Whether too few of the others follow to admit clients without it (R23).
    private func isNeededToOpen(_ report: InstanceReport, _ record: ClusterRecord, _ now: MonotonicInstant) -> Bool {
        let others = seen.filter { one in
            isFresh(one, now) && one.report?.server == .standby
                && one.report?.state.incarnation != report.state.incarnation
        }.compactMap(\.member)
        return record.rules.contains { rule in rule.voters.filter(others.contains).count < rule.required }
    }

    /// Whether a member that does as told still receives nothing, from a primary that is there (R14).
    ///
    /// One that replays what it has moves on; one that is being copied or rewound is at work; one that cannot even
    /// start may yet be recovering, and is given ten times as long. One at a time.
    private mutating func isStuck(
        _ one: Seen,
        _ report: InstanceReport,
        _ record: ClusterRecord,
        _ now: MonotonicInstant
    ) -> Bool {
        let source = record.primary.flatMap(observation)
        let primaryIsUp = source.map { isFresh($0, now) && $0.report?.server == .primary } ?? false
        let isIdle = report.activity.isEmpty || report.server != .down
        let replayed = report.status?.replayLSN ?? .zero
        guard record.phase == .steady, isFresh(one, now), primaryIsUp, isIdle, report.state.incarnation != nil,
            !receives(report, from: record.primary), replayed <= one.replayed
        else {
            update(one.spec.name) {
                $0.notReceivingSince = nil
                $0.replayed = replayed
            }
            return false
        }
        guard let since = one.notReceivingSince else {
            update(one.spec.name) { $0.notReceivingSince = now }
            return false
        }
        let patience = report.server == .standby ? spec.timings.rebuildAfter : spec.timings.rebuildAfter * 10
        let others = seen.filter {
            $0.spec.name != one.spec.name && isFresh($0, now) && $0.report?.state.role == .cloning
                && $0.report?.activity.isEmpty == false
        }
        return now - since >= patience && others.isEmpty
    }

    /// Whether a standby's receiver streams from that instance.
    func receives(_ report: InstanceReport, from primary: InstanceName?) -> Bool {
        guard let primary, let receiver = report.status?.receiver else { return false }
        return receiver.status == "streaming" && receiver.sender == spec.instance(primary)?.server
    }
}
