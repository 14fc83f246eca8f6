import ClusterDecision
import ClusterModel

/// The claim of leadership, where two leaders would be two writers: in `async` (R11).
///
/// In the other modes every controller alive believes that it leads, which is harder on the protocol.
extension World {
    var hasClaims: Bool { options.durability == .async && options.brokenRule == nil }

    func beginLeading(_ process: ControllerProcess) {
        guard hasClaims else { return load(process) }
        process.leadership = LeadershipMachine(
            holder: "controller \(process.number)",
            address: Endpoint(host: "controller-\(process.number)", port: 1),
            duration: spec.timings.leadershipDuration
        )
        lead(process, .tick)
    }

    private func lead(_ process: ControllerProcess, _ event: LeadershipEvent) {
        guard process.isAlive else { return }
        if process.isFrozen { return process.deferred.append { $0.lead(process, event) } }
        guard var machine = process.leadership else { return }
        let before = machine.certainUntil
        let actions = machine.handle(event, at: process.clock.local(now))
        process.leadership = machine
        for action in actions { perform(action, process) }
        if let until = machine.certainUntil, until != before { tell(process, .leading(until: until)) }
        let wake = max(process.clock.moment(machine.wakeAt(after: process.clock.local(now))), now + 1)
        guard process.leadershipWakeAt != wake else { return }
        process.leadershipWakeAt = wake
        queue.add(at: wake) { if process.leadershipWakeAt == wake { $0.lead(process, .tick) } }
    }

    private func perform(_ action: LeadershipAction, _ process: ControllerProcess) {
        switch action {
        case .read:
            soon(200...8000) { world in
                if world.store.isDown { return world.failClaim(process) }
                let holder = world.store.claim?.holder
                // Known where a lock goes with the process (D17); elsewhere the claim has to grow old.
                let isKnown = world.options.seed.isMultiple(of: 2)
                let isDead = isKnown && !world.controllers.contains { "controller \($0.number)" == holder }
                world.lead(process, .read(world.store.claim, holderIsDead: isDead))
            }
        case .store(let claim, let replaced): store(claim, replacing: replaced, process)
        case .began:
            trace("controller \(process.number) leads")
            process.machine = newMachine()
            load(process)
            for host in hosts { connectSoon(host) }
        case .ended:
            trace("controller \(process.number) leads no more")
            for host in hosts where host.leader === process { disconnect(host, seenAfter: 1000...50_000) }
        case .explain(let explanation): trace("controller \(process.number): \(explanation)")
        }
    }

    private func store(_ claim: LeadershipClaim, replacing replaced: UInt64?, _ process: ControllerProcess) {
        let isLost = plan.losesStoreAnswers && !isHealing && random.chance(30)
        soon(300...8000) { world in
            if world.store.isDown { return world.failClaim(process) }
            guard world.store.claim?.version == replaced else {
                let current = world.store.claim
                return world.soon(100...2000) { $0.lead(process, .conflict(current)) }
            }
            world.store.claim = claim
            world.cover("leadership: \(claim.version == 1 || replaced == nil ? "first" : "kept or taken")")
            if isLost { return world.failClaim(process) }
            world.soon(100...3000) { $0.lead(process, .stored) }
        }
    }

    private func failClaim(_ process: ControllerProcess) {
        soon(300_000...1_000_000) { $0.lead(process, .failed(reason: "no answer")) }
    }
}
