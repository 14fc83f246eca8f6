import ClusterModel
import JSON
import KubernetesClient
import KubernetesObjects
import Logging
import Telemetry

/// Tells people on the Kubegres resources what was decided: few events, the same one counted, in the background.
///
/// What is routine stands in the log only. An API server that is slow or away costs events and holds up nothing.
final class ClusterReporter: Sendable {
    /// How many events may wait to be written; the oldest are dropped.
    static let backlogLimit = 200

    private let notes: AsyncStream<EventNote>.Continuation
    private let writer: Task<Void, Never>

    init(_ recorder: EventRecorder, logger: Logger) {
        let (stream, continuation) = AsyncStream.makeStream(
            of: EventNote.self,
            bufferingPolicy: .bufferingNewest(Self.backlogLimit)
        )
        notes = continuation
        writer = Task {
            for await note in stream {
                do {
                    try await recorder.record(note)
                } catch {
                    logger.info("could not tell an event", metadata: [LogKey.reason: "\(error)"])
                }
            }
        }
    }

    deinit { writer.cancel() }

    /// Tells a decision, if people should know of it.
    func tell(_ explanation: Explanation, of cluster: ClusterKey, _ name: ClusterName) {
        guard let reason = explanation.kind.eventReason else { return }
        let evidence = explanation.evidence.isEmpty ? "" : " (" + explanation.evidence.joined(separator: "; ") + ")"
        note(reason, explanation.text + evidence, isWarning: explanation.kind.isWarning, cluster, name)
    }

    /// Tells a change of primary that is complete.
    func tell(_ summary: FailoverSummary, of cluster: ClusterKey, _ name: ClusterName) {
        let from = summary.from.map { " in the place of '\($0)'" } ?? ""
        let text = "'\(summary.to)' is primary\(from), in term \(summary.term): \(summary.why)"
        note(
            summary.isPlanned == true ? "SwitchoverFinished" : "FailoverFinished",
            text,
            isWarning: false,
            cluster,
            name
        )
    }

    private func note(_ reason: String, _ text: String, isWarning: Bool, _ key: ClusterKey, _ name: ClusterName) {
        var resource = KubernetesObject(.kubegres, namespace: key.namespace, name: key.name)
        resource["metadata", "uid"] = .string(name.text)
        notes.yield(
            EventNote(regarding: resource, isWarning: isWarning, reason: reason, action: reason, note: text)
        )
    }
}

extension Explanation.Kind {
    /// How an event calls it; nil for what only the log tells.
    fileprivate var eventReason: String? {
        switch self {
        case .fault: "InstanceFault"
        case .fence: "PrimaryFenced"
        case .backoff: "FailoverDelayed"
        case .waiting: "FailoverWaiting"
        case .refused: "Refused"
        case .evidence: "PrimaryLost"
        case .byHand: "PromotedByHand"
        case .abandoned: "SwitchoverAbandoned"
        case .pause: "FailoverPaused"
        case .record, .birth, .prepare, .candidate, .promote, .opened, .release, .rejoin, .follow, .lease, .rules,
            .switchover:
            nil
        }
    }

    fileprivate var isWarning: Bool {
        switch self {
        case .fault, .fence, .backoff, .waiting, .evidence: true
        default: false
        }
    }
}
