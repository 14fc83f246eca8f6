import ClusterModel

/// Plays a calm cluster whose controller, and all standbys but so many, are gone for a span; then all come back.
///
/// Checked each second of the span: the primary is the one it was and runs on, there is no other term, and as long
/// as a standby is left commits are acknowledged (P4, R10). In `async` half of the standbys must be left, so that their
/// agents grant; with fewer no more is asked than what always holds.
///
/// - Parameters:
///   - options: Seed, durability and trace; its number of instances comes from the seed.
///   - span: In virtual time.
///   - standbysLeft: How many standbys stay; with none commits wait, and nothing is stopped.
/// - Returns: How it went; a primary that was demoted or kept from acknowledging is a violation of I7.
public func simulateAbsence(
    _ options: SimulationOptions,
    for span: Duration,
    standbysLeft: Int
) -> SimulationResult {
    let world = World(options)
    let length = span.nanosecondsCount
    world.plan.leaveAlone(for: Time.seconds(30) + length, isCalm: world.mustGoOn(standbysLeft))
    world.after(Time.seconds(25)) { $0.beginAbsence(until: $0.now + length, standbysLeft) }
    return world.run()
}

extension World {
    fileprivate func beginAbsence(until end: UInt64, _ standbysLeft: Int) {
        guard let primary = hosts.first(where: { $0.server?.isPrimary == true }), let server = primary.server else {
            return violate("I6", "nobody is primary after 25 s of calm")
        }
        controllers.forEach(stopController)
        let standbys = hosts.filter { $0 !== primary }
        for host in standbys.dropFirst(standbysLeft) { killHost(host, end - now) }
        guard mustGoOn(standbysLeft) else { return }
        checkAbsence(primary, server, until: end, writes: !standbys.prefix(standbysLeft).isEmpty)
    }

    /// Whether a primary goes on without a leader when so many of its standbys are left.
    fileprivate func mustGoOn(_ standbysLeft: Int) -> Bool {
        options.durability.isSynchronous || min(standbysLeft, hosts.count - 1) >= hosts.count / 2
    }

    private func checkAbsence(_ primary: Host, _ server: ServerProcesses, until end: UInt64, writes: Bool) {
        after(Time.seconds(1)) { world in
            guard world.now < end, !world.isHealing else { return }
            if server.isGone || !server.gateIsOpen {
                return world.violate("I7", "'\(primary.name)' was demoted while no leader could be reached")
            }
            if writes, world.now - world.oracle.lastAcknowledgedAt > Time.seconds(4) {
                return world.violate("I7", "'\(primary.name)' acknowledges nothing, though a voter streams from it")
            }
            world.checkAbsence(primary, server, until: end, writes: writes)
        }
    }
}

extension FaultPlan {
    /// No faults but those that are asked for, and everything is healed after that span.
    fileprivate mutating func leaveAlone(for span: UInt64, isCalm: Bool) {
        self.isCalm = isCalm
        kinds = []
        steps = []
        losesStoreAnswers = false
        safetySpan = span
    }
}
