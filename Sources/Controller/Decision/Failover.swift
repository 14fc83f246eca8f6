import ClusterModel

/// Why the primary is taken for gone, with what was seen.
struct Loss: Hashable, Sendable {
    var why: String
    var evidence: [String]
    /// How long ago it happened, as far as known.
    var age: Duration
}

/// Evidence (R9), revocation (R6), candidate (R7, R8) and promotion (R13).
extension ClusterMachine {
    /// Complete evidence that the recorded primary is gone; nil if there is none.
    ///
    /// With `atOnce` one look suffices: a person asks, and decides.
    mutating func primaryLoss(_ record: ClusterRecord, _ now: MonotonicInstant, atOnce: Bool = false) -> Loss? {
        guard let name = record.primary, let one = observation(name) else { return nil }
        if let report = one.report, isFresh(one, now) {
            if report.state.releasedTerm >= record.term {
                return Loss(
                    why: "'\(name)' released term \(record.term): its server is down and no process of it is left",
                    evidence: ["release by its own agent"],
                    age: report.downFor ?? .zero
                )
            }
            if record.isContinued, report.state.primaryOfTerm < record.term, !report.state.isPrimaryInOffice {
                return Loss(
                    why: "'\(name)' had stopped before it could go on in term \(record.term)",
                    evidence: ["released term \(report.state.releasedTerm)"],
                    age: report.downFor ?? .zero
                )
            }
            if report.state.incarnation != record.primaryIncarnation {
                return Loss(
                    why: "'\(name)' no longer holds the data it was primary with",
                    evidence: ["incarnation \(report.state.incarnation?.text ?? "none")"],
                    age: .zero
                )
            }
            guard report.server == .unresponsive else { return hang(of: one, report, record, now) }
        }
        let standbys = seen.filter { $0.spec.name != name && isFresh($0, now) && $0.report?.server == .standby }
        guard !standbys.isEmpty, let startedAt else { return nil }
        // Right after a start the agents have not had the time to come.
        let last = one.reportAt ?? startedAt
        let isEarly = one.reportAt == nil && now - startedAt < spec.timings.leaseDuration
        if isEarly && weakness != .forgottenLease { return nil }
        if let wokeAt, now - wokeAt < spec.timings.reportInterval { return nil }
        var evidence = [one.connected ? "no answer from its server" : "its agent's connection is gone"]
        for standby in standbys {
            guard let line = lossSeen(by: standby, of: name, now) else {
                if weakness == .evidenceOfOne { continue }
                return nil
            }
            evidence.append(line)
        }
        if evidence.count < 2 { return nil }
        // It may have been stopped until now, with the standbys' word unread (D107).
        guard wasAwake || atOnce || weakness == .judgesOnWaking else {
            wakeBy(now + Self.glance)
            return nil
        }
        return Loss(why: "'\(name)' is gone: neither agent nor standbys reach it", evidence: evidence, age: now - last)
    }

    /// How a standby shows that it has lost the primary; nil if it still receives (R9 b).
    func lossSeen(by standby: Seen, of primary: InstanceName, _ now: MonotonicInstant) -> String? {
        guard let report = standby.report, let at = standby.reportAt else { return nil }
        guard receives(report, from: primary), let receiver = report.status?.receiver else {
            return "'\(standby.spec.name)' receives nothing from it"
        }
        let silence = (receiver.sinceLastMessage ?? .zero) + report.statusAge + (now - at)
        // An idle, healthy connection carries a message at least once a second.
        guard silence > max(spec.timings.reportInterval * 2, .milliseconds(1500)) else { return nil }
        return "'\(standby.spec.name)' has heard nothing from it for \(silence.wholeMilliseconds) ms"
    }

