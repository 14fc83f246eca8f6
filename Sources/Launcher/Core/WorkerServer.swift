import CPlatform
import Glibc
import LauncherProtocol

/// Where the server stands, as its parent knows it.
enum ServerPhase {
    case down(ProcessEnd?)
    case running(RunningServer)
    /// The postmaster is gone; whatever else is alive is being killed.
    case ending(ProcessEnd, killed: Set<Int32>)
}

/// A server whose postmaster lives.
struct RunningServer {
    let processID: Int32
    /// Closes when the program has been started, or says why it could not be.
    var startReport: Int32?
    /// Who asked for the start, until it is answered.
    var starter: (connection: Int, request: UInt32)?
    var isBeingKilled = false
}

/// The right to run as primary, in boot-time nanoseconds.
struct Lease {
    let immediateAt: Int64
    let killAt: Int64
    var stage: LeaseStage?

    /// When the next stage is due; `nil` after the last.
    var next: Int64? {
        switch stage {
        case nil: immediateAt
        case .immediate: killAt
        case .kill: nil
        }
    }
}

extension Worker {
    var isKillingServer: Bool {
        switch server {
        case .down: false
        case .running(let running): running.isBeingKilled
        case .ending: true
        }
    }

    /// Whether a lease is armed and no stage of its end has been reached.
    var hasLease: Bool {
        guard let lease, lease.stage == nil else { return false }
        return CPlatform_boot_time() < lease.immediateAt
    }

    // MARK: Start

    func start(arguments: [String], environment: [EnvironmentVariable], connection: Int, request: UInt32) {
        guard let report = System.pipe() else {
            reply(.failure(.failed, "could not start the server: no pipe"), to: request, of: connection)
            return
        }
        let child = CPlatform_fork()
        if child == 0 {
            becomeServer(arguments, mergedEnvironment(environment), report: report.writing)
        }
        System.close(report.writing)
        guard child > 0 else {
            System.close(report.reading)
            reply(
                .failure(.failed, "could not start the server: \(System.text(ofError: errno))"),
                to: request,
                of: connection
            )
            return
        }
        serverProcessID = child
        server = .running(
            RunningServer(processID: child, startReport: report.reading, starter: (connection, request))
        )
    }

    func mergedEnvironment(_ additions: [EnvironmentVariable]) -> [String] {
        var variables = world.environment
        for variable in additions { variables[variable.name] = variable.value }
        return variables.map { "\($0.key)=\($0.value)" }
    }

    /// In the child: everything that may wait for storage, then the server's program.
    private func becomeServer(_ arguments: [String], _ environment: [String], report: Int32) -> Never {
        bindToWorker(keeping: [report, world.folder])
        func fail(_ reason: String) -> Never {
            _ = System.writeAll(report, Array(reason.utf8))
            _exit(127)
        }
        // A trigger file left over would promote the server at the first signal of any child.
        if case .failure(let kind, let reason) = DataFolder(descriptor: world.folder).answer(.clearPromote),
            kind != .absent
        {
            fail(reason)
        }
        Leftovers.clearProcessFile(folder: world.folder)
        if let path = world.settings.logFile {
            let log = unsafe CPlatform_openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
            guard log >= 0, dup2(log, 1) >= 0, dup2(log, 2) >= 0 else {
                fail("could not open log file \(path): \(System.text(ofError: errno))")
            }
        }
        guard fchdir(world.folder) == 0 else { fail("could not enter the data folder") }
        let command = world.settings.command + arguments
        CPlatform_reset_signals()
        let code = System.execute(command[0], Array(command.dropFirst()), environment: environment)
        fail("could not run \(command[0]): \(System.text(ofError: code)); is it installed and executable?")
    }

    /// In a forked child: dies with the worker, holds none of its descriptors, is a session of its own.
    func bindToWorker(keeping descriptors: [Int32]) {
        _ = CPlatform_die_with_parent(SIGKILL)
        guard getppid() == processID else { _exit(1) }
        _ = CPlatform_set_niceness(world.niceness)
        System.closeAll(except: descriptors)
        _ = setsid()
        let null = unsafe CPlatform_openat(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0)
        if null >= 0 { _ = dup2(null, 0) }
    }

