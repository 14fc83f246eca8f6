import ClusterModel
import HTTPService
import InstanceDecision
import JSON
import Logging
import Synchronization
import Telemetry

/// What the agent answers over HTTP, from what it knows: it never waits for server, launcher or controller.
final class ProbePages: Sendable {
    private let cluster: ClusterName
    private let instance: InstanceName
    private let version: String
    private let desk: Mutex<ProbeDesk>

    init(_ configuration: AgentConfiguration, version: String) {
        cluster = configuration.cluster
        instance = configuration.instance
        self.version = version
        desk = Mutex(ProbeDesk(timings: configuration.timings, readyLag: configuration.readyLag, at: .now))
    }

    func turned(at now: MonotonicInstant) { desk.withLock { $0.turned(at: now) } }

    func take(_ report: InstanceReport, at now: MonotonicInstant) { desk.withLock { $0.take(report, at: now) } }

    func answer(_ question: HTTPQuestion) -> HTTPAnswer {
        let desk = desk.withLock { $0 }
        let now = MonotonicInstant.now
        switch question.path {
        case "/livez": return page(desk.live(at: now), question)
        case "/startupz": return page(desk.started(at: now), question)
        case "/readyz": return page(desk.ready(at: now), question)
        case "/primary": return page(desk.primary(at: now), question)
        case "/replica", "/read-only":
            var limit: UInt64?
            if let text = question["maxLag"] {
                guard let bytes = Self.bytes(text) else {
                    return HTTPAnswer(400, "maxLag is '\(text.prefix(40))', not a size as 1048576 or 10MB\n")
                }
                limit = bytes
            }
            if question.path == "/replica" { return page(desk.replica(within: limit, at: now), question) }
            return page(desk.readable(within: limit, at: now), question)
        case "/status": return HTTPAnswer(200, status(desk, now) + "\n", contentType: "application/json")
        case "/metrics": return HTTPAnswer(200, metrics(desk, now), contentType: MetricsText.contentType)
        default:
            let known = "/livez /startupz /readyz /primary /replica?maxLag= /read-only?maxLag= /status /metrics"
            return HTTPAnswer(404, "nothing is here; there is \(known)\n")
        }
    }

    /// One line, or each check with `?verbose`, as the components of Kubernetes answer.
    private func page(_ found: ProbeAnswer, _ question: HTTPQuestion) -> HTTPAnswer {
        let status = found.isYes ? 200 : 503
        if question["verbose"] != nil {
            let lines = found.checks.map { check in
                check.failure.map { "[-]\(check.name) failed: \($0)" } ?? "[+]\(check.name) ok"
            }
            let end = "\(question.path.dropFirst()) check \(found.isYes ? "passed" : "failed")"
            return HTTPAnswer(status, (lines + [end]).joined(separator: "\n") + "\n")
        }
        let failures = found.checks.compactMap { check in check.failure.map { "\(check.name): \($0)" } }
        return HTTPAnswer(status, (failures.isEmpty ? "ok" : failures.joined(separator: "; ")) + "\n")
    }

    /// A number of bytes, with kB, MB or GB of 1024 each, as PostgreSQL writes it.
    static func bytes(_ text: String) -> UInt64? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let factors: [String: UInt64] = ["": 1, "B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30]
        let unit = String(text.dropFirst(digits.count))
        guard let number = UInt64(digits), let factor = factors[unit] else { return nil }
        let (product, isTooMuch) = number.multipliedReportingOverflow(by: factor)
        return isTooMuch ? nil : product
    }

    // MARK: For people and programs