    /// Says that the primary's agent is out of sight, or its server silent to it, while standbys receive (R9).
    ///
    /// Only once that has lasted for a lease: a failover begins sooner, and every one would begin with a suspicion.
    mutating func suspect(_ record: ClusterRecord, _ now: MonotonicInstant) {
        guard let name = record.primary, let one = observation(name), let at = one.reportAt ?? startedAt else { return }
        let isSilent = !isFresh(one, now)
        let receivers = seen.filter { standby in
            standby.spec.name != name && isFresh(standby, now) && standby.report?.server == .standby
                && standby.report.map { receives($0, from: name) } ?? false
                && lossSeen(by: standby, of: name, now) == nil
        }
        let lasts = isSilent ? now - at >= spec.timings.leaseDuration : one.report?.server == .unresponsive
        guard lasts, !receivers.isEmpty else {
            guard suspicion != nil, !isSilent, one.report?.server != .unresponsive else { return }
            suspicion = nil
            return explain(.evidence, rule: "R9", "'\(name)' is not suspect any more: its agent reports")
        }
        let what = isSilent ? "its agent does not report" : "its server leaves its agent without an answer"
        let found = Explanation(
            .evidence,
            rule: "R9",
            "'\(name)' is suspect: \(what), but standbys receive from it; nobody fails over, its agent or the agent's "
                + "connection must be repaired",
            evidence: receivers.map { "'\($0.spec.name)' receives from it" }
        )
        if suspicion?.text != found.text { add(.explain(found)) }
        suspicion = found
    }

    // MARK: A new term

    mutating func failOver(_ record: ClusterRecord, _ loss: Loss, _ now: MonotonicInstant) {
        if let standstill = standstill(record) {
            return wait(
                .waiting,
                rule: "R18",
                "\(standstill), so that nobody is promoted: \(loss.why); `promote` an instance by hand, or `resume`",
                evidence: loss.evidence
            )
        }
        guard couldBeMet(record, now) else {
            return wait(
                .waiting,
                rule: "R19",
                "\(loss.why); too few members answer to promote one safely",
                evidence: loss.evidence + record.rules.map { "needed: \(neededText($0)), or the old primary itself" }
            )
        }
        if holdsBack(now) { return }
        startTerm(record, loss, now)
    }

    /// Whether the next change of primary has to wait, since several were needed lately; else counts it (R17).
    private mutating func holdsBack(_ now: MonotonicInstant) -> Bool {
        recentFailovers.removeAll { now - $0 > .seconds(300) }
        if recentFailovers.count >= 3, let last = recentFailovers.last {
            let doublings = min(recentFailovers.count - 3, 4)
            let delay = spec.timings.repeatedFailoverDelay * (1 << doublings)
            if now - last < delay {
                wakeBy(last + delay)
                wait(
                    .backoff,
                    rule: "R17",
                    "\(recentFailovers.count) failovers within five minutes: the next waits until "
                        + "\(delay.wholeMilliseconds) ms after the last"
                )
                return true
            }
        }
        recentFailovers.append(now)
        return false
    }

    mutating func startTerm(_ record: ClusterRecord, _ loss: Loss, _ now: MonotonicInstant) {
        // A time that was held back on purpose is not to be read as slowness.
        let held = waiting.flatMap { $0.kind == .backoff ? [$0.text] : nil } ?? []
        waiting = nil
        suspicion = nil
        if progress == nil {
            let asked = record.request.map { [loss.why, $0.why] } ?? [loss.why]
            var begun = Progress(
                from: record.primary,
                why: asked.last ?? loss.why,
                evidence: asked.dropLast() + loss.evidence + held,
                mark: now,
                isPlanned: record.request.map { $0.step != .takeOver } ?? false
            )
            begun.phases.detect = max(0, loss.age.wholeMilliseconds)
            progress = begun
        } else {
            progress?.evidence.append(loss.why)
        }
        explain(.evidence, rule: "R9", "\(loss.why): term \(record.term.next) begins", evidence: loss.evidence)
        store {
            $0.term = record.term.next
            $0.phase = .preparing
        }
    }

    /// Whether those that can be reached now could satisfy every rule, if they all answer.
    private func couldBeMet(_ record: ClusterRecord, _ now: MonotonicInstant) -> Bool {
        let reachable = seen.filter { isFresh($0, now) && isUsable($0) }.compactMap(\.member)
        if let primary = record.primaryMember, reachable.contains(primary), weakness != .noOwnAnswer { return true }
        return record.rules.allSatisfy { isMet($0, by: reachable) }
    }

    private func isMet(_ rule: Rule, by members: [MemberID]) -> Bool {
        if weakness == .oneAnswerLess, !members.isEmpty, let needed = rule.answersNeeded {
            return rule.voters.filter(members.contains).count >= needed - 1
        }
        return rule.isMet(by: members)
    }

    func isUsable(_ one: Seen) -> Bool {
        guard let state = one.report?.state, !state.tainted else { return false }
        return state.role == .standby || state.role == .primary
    }

