import ClusterDecision
import ClusterModel
import ClusterProtocol
import ControlChannel
import FoundationEssentials
public import Logging
import Platform
import TLSTransport
import Telemetry

/// Why a controller could not go on.
public struct ControllerError: Error, Hashable, Sendable, CustomStringConvertible {
    /// For people: logs, history and command line.
    public let description: String
}

/// Carries out what the core decides: one switch over its actions, no decisions.
public actor ControllerShell {
    private let configuration: ControllerConfiguration
    private let store: FileRecordStore
    private let server: ControlServer
    private let tls: TLSContext
    private let history: HistoryFile
    private let logger: Logger
    private var machine: ClusterMachine
    private let claims: FileLeadershipStore
    private var leadership: LeadershipMachine
    private var leadershipTimer: Task<Void, Never>?
    /// Grows whenever this controller begins or ceases to lead: what was begun before is dropped.
    private var reign = 0
    private var connections: [InstanceName: ConnectionID] = [:]
    private var timer: Task<Void, Never>?
    /// Who waits for the answer to which command.
    private var asked: [UInt64: (connection: ConnectionID, request: UInt64)] = [:]
    private var lastCommand: UInt64 = 0

    /// Reads the certificates; neither listens nor leads yet.
    ///
    /// - Throws: `ControllerError` with what is wrong and what mends it.
    public init(_ configuration: ControllerConfiguration, version: String, logger: Logger) throws(ControllerError) {
        self.configuration = configuration
        self.logger = logger
        machine = ClusterMachine(spec: configuration.spec)
        claims = FileLeadershipStore(path: configuration.recordFile + ".leader")
        leadership = LeadershipMachine(
            holder: "\(configuration.advertised) \(UInt64.random(in: .min ... .max))",
            address: configuration.advertised,
            duration: configuration.spec.timings.leadershipDuration
        )
        history = HistoryFile(path: configuration.historyFile) { reason in
            logger.error("the history could not be written", metadata: [LogKey.reason: "\(reason)"])
        }
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
        lead(.tick)
        let outcome = await withTaskGroup(of: String?.self) { group in
            group.addTask { [server, logger] in
                do {
                    try await server.run { logger.notice("listening", metadata: [LogKey.address: "port \($0)"]) }
                    return nil
                } catch {
                    return "\(error)"
                }
            }
            for await event in server.events { take(event) }
            return await group.next() ?? nil
        }
        timer?.cancel()
        leadershipTimer?.cancel()
        // Whoever stands by need not wait until this controller's turn is over.
        if let given = leadership.released() { _ = await claims.store(given, replacing: given.version - 1) }
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

    private func take(_ event: ServerEvent) {
        switch event {
        case .connected(let instance, let address, let connection):
            logger.info("agent connected", metadata: [LogKey.instance: "\(instance)", LogKey.address: "\(address)"])
            connections[instance] = connection
            apply(.connected(instance))
        case .disconnected(let instance, let connection, let reason):
            guard connections[instance] == connection else { return }
            logger.info("agent disconnected", metadata: [LogKey.instance: "\(instance)", LogKey.reason: "\(reason)"])
            connections[instance] = nil
            apply(.disconnected(instance))
        case .message(let instance, let connection, let message):
            guard connections[instance] == connection else { return }
            switch message {
            case .report(let report): apply(.report(instance, report))
            case .refused(let refusal): apply(.refused(instance, refusal))
            case .keeps(let copy): take(copy, from: instance)
            // Refused before it came here: one agent asks this of another.
            case .asksLease: break
            }
        case .request(let connection, let id, let request):
            if case .command(let verb, let arguments) = request {
                command(verb, arguments, connection, id)
            } else {
                server.answer(answer(request), to: connection, request: id)
            }
        }
    }

    /// Puts a command to the machine, which answers it with a reply.
    private func command(_ verb: String, _ arguments: [String], _ connection: ConnectionID, _ request: UInt64) {
        let command: ClusterCommand
        do {
            command = try ClusterCommand(verb: verb, arguments: arguments)
        } catch {
            server.answer(.command(exitCode: 2, text: "\(error)"), to: connection, request: request)
            return
        }
        lastCommand += 1
        asked[lastCommand] = (connection, request)
        logger.notice("command", metadata: ["command": "\(verb) \(command.words.arguments.joined(separator: " "))"])
        apply(.command(command, id: lastCommand))
    }

    private func answer(_ request: OperatorRequest) -> OperatorAnswer {
        switch request {
        case .status:
            guard var view = machine.view(at: .now) else { return .rejected(reason: "the record is not read yet") }
            view.controller = configuration.advertised
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            guard let json = try? encoder.encode(view) else {
                return .rejected(reason: "the state could not be encoded")
            }
            return .status(json: String(decoding: json, as: UTF8.self))
        case .command(let verb, _): return .rejected(reason: "'\(verb)' is a command, not a question")
        case .unknown(let kind):
            return .rejected(reason: "\(kind) is not known to this version; upgrade the controller")
        }
    }

    // MARK: Leadership (R11)

    private func lead(_ event: LeadershipEvent) {
        let before = leadership.certainUntil
        for action in leadership.handle(event, at: .now) { perform(action) }
        if !leadership.leads { standBy() }
        if let until = leadership.certainUntil, until != before { apply(.leading(until: until)) }
        leadershipTimer?.cancel()
        let at = leadership.wakeAt(after: .now)
        leadershipTimer = Task { [weak self] in
            try? await Task.sleep(for: at - .now, tolerance: .zero)
            if !Task.isCancelled { await self?.lead(.tick) }
        }
    }

    private func perform(_ action: LeadershipAction) {
        switch action {
        case .read: Task { lead(await claims.read()) }
        case .store(let claim, let version): Task { lead(await claims.store(claim, replacing: version)) }
        case .began:
            reign += 1
            machine = ClusterMachine(spec: configuration.spec)
            server.refuseEverybody(because: nil)
            let reign = reign
            Task { await load(reign) }
        case .ended:
            reign += 1
            timer?.cancel()
        case .explain(let explanation): say(explanation)
        }
    }

    /// Sends everybody to whoever leads.
    private func standBy() {
        let reason =
            leadership.claim.map { claim in
                "this controller does not lead; the leader is at \(claim.address)"
            } ?? "this controller does not lead, and none has been chosen yet"
        server.refuseEverybody(because: reason)
    }

    // MARK: Decisions

    private func apply(_ event: ClusterEvent) {
        guard leadership.leads else { return }
        let actions = machine.handle(event, at: .now)
        for action in actions { perform(action) }
        timer?.cancel()
        let at = machine.wakeAt(after: .now)
        timer = Task { [weak self] in
            try? await Task.sleep(for: at - .now, tolerance: .zero)
            if !Task.isCancelled { await self?.tick() }
        }
    }

    private func tick() { apply(.tick) }

    private func perform(_ action: ClusterAction) {
        switch action {
        case .store(let record, let version):
            let reign = reign
            Task { await write(record, replacing: version, reign) }
        case .load:
            let reign = reign
            Task { await load(reign) }
        case .send(let order, let name):
            logger.debug(
                "order",
                metadata: [LogKey.instance: "\(name)", "order": "\(order.name)", "stamp": "\(order.stamp)"]
            )
            if let connection = connections[name] { server.send(.order(order), to: connection) }
        case .answer(let answer, let name):
            if let connection = connections[name] { server.send(.answer(answer), to: connection) }
        case .keepCopy(let record, let name): give(record, to: name)
        case .explain(let explanation): say(explanation)
        case .reply(let answer, let id):
            guard let (connection, request) = asked.removeValue(forKey: id) else { break }
            server.answer(
                .command(exitCode: answer.ending.rawValue, text: answer.text),
                to: connection,
                request: request
            )
        case .concluded(let summary):
            logger.notice(
                "change of primary complete",
                metadata: [LogKey.term: "\(summary.term)", LogKey.instance: "\(summary.to)"]
            )
            history.append(summary, at: WallClock.milliseconds())
        }
    }

    /// A copy that is none is told once and forgotten: an agent does not know what it keeps.
    private func take(_ copy: [UInt8], from instance: InstanceName) {
        do {
            apply(.copy(instance, try JSONDecoder().decode(ClusterRecord.self, from: Data(copy))))
        } catch {
            let reason = "\(error)".prefix(200)
            logger.warning(
                "copy of the record",
                metadata: [LogKey.instance: "\(instance)", LogKey.reason: "\(reason)"]
            )
        }
    }

    private func give(_ record: ClusterRecord, to instance: InstanceName) {
        guard let connection = connections[instance], let bytes = try? JSONEncoder().encode(record) else { return }
        server.send(.keepCopy(Array(bytes)), to: connection)
    }

    private func say(_ explanation: Explanation) {
        logger.decided(explanation)
        history.append(explanation, at: WallClock.milliseconds())
    }

    private func write(_ record: ClusterRecord, replacing version: RecordVersion, _ reign: Int) async {
        guard reign == self.reign else { return }
        guard leadership.isCertain(at: .now) else {
            return apply(.recordUnknown(reason: "another controller may lead by now"))
        }
        let result = await store.store(record, replacing: version)
        guard reign == self.reign else { return }
        switch result {
        case .stored: apply(.recordStored)
        case .conflict(let found): apply(.recordConflict(found))
        case .unknown(let reason):
            logger.error("the record could not be written", metadata: [LogKey.reason: "\(reason)"])
            apply(.recordUnknown(reason: reason))
        }
    }

    /// Reads the record until it can be read: without it nothing may be decided.
    private func load(_ reign: Int) async {
        while !Task.isCancelled, reign == self.reign {
            do {
                let found = try await store.load()
                if reign == self.reign { apply(.recordLoaded(found)) }
                return
            } catch {
                logger.error("the record could not be read", metadata: [LogKey.reason: "\(error)"])
                try? await Task.sleep(for: .seconds(1))
            }
        }
    }
}

extension MonotonicInstant {
    /// The machine's present moment.
    static var now: MonotonicInstant { MonotonicInstant(nanoseconds: MonotonicClock.nanoseconds()) }
}
