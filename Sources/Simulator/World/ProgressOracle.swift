import ClusterModel

/// I6: once everything is well again there is a writable primary, and all others receive from it, within a bound.
extension World {
    static let progressBound = Time.seconds(120)

    func heal() {
        isHealing = true
        trace("--- no faults from here on ---")
        network.heal()
        store.isDown = false
        isMisdirecting = false
        leaveOneController()
        for process in controllers {
            process.actionsToLive = nil
            thaw(process)
        }
        startController()
        resumeAutomation()
        for host in hosts {
            mountOwn(host)
            host.disk.isFull = false
            host.disk.isHung = false
            host.disk.lies = false
            if !host.isOn { powerOn(host) }
            if host.isPaused { wake(host) }
            if !host.launcherIsAlive { restartLauncher(host) }
            if let server = host.server {
                server.isFrozen = server.isDoomed
                server.postmasterIsFrozen = false
            }
            if let agent = host.agent {
                agent.actionsToLive = nil
                agent.failsNextPersist = false
                if agent.isFrozen { thaw(host) }
            }
            startAgent(host)
        }
        checkProgress(until: now + World.progressBound, since: now)
    }

    private func checkProgress(until deadline: UInt64, since start: UInt64) {
        after(Time.milliseconds(250)) { world in
            guard let fault = world.whatIsWrong(since: start) else {
                world.trace("all is well")
                world.isDone = true
                return
            }
            if world.now > deadline {
                world.traceStates()
                return world.violate("I6", "still not well after 120 s: \(fault)")
            }
            world.checkProgress(until: deadline, since: start)
        }
    }

    private func traceStates() {
        if let record = store.record { trace("stored: \(record)") }
        for host in hosts {
            let agent = host.agent
            trace("[\(host.name)] disk: \(host.disk.state.map { "\($0)" } ?? "nothing")")
            trace(
                "[\(host.name)] folder: \(host.disk.folder.map { "\($0.position)" } ?? "none"), server \(host.server == nil ? "down" : "up")"
            )
            trace("[\(host.name)] machine: \(agent.map { "\($0.machine)" } ?? "none")")
        }
    }

    private func whatIsWrong(since start: UInt64) -> String? {
        if oracle.isForked { return nil }
        guard let record = store.record, record.phase == .steady, let name = record.primary else {
            return "the record is not steady but \(store.record?.phase.rawValue ?? "missing")"
        }
        guard record.rules.count == 1 else { return "a change of rules is not finished" }
        guard let host = host(of: name), let primary = host.server, primary.isPrimary else {
            return "'\(name)' is the recorded primary, but not one"
        }
        guard primary.gateIsOpen else { return "'\(name)' admits no clients" }
        guard oracle.lastAcknowledgedAt > start + Time.milliseconds(200), oracle.lastHost == host.index else {
            return "'\(name)' acknowledges nothing"
        }
        for other in hosts where other !== host {
            guard let server = other.server, server.mode == .standby, let link = server.receiver,
                link.source == host.index
            else { return "'\(other.name)' does not receive from '\(name)'" }
            guard primary.folder.flushed - server.folder.flushed < 20 else { return "'\(other.name)' is behind" }
            guard other.disk.state?.role == .standby else { return "'\(other.name)' does not count as a standby" }
        }
        return missingVoters(record)
    }
}