    func neededText(_ rule: Rule) -> String {
        let names = rule.voters.map(\.name.text).joined(separator: ", ")
        if let needed = rule.answersNeeded { return "\(needed) of \(names)" }
        return "no number of voters suffices"
            + (rule.voters.isEmpty ? ", it was a single server" : " before a change of voters that was begun has ended")
    }

    // MARK: Preparing (R6)

    mutating func prepare(_ record: ClusterRecord, _ now: MonotonicInstant) {
        let answered = seen.filter { hasPrepared($0, record, now) }
        let members = answered.compactMap(\.member)
        let isNamed = weakness == .answerByName && members.contains { $0.name == record.primary }
        let isOwn = record.primaryMember.map(members.contains) ?? false
        let ownAnswer = isNamed || isOwn && weakness != .noOwnAnswer
        if givesWay(record, now) { return }
        var nobodyIsEligible = false
        let isMet = ownAnswer || record.rules.allSatisfy { self.isMet($0, by: members) }
        if goOnCatchingUp(record, now) {
            nobodyIsEligible = false
        } else if record.request == nil, let standstill = standstill(record) {
            wait(.waiting, rule: "R18", "\(standstill), so that nobody is promoted; `promote` one by hand, or `resume`")
        } else if let awaited = awaited(record, ownAnswer: ownAnswer, now) {
            wait(.waiting, rule: "R16", "term \(record.term) waits for \(awaited)")
        } else if isMet || overrides(record, answered, now) {
            switch choose(record, answered, ownAnswer: ownAnswer, now) {
            case .recorded: return
            case .leaseIsAlive: break
            case .catchingUp: _ = goOnCatchingUp(record, now)
            case .nobodyIsEligible: nobodyIsEligible = true
            }
        } else {
            wait(
                .waiting,
                rule: "R7",
                "term \(record.term) waits for answers: \(waitText(record, members, now))"
            )
        }
        let enough = record.rules.allSatisfy { rule in
            self.isMet(rule, by: seen.filter { isFresh($0, now) && canAnswer($0, record, now) }.compactMap(\.member))
        }
        // Standbys that could answer may still never do so: after two seconds everybody is asked for all he has.
        let patience = (preparingSince ?? now) + .seconds(2)
        if now < patience { wakeBy(patience) }
        for one in seen where !hasPrepared(one, record, now) && !mayGiveWay(one, record, now) {
            if one.spec.name == catchUp?.candidate { continue }
            // A former primary holds everything it acknowledged: its own answer ends the wait for others (R7, R19).
            if let end = boundUntil(one, now) {
                wakeBy(end)
                continue
            }
            let isWanted = record.request?.candidate == one.spec.name
            let recover = !enough || nobodyIsEligible || now >= patience || isWanted
            order(.prepare(recover: recover), to: one.spec.name, now)
        }
    }

    private func canAnswer(_ one: Seen, _ record: ClusterRecord, _ now: MonotonicInstant) -> Bool {
        guard let state = one.report?.state else { return false }
        // It did answer, and the answer does not count.
        if one.report?.prepared?.term == record.term && !hasPrepared(one, record, now) { return false }
        return state.role == .standby && !state.tainted
    }

    private func hasPrepared(_ one: Seen, _ record: ClusterRecord, _ now: MonotonicInstant) -> Bool {
        guard isFresh(one, now), one.member != nil, let prepared = one.report?.prepared else { return false }
        // A timeline that the record never gave was taken by hand: it outranks nothing (R14).
        let position = prepared.position
        let isKnown = record.history.contains { $0.timeline == position.timeline }
        let isPast = record.history.contains { $0.parent == position.timeline && $0.forkLSN < position.lsn }
        if weakness == .strictAncestry && isPast { return false }
        return prepared.term == record.term && (isKnown || weakness == .unknownTimelines)
    }

    /// For how long a member refuses to prepare, since it extended the primary's lease while no leader answered (R10).
    ///
    /// No word of a member counts for longer than it can be bound.
    private func boundUntil(_ one: Seen, _ now: MonotonicInstant) -> MonotonicInstant? {
        guard let bound = one.report?.boundFor, let at = one.reportAt, bound > .zero, bound <= spec.timings.leaseHorizon
        else {
            return nil
        }
        return at + bound > now ? at + bound : nil
    }

