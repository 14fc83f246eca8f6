import ClusterDecision
import ClusterModel
import ControlChannel
public import Logging
import Platform
import TLSTransport
import Telemetry

/// Why a controller could not go on.
public struct ControllerError: Error, Hashable, Sendable, CustomStringConvertible {
    /// For people: logs, history and command line.
    public let description: String

    /// Says why.
    package init(description: String) { self.description = description }
}

/// One cluster's controller: leads or stands by, and lets the core decide while it leads.
public actor ControllerShell {
    private let configuration: ControllerConfiguration
    private let store: FileRecordStore
    private let server: ControlServer
    private let tls: TLSContext
    private let history: HistoryFile
    private let logger: Logger
    private let runner: ClusterRunner
    private let leadership: LeadershipKeeper

    /// Reads the certificates; neither listens nor leads yet.
    ///
    /// - Throws: `ControllerError` with what is wrong and what mends it.
    public init(_ configuration: ControllerConfiguration, version: String, logger: Logger) throws(ControllerError) {
        self.configuration = configuration
        self.logger = logger
        leadership = LeadershipKeeper(
            FileLeadershipStore(path: configuration.recordFile + ".leader"),
            address: configuration.advertised,
            duration: configuration.spec.timings.leadershipDuration
        )
        let history = HistoryFile(path: configuration.historyFile) { reason in
            logger.error("the history could not be written", metadata: [LogKey.reason: "\(reason)"])
        }
        self.history = history
        do {
            store = try FileRecordStore(path: configuration.recordFile, cluster: configuration.spec.name)
            tls = try TLSContext(files: configuration.certificates)
            if let complaint = tls.complaint {
                logger.warning("certificate", metadata: [LogKey.reason: "\(complaint)"])
            }
            server = ControlServer(
                ControlServerConfiguration(
                    cluster: configuration.spec.name,
                    host: configuration.listen.host,
                    port: Int(configuration.listen.port),
                    software: version
                ),
                tls: tls,
                logger: logger
            )
        } catch {
            throw ControllerError(description: "\(error)")
        }
        runner = ClusterRunner(
            configuration.spec,
            store: store,
            server: server,
            advertised: configuration.advertised,
            listeners: ClusterRunner.Listeners(
                explained: { history.append($0, at: WallClock.milliseconds()) },
                concluded: { history.append($0, at: WallClock.milliseconds()) }
            ),
            logger: logger
        )
    }

    /// Serves until the task is cancelled.
    ///
    /// - Throws: `ControllerError` if the record cannot be read or the address not listened on.
    public func run() async throws(ControllerError) {
        do {
            _ = try await store.load()
        } catch {
            throw ControllerError(description: "\(error)")
        }
        await leadership.begin()
        let hearing = Task { for await news in leadership.news { await take(news) } }
        let outcome = await withTaskGroup(of: String?.self) { group in
            group.addTask { [server, logger] in
                do {
                    try await server.run { logger.notice("listening", metadata: [LogKey.address: "port \($0)"]) }
                    return nil
                } catch {
                    return "\(error)"
                }
            }
            for await event in server.events { await runner.take(event) }
            return await group.next() ?? nil
        }
        await runner.end()
        await leadership.release()
        await hearing.value
        if let outcome { throw ControllerError(description: outcome) }
    }

    /// Reads the certificates again; connections go on, and bad files leave the old ones in place.
    public func reloadCertificates() {
        do {
            try tls.reload()
            logger.notice("certificates read again")
        } catch {
            logger.error("certificates", metadata: [LogKey.reason: "\(error)"])
        }
    }

    /// Leads, or sends everybody to whoever does (R11).
    private func take(_ news: LeadershipNews) async {
        switch news {
        case .began:
            await runner.begin()
            server.refuseEverybody(because: nil)
        case .leading(let until): await runner.lead(until: until)
        case .ended: await runner.end()
        case .standsBy(let claim): server.refuseEverybody(because: claim.standbyReason)
        case .explained(let explanation):
            logger.decided(explanation)
            history.append(explanation, at: WallClock.milliseconds())
        }
    }
}

extension LeadershipClaim? {
    /// What peers are told that come to a controller that stands by.
    package var standbyReason: String {
        map { "this controller does not lead; the leader is at \($0.address)" }
            ?? "this controller does not lead, and none has been chosen yet"
    }
}
