import ClusterModel
import ClusterProtocol
import ControlChannel
import Logging
import PostgresInstance
import Telemetry

/// A copy of the cluster record beside the data, from which a lost record is rebuilt (R1).
extension AgentShell {
    /// Reads what an earlier agent kept, and tells the controller, unless a newer copy came meanwhile.
    func readRecordCopy() async {
        guard recordCopy == nil else { return }
        do {
            guard let kept = try await adapter.recordCopy(), recordCopy == nil else { return }
            recordCopy = kept
            client.send(.keeps(copy: kept))
        } catch {
            logger.warning("copy of the record", metadata: [LogKey.reason: "\(error)"])
        }
    }

    /// Writes the newest one at a time, beside all that decisions wait for.
    func keep(_ copy: [UInt8]) {
        guard copy.count <= FrameLimits.payload, copy != recordCopy else { return }
        recordCopy = copy
        guard !isKeeping else { return }
        isKeeping = true
        Task { await writeRecordCopy() }
    }

    private func writeRecordCopy() async {
        var written: [UInt8]?
        while let copy = recordCopy, copy != written {
            do {
                try await adapter.keep(recordCopy: copy)
            } catch {
                logger.warning("copy of the record", metadata: [LogKey.reason: "\(error)"])
            }
            written = copy
        }
        isKeeping = false
    }
}