    private func status(_ desk: ProbeDesk, _ now: MonotonicInstant) -> String {
        var value: JSONValue = [
            "cluster": .string(cluster.text), "instance": .string(instance.text), "version": .string(version),
            "live": .bool(desk.live(at: now).isYes), "started": .bool(desk.started(at: now).isYes),
            "ready": .bool(desk.ready(at: now).isYes), "primary": .bool(desk.primary(at: now).isYes),
        ]
        guard let report = desk.last else { return value.text }
        value["server"] = .string(report.server.rawValue)
        value["term"] = .number(JSONNumber(Int64(clamping: report.state.promised.term.rawValue)))
        value["fault"] = report.fault.isEmpty ? nil : .string(report.fault)
        value["activity"] = report.activity.isEmpty ? nil : .string(report.activity)
        value["freeBytes"] = report.freeBytes.map { .number(JSONNumber(Int64(clamping: $0))) }
        guard let status = report.status else { return value.text }
        value["timeline"] = .number(JSONNumber(Int64(status.position.timeline.rawValue)))
        value["position"] = .string("\(status.position.lsn)")
        value["serverVersion"] = .number(JSONNumber(Int64(status.serverVersion)))
        value["synchronousNames"] = status.inRecovery ? nil : .string(status.synchronousNames)
        value["replayLagBytes"] = ProbeDesk.replayLag(report).map { .number(JSONNumber(Int64(clamping: $0))) }
        value["upstream"] = status.receiver.map { receiver in
            ["address": .string("\(receiver.sender)"), "state": .string(receiver.status)]
        }
        if !status.inRecovery {
            value["standbys"] = .array(
                status.senders.map { sender in
                    [
                        "name": .string(sender.applicationName), "state": .string(sender.state),
                        "flushed": .string("\(sender.flushLSN)"),
                    ]
                }
            )
        }
        return value.text
    }

    private func metrics(_ desk: ProbeDesk, _ now: MonotonicInstant) -> String {
        var text = MetricsText(labels: [("cluster", cluster.text), ("instance", instance.text)])
        func one(_ truth: Bool) -> Double { truth ? 1 : 0 }
        text.add("understudy_agent_info", "The agent's version.", [.init([("version", version)], 1)])
        text.add("understudy_ready", "1 if clients are to be sent here.", one(desk.ready(at: now).isYes))
        text.add("understudy_primary", "1 if this is the primary, and open.", one(desk.primary(at: now).isYes))
        guard let report = desk.last else { return text.text }
        text.add(
            "understudy_server_state",
            "1 for the state that the server is in.",
            Self.states.map { .init([("state", $0.rawValue)], one($0 == report.server)) }
        )
        text.add("understudy_term", "Highest term that was promised.", Double(report.state.promised.term.rawValue))
        text.add("understudy_fault", "1 if something keeps it from what it was told.", one(!report.fault.isEmpty))
        text.add("understudy_free_bytes", "Free on the volumes of data and WAL.", report.freeBytes.map { Double($0) })
        text.add("understudy_pg_isready", "Exit code of the last pg_isready.", report.isReady.map { Double($0) })
        guard let status = report.status else { return text.text }
        text.add("understudy_timeline", "Timeline of the WAL here.", Double(status.position.timeline.rawValue))
        text.add("understudy_wal_flushed_bytes", "End of the WAL on disk here.", Double(status.position.lsn.rawValue))
        let replayed = status.inRecovery ? Double(status.replayLSN.rawValue) : nil
        text.add("understudy_wal_replayed_bytes", "End of what a standby has replayed.", replayed)
        text.add(
            "understudy_replay_lag_bytes",
            "WAL that is here and not replayed.",
            ProbeDesk.replayLag(report).map { Double($0) }
        )
        text.add(
            "understudy_receiver_silence_seconds",
            "Since the receiver last heard from its upstream.",
            status.receiver?.sinceLastMessage.map { Double($0.wholeMilliseconds) / 1000 }
        )
        text.add(
            "understudy_heartbeat_age_seconds",
            "Age of the newest heartbeat that a primary has flushed.",
            status.heartbeatAge.map { Double($0.wholeMilliseconds) / 1000 }
        )
        text.add(
            "understudy_standby_lag_bytes",
            "WAL that a streaming standby has not flushed, as its primary sees it.",
            status.inRecovery
                ? []
                : status.senders.map { sender in
                    let missing = status.position.lsn.bytes(since: sender.flushLSN)
                    return .init([("standby", sender.applicationName)], Double(missing))
                }
        )
        return text.text
    }

    private static let states: [ServerState] = [
        .down, .starting, .standby, .promoting, .primary, .stopping, .unresponsive,
    ]
}

extension AgentShell {
    /// Answers probes for ever; nobody else waits for this.
    func keepAnsweringProbes() async {
        guard let place = configuration.http else { return }
        var said = ""
        while !Task.isCancelled {
            let service = HTTPService(host: place.host, port: Int(place.port)) { [pages] in pages.answer($0) }
            do throws(HTTPServiceError) {
                try await service.run()
            } catch {
                if error.description != said {
                    logger.error("probes are not answered", metadata: [LogKey.reason: "\(error)"])
                }
                said = error.description
            }
            try? await Task.sleep(for: .seconds(2))
        }
    }
}
