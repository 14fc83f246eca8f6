public import ClusterModel

extension InstanceMachine {
    /// The whole state as of `now`, numbered; the shell adds what no decision rests on (free space).
    public mutating func report(at now: MonotonicInstant) -> InstanceReport {
        lastSequence += 1
        var report = InstanceReport(
            sequence: lastSequence,
            state: state,
            directory: directory,
            server: serverState
        )
        report.status = status
        report.status?.heartbeatAge = heartbeatAge(now)
        report.statusAge = statusAt.map { now - $0 } ?? .zero
        report.stoppedTimeline = [stopped?.timeline, strayTimeline].compactMap(\.self).max()
        report.prepared = prepared
        report.confirmation = confirmation
        report.promotion = promotion
        report.following = following
        report.readyToHandOver = state.isPrimaryInOffice ? readyToHandOver : nil
        report.rules = state.isPrimaryInOffice ? rules : []
        report.opened = isRouted
        report.activity = activity
        report.downFor = phase == .down ? downSince.map { now - $0 } : nil
        report.isReady = isReady
        report.fault = fault.isEmpty && state.copyOf != nil ? Self.copiedFault : fault
        report.boundFor = boundFor(now)
        report.leaderless = leaderless(now)
        return report
    }

    /// Beats that this agent slept through are not missing (D83).
    private func heartbeatAge(_ now: MonotonicInstant) -> Duration? {
        // The first that a report asks for after a pause: nothing has been handled since.
        if let handledAt, now - handledAt > configuration.timings.reportInterval * 2 { return nil }
        guard let age = status?.heartbeatAge, let statusAt, let wokeAt else { return status?.heartbeatAge }
        return statusAt < wokeAt ? nil : min(age, statusAt - wokeAt)
    }

    var serverState: ServerState {
        switch phase {
        case .unknown, .down: return .down
        case .starting: return .starting
        case .stopping: return .stopping
        case .up:
            if missedPolls >= 3 { return .unresponsive }
            if case .promote = work?.kind { return .promoting }
            guard let status else { return .starting }
            return status.inRecovery ? .standby : .primary
        }
    }

    private var activity: String {
        switch work?.kind {
        case .initialize: "initializing"
        case .clone: "cloning"
        case .makeReadyToRewind, .rewind: "rewinding"
        case .promote: "promoting"
        case .cut: "cutting the receiver"
        case .none, .follow, .applyRules, .open, .inspect, .readLineage: ""
        }
    }

    /// Members that get a slot here, as last ordered.
    public var peers: [MemberID] {
        switch goal {
        case .lead(let promotion): promotion.peers
        case .govern(let governance, _): governance.peers
        case .follow(let plan), .catchUp(let plan): plan.peers
        case .wait, .initialize, .prepare, .handOver: []
        }
    }
}
