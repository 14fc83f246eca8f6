public import ClusterModel

extension ClusterMachine {
    /// What people are shown; nil until the record has been read.
    public func view(at now: MonotonicInstant) -> ClusterView? {
        guard let record else { return nil }
        var view = ClusterView(record: record, durability: spec.durability)
        view.waiting = waiting ?? hardship(record, now)
        view.warnings = record.newestRule.mode.isSynchronous ? weakened : []
        view.suspect = suspicion ?? doubt(record, now)
        view.lastFailover = lastFailover
        view.instances = seen.map { instanceView($0, record, now) }
        return view
    }

    /// What clients of a primary in office feel at this moment, before anything is decided about it.
    private func hardship(_ record: ClusterRecord, _ now: MonotonicInstant) -> Explanation? {
        guard record.phase == .steady, let name = record.primary, let one = observation(name), isFresh(one, now),
            let report = one.report, report.server == .primary, report.state.isPrimaryInOffice
        else { return nil }
        let rule = record.newestRule
        let streaming = (report.status?.senders ?? []).filter { $0.usesOwnSlot && $0.state == "streaming" }
            .map(\.applicationName)
        let count = rule.voters.filter { streaming.contains($0.applicationName) }.count
        let voters = "\(rule.required) of \(rule.voters.map(\.name.text).joined(separator: ", "))"
        let isShort = rule.mode.isSynchronous && count < rule.required
        if !report.opened {
            let condition = isShort ? " when \(voters) have its WAL; \(count) receive it" : " in a moment"
            return Explanation(.waiting, rule: "R23", "'\(name)' is primary and admits clients\(condition)")
        }
        guard isShort else { return nil }
        return Explanation(.waiting, rule: "R12", "commits wait: \(voters) must stream, \(count) do")
    }

    /// A primary that looks well from outside and begins not to be (R22).
    private func doubt(_ record: ClusterRecord, _ now: MonotonicInstant) -> Explanation? {
        guard record.phase == .steady, let one = record.primary.flatMap(observation), isFresh(one, now),
            let report = one.report, let found = silence(of: one, report, now), found.duration >= .seconds(1)
        else { return nil }
        return Explanation(
            .evidence,
            rule: "R22",
            "'\(one.spec.name)' \(found.what), for \(found.duration.wholeMilliseconds / 1000) s; after "
                + "\(spec.timings.hangTimeout.wholeMilliseconds / 1000) s (hangTimeout) it is replaced, if others can"
        )
    }

    private func instanceView(_ one: Seen, _ record: ClusterRecord, _ now: MonotonicInstant) -> ClusterView.Instance {
        var view = ClusterView.Instance(name: one.spec.name, server: one.spec.server, role: role(one, now))
        view.connected = one.connected
        view.reportAgeMilliseconds = one.reportAt.map { (now - $0).wholeMilliseconds }
        if let until = one.leaseUntil, until > now, one.spec.name == record.primary {
            // Counted is what it may take the holder to stop, too; shown is what it was granted.
            view.leaseRemainingMilliseconds = min(until - now, spec.timings.leaseDuration).wholeMilliseconds
        }
        view.fault = one.attachFault
        guard let report = one.report else {
            view.obstacle = obstacle(one, record, now)?.description ?? ""
            return view
        }
        view.incarnation = report.state.incarnation
        view.position = report.status?.position
        view.opened = report.opened && report.state.isPrimaryInOffice && one.spec.name == record.primary
        view.activity = report.activity
        if one.attachFault.isEmpty { view.fault = report.fault }
        view.serverVersion = report.status?.serverVersion ?? 0
        view.freeBytes = report.freeBytes
        view.keptWAL = report.keptWAL
        if one.spec.name != record.primary { view.obstacle = obstacle(one, record, now)?.description ?? "" }
        view.votes = one.member.map(record.newestRule.voters.contains) ?? false
        let isRecent = one.reportAt.map { now - $0 <= spec.timings.reportInterval * 2 } ?? false
        view.streaming = one.spec.name != record.primary && isRecent && isFresh(one, now) && isReceiving(report, record)
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
