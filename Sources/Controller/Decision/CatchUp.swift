import ClusterModel

/// A candidate that receives first what an ineligible member holds more (R8).
struct CatchUp: Hashable, Sendable {
    var candidate: InstanceName
    var source: InstanceName
    /// Where the source's WAL ends; it receives nothing itself.
    var target: WALPosition
    /// How far the candidate had come, and since when it has not come further.
    var position: WALPosition
    var since: MonotonicInstant
}

extension ClusterMachine {
    /// Has the best of those that may be promoted receive what only others hold; false if nobody can.
    ///
    /// It lives in no record: another controller asks everybody again where they are, and finds the same.
    mutating func beginCatchUp(_ ranking: CandidateRanking, _ now: MonotonicInstant) -> Bool {
        guard let (candidate, source) = ranking.lag, let target = source.report?.prepared?.position,
            let position = candidate.report?.prepared?.position
        else {
            // Whoever failed may yet succeed, where there is no other.
            couldNotCatchUp = []
            return false
        }
        catchUp = CatchUp(
            candidate: candidate.spec.name,
            source: source.spec.name,
            target: target,
            position: position,
            since: now
        )
        explain(
            .candidate,
            rule: "R8",
            "'\(source.spec.name)' holds the most WAL and may not be promoted: '\(candidate.spec.name)' catches up from it",
            evidence: ["'\(source.spec.name)' ends at \(target), '\(candidate.spec.name)' at \(position)"]
                + ranking.reasons
        )
        return true
    }

    /// The next step of a catch-up; true while it goes on, so that no candidate is taken.
    mutating func goOnCatchingUp(_ record: ClusterRecord, _ now: MonotonicInstant) -> Bool {
        guard var plan = catchUp else { return false }
        guard let one = observation(plan.candidate), isFresh(one, now), let report = one.report,
            let source = observation(plan.source), isFresh(source, now),
            source.report?.prepared == PreparedAnswer(term: record.term, position: plan.target)
        else {
            catchUp = nil
            return false
        }
        let answer = report.prepared?.term == record.term ? report.prepared?.position : nil
        if let answer, answer >= plan.target {
            catchUp = nil
            return false
        }
        if let position = answer ?? report.status?.position, position > plan.position {
            (plan.position, plan.since) = (position, now)
            catchUp = plan
        }
        guard now - plan.since < spec.timings.promotionTimeout else {
            explain(
                .refused,
                rule: "R8",
                "'\(plan.candidate)' does not come on while it catches up from '\(plan.source)': another one is tried",
                evidence: report.fault.isEmpty ? [] : [report.fault]
            )
            couldNotCatchUp.append(plan.candidate)
            catchUp = nil
            return false
        }
        wakeBy(plan.since + spec.timings.promotionTimeout)
        wait(
            .waiting,
            rule: "R8",
            "'\(plan.candidate)' catches up from '\(plan.source)', which may not be promoted"
        )
        let isReceiving = report.following == Following(term: record.term, primary: plan.source)
        if answer == nil && isReceiving {
            if let position = report.status?.position, position >= plan.target {
                order(.prepare(recover: false), to: plan.candidate, now)
            }
        } else if answer != nil, let order = catchUpOrder(plan, record) {
            self.order(order, to: plan.candidate, now)
        } else if let at = one.lastOrderAt, now - at >= spec.timings.reportInterval * 2 {
            // Its agent was restarted, or the order got lost on the way.
            order(.prepare(recover: false), to: plan.candidate, now)
        }
        return true
    }

    private func catchUpOrder(_ plan: CatchUp, _ record: ClusterRecord) -> Order.Kind? {
        guard let number = record.systemIdentifier, let server = spec.instance(plan.source)?.server else { return nil }
        return .catchUp(
            FollowPlan(
                primary: plan.source,
                server: server,
                systemIdentifier: number,
                history: record.history(through: plan.target.timeline),
                peers: peers(of: plan.candidate, record)
            )
        )
    }
}
