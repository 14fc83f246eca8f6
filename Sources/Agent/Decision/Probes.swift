public import ClusterModel

/// One thing that a probe looks at.
public struct ProbeCheck: Hashable, Sendable {
    /// What it is about, in one word.
    public var name: String
    /// Why it is not so; nil if it is.
    public var failure: String?

    /// Notes what was found.
    public init(_ name: String, failure: String?) {
        self.name = name
        self.failure = failure
    }
}

/// What a probe found: yes if all of its checks hold.
public struct ProbeAnswer: Hashable, Sendable {
    /// In the order in which they were made.
    public var checks: [ProbeCheck]

    /// Whether all hold.
    public var isYes: Bool { checks.allSatisfy { $0.failure == nil } }
}

/// Answers probes of Kubernetes and of load balancers from the agent's own reports, without waiting for anything.
///
/// - SeeAlso: Kubernetes documentation, "Configure Liveness, Readiness and Startup Probes".
public struct ProbeDesk: Hashable, Sendable {
    /// A standby stays ready that long after it lost its primary: reads go on while another is promoted.
    public static let receiverGrace = Duration.seconds(30)
    /// An agent that has made no report for that long does not turn any more.
    public static let loopLimit = Duration.seconds(10)

    private let timings: Timings
    /// Bytes of WAL that a ready standby may not have replayed yet.
    private let readyLag: UInt64
    private let begun: MonotonicInstant
    private var report: InstanceReport?
    private var reportedAt: MonotonicInstant?
    private var turnedAt: MonotonicInstant?
    private var hasAnswered = false
    private var receivedAt: MonotonicInstant?

    /// Begins without a report.
    public init(timings: Timings, readyLag: UInt64, at now: MonotonicInstant) {
        self.timings = timings
        self.readyLag = readyLag
        begun = now
    }

    /// The newest report; nil before the first.
    public var last: InstanceReport? { report }

    /// The agent's loop has turned, whether it had something to say or not.
    public mutating func turned(at now: MonotonicInstant) { turnedAt = now }

    /// Takes a report.
    public mutating func take(_ report: InstanceReport, at now: MonotonicInstant) {
        turnedAt = now
        reportedAt = now
        self.report = report
        if report.server == .primary || report.server == .standby, report.status != nil { hasAnswered = true }
        if report.server == .standby, Self.receives(report) { receivedAt = now }
        if report.server == .down { receivedAt = nil }
    }

    /// Whether the agent turns; one that does not is started anew, which ends nothing under the launcher.
    public func live(at now: MonotonicInstant) -> ProbeAnswer { ProbeAnswer(checks: [loop(now)]) }

    /// Whether the server has answered once.
    public func started(at now: MonotonicInstant) -> ProbeAnswer {
        let failure = hasAnswered ? nil : "the server has not answered yet" + activity
        return ProbeAnswer(checks: [loop(now), ProbeCheck("server", failure: failure)])
    }

    /// Whether clients are to be sent here for what this instance is: open as primary (R23), or a standby that receives.
    public func ready(at now: MonotonicInstant) -> ProbeAnswer {
        guard let report, isFresh(now) else { return ProbeAnswer(checks: [fresh(now)]) }
        if report.server == .standby {
            var receiver: String?
            if !Self.receives(report) {
                let isRecent = receivedAt.map { now - $0 < Self.receiverGrace } ?? false
                if !isRecent { receiver = "receives nothing, from nobody" + activity }
            }
            return ProbeAnswer(checks: [
                fresh(now), ProbeCheck("receiver", failure: receiver), lag(report, within: readyLag),
            ])
        }
        return primary(at: now)
    }

    /// Whether this is the primary, and open.
    public func primary(at now: MonotonicInstant) -> ProbeAnswer {
        guard let report, isFresh(now) else { return ProbeAnswer(checks: [fresh(now)]) }
        var role: String?
        if report.server != .primary {
            role = "the server is \(report.server.rawValue)" + activity
        } else if !report.state.isPrimaryInOffice {
            role = "a primary out of office"
        }
        let gate = report.opened ? nil : report.fault.isEmpty ? "clients are not admitted yet" : report.fault
        return ProbeAnswer(checks: [fresh(now), ProbeCheck("role", failure: role), ProbeCheck("open", failure: gate)])
    }

    /// Whether this is a standby that receives now and lacks no more than so many bytes; nil is any number.
    public func replica(within limit: UInt64?, at now: MonotonicInstant) -> ProbeAnswer {
        guard let report, isFresh(now) else { return ProbeAnswer(checks: [fresh(now)]) }
        let role = report.server == .standby ? nil : "the server is \(report.server.rawValue)" + activity
        let receiver = Self.receives(report) ? nil : "receives nothing, from nobody"
        var checks = [fresh(now), ProbeCheck("role", failure: role), ProbeCheck("receiver", failure: receiver)]
        if let limit { checks.append(lag(report, within: limit)) }
        return ProbeAnswer(checks: checks)
    }

    /// Whether one can read here: from an open primary, or from such a standby.
    public func readable(within limit: UInt64?, at now: MonotonicInstant) -> ProbeAnswer {
        let primary = primary(at: now)
        return primary.isYes ? primary : replica(within: limit, at: now)
    }

    /// Bytes of WAL that are here and not replayed; nil on a primary, or if nothing is known.
    public static func replayLag(_ report: InstanceReport) -> UInt64? {
        guard let status = report.status, status.inRecovery else { return nil }
        return status.position.lsn.bytes(since: status.replayLSN)
    }

    private static func receives(_ report: InstanceReport) -> Bool {
        report.status?.receiver?.status == "streaming"
    }

    private func lag(_ report: InstanceReport, within limit: UInt64) -> ProbeCheck {
        let missing = Self.replayLag(report) ?? 0
        let failure = missing > limit ? "\(missing) bytes of WAL are not replayed yet; the limit is \(limit)" : nil
        return ProbeCheck("lag", failure: failure)
    }

    private var activity: String {
        guard let activity = report?.activity, !activity.isEmpty else { return "" }
        return " (\(activity))"
    }

    private func loop(_ now: MonotonicInstant) -> ProbeCheck {
        let still = now - (turnedAt ?? begun)
        let limit = max(Self.loopLimit, timings.reportInterval * 4)
        let failure = still > limit ? "has not turned for \(still.components.seconds) s" : nil
        return ProbeCheck("loop", failure: failure)
    }

    /// What was so a lease ago says nothing of who is primary now.
    private func isFresh(_ now: MonotonicInstant) -> Bool {
        guard let reportedAt else { return false }
        return now - reportedAt <= min(timings.reportInterval * 4, timings.leaseDuration)
    }

    private func fresh(_ now: MonotonicInstant) -> ProbeCheck {
        if isFresh(now) { return ProbeCheck("report", failure: nil) }
        let age = reportedAt.map { "the last report is \((now - $0).wholeMilliseconds) ms old" }
        return ProbeCheck("report", failure: age ?? "the instance has not been looked at yet")
    }
}
