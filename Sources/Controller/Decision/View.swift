public import ClusterModel

extension ClusterMachine {
    /// What people are shown; nil until the record has been read.
    public func view(at now: MonotonicInstant) -> ClusterView? {
        guard let record else { return nil }
        var view = ClusterView(record: record, durability: spec.durability)
        view.waiting = waiting
        view.warnings = record.newestRule.mode.isSynchronous ? weakened : []
        view.suspect = suspicion
        view.lastFailover = lastFailover
        view.instances = seen.map { instanceView($0, record, now) }
        return view
    }

    private func instanceView(_ one: Seen, _ record: ClusterRecord, _ now: MonotonicInstant) -> ClusterView.Instance {
        var view = ClusterView.Instance(name: one.spec.name, server: one.spec.server, role: role(one, now))
        view.connected = one.connected
        view.reportAge = one.reportAt.map { (now - $0).wholeMilliseconds }
        if let until = one.leaseUntil, until > now, one.spec.name == record.primary {
            view.leaseRemaining = (until - now).wholeMilliseconds
        }
        guard let report = one.report else {
            view.obstacle = obstacle(one, record, now)?.description ?? ""
            return view
        }
        view.incarnation = report.state.incarnation
        view.position = report.status?.position
        view.opened = report.opened && report.state.isPrimaryInOffice
        view.activity = report.activity
        view.fault = report.fault
        view.serverVersion = report.status?.serverVersion ?? 0
        view.freeBytes = report.freeBytes
        view.keptWAL = report.keptWAL
        if one.spec.name != record.primary { view.obstacle = obstacle(one, record, now)?.description ?? "" }
        view.votes = one.member.map(record.newestRule.voters.contains) ?? false
        view.streaming = one.spec.name != record.primary && isFresh(one, now) && isReceiving(report, record)
        let primary = record.primary.flatMap(observation)?.report?.status?.position
        if let own = report.status?.position, let primary, own.timeline == primary.timeline {
            view.lagBytes = primary.lsn.bytes(since: own.lsn)
        }
        if one.spec.name != record.primary { view.lagMilliseconds = lag(of: one, now)?.wholeMilliseconds }
        return view
    }

    /// How far a standby's replay is behind in time, as of its last look, or as of now if that is long ago (R22).
    private func lag(of one: Seen, _ now: MonotonicInstant) -> Duration? {
        guard let report = one.report, let status = report.status, let at = one.reportAt, status.inRecovery else {
            return nil
        }
        let moment = isFresh(one, now) ? at - report.statusAge : now
        return walClock.lag(of: status.replayLSN, on: status.position.timeline, at: moment)
    }

    private func isReceiving(_ report: InstanceReport, _ record: ClusterRecord) -> Bool {
        receives(report, from: record.primary) && report.status?.receiver?.timeline == record.history.last?.timeline
    }

    private func role(_ one: Seen, _ now: MonotonicInstant) -> String {
        guard let report = one.report else { return "unknown" }
        guard isFresh(one, now) else { return "lost" }
        switch report.server {
        case .down:
            if !report.activity.isEmpty { return report.activity }
            return report.state.role == .none ? "empty" : "down"
        case .unresponsive, .stopping, .promoting, .starting, .standby, .primary: return report.server.rawValue
        }
    }
}