    private func waitText(_ record: ClusterRecord, _ members: [MemberID], _ now: MonotonicInstant) -> String {
        let rules = record.rules.map(neededText).joined(separator: " and ")
        let bound = seen.filter { boundUntil($0, now) != nil }.map(\.spec.name.text).joined(separator: ", ")
        let later = "; \(bound) granted a lease while no leader answered, and prepare when that is over (R10)"
        return "needed are \(rules), or '\(record.primary?.text ?? "none")' itself; so far \(naming(members, record))"
            + (bound.isEmpty ? "" : later)
    }

    /// Names for a person: whoever bears a voter's or the primary's name, but holds another copy, is told apart.
    func naming(_ members: [MemberID], _ record: ClusterRecord) -> String {
        if members.isEmpty { return "none" }
        let counted = record.rules.flatMap(\.voters) + (record.primaryMember.map { [$0] } ?? [])
        return members.map { member in
            let isImpostor = !counted.contains(member) && counted.contains { $0.name == member.name }
            return member.name.text
                + (isImpostor ? " (a new copy, which does not count for the one that is missed)" : "")
        }.joined(separator: ", ")
    }

    // MARK: Candidate (R7, R8)

    private enum Choice { case recorded, leaseIsAlive, catchingUp, nobodyIsEligible }

    /// Records a candidate, if one can be taken yet.
    private mutating func choose(
        _ record: ClusterRecord,
        _ answered: [Seen],
        ownAnswer: Bool,
        _ now: MonotonicInstant
    ) -> Choice {
        let restsOnLease = record.request?.acceptsDataLoss == true || record.rules.contains { $0.mode == .async }
        if restsOnLease, !ownAnswer, !leaseIsOver(record, now) { return .leaseIsAlive }
        let ranking = CandidateRanking(
            answered: answered,
            record: record,
            spec: spec,
            ownAnswer: ownAnswer,
            primaryPosition: primaryPosition
                ?? (weakness == .unknownLag ? WALPosition(timeline: .none, lsn: .zero) : nil),
            avoided: couldNotCatchUp,
            ignoresIneligible: weakness == .behindIneligible
        )
        let longest = answered.max {
            ($0.report?.prepared?.position.lsn ?? .zero) < ($1.report?.prepared?.position.lsn ?? .zero)
        }
        guard let winner = weakness == .positionWithoutTimeline ? longest : ranking.winner,
            let candidate = winner.member,
            let position = winner.report?.prepared?.position,
            let old = record.primaryMember
        else {
            if ranking.winner == nil, beginCatchUp(ranking, now) { return .catchingUp }
            waitForCandidate(record, ranking, answered)
            return .nobodyIsEligible
        }
        let others = seen.filter { one in !answered.contains { $0.spec.name == one.spec.name } }
        let reasons = ranking.reasons + others.map { "'\($0.spec.name)': did not answer in this term" }
        waiting = nil
        progress?.evidence += ["candidate '\(candidate.name)': \(position)"] + reasons
        explain(
            .candidate,
            rule: "R8",
            "'\(candidate.name)' has the most WAL: it is the candidate of term \(record.term)",
            evidence: ["\(position)"] + reasons
        )
        let timeline = highestTimeline(record).next
        let rules = rulesAtPromotion(record, candidate, replacing: old, answered, now)
        if let wanted = record.request?.candidate, wanted != candidate.name {
            let remark = "; '\(wanted)' could not take over"
            if progress?.why.hasSuffix(remark) == false { progress?.why += remark }
        }
        let why = progress?.why ?? record.request?.why ?? "term \(record.term) was begun by an earlier controller"
        store {
            $0.phase = .promoting
            $0.primary = candidate.name
            $0.primaryIncarnation = candidate.incarnation
            $0.rules = rules
            $0.highestTimeline = timeline
            $0.history.append(
                Primacy(
                    term: record.term,
                    primary: candidate,
                    timeline: timeline,
                    parent: position.timeline,
                    forkLSN: position.lsn,
                    why: String(why.prefix(Primacy.reasonLimit))
                )
            )
        }
        return .recorded
    }

    private mutating func waitForCandidate(_ record: ClusterRecord, _ ranking: CandidateRanking, _ answered: [Seen]) {
        let isBarred = answered.contains { $0.spec.noFailover }
        let mend = isBarred ? "; one that is marked noFailover can be made primary by hand, with `promote`" : ""
        let text = "no candidate is eligible in term \(record.term)" + mend
        wait(.waiting, rule: "R8", text, evidence: ranking.reasons)
    }

