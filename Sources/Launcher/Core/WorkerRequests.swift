import CPlatform
import Glibc
import LauncherProtocol

extension Worker {
    /// Takes one message of an agent.
    func handleMessage(_ message: [UInt8], of connection: Connection) {
        let id: UInt32
        let request: LauncherRequest
        do throws(MalformedMessage) {
            (id, request) = try LauncherRequest.decode(message)
        } catch {
            connection.refuse("a message that is none of this protocol: \(error)")
            return
        }
        guard connection.hasSaidHello else {
            greet(connection, id, request)
            return
        }
        guard connection.number == commander else {
            connection.refuse("another agent has taken over")
            return
        }
        if let reply = answerAtOnce(request) {
            self.reply(reply, to: id, of: connection.number)
        } else if let reply = reasonToWait(for: connection.number) {
            self.reply(reply, to: id, of: connection.number)
        } else {
            begin(request, id, connection.number)
        }
    }

    private func greet(_ connection: Connection, _ id: UInt32, _ request: LauncherRequest) {
        guard case .hello(let version) = request else {
            connection.refuse("the first message has to be hello")
            return
        }
        guard version == launcherProtocolVersion else {
            connection.refuse(
                "the agent speaks version \(version) of the protocol, this launcher version "
                    + "\(launcherProtocolVersion); install both from one release"
            )
            return
        }
        connection.hasSaidHello = true
        if let old = commandingConnection {
            old.refuse("another agent has taken over")
            drop(old)
        }
        commander = connection.number
        reply(.status(status), to: id, of: connection.number)
    }

    private var status: LauncherStatus {
        let now = CPlatform_boot_time()
        let state: ServerState =
            switch server {
            case .down(let end): .down(end)
            case .running(let running): .running(processID: running.processID)
            case .ending(let end, _): .ending(end)
            }
        return LauncherStatus(
            version: launcherProtocolVersion,
            processID: processID,
            guardProcessID: world.guardProcessID,
            server: state,
            leaseRemainingMilliseconds: lease.map { UInt64(max(0, $0.killAt - now) / 1_000_000) }
        )
    }

    /// What needs neither storage nor another process; `nil` for everything else.
    private func answerAtOnce(_ request: LauncherRequest) -> LauncherReply? {
        switch request {
        case .hello: .status(status)
        case .stop(let mode): stop(mode)
        case .signal(let target, let signal): send(signal, to: target)
        case .processes: .processes(serverProcesses())
        case .cancelTool(let tool): cancel(tool)
        case .lease(let remaining, let fenceBudget, let countedFrom):
            arm(remainingMilliseconds: remaining, fenceBudgetMilliseconds: fenceBudget, countedFrom: countedFrom)
        case .disarmLease: disarm()
        default: nil
        }
    }

    private func begin(_ request: LauncherRequest, _ id: UInt32, _ connection: Int) {
        switch request {
        case .start(let arguments, let environment, let leaseRequired):
            if let refusal = refusalToStart(leaseRequired: leaseRequired) {
                reply(refusal, to: id, of: connection)
            } else {
                start(arguments: arguments, environment: environment, connection: connection, request: id)
            }
        case .run(let tool, let arguments, let environment, let timeoutMilliseconds):
            if isStopping {
                reply(.failure(.refused, "could not run \(tool): the launcher is ending"), to: id, of: connection)
            } else {
                startTool(
                    tool,
                    arguments,
                    environment,
                    timeoutMilliseconds: timeoutMilliseconds,
                    connection: connection,
                    request: id
                )
            }
        case .promote(let leaseRequired): promote(leaseRequired: leaseRequired, id, connection)
        default: startFileOperation(request, id: id, connection: connection)
        }
    }

    // MARK: The server

    private func refusalToStart(leaseRequired: Bool) -> LauncherReply? {
        guard case .down = server else {
            return .failure(.refused, "could not start the server: processes of it are alive; stop it first")
        }
        if isStopping { return .failure(.refused, "could not start the server: the launcher is ending") }
        if leaseRequired, !hasLease {
            return .failure(.refused, "could not start the server: no lease is armed; a primary starts only under one")
        }
        return nil
    }

    private func stop(_ mode: StopMode) -> LauncherReply {
        switch server {
        case .down: return .failure(.refused, "could not stop the server: it is down")
        case .ending: return .done
        case .running(let running):
            switch mode {
            case .fast: _ = kill(running.processID, SIGINT)
            case .immediate: _ = kill(running.processID, SIGQUIT)
            case .kill: killServer()
            }
            return .done
        }
    }

    private func serverDescendants(_ table: ProcessTable) -> [Int32] {
        table.descendants(of: processID) { self.jobs[$0] != nil }
    }

    private func send(_ signal: Int32, to target: Int32?) -> LauncherReply {
        guard (1...31).contains(signal) else {
            return .failure(.refused, "could not send signal \(signal): signals are 1 to 31")
        }
        guard case .running(let running) = server else {
            return .failure(.refused, "could not signal the server: it is down")
        }
        let processID = target ?? running.processID
        guard processID > 1, target == nil || serverDescendants(ProcessTable()).contains(processID) else {
            return .failure(.refused, "could not signal process \(processID): it is no process of the server")
        }
        guard kill(processID, signal) == 0 else {
            return .failure(.failed, "could not signal process \(processID): \(System.text(ofError: errno))")
        }
        return .done
    }

    private func serverProcesses() -> [ServerProcess] {
        serverDescendants(ProcessTable()).sorted().compactMap { processID in
            guard let parent = ProcessTable.parent(of: processID) else { return nil }
            return ServerProcess(
                processID: processID,
                parentProcessID: parent,
                title: ProcessTable.title(of: processID)
            )
        }
    }

    private func promote(leaseRequired: Bool, _ id: UInt32, _ connection: Int) {
        guard case .running(let running) = server else {
            reply(.failure(.refused, "could not promote the server: it is down"), to: id, of: connection)
            return
        }
        guard !leaseRequired || hasLease else {
            reply(.failure(.refused, "could not promote the server: no lease is armed"), to: id, of: connection)
            return
        }
        let finish = { () -> LauncherReply in
            guard case .running(let now) = self.server, now.processID == running.processID else {
                return .failure(.failed, "could not promote the server: it ended meanwhile")
            }
            guard !leaseRequired || self.hasLease else {
                self.startFileOperation(.clearPromote, id: 0, connection: nil)
                return .failure(.refused, "could not promote the server: the lease ended meanwhile")
            }
            guard kill(now.processID, SIGUSR1) == 0 else {
                return .failure(.failed, "could not promote the server: \(System.text(ofError: errno))")
            }
            return .done
        }
        startFileOperation(.promote(leaseRequired: leaseRequired), id: id, connection: connection, afterwards: finish)
    }

    // MARK: Tools and lease

    private func cancel(_ tool: UInt32) -> LauncherReply {
        guard let job = jobs.values.first(where: { $0.isTool && $0.request == tool && $0.connection == commander })
        else {
            return .failure(.refused, "could not cancel tool \(tool): it does not run")
        }
        end(job)
        return .done
    }

    private func disarm() -> LauncherReply {
        if let stage = lease?.stage {
            return .failure(.refused, "could not disarm the lease: it ran out (\(stage)), the server is being stopped")
        }
        lease = nil
        return .done
    }
}
