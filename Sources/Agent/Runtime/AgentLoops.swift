import ClusterModel
import ControlChannel
import InstanceDecision
import LauncherClient
import LauncherProtocol
import Logging
import Platform
import PostgresInstance
import Telemetry

/// What goes on for ever beside the events: attaching, polling, reporting, heartbeats, `pg_isready`.
extension AgentShell {
    /// Comes to the launcher, and again whenever it was lost.
    func keepAttached() async {
        var said = ""
        while !Task.isCancelled {
            do {
                _ = try await launcher.connect()
                let found = try await adapter.attach()
                detached = ""
                await tellNews()
                attached = true
                said = ""
                apply(
                    .attached(
                        state: found.state,
                        directory: found.directory,
                        matches: found.matches,
                        copied: found.copied,
                        server: found.server
                    )
                )
                await readRecordCopy()
                enqueueReport()
                pollNow.raise()
                await reattach.wait()
            } catch {
                let reason = "\(error)"
                if reason != said { logger.warning("not attached", metadata: [LogKey.reason: "\(reason)"]) }
                said = reason
                if error is AdapterError, reason != detached {
                    detached = reason
                    tellDetached()
                }
            }
            try? await Task.sleep(for: .milliseconds(100))
        }
    }

    /// Tells the controller why it gets no report: nothing may be said of an instance that could not be looked at.
    func tellDetached() {
        guard !attached, !detached.isEmpty else { return }
        client.send(.refused(OrderRefusal(stamp: .none, order: OrderRefusal.attachment, reason: detached)))
    }

    /// Looks at the server each report interval, and more often while something is awaited of it.
    func keepPolling() async {
        while !Task.isCancelled {
            await poll()
            (work, complaint) = (await adapter.activity, await adapter.fault)
            if complaint.isEmpty { complaint = await adapter.warning }
            await pollNow.wait(atMost: pollInterval)
        }
    }

    /// A close look costs the server little, but not nothing: for ten seconds after each reason for one.
    private var pollInterval: Duration {
        guard machine.wantsCloseLook, let fastUntil, MonotonicInstant.now < fastUntil else {
            let interval = configuration.timings.reportInterval
            let isAlarmed = alarmedUntil.map { .now < $0 } ?? false
            if isAlarmed && machine.isIdle { return min(interval, .milliseconds(50)) }
            return machine.reliesOnVoters(at: .now) ? min(interval, .milliseconds(100)) : interval
        }
        return .milliseconds(machine.isAboutToOpen ? 6 : 25)
    }

    func lookClosely() {
        fastUntil = .now + .seconds(10)
        pollNow.raise()
    }

    private func poll() async {
        guard attached, machine.isServerUp else { return }
        let life = life
        do {
            let status = try await adapter.poll()
            if life == self.life { apply(.observed(status)) }
        } catch {
            guard life == self.life, machine.isServerUp else { return }
            apply(.unobserved)
            // The news of its end may have come while this agent was not yet attached.
            if let status = try? await launcher.status(), case .down = status.server, life == self.life,
                machine.isServerUp
            {
                endedProcessID = await adapter.serverProcessID ?? endedProcessID
                apply(.serverDown)
            }
            await askReadiness()
            // A server that starts, stops or hangs is not asked without a pause.
            try? await Task.sleep(for: .milliseconds(20))
        }
    }

    /// `pg_isready` every 5 s; at once on suspicion by `poll`.
    func keepAskingReadiness() async {
        var quiet = 0
        while !Task.isCancelled {
            try? await Task.sleep(for: .seconds(1))
            quiet += 1
            // Suspicion may arise at any moment, and one that has passed must not count until the next turn.
            guard attached, machine.isSuspect || quiet >= 5 else { continue }
            quiet = 0
            if await launcherIsLost() {
                startOver(becauseOf: .launcherLost)
                continue
            }
            if await hasLostData() {
                logger.error("the data directory is gone: looking at the instance anew")
                startOver(becauseOf: .launcherLost)
                continue
            }
            freeBytes = await adapter.freeSpace()
            if machine.isServerUp { await askReadiness() } else { await endStray() }
        }
    }

    /// Whether the data directory has vanished under a running server, or one that does not start any more (R15).
    private func hasLostData() async -> Bool {
        guard machine.hasData, procedures.isEmpty else { return false }
        let life = life
        guard await adapter.directoryIsGone(), life == self.life, machine.hasData, procedures.isEmpty else {
            return false
        }
        // Once more: what was seen must not be a moment between two names.
        return await adapter.directoryIsGone() && life == self.life && procedures.isEmpty
    }

    /// Whether the connection is gone, for the news of it may have come while this agent was not yet attached.
    private func launcherIsLost() async -> Bool {
        let life = life
        do throws(LauncherError) {
            _ = try await launcher.status()
            return false
        } catch {
            return error.code == .disconnected && life == self.life
        }
    }

    /// A server that runs although the machine knows of none is ended: a start may have overtaken a stop.
    private func endStray() async {
        guard machine.expectsNoServer, procedures.isEmpty else { return }
        let life = life
        guard let status = try? await launcher.status(), case .running = status.server else { return }
        guard life == self.life, machine.expectsNoServer, procedures.isEmpty else { return }
        logger.error("a server runs that nobody asked for: it is stopped")
        _ = await adapter.stop(.immediate)
    }

    private func askReadiness() async {
        guard machine.isServerUp, !isPolling else { return }
        isPolling = true
        defer { isPolling = false }
        let life = life
        guard let code = await adapter.isReady(), life == self.life else { return }
        apply(.readiness(code))
    }

    /// Start-up, a new copy and a promotion need more than the rest of an agent's life does.
    private func giveBackMemory() {
        guard let memoryDue, MonotonicInstant.now > memoryDue, procedures.isEmpty, !machine.wantsCloseLook else {
            return
        }
        self.memoryDue = nil
        ProcessMemory.giveBack()
    }

    func keepReporting() async {
        var next = MonotonicInstant.now
        while !Task.isCancelled {
            // Absolute moments: a repeated sleep would drift.
            next = max(next + configuration.timings.reportInterval, .now)
            try? await Task.sleep(for: next - .now, tolerance: .zero)
            enqueueReport()
            giveBackMemory()
        }
    }

    /// Proves the write path of a primary, and keeps its standbys' receipt times fresh (R22).
    func keepBeating() async {
        var next = MonotonicInstant.now
        while !Task.isCancelled {
            next = max(next + configuration.timings.reportInterval, .now)
            try? await Task.sleep(for: next - .now, tolerance: .zero)
            guard attached, machine.isPrimaryUp else { continue }
            let life = life
            let begunAt = MonotonicInstant.now
            do {
                try await adapter.heartbeat { end in await self.beaten(end, begunAt, life) }
                // Those that rely on it see it at their next look; without a leader that must not be long.
                if machine.reliesOnVoters(at: .now) { pollNow.raise() }
            } catch {
                logger.info("heartbeat", metadata: [LogKey.reason: "\(error)"])
            }
        }
    }

    /// Finds settings that weaken `synchronous_commit`; rarely, as only people change them (R12).
    func keepLookingForWeakCommits() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: weakened.isEmpty && !machine.isPrimaryUp ? .seconds(2) : .seconds(10))
            guard attached, machine.isPrimaryUp, machine.isIdle else { continue }
            let life = life
            guard let found = await adapter.weakenedCommits(), life == self.life else { continue }
            weakened = found
        }
    }

    private func beaten(_ end: LSN, _ begunAt: MonotonicInstant, _ life: Int) {
        if life == self.life { apply(.beaten(end, begunAt: begunAt)) }
    }
}
