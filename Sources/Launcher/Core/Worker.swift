import CPlatform
import Glibc
import LauncherProtocol

/// Parent of the server: one thread, one loop, nothing in it that can wait for storage.
final class Worker {
    /// What a worker is given.
    struct World {
        var settings: LauncherSettings
        var environment: [String: String]
        var folder: Int32
        var lock: Int32
        /// Descriptor of the guard's process; `nil` where the worker is alone (PID 1).
        var guardian: Int32?
        var guardProcessID: Int32
        /// What children run with; the launcher itself may be more important.
        var niceness: Int32
    }

    /// What became ready.
    private enum Source {
        case signals, timer, listener, guardian, startReport
        case connection(Int)
        case job(Int32, ToolStream)
    }

    private static let helloTimeout: Int64 = 5_000_000_000
    private static let waitingConnections = 4

    let world: World
    let processID = getpid()
    var server = ServerPhase.down(nil)
    var lease: Lease?
    var jobs: [Int32: Job] = [:]
    var connections: [Connection] = []
    /// Number of the connection that gives the orders.
    var commander: Int?
    var nextNumber = 1
    private var stopping: Stopping?
    /// Whether the last reaping found no child at all.
    var hasNoChild = false
    var killRounds = 0
    /// Postmaster of the server that was started last.
    var serverProcessID: Int32 = 0
    /// When the next round of killing is due, in boot-time nanoseconds.
    var nextKill: Int64 = 0
    private let signals: Int32
    private let timer: Int32
    private let listener: Int32

    init(_ world: World) throws(LauncherFailure) {
        self.world = world
        listener = try ListeningSocket.open(world.settings.socketPath)
        signals = CPlatform_signal_descriptor()
        timer = CPlatform_timer_create()
        guard signals >= 0, timer >= 0 else { throw .failed("could not make a timer", errno) }
    }

    /// Whether SIGTERM came: nothing new is started.
    var isStopping: Bool { stopping != nil }

    func run() throws(LauncherFailure) -> Int32 {
        try announce()
        while true {
            reapChildren()
            let now = CPlatform_boot_time()
            fireDeadlines(now)
            advanceKilling()
            closeFinishedConnections()
            if isStopping, isFinished(now) { break }
            var sources = sources()
            _ = CPlatform_timer_set(timer, nextDeadline(now))
            var set = sources.map { pollfd(fd: $0.descriptor, events: $0.events, revents: 0) }
            let ready = unsafe poll(&set, UInt(set.count), -1)
            if ready < 0, errno != EINTR {
                System.log("could not wait for events: \(System.text(ofError: errno)); ending everything")
                Supervisor.killEverything(milliseconds: 60_000)
                return 1
            }
            for (index, entry) in set.enumerated() where entry.revents != 0 { handle(sources[index].source) }
            sources.removeAll()
        }
        withdraw()
        return 0
    }

    private func announce() throws(LauncherFailure) {
        if let path = world.settings.processFile {
            let file = unsafe CPlatform_openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
            guard file >= 0 else { throw .failed("could not write process id file \(path)", errno) }
            _ = System.writeAll(file, Array("\(world.guardProcessID)\n".utf8))
            System.close(file)
        }
        System.log("ready: data folder \(world.settings.dataFolder), socket \(world.settings.socketPath)")
    }

    private func withdraw() {
        Supervisor.killEverything(milliseconds: 5_000)
        _ = unsafe unlink(world.settings.socketPath)
        if let path = world.settings.processFile { _ = unsafe unlink(path) }
    }

    // MARK: Events

    private func sources() -> [(descriptor: Int32, events: Int16, source: Source)] {
        let input = Int16(POLLIN)
        var list: [(descriptor: Int32, events: Int16, source: Source)] = [
            (signals, input, .signals), (timer, input, .timer), (listener, input, .listener),
        ]
        if let guardian = world.guardian { list.append((guardian, input, .guardian)) }
        if case .running(let running) = server, let report = running.startReport {
            list.append((report, input, .startReport))
        }
        for connection in connections {
            let events = connection.unsentBytes > 0 ? input | Int16(POLLOUT) : input
            list.append((connection.descriptor, events, .connection(connection.number)))
        }
        let isFull = (commandingConnection?.unsentBytes ?? 0) > Connection.outputPause
        for job in jobs.values where !(isFull && job.isTool) {
            for (stream, descriptor) in job.outputs { list.append((descriptor, input, .job(job.processID, stream))) }
        }
        return list
    }

    private func handle(_ source: Source) {
        switch source {
        case .timer: _ = System.read(timer, limit: 8)
        case .signals:
            while case let signal = CPlatform_signal_read(signals), signal != 0 { handleSignal(signal) }
        case .listener: accept()
        case .guardian:
            System.log("the guard is gone; killing everything")
            Supervisor.killEverything(milliseconds: 60_000)
            _ = unsafe unlink(world.settings.socketPath)
            _exit(1)
        case .startReport: readStartReport()
        case .connection(let number): readConnection(number)
        case .job(let processID, let stream): readJob(processID, stream)
        }
    }

