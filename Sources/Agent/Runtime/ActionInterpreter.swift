import ClusterModel
import ControlChannel
import InstanceDecision
import LauncherClient
import LauncherProtocol
import Logging
import PostgresInstance
import Telemetry

/// One switch over the machine's actions.
extension AgentShell {
    /// Does one action; false if the rest of its decision must be dropped.
    func perform(_ action: InstanceAction) async -> Bool {
        logger.debug("action", metadata: ["action": "\(action)"])
        switch action {
        case .persist(let state): return await persist(state)
        case .armLease(let end): return await armLease(until: end)
        case .start(let id, let launch, let peers):
            // A stop, or a new launcher, may have come in between.
            if machine.awaitsNothing(of: id) { break }
            procedure(id) { await $0.start(launch, peers: peers) }
        case .stop(let mode): await stop(mode)
        case .cutReceiver(let id, let waits): procedure(id) { await $0.cutReceiver(waitForReplay: waits) }
        case .follow(let id, let upstream, let peers): procedure(id) { await $0.follow(upstream, peers: peers) }
        case .promote(let id, let work): procedure(id) { await $0.promote(work) }
        case .applyRules(let id, let work): procedure(id) { await $0.applyRules(work) }
        case .openClients(let id): procedure(id) { await $0.openClients() }
        case .checkpoint: checkpoint()
        case .checkpointFirst(let id): procedure(id) { await $0.checkpointFirst() }
        case .initialize(let id): procedure(id) { await $0.initialize() }
        case .clone(let id, let upstream, let keeps):
            procedure(id) { await $0.clone(upstream, keepsWAL: keeps) }
        case .makeReadyToRewind(let id, let upstream): procedure(id) { await $0.makeReadyToRewind(upstream) }
        case .rewind(let id, let upstream): procedure(id) { await $0.rewind(upstream) }
        case .inspect(let id): procedure(id) { await $0.inspect() }
        case .readLineage(let id, let timeline): procedure(id) { await $0.readLineage(timeline) }
        case .cancelWork(let id): await cancel(id)
        case .attach: startOver(becauseOf: .launcherLost)
        case .report: enqueueReport()
        case .refuse(let refusal): client.send(.refused(refusal))
        case .askVoters(let request, let agents): peers.ask(request, of: agents)
        case .answerPeer(let answer, let question): answerPeer(answer, question)
        case .explain(let explanation): logger.decided(explanation)
        }
        return true
    }

    private func persist(_ state: InstanceState) async -> Bool {
        do {
            try await adapter.persist(state)
            return true
        } catch {
            // What is not on disk was never decided: begin again from what is.
            logger.error("the state could not be kept", metadata: [LogKey.reason: "\(error)"])
            startOver(becauseOf: .launcherLost)
            return false
        }
    }

    private func armLease(until end: MonotonicInstant) async -> Bool {
        do {
            try await launcher.armLease(remaining: end - .now, fenceBudget: configuration.timings.fenceBudget)
            return true
        } catch {
            // The timer that was armed before goes on; nothing that needs this one is begun.
            logger.warning("the lease could not be handed to the launcher", metadata: [LogKey.reason: "\(error)"])
            return false
        }
    }

    private func stop(_ mode: InstanceDecision.StopMode) async {
        // A procedure that waits for the server would only delay the news of its end.
        for (id, task) in procedures where machine.awaitsNothing(of: id) { task.cancel() }
        guard let reason = await adapter.stop(mode) else { return }
        logger.info("nothing to stop", metadata: [LogKey.reason: "\(reason)"])
        guard let status = try? await launcher.status() else { return }
        guard case .down = status.server else { return }
        // The news of that end may still be on its way: it is not to be taken for the next server's.
        endedProcessID = await adapter.serverProcessID ?? endedProcessID
        apply(.serverDown)
    }

    private func checkpoint() {
        let life = life
        Task { [adapter] in
            guard let reason = await adapter.checkpoint(), life == self.life else { return }
            self.apply(.checkpointFailed(reason))
        }
    }

    private func cancel(_ id: ActionID) async {
        guard let task = procedures[id] else { return }
        task.cancel()
        // A server that hangs would hold it up; without its sessions it ends at once.
        await adapter.forgetServer()
        // The next step must not find the old one still at work. One that does not end is left behind with the
        // launcher's connection, which ends its tools.
        let end = MonotonicInstant.now + .seconds(3)
        while procedures[id] != nil, .now < end { await procedureEnded.wait(atMost: end - .now) }
        if procedures[id] != nil { startOver(becauseOf: .launcherLost) }
    }

    /// Begins a procedure beside the queue; its outcome comes back as an event.
    private func procedure(_ id: ActionID, _ body: @escaping @Sendable (PostgresAdapter) async -> Outcome) {
        let life = life
        lookClosely()
        procedures[id] = Task { [adapter] in
            let outcome = await body(adapter)
            await self.tellNews()
            self.ended(id, outcome, life)
        }
    }

    func tellNews() async {
        for explanation in await adapter.takeNews() { logger.decided(explanation) }
        keptWAL = await adapter.keptWAL
    }

    private func ended(_ id: ActionID, _ outcome: Outcome, _ life: Int) {
        procedures[id] = nil
        procedureEnded.raise()
        memoryDue = .now + .seconds(2)
        logger.debug("outcome", metadata: ["action": "\(id)", "outcome": "\(outcome)"])
        guard life == self.life else { return }
        if case .cloned = outcome, machine.awaitsNothing(of: id) {
            // It took the place of what was there, though nobody waits for it any more: look at the disk anew.
            return startOver(becauseOf: .launcherLost)
        }
        if case .failed(let reason) = outcome {
            logger.warning("action failed", metadata: ["action": "\(id)", LogKey.reason: "\(reason)"])
        }
        apply(.completed(id, outcome))
        pollNow.raise()
    }
}
