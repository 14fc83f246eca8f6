import ClusterModel
import ClusterProtocol
import ControlChannel
import InstanceDecision
import LauncherClient
public import Logging
import Platform
import PostgresInstance
import TLSTransport
import Telemetry

/// Why an agent could not go on.
public struct AgentError: Error, Hashable, Sendable, CustomStringConvertible {
    /// For people: logs, history and command line.
    public let description: String
}

/// Carries out what the core decides: one switch over its actions, no decisions.
///
/// Events change the machine at once; its actions are queued, with each report as it was at that moment, and done
/// one after another. So nothing is ever reported or begun that rests on a state not yet on disk.
public actor AgentShell {
    enum Step: Sendable {
        case action(InstanceAction)
        case report(InstanceReport, at: MonotonicInstant)
    }

    let configuration: AgentConfiguration
    let logger: Logger
    let launcher: LauncherClient
    let adapter: PostgresAdapter
    let client: ControlClient
    let peers: PeerClient
    let tls: TLSContext
    let version: String
    let pages: ProbePages
    /// Where the agents of other instances ask, and on which connection each question came (R10).
    var listener: ControlServer?
    var questions: [(number: UInt64, connection: ConnectionID)] = []
    var lastQuestion: UInt64 = 0
    /// The copy of the record that is kept beside the data (R1), and whether it is known what that is.
    var recordCopy: [UInt8]?
    var knowsRecordCopy = false
    /// One that came since, and whether somebody is at writing.
    var offeredCopy: [UInt8]?
    var isKeeping = false
    var machine: InstanceMachine
    /// Grows when the machine is made anew: whatever belongs to an older one is dropped.
    var life = 0
    var attached = false
    /// Why the instance cannot be looked at although its launcher answers; empty if it can.
    var detached = ""
    /// Postmaster of the last server whose end the machine was told.
    var endedProcessID: Int32?
    /// Decisions not yet carried out; those of one event belong together.
    private var queue: [[Step]] = []
    private var isDraining = false
    private var timer: Task<Void, Never>?
    var procedures: [ActionID: Task<Void, Never>] = [:]
    let procedureEnded = AsyncSignal()
    /// When each report that may still be answered was sent; the lease counts from there (R2).
    private var sentAt: [(sequence: UInt64, at: MonotonicInstant)] = []
    var freeBytes: UInt64?
    /// Whose commits are confirmed too early, as last looked up on a primary.
    var weakened: [String] = []
    /// What the adapter says of long work, and of what is wrong without being in the way.
    var work = ""
    var complaint = ""
    /// Folders with WAL that the recorded history does not contain.
    var keptWAL: [String] = []
    var isPolling = false
    /// When to give back the memory that long work needed; nil if there was none since.
    var memoryDue: MonotonicInstant? = .now + .seconds(2)
    var fastUntil: MonotonicInstant?
    /// Until when an order is a reason to look more often.
    var alarmedUntil: MonotonicInstant?
    /// Wakes the poll loop when there is something to look at soon.
    var pollNow = AsyncSignal()
    var reattach = AsyncSignal()

    /// Reads the certificates; connects to nothing yet.
    ///
    /// - Throws: `AgentError` with what is wrong and what mends it.
    public init(_ configuration: AgentConfiguration, version: String, logger: Logger) throws(AgentError) {
        self.configuration = configuration
        self.logger = logger
        self.version = version
        pages = ProbePages(configuration, version: version)
        launcher = LauncherClient(socketPath: configuration.launcherSocket)
        adapter = PostgresAdapter(configuration: configuration.postgres, launcher: launcher)
        machine = InstanceMachine(
            configuration: InstanceConfiguration(
                name: configuration.instance,
                timings: configuration.timings
            )
        )
        do {
            tls = try TLSContext(files: configuration.certificates)
            if let complaint = tls.complaint {
                logger.warning("certificate", metadata: [LogKey.reason: "\(complaint)"])
            }
            client = ControlClient(
                ControlClientConfiguration(
                    cluster: configuration.cluster,
                    instance: configuration.instance,
                    endpoints: configuration.controllers,
                    software: version
                ),
                tls: tls,
                logger: logger
            )
            peers = PeerClient(
                cluster: configuration.cluster,
                instance: configuration.instance,
                software: version,
                silence: configuration.timings.reportInterval * 4,
                tls: tls,
                logger: logger
            )
        } catch {
            throw AgentError(description: "\(error)")
        }
    }

    /// Serves until the task is cancelled; the server runs on without it, a primary until its lease ends.
    public func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [client] in await client.run() }
            group.addTask { [self] in await readController() }
            group.addTask { [peers] in await peers.run() }
            group.addTask { [self] in await readPeers() }
            group.addTask { [self] in await keepListening() }
            group.addTask { [self] in await readLauncher() }
            group.addTask { [self] in await keepAttached() }
            group.addTask { [self] in await keepPolling() }
            group.addTask { [self] in await keepReporting() }
            group.addTask { [self] in await keepBeating() }
            group.addTask { [self] in await keepLookingForWeakCommits() }
            group.addTask { [self] in await keepAskingReadiness() }
            group.addTask { [self] in await keepAnsweringProbes() }
            await group.waitForAll()
        }
        timer?.cancel()
        launcher.disconnect()
    }

    /// Reads the certificates again for the next connection; bad files leave the old ones in place.
    public func reloadCertificates() {
        do {
            try tls.reload()
            logger.notice("certificates read again")
        } catch {
            logger.error("certificates", metadata: [LogKey.reason: "\(error)"])
        }
    }

    // MARK: Events in

    private func readController() async {
        for await event in client.events {
            switch event {
            case .connected:
                if let copy = recordCopy { client.send(.keeps(copy: copy)) }
                enqueueReport()
                tellDetached()
            case .message(let message): take(message)
            case .disconnected, .unreachable: break
            }
        }
    }

    private func take(_ message: ControllerMessage) {
        switch message {
        case .order(let order):
            apply(.order(order))
            // An order that changes nothing asks how things stand.
            if machine.isIdle {
                alarmedUntil = .now + .seconds(1)
                pollNow.raise()
            }
        case .answer(let answer):
            guard let sent = sentAt.last(where: { $0.sequence == answer.sequence }) else { return }
            apply(.answered(answer, sentAt: sent.at))
        case .keepCopy(let copy): keep(copy)
        case .unknown(let kind):
            let refusal = OrderRefusal(
                stamp: .none,
                order: kind,
                reason: "this version does not know it; upgrade the agent"
            )
            client.send(.refused(refusal))
        }
    }

    private func readLauncher() async {
        for await event in launcher.events {
            switch event {
            case .postmasterExited(let end):
                logger.notice("postmaster ended", metadata: [LogKey.reason: "\(end)"])
                apply(.postmasterExited)
            case .serverDown(let end, let processID, let stragglers):
                logger.notice(
                    "no process of the server is left",
                    metadata: [LogKey.reason: "\(end)", "stragglers": "\(stragglers)"]
                )
                await serverEnded(processID)
            case .leaseFired(let stage):
                logger.warning("the launcher's lease timer fired", metadata: ["stage": "\(stage)"])
            case .disconnected(let reason):
                logger.warning("launcher lost", metadata: [LogKey.reason: "\(reason)"])
                startOver(becauseOf: .launcherLost)
            }
        }
    }

    /// Tells the machine once of each server's end, however often and late the news comes.
    func serverEnded(_ processID: Int32?) async {
        guard attached else { return }
        if let processID {
            guard processID != endedProcessID else { return }
            endedProcessID = processID
        }
        apply(.serverDown)
        await adapter.forgetServer()
    }

    /// Puts an event to the machine and queues what it decides.
    func apply(_ event: InstanceEvent) {
        guard attached else { return }
        let now = MonotonicInstant.now
        let actions = machine.handle(event, at: now)
        let steps = actions.map { action -> Step in
            guard case .report = action else { return .action(action) }
            let report = snapshot(now)
            pages.take(report, at: now)
            return .report(report, at: now)
        }
        if !steps.isEmpty { queue.append(steps) }
        if machine.wantsCloseLook { lookClosely() }
        drain()
        armTimer(now)
    }

    private func armTimer(_ now: MonotonicInstant) {
        timer?.cancel()
        guard let at = machine.wakeAt(after: now) else { return }
        timer = Task { [weak self] in
            try? await Task.sleep(for: at - .now, tolerance: .zero)
            if !Task.isCancelled { await self?.apply(.tick) }
        }
    }

    /// The launcher is gone, or the disk failed us: the machine is made anew from what is on disk.
    func startOver(becauseOf event: InstanceEvent) {
        guard attached else { return }
        for action in machine.handle(event, at: .now) {
            if case .explain(let explanation) = action { logger.decided(explanation) }
        }
        attached = false
        endedProcessID = nil
        life += 1
        queue = []
        for (_, task) in procedures { task.cancel() }
        procedures = [:]
        timer?.cancel()
        reattach.raise()
    }

    // MARK: Actions out

    private func drain() {
        guard !isDraining else { return }
        isDraining = true
        Task { await drainQueue() }
    }

    private func drainQueue() async {
        while !queue.isEmpty {
            let steps = queue.removeFirst()
            let life = life
            for (index, step) in steps.enumerated() {
                guard life == self.life else { break }
                if await perform(step) { continue }
                dropped(steps[index...], life)
                break
            }
        }
        isDraining = false
    }

    /// What is not begun because a step before it failed, has failed, too.
    private func dropped(_ steps: ArraySlice<Step>, _ life: Int) {
        for case .action(let action) in steps {
            guard life == self.life, let id = action.id else { continue }
            apply(.completed(id, .failed("a step before it failed")))
        }
    }

    /// Does one step; false if the rest of its decision must be dropped.
    private func perform(_ step: Step) async -> Bool {
        switch step {
        case .report(let report, let at):
            send(report, at)
            return true
        case .action(let action): return await perform(action)
        }
    }

    func snapshot(_ now: MonotonicInstant) -> InstanceReport {
        var report = machine.report(at: now)
        report.freeBytes = freeBytes
        report.weakened = machine.isPrimaryUp ? weakened : []
        report.keptWAL = keptWAL
        if !work.isEmpty { report.activity = work }
        if report.fault.isEmpty { report.fault = complaint }
        return report
    }

    private func send(_ report: InstanceReport, _ at: MonotonicInstant) {
        guard client.send(.report(report)) else { return }
        sentAt.append((report.sequence, at))
        if sentAt.count > 64 { sentAt.removeFirst() }
    }

    func enqueueReport() {
        let now = MonotonicInstant.now
        pages.turned(at: now)
        guard attached else { return }
        let report = snapshot(now)
        pages.take(report, at: now)
        // Behind a step that hangs one report is enough, and the newest says all.
        if let last = queue.last, last.count == 1, case .report = last[0] { queue.removeLast() }
        queue.append([.report(report, at: now)])
        drain()
    }
}

extension MonotonicInstant {
    /// The machine's present moment.
    static var now: MonotonicInstant { MonotonicInstant(nanoseconds: MonotonicClock.nanoseconds()) }
}
