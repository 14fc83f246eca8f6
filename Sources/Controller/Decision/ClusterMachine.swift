public import ClusterModel

/// What is known of one instance.
struct Seen: Hashable, Sendable {
    var spec: InstanceSpec
    var connected = false
    /// Since when the connection stands that it is told of through.
    var connectedAt: MonotonicInstant?
    var report: InstanceReport?
    var reportAt: MonotonicInstant?
    /// Since when it does not answer to the criteria of a receiving standby although told to follow.
    var notReceivingSince: MonotonicInstant?
    /// The incarnation that an operator told it to give up, until it has (R15).
    var discards: Incarnation?
    /// Since when it does not stream to the primary, or its agent does not answer (R12).
    var missingSince: MonotonicInstant?
    /// How far it had replayed when that was last looked at.
    var replayed: LSN = .zero
    /// Until when it may hold a live lease (R3), as far as this controller's answers go.
    var leaseUntil: MonotonicInstant?
    var lastOrder: Order?
    var lastOrderAt: MonotonicInstant?
    /// Since when it leaves `pg_isready` without an answer, though its sessions answer.
    var muteSince: MonotonicInstant?
    /// Since when a primary in office is being stopped.
    var stoppingSince: MonotonicInstant?
    /// A promotion of it failed in that term.
    var failedTerm: Term = .none
    /// What it refused last, and why, so that a refusal that repeats is told once.
    var lastRefusal: String = ""
    /// Why its agent cannot even look at the instance; empty once it reports.
    var attachFault: String = ""
    /// The record that its agent keeps, as it said or was given since, and the version that it was given (R1).
    var copy: ClusterRecord?
    var copySent: RecordVersion?

    var member: MemberID? {
        report?.state.incarnation.map { MemberID(name: spec.name, incarnation: $0) }
    }
}

/// A change of primary under way, for its phase times and its story.
struct Progress: Hashable, Sendable {
    var from: InstanceName?
    var why: String
    var evidence: [String]
    var phases = PhaseTimes()
    /// End of the last phase measured.
    var mark: MonotonicInstant
    /// Somebody asked for it.
    var isPlanned = false

    mutating func lap(_ phase: WritableKeyPath<PhaseTimes, Int64>, _ now: MonotonicInstant) {
        phases[keyPath: phase] += max(0, (now - mark).wholeMilliseconds)
        mark = now
    }
}

