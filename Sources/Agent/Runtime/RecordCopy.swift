import ClusterModel
import ClusterProtocol
import ControlChannel
import FoundationEssentials
import Logging
import PostgresInstance
import Telemetry

/// A copy of the cluster record beside the data, from which a lost record is rebuilt (R1).
extension AgentShell {
    /// Reads what an earlier agent kept, and tells the controller.
    func readRecordCopy() async {
        guard !knowsRecordCopy else { return }
        do {
            let kept = try await adapter.recordCopy()
            // Another reading may have ended meanwhile, and a newer copy have come.
            guard !knowsRecordCopy else { return }
            knowsRecordCopy = true
            guard let kept else { return }
            recordCopy = kept
            client.send(.keeps(copy: kept))
        } catch {
            logger.warning("copy of the record", metadata: [LogKey.reason: "\(error)"])
        }
    }

    /// Writes the newest one at a time, beside all that decisions wait for.
    func keep(_ copy: [UInt8]) {
        guard copy.count <= FrameLimits.payload, copy != recordCopy else { return }
        offeredCopy = copy
        guard !isKeeping else { return }
        isKeeping = true
        Task { await writeRecordCopy() }
    }

    private func writeRecordCopy() async {
        defer { isKeeping = false }
        await readRecordCopy()
        // What is kept already must be known: it may be newer.
        guard knowsRecordCopy else { return }
        while let copy = offeredCopy {
            offeredCopy = nil
            let kept = recordCopy.flatMap(label)
            guard let new = label(of: copy), kept?.mayBeReplaced(by: new) ?? true else {
                logger.warning("copy of the record", metadata: [LogKey.reason: "an older or garbled one is not taken"])
                continue
            }
            recordCopy = copy
            do {
                try await adapter.keep(recordCopy: copy)
            } catch {
                logger.warning("copy of the record", metadata: [LogKey.reason: "\(error)"])
            }
        }
    }

    private func label(of copy: [UInt8]) -> RecordLabel? {
        try? JSONDecoder().decode(RecordLabel.self, from: Data(copy))
    }
}