    /// The swapped rules (R7) and, where voters are gone, the change that narrows them: it rests on names that are in
    /// force before the trigger, so that it costs nothing now and a stop of all commits later (R12).
    private mutating func rulesAtPromotion(
        _ record: ClusterRecord,
        _ candidate: MemberID,
        replacing old: MemberID,
        _ answered: [Seen],
        _ now: MonotonicInstant
    ) -> [Rule] {
        var swapped = record.rules.map { $0.promoting(candidate, replacing: old) }
        if weakness == .changeDropped { swapped = swapped.suffix(1) }
        guard let rule = swapped.last else { return swapped }
        let policy = VoterPolicy(mode: spec.durability, target: spec.synchronousStandbys)
        let reachable = seen.filter { isFresh($0, now) && isUsable($0) }.compactMap(\.member)
        let prepared = answered.compactMap(\.member).filter { $0 != candidate }
        guard let next = policy.ruleAtPromotion(rule, prepared: prepared, reachable: reachable) else { return swapped }
        let older = weakness == .changeDropped ? [] : swapped.filter { $0 != next }
        let rules = older + [next]
        guard hasRoom(for: rules) else { return swapped }
        explain(.rules, rule: "R12", "with this promotion the rule changes from \(rule) to \(next)")
        return rules
    }

    /// In `async` only a release or the end of every lease ever granted makes the old primary harmless (R3, R4).
    private mutating func leaseIsOver(_ record: ClusterRecord, _ now: MonotonicInstant) -> Bool {
        guard let name = record.primary, let one = observation(name) else { return true }
        if let report = one.report, let last = record.history.last, report.state.releasedTerm >= last.term {
            return true
        }
        guard let until = one.leaseUntil, now < until else { return true }
        wakeBy(until)
        wait(.waiting, rule: "R3", "waiting until the lease of '\(name)' is over")
        return false
    }

    /// So many promotions by hand are believed between two of ours.
    static let timelineLeap: UInt32 = 1000

    /// The highest that was ever assigned, or that an instance tells of.
    func highestTimeline(_ record: ClusterRecord) -> Timeline {
        var highest = record.highestTimeline
        for one in seen {
            guard case .present(let number) = one.report?.directory, number == record.systemIdentifier else { continue }
            let told = [
                one.report?.status?.position.timeline, one.report?.stoppedTimeline,
                one.report?.prepared?.position.timeline,
            ]
            // A number that nobody can have come to uses up those that are left.
            for case let timeline? in told where timeline > record.highestTimeline {
                let leap = timeline.rawValue - record.highestTimeline.rawValue
                if leap <= Self.timelineLeap { highest = max(highest, timeline) }
            }
        }
        return highest
    }

    // MARK: Promoting (R13)

    mutating func promote(_ record: ClusterRecord, _ now: MonotonicInstant) {
        guard let name = record.primary, let one = observation(name), let assigned = record.history.last else { return }
        if let result = one.report?.promotion, result.term == record.term, isFresh(one, now),
            one.member == record.primaryMember
        {
            progress?.lap(\.promote, now)
            return store {
                $0.phase = .steady
                $0.request = nil
                $0.history[$0.history.count - 1].forkLSN = result.forkLSN
                $0.history[$0.history.count - 1].isConfirmed = true
                // A disk that lied may have lost what the candidate answered before it was promoted.
                if result.parent != .none { $0.history[$0.history.count - 1].parent = result.parent }
            }
        }
        if let loss = candidateLoss(record, one, now) {
            // As often as a promotion fails, as on a full disk, each attempt takes a timeline and a line of history.
            if holdsBack(now) { return }
            update(name) { $0.failedTerm = record.term }
            return startTerm(record, loss, now)
        }
        let promotion = Promotion(
            timeline: assigned.timeline,
            rules: record.rules,
            peers: peers(of: name, record),
            history: record.history,
            agents: spec.agents
        )
        order(.promote(promotion), to: name, now)
        orderFollowers(record, now)
    }

    private mutating func candidateLoss(_ record: ClusterRecord, _ one: Seen, _ now: MonotonicInstant) -> Loss? {
        if let loss = primaryLoss(record, now) { return loss }
        guard let promotingSince, now - promotingSince > spec.timings.promotionTimeout else { return nil }
        let fault = one.report?.fault ?? ""
        return Loss(
            why: "the promotion of '\(one.spec.name)' took longer than "
                + "\(spec.timings.promotionTimeout.components.seconds) s" + (fault.isEmpty ? "" : ": \(fault)"),
            evidence: [],
            age: .zero
        )
    }
}