/// Decides for one cluster: evidence, term, candidate, voters, who follows whom.
///
/// Every step is in the record before it is ordered, so that another controller finishes it. A value: the same
/// events at the same moments give the same decisions, here and in the simulator.
public struct ClusterMachine: Hashable, Sendable {
    /// What the cluster should be.
    public private(set) var spec: ClusterSpec
    /// As stored; nil until loaded.
    public internal(set) var record: ClusterRecord?
    var loaded = false
    /// Until when its leadership is certain; nil where there is only this one controller.
    var leadsUntil: MonotonicInstant?
    /// Written, not yet known to be stored.
    var pending: ClusterRecord?
    /// In the order of the specification.
    var seen: [Seen]
    var progress: Progress?
    /// The last change of primary that this controller saw to its end.
    public internal(set) var lastFailover: FailoverSummary?
    /// When primaries were changed within the last five minutes (R17).
    var recentFailovers: [MonotonicInstant] = []
    /// How far the recorded primary's WAL went, as far as its reports told: outlives its server (R8, `async`).
    var primaryPosition: WALPosition?
    /// When its WAL reached which place (R22).
    var walClock = WALClock()
    /// The primary's agent is out of sight while standbys receive from its server (R9); nil if not.
    var suspicion: Explanation?
    var startedAt: MonotonicInstant?
    var preparingSince: MonotonicInstant?
    /// Whoever receives from a member that holds more and may not be promoted itself (R8).
    var catchUp: CatchUp?
    /// Those of this term that did not come on while they caught up.
    var couldNotCatchUp: [InstanceName] = []
    var promotingSince: MonotonicInstant?
    var firstStreamingAt: MonotonicInstant?
    /// Next moment at which something may be decided without an event.
    var wake: MonotonicInstant?
    /// What the cluster waits for, if it does (R19).
    public internal(set) var waiting: Explanation?
    /// Commands that came while a write was under way, oldest first.
    var heldCommands: [HeldCommand] = []
    /// Told once the pending write took effect.
    var promisedReplies: [PromisedReply] = []
    /// Since when the candidate of a switchover has not been fit to take over.
    var candidateUnfitSince: MonotonicInstant?
    /// When the present step of a switchover was recorded, or read.
    var stepSince: MonotonicInstant?
    /// When anything was last handled, and when a long pause since then ended (R9).
    var handledAt: MonotonicInstant?
    var wokeAt: MonotonicInstant?
    /// When a pause ended that was so long that what lay unread then says nothing of now (R9).
    var rousedAt: MonotonicInstant?
    /// When it last handled something after a pause of any length; for a moment after, what lay unread is being read.
    var stirredAt: MonotonicInstant?
    /// That moment is over (R9).
    var wasAwake = true
    /// An absence is looked at a second time that much later.
    static let glance = Duration.milliseconds(50)
    /// Whose commits are confirmed too early, as the primary says.
    var weakened: [String] = []
    /// When the record was last read anew because a member knew more.
    var readAt: MonotonicInstant?
    /// Since when members show that the record is older than the cluster, and whether it is being replaced (R1).
    var staleSince: MonotonicInstant?
    var isRebuilding = false
    /// The most beyond the record that a member ever told of, and who did: his silence does not make it untrue (R1).
    var heard = Stamp.none
    var heardFrom: InstanceName?
    /// Set by the simulator alone, to prove that a rule is needed.
    package var weakness: Weakness?
    var actions: [ClusterAction] = []

    /// Creates one that has seen nothing yet.
    public init(spec: ClusterSpec) {
        self.spec = spec
        seen = spec.instances.map { Seen(spec: $0) }
    }

    /// Takes another specification of the same cluster; what was seen of the instances that stay is kept.
    ///
    /// For the rest it is as if a controller were started with it, which the record is good for.
    public mutating func change(to spec: ClusterSpec) {
        invariant(spec.name == self.spec.name, "a machine is of one cluster for life")
        self.spec = spec
        seen = spec.instances.map { one in
            var known = observation(one.name) ?? Seen(spec: one)
            known.spec = one
            return known
        }
    }

    /// Takes an event and says what to do, in order.
    public mutating func handle(_ event: ClusterEvent, at now: MonotonicInstant) -> [ClusterAction] {
        actions = []
        if startedAt == nil { startedAt = now }
        if let handledAt, now - handledAt > Self.glance * 2 { stirredAt = now }
        wasAwake = stirredAt.map { now - $0 >= Self.glance } ?? true
        // A tick comes with every interval: it has slept itself, and what it missed is still on its way.
        if let handledAt, now - handledAt > spec.timings.reportInterval * 5 / 4, weakness != .judgesOnWaking {
            wokeAt = now
            // Pauses that follow one upon the other put nothing off for ever.
            let limit = spec.timings.hangTimeout
            let isNew = rousedAt.map { now - $0 >= limit } ?? true
            let pause = now - handledAt
            if pause > spec.timings.reportInterval * 3, isNew || pause * 2 > limit { rousedAt = now }
            for place in seen.indices { (seen[place].muteSince, seen[place].stoppingSince) = (nil, nil) }
        }
        handledAt = now
        wake = nil
        switch event {
        case .leading(let until): leadsUntil = max(leadsUntil ?? until, until)
        // What was read while a write is under way may be older than the write; its own answer tells more.
        case .recordLoaded(let found):
            // An answer that comes late is older than what was read or written since.
            let isLate = loaded && (pending != nil || found?.version ?? .none < record?.version ?? .none)
            if !isLate { recordLoaded(found, now) }
        case .recordStored: recordStored(now)
        case .recordConflict(let record):
            pending = nil
            breakPromises("another controller changed the record at the same moment; ask again")
            explain(.record, "another controller changed the record; going on from what is stored")
            recordLoaded(record, now)
        case .recordUnknown(let reason):
            pending = nil
            isRebuilding = false
            loaded = false
            breakPromises("whether the record was written is not known (\(reason)); look at the status, and ask again")
            explain(.record, "the record could not be written: \(reason); reading it again")
            add(.load)
        case .connected(let name): connected(name, now)
        case .disconnected(let name):
            update(name) { $0.connected = false }
            askWitnesses(of: name, now)
        case .report(let name, let report): reported(name, report, now)
        case .refused(let name, let refusal): refused(name, refusal)
        case .copy(let name, let copy): update(name) { $0.copy = copy }
        case .command(let command, let id): hold(command, id)
        case .tick: break
        }
        answerCommands(now)
        evaluate(now)
        if case .report(let name, let report) = event { answer(name, report, now) }
        defer { actions = [] }
        return actions
    }