    func readStartReport() {
        guard case .running(var running) = server, let report = running.startReport else { return }
        let reason = String(decoding: System.readAll(report, limit: 4096) ?? [], as: UTF8.self)
        System.close(report)
        running.startReport = nil
        let starter = running.starter
        running.starter = nil
        server = .running(running)
        if reason.isEmpty { System.log("the server runs with process id \(running.processID)") }
        if let starter {
            reply(
                reason.isEmpty ? .started(processID: running.processID) : .failure(.failed, reason),
                to: starter.request,
                of: starter.connection
            )
        }
    }

    // MARK: End

    func reapChildren() {
        var reaped = System.reap()
        while let one = reaped.child {
            if case .running(let running) = server, running.processID == one.processID {
                postmasterExited(running, one.end)
            } else if let job = jobs[one.processID] {
                job.end = one.end
                finishIfComplete(job)
            }
            reaped = System.reap()
        }
        hasNoChild = reaped.isLast
    }

    private func postmasterExited(_ running: RunningServer, _ end: ProcessEnd) {
        readStartReport()
        System.log("the postmaster \(running.processID) ended by \(end)")
        server = .ending(end, killed: [])
        (killRounds, nextKill) = (0, 0)
        tell(.postmasterExited(end))
    }

    /// SIGKILL to every process of the server, until none is left.
    func killServer() {
        guard case .running(var running) = server, !running.isBeingKilled else { return }
        running.isBeingKilled = true
        server = .running(running)
        (killRounds, nextKill) = (0, 0)
    }

    /// One round of killing, where there is something to kill and the last round is not just over.
    func advanceKilling() {
        guard isKillingServer, hasNoChild || CPlatform_boot_time() >= nextKill else { return }
        // A subreaper without any child has no descendant: that needs no reading of /proc.
        let isJob = { (processID: Int32) in self.jobs[processID] != nil }
        let alive = hasNoChild ? [] : ProcessTable().descendants(of: processID, sparing: isJob)
        killRounds += 1
        nextKill = CPlatform_boot_time() + (killRounds < 500 ? 1_000_000 : 50_000_000)
        guard case .ending(let end, var killed) = server else {
            for processID in alive { _ = kill(processID, SIGKILL) }
            return
        }
        guard alive.isEmpty else {
            for processID in alive where kill(processID, SIGKILL) == 0 { killed.insert(processID) }
            server = .ending(end, killed: killed)
            return
        }
        server = .down(end)
        lease = nil
        System.log("the server is down: no process of it is left; \(killed.count) were killed after the postmaster")
        tell(.serverDown(end, processID: serverProcessID, killedStragglers: UInt32(killed.count)))
    }

    // MARK: Lease

    func arm(remainingMilliseconds: UInt64, fenceBudgetMilliseconds: UInt64, countedFrom: Int64) -> LauncherReply {
        let now = CPlatform_boot_time()
        // A lease that ran out while this order waited is over, whatever the order says.
        fireLease(now)
        if let stage = lease?.stage {
            return .failure(.refused, "could not extend the lease: it ran out (\(stage)), the server is being stopped")
        }
        let day: UInt64 = 86_400_000
        let killAt = min(now, max(0, countedFrom)) + Int64(min(remainingMilliseconds, day)) * 1_000_000
        let immediateAt = max(now, killAt - Int64(min(fenceBudgetMilliseconds, day)) * 1_000_000)
        lease = Lease(immediateAt: immediateAt, killAt: killAt)
        fireLease(now)
        return .done
    }

    func fireLease(_ now: Int64) {
        guard var lease, now >= lease.immediateAt else { return }
        guard case .running(let running) = server else {
            // Nobody to stop; a start that needs a lease is refused without one.
            if now >= lease.killAt || lease.stage == nil { self.lease = nil }
            return
        }
        if now >= lease.killAt, lease.stage != .kill {
            lease.stage = .kill
            self.lease = lease
            System.log("the lease ended: killing every process of the server")
            killServer()
            tell(.leaseFired(.kill))
        } else if lease.stage == nil {
            lease.stage = .immediate
            self.lease = lease
            System.log("the lease runs out: immediate shutdown")
            _ = kill(running.processID, SIGQUIT)
            tell(.leaseFired(.immediate))
        }
    }
}