    private func handleSignal(_ signal: Int32) {
        switch signal {
        case SIGHUP:
            if case .running(let running) = server { _ = kill(running.processID, SIGHUP) }
        case SIGTERM, SIGINT:
            guard !isStopping else { return }
            System.log("asked to end: stopping the server")
            let now = CPlatform_boot_time()
            let immediate = now + world.settings.stopTimeoutSeconds * 1_000_000_000
            stopping = Stopping(immediateAt: immediate, killAt: immediate + 10_000_000_000, began: now)
            if case .running(let running) = server { _ = kill(running.processID, SIGINT) }
        default: break
        }
    }

    private func accept() {
        while true {
            let descriptor = CPlatform_accept(listener)
            guard descriptor >= 0 else { return }
            let peer = CPlatform_peer_user(descriptor)
            let waiting = connections.count { !$0.hasSaidHello }
            guard peer == 0 || peer == Int64(geteuid()), waiting < Worker.waitingConnections else {
                System.log("refused a connection of user \(peer)")
                System.close(descriptor)
                continue
            }
            let deadline = CPlatform_boot_time() + Worker.helloTimeout
            connections.append(Connection(number: nextNumber, descriptor: descriptor, helloDeadline: deadline))
            nextNumber += 1
        }
    }

    private func readConnection(_ number: Int) {
        guard let connection = connections.first(where: { $0.number == number }) else { return }
        connection.flush()
        guard let messages = connection.receive() else {
            drop(connection)
            return
        }
        for message in messages where !connection.isClosing { handleMessage(message, of: connection) }
    }

    var commandingConnection: Connection? {
        commander.flatMap { number in connections.first { $0.number == number } }
    }

    /// Forgets a connection; its tools and file operations are ended, the server runs on.
    func drop(_ connection: Connection) {
        connections.removeAll { $0.number == connection.number }
        if commander == connection.number { commander = nil }
        connection.close()
        for job in jobs.values where job.connection == connection.number { end(job) }
    }

    private func closeFinishedConnections() {
        for connection in connections where connection.isClosing { drop(connection) }
    }

    func tell(_ notice: LauncherNotice) {
        commandingConnection?.send(LauncherMessage.notice(notice).encoded())
    }

    func reply(_ reply: LauncherReply, to id: UInt32, of connection: Int?) {
        guard let connection, connection == commander else { return }
        commandingConnection?.send(LauncherMessage.reply(id: id, reply).encoded())
    }

    // MARK: Time

    private func fireDeadlines(_ now: Int64) {
        fireLease(now)
        for connection in connections where !connection.hasSaidHello && now >= connection.helloDeadline {
            connection.refuse("no hello within \(Worker.helloTimeout / 1_000_000_000) s")
        }
        for job in jobs.values {
            if let deadline = job.deadline, now >= deadline {
                job.deadline = nil
                job.timedOut = true
                end(job)
            }
        }
        guard var stopping, case .running(let running) = server else { return }
        if now >= stopping.immediateAt, !stopping.isImmediate {
            stopping.isImmediate = true
            self.stopping = stopping
            System.log("fast shutdown took too long; immediate shutdown")
            _ = kill(running.processID, SIGQUIT)
        }
        if now >= stopping.killAt { killServer() }
    }

    /// Whether nothing is left to wait for; a helper that hangs in the kernel is given up after a while.
    private func isFinished(_ now: Int64) -> Bool {
        guard var stopping, case .down = server else { return false }
        if stopping.jobsEndedAt == nil {
            stopping.jobsEndedAt = now
            self.stopping = stopping
            for job in jobs.values { end(job) }
        }
        return jobs.isEmpty || now - (stopping.jobsEndedAt ?? now) > 5_000_000_000
    }

    private func nextDeadline(_ now: Int64) -> Int64 {
        var deadlines = jobs.values.compactMap(\.deadline)
        deadlines += connections.filter { !$0.hasSaidHello }.map(\.helloDeadline)
        if let next = lease?.next { deadlines.append(next) }
        if isKillingServer { deadlines.append(nextKill) }
        if let stopping {
            if case .down = server {
                deadlines.append(now + 100_000_000)
            } else {
                deadlines.append(stopping.isImmediate ? stopping.killAt : stopping.immediateAt)
            }
        }
        // In the past means now, but 0 would disarm the timer.
        return deadlines.min().map { max($0, 1) } ?? 0
    }

    /// The end of the launcher itself, on SIGTERM.
    private struct Stopping {
        let immediateAt: Int64
        let killAt: Int64
        let began: Int64
        var isImmediate = false
        var jobsEndedAt: Int64?
    }
}