    /// The moment by which the machine wants a tick.
    public func wakeAt(after now: MonotonicInstant) -> MonotonicInstant {
        let beat = now + spec.timings.reportInterval
        guard let wake, wake > now else { return beat }
        return min(wake, beat)
    }

    /// What it waits to see stored.
    package var wanted: ClusterRecord? { pending }

    /// Drops what no safety rests on, so that like states of the exhaustive simulator are equal.
    package mutating func forgetStory() {
        progress = nil
        lastFailover = nil
        waiting = nil
        walClock = WALClock()
        suspicion = nil
        recentFailovers = []
        firstStreamingAt = nil
        handledAt = nil
        stirredAt = nil
        wake = nil
        for place in seen.indices {
            seen[place].lastOrder = nil
            seen[place].lastOrderAt = nil
            seen[place].notReceivingSince = nil
        }
    }

    // MARK: Record

    private mutating func recordLoaded(_ found: ClusterRecord?, _ now: MonotonicInstant) {
        loaded = true
        pending = nil
        isRebuilding = false
        record = found
        stepSince = now
        guard let found else { return }
        if found.phase == .promoting { promotingSince = now }
        if found.phase == .preparing { preparingSince = now }
        catchUp = nil
        // Whoever led before may have granted a lease just now (R11).
        if let primary = found.primary, weakness != .forgottenLease {
            let horizon = now + spec.timings.leaseHorizon
            update(primary) { $0.leaseUntil = horizon }
        }
    }

    private mutating func recordStored(_ now: MonotonicInstant) {
        guard let stored = pending else { return }
        pending = nil
        if isRebuilding {
            // As if somebody else had led until now (R11).
            return recordLoaded(stored, now)
        }
        let previous = record
        record = stored
        keepPromises()
        if stored.request?.step != previous?.request?.step {
            stepSince = now
            candidateUnfitSince = nil
        }
        if let previous, previous.phase != stored.phase { phaseChanged(from: previous.phase, stored, now) }
    }

    private mutating func phaseChanged(from old: Phase, _ record: ClusterRecord, _ now: MonotonicInstant) {
        switch record.phase {
        case .preparing:
            preparingSince = now
            catchUp = nil
            couldNotCatchUp = []
            if old == .promoting { progress?.mark = now } else { progress?.lap(\.decide, now) }
        case .promoting:
            progress?.lap(\.prepare, now)
            promotingSince = now
            // The candidate's lease rides on its last report, and goes out before the order that it is for (R2).
            if let name = record.primary, let report = observation(name)?.report { answer(name, report, now) }
            evaluate(now)
        case .forming, .initializing, .steady: break
        }
    }

