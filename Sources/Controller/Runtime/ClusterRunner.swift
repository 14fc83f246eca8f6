import ClusterDecision
package import ClusterModel
import ClusterProtocol
package import ControlChannel
import FoundationEssentials
package import Logging
import Platform
import Telemetry

/// Runs the core of one cluster: one switch over its actions, no decisions.
///
/// It acts only between ``begin()`` and ``end()``, and stores nothing later than ``lead(until:)`` said.
package actor ClusterRunner {
    /// What is told of a cluster, beside its log.
    package struct Listeners: Sendable {
        /// Of each decision.
        package var explained: @Sendable (Explanation) -> Void
        /// Of each change of primary that is complete.
        package var concluded: @Sendable (FailoverSummary) -> Void
        /// Of the state, soon after anything happened; nil if nobody asks.
        package var seen: (@Sendable (ClusterView) -> Void)?

        /// Names those who listen.
        package init(
            explained: @escaping @Sendable (Explanation) -> Void,
            concluded: @escaping @Sendable (FailoverSummary) -> Void,
            seen: (@Sendable (ClusterView) -> Void)? = nil
        ) {
            self.explained = explained
            self.concluded = concluded
            self.seen = seen
        }
    }

    /// Who waits for the answer to a command.
    private enum Asker {
        case connection(ConnectionID, request: UInt64)
        case program(CheckedContinuation<CommandAnswer, Never>)
    }

    /// Between two looks at the state for whoever listens.
    private static let pauseBetweenViews = Duration.milliseconds(20)

    private let store: any RecordStore
    private let server: ControlServer
    private let advertised: Endpoint
    private let listeners: Listeners
    private let logger: Logger
    private var machine: ClusterMachine
    private var isLeading = false
    private var certainUntil: MonotonicInstant?
    /// Grows whenever the core begins anew or ends: what was begun before is dropped.
    private var reign = 0
    private var connections: [InstanceName: ConnectionID] = [:]
    private var timer: Task<Void, Never>?
    private var asked: [UInt64: Asker] = [:]
    private var lastCommand: UInt64 = 0
    private var viewedAt: MonotonicInstant?

    /// Makes one that does nothing yet.
    ///
    /// - Parameters:
    ///   - spec: What the cluster should be.
    ///   - store: Keeps its record.
    ///   - server: Where its agents and command lines are.
    ///   - advertised: Where the controller is found, for whoever asks for the state.
    ///   - listeners: Are told what happens.
    ///   - logger: Is told, too.
    package init(
        _ spec: ClusterSpec,
        store: any RecordStore,
        server: ControlServer,
        advertised: Endpoint,
        listeners: Listeners,
        logger: Logger
    ) {
        self.store = store
        self.server = server
        self.advertised = advertised
        self.listeners = listeners
        self.logger = logger
        machine = ClusterMachine(spec: spec)
    }

    // MARK: Leadership (R11)

    /// Begins to decide, knowing nothing but what is stored.
    package func begin() {
        reign += 1
        isLeading = true
        certainUntil = nil
        machine = ClusterMachine(spec: machine.spec)
        let reign = reign
        Task { await load(reign) }
    }

    /// Nobody else leads before then.
    package func lead(until moment: MonotonicInstant) {
        guard isLeading else { return }
        certainUntil = max(certainUntil ?? moment, moment)
        apply(.leading(until: moment))
    }

    /// Decides nothing any more.
    package func end() {
        reign += 1
        isLeading = false
        certainUntil = nil
        timer?.cancel()
        let answer = CommandAnswer(.failed, "this controller leads no more; look at the status, and ask again")
        for id in Array(asked.keys) { reply(answer, to: id) }
    }

    // MARK: What happens

    /// Takes another specification of the same cluster.
    package func change(to spec: ClusterSpec) {
        guard spec != machine.spec else { return }
        machine.change(to: spec)
        apply(.tick)
    }

    /// Takes what happened on a connection of this cluster.
    package func take(_ event: ServerEvent) {
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

    /// How the cluster stands; nil until its record has been read.
    package func view() -> ClusterView? { isLeading ? machine.view(at: .now) : nil }

    /// Gives a command on behalf of this program.
    package func ask(_ command: ClusterCommand) async -> CommandAnswer {
        guard isLeading else { return CommandAnswer(.failed, "this controller does not lead") }
        return await withCheckedContinuation { continuation in give(command, .program(continuation)) }
    }

    /// Has the cluster born anew in empty instances: what was recorded is about data that are gone.
    package func startOver() async {
        reign += 1
        let reign = reign
        machine = ClusterMachine(spec: machine.spec)
        while !Task.isCancelled, reign == self.reign, isLeading {
            do {
                let found = try await store.load()
                guard reign == self.reign, isCertain else { throw RecordError(description: "who leads is in doubt") }
                var blank = ClusterRecord(forming: machine.spec.name, mode: machine.spec.durability)
                blank.version = (found?.version ?? .none).next
                if case .stored = await store.store(blank, replacing: found?.version ?? .none) { break }
            } catch {
                logger.error("the cluster could not be begun anew", metadata: [LogKey.reason: "\(error)"])
            }
            try? await Task.sleep(for: .seconds(1))
        }
        guard reign == self.reign, isLeading else { return }
        for name in connections.keys.sorted() { apply(.connected(name)) }
        await load(reign)
    }

    /// Puts a command to the machine, which answers it with a reply.
    private func command(_ verb: String, _ arguments: [String], _ connection: ConnectionID, _ request: UInt64) {
        do {
            let command = try ClusterCommand(verb: verb, arguments: arguments)
            let words = command.words.arguments.joined(separator: " ")
            logger.notice("command", metadata: ["command": "\(verb) \(words)"])
            give(command, .connection(connection, request: request))
        } catch {
            server.answer(.command(exitCode: 2, text: "\(error)"), to: connection, request: request)
        }
    }

    private func give(_ command: ClusterCommand, _ asker: Asker) {
        lastCommand += 1
        asked[lastCommand] = asker
        apply(.command(command, id: lastCommand))
    }

    private func reply(_ answer: CommandAnswer, to id: UInt64) {
        switch asked.removeValue(forKey: id) {
        case .connection(let connection, let request):
            let answer = OperatorAnswer.command(exitCode: answer.ending.rawValue, text: answer.text)
            server.answer(answer, to: connection, request: request)
        case .program(let continuation): continuation.resume(returning: answer)
        case nil: break
        }
    }

    private func answer(_ request: OperatorRequest) -> OperatorAnswer {
        switch request {
        case .status:
            guard var view = machine.view(at: .now) else { return .rejected(reason: "the record is not read yet") }
            view.controller = advertised
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

    // MARK: Decisions

    private var isCertain: Bool { certainUntil.map { .now < $0 } ?? false }

    private func apply(_ event: ClusterEvent) {
        guard isLeading else { return }
        let now = MonotonicInstant.now
        for action in machine.handle(event, at: now) { perform(action) }
        var wake = machine.wakeAt(after: .now)
        if let next = tell(now) { wake = min(wake, next) }
        timer?.cancel()
        timer = Task { [weak self] in
            try? await Task.sleep(for: wake - .now, tolerance: .zero)
            if !Task.isCancelled { await self?.tick() }
        }
    }

    private func tick() { apply(.tick) }

    /// Shows the state to whoever listens, or says when it is to be shown.
    private func tell(_ now: MonotonicInstant) -> MonotonicInstant? {
        guard let seen = listeners.seen else { return nil }
        if let viewedAt, now - viewedAt < Self.pauseBetweenViews { return viewedAt + Self.pauseBetweenViews }
        viewedAt = now
        if let view = machine.view(at: now) { seen(view) }
        return nil
    }

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
        case .explain(let explanation):
            logger.decided(explanation)
            listeners.explained(explanation)
        case .reply(let answer, let id): reply(answer, to: id)
        case .concluded(let summary):
            logger.notice(
                "change of primary complete",
                metadata: [LogKey.term: "\(summary.term)", LogKey.instance: "\(summary.to)"]
            )
            listeners.concluded(summary)
        }
    }

    // MARK: Record

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

    private func write(_ record: ClusterRecord, replacing version: RecordVersion, _ reign: Int) async {
        guard reign == self.reign else { return }
        guard isCertain else {
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