    /// Asks for a compare-and-swap of the present record with a changed one.
    mutating func store(_ change: (inout ClusterRecord) -> Void) {
        guard pending == nil, let record else { return }
        var next = record
        change(&next)
        next.version = record.version.next
        invariant(next.term >= record.term, "the record's term never falls (I2)")
        invariant(
            record.phase != .promoting || next.term > record.term || next.primary == record.primary,
            "with a candidate recorded the only way is forward (R16)"
        )
        next.forgetOldPrimacies()
        pending = next
        add(.store(next, replacing: record.version))
    }

    // MARK: Instances

    private mutating func connected(_ name: InstanceName, _ now: MonotonicInstant) {
        update(name) {
            $0.connected = true
            $0.connectedAt = now
            $0.lastOrder = nil
            $0.copySent = nil
        }
    }

    private mutating func reported(_ name: InstanceName, _ report: InstanceReport, _ now: MonotonicInstant) {
        let previous = observation(name)?.report
        update(name) {
            $0.connected = true
            $0.attachFault = ""
            $0.report = report
            $0.reportAt = now
        }
        noteLeaderless(name, report, was: previous)
        notePrimaryPosition(name, report, now)
        noteWeakened(name, report)
        noteReadiness(name, report, now)
    }

    /// Tells once how a primary went on that no leader had answered for a while (R10).
    private mutating func noteLeaderless(_ name: InstanceName, _ report: InstanceReport, was previous: InstanceReport?)
    {
        func isLong(_ span: LeaderlessSpan) -> Bool { span.length > spec.timings.leaseDuration }
        guard let span = report.leaderless, isLong(span), name == record?.primary else { return }
        if previous?.leaderless.map(isLong) == true { return }
        let seconds = span.length.wholeMilliseconds / 1000
        let who = span.extendedBy.map(\.text).joined(separator: ", ")
        explain(
            .lease,
            rule: "R10",
            "'\(name)' went on for \(seconds) s without a leader, in term \(report.state.primaryOfTerm)"
                + (who.isEmpty ? "" : ": \(who) extended its lease"),
            evidence: report.opened ? [] : ["off the route: its commits wait"]
        )
    }

    private mutating func refused(_ name: InstanceName, _ refusal: OrderRefusal) {
        if refusal.order == OrderRefusal.attachment { update(name) { $0.attachFault = refusal.reason } }
        let text = "\(refusal.order): \(refusal.reason)"
        guard observation(name)?.lastRefusal != text else { return }
        update(name) { $0.lastRefusal = text }
        explain(.refused, "'\(name)' refused '\(refusal.order)' of \(refusal.stamp): \(refusal.reason)")
    }

    private mutating func notePrimaryPosition(
        _ name: InstanceName,
        _ report: InstanceReport,
        _ now: MonotonicInstant
    ) {
        guard let record, name == record.primary, report.state.primaryOfTerm == record.term else { return }
        guard let status = report.status, !status.inRecovery else { return }
        primaryPosition = max(primaryPosition ?? status.position, status.position)
        walClock.note(status.position, at: now - report.statusAge)
    }

    /// Says once whose commits the promise does not hold for (R12).
    private mutating func noteWeakened(_ name: InstanceName, _ report: InstanceReport) {
        guard let record, name == record.primary, report.state.isPrimaryInOffice, report.weakened != weakened else {
            return
        }
        let isNew = !report.weakened.allSatisfy(weakened.contains)
        weakened = report.weakened
        guard isNew, record.newestRule.mode.isSynchronous else { return }
        explain(
            .fault,
            rule: "R12",
            "some commits are confirmed before a standby has them, so that a failover may lose them",
            evidence: weakened
        )
    }

    mutating func update(_ name: InstanceName, _ change: (inout Seen) -> Void) {
        guard let place = seen.firstIndex(where: { $0.spec.name == name }) else { return }
        change(&seen[place])
    }

    func observation(_ name: InstanceName) -> Seen? { seen.first { $0.spec.name == name } }

    /// Whether its last report is no older than three intervals (R9).
    func isFresh(_ one: Seen, _ now: MonotonicInstant) -> Bool {
        guard one.connected, let at = one.reportAt else { return false }
        return now - at <= spec.timings.reportInterval * 3
    }

    /// Whether its last report came over the connection that stands: an agent that came back may serve other data.
    func reportsAnew(_ one: Seen) -> Bool {
        guard let since = one.connectedAt, let at = one.reportAt else { return true }
        return at >= since
    }

    // MARK: Answers and leases (R2)

    /// Whether its leadership can be shown to be current on its own clock (R11).
    func leadsCertainly(_ now: MonotonicInstant) -> Bool { leadsUntil.map { now < $0 } ?? true }

    private mutating func answer(_ name: InstanceName, _ report: InstanceReport, _ now: MonotonicInstant) {
        // No answer is better than one without a lease: that would say that a leader means to withhold it (R10). Nor
        // does it know whether to while what is stored is unknown (D80).
        guard let record, loaded, leadsCertainly(now) else { return }
        // Whoever has an old record cannot mean anything by it: agents live as without a leader until it is rebuilt (R1).
        guard staleReports(record).isEmpty else { return }
        var lease: Duration?
        if mayGrant(name, report, record) {
            lease = spec.timings.leaseDuration
            let horizon = now + spec.timings.leaseHorizon
            update(name) { $0.leaseUntil = horizon }
        }
        add(.answer(ReportAnswer(sequence: report.sequence, stamp: record.stamp, lease: lease), to: name))
    }

    private func mayGrant(_ name: InstanceName, _ report: InstanceReport, _ record: ClusterRecord) -> Bool {
        guard record.primary == name, isAhead(report, record) == nil else { return false }
        // A new term may be in the store already: from its writing on nobody is granted anything.
        if let pending, pending.phase == .preparing || pending.primary != name { return false }
        guard report.state.releasedTerm < record.term, !report.state.tainted else { return false }
        switch record.phase {
        case .forming, .preparing: return false
        case .initializing: return true
        case .steady, .promoting:
            if record.isContinued && !report.state.isPrimaryInOffice { return false }
            return report.state.incarnation == record.primaryIncarnation
        }
    }

    /// Why a report shows that the record is older than the cluster, as after restoring a backup of it (R1).
    func isAhead(_ report: InstanceReport, _ record: ClusterRecord) -> String? {
        guard report.state.promised.term > record.term || report.state.promised.version > record.version else {
            return nil
        }
        return "it accepted \(report.state.promised), the record is at \(record.stamp)"
    }

    mutating func add(_ action: ClusterAction) { actions.append(action) }

    mutating func explain(_ kind: Explanation.Kind, rule: String = "", _ text: String, evidence: [String] = []) {
        add(.explain(Explanation(kind, rule: rule, text, evidence: evidence)))
    }

    /// Says once what is waited for.
    mutating func wait(_ kind: Explanation.Kind, rule: String, _ text: String, evidence: [String] = []) {
        let explanation = Explanation(kind, rule: rule, text, evidence: evidence)
        if waiting?.text != explanation.text { add(.explain(explanation)) }
        waiting = explanation
    }

    mutating func wakeBy(_ moment: MonotonicInstant) { wake = wake.map { min($0, moment) } ?? moment }

    /// Sends an order unless the very same went out within a report interval.
    mutating func order(_ kind: Order.Kind, to name: InstanceName, _ now: MonotonicInstant) {
        guard let record, pending == nil, let one = observation(name), one.connected else { return }
        let order = Order(stamp: record.stamp, kind: kind)
        if one.lastOrder == order, let at = one.lastOrderAt, now - at < spec.timings.reportInterval { return }
        update(name) {
            $0.lastOrder = order
            $0.lastOrderAt = now
        }
        add(.send(order, to: name))
    }
}
