import ArgumentParser
import ChaosChecker
import ChaosHosts
import ClusterModel
import LocalCluster
import Platform

/// Stories with a script instead of drawn faults.
enum Scenario: String, Sendable, CaseIterable, ExpressibleByArgument {
    case frozenPrimary = "frozen-primary"
    case lone
    case lossy
    case podKill = "pod-kill"
    case silentHost = "silent-host"
}

extension Run {
    func scenario(_ scenario: Scenario, rounds: Int, minutes: Int) async throws -> Summary {
        switch scenario {
        case .frozenPrimary: try await frozenPrimary(rounds)
        case .lone: try await lone(minutes)
        case .lossy: try await lossy(minutes)
        case .podKill: try await measured(.podKilled, rounds)
        case .silentHost: try await measured(.isolated, rounds)
        }
    }

    /// The primary's host is lost again and again, and the time until the next one commits is taken.
    private func measured(_ kind: FaultKind, _ rounds: Int) async throws -> Summary {
        var summary = Summary()
        for round in 1...rounds {
            summary.rounds = round
            summary.faults[kind.rawValue, default: 0] += 1
            guard let old = observer.primary else { throw CommandFailure(.failed, "could not find the primary") }
            let term = observer.view?.term ?? .none
            let begin = MonotonicClock.nanoseconds()
            let fault = Fault(kind, .primary, start: .zero, length: .zero)
            let injection = try await cluster.inject(fault, primary: old)
            let struck = recorder.acknowledged.count
            let isOver = try await wait(within: Self.healingLimit) {
                guard let view = await observer.look() else { return false }
                return view.term > term && view.phase == .steady && recorder.acknowledged.count > struck + 10
            }
            let gap = gap(since: begin)
            await cluster.heal(injection)
            let missing = try await becomeWhole(within: Self.healingLimit)
            summary.gaps.append(gap)
            if isOver && missing.isEmpty {
                journal.say(
                    "round \(round)/\(rounds): \(injection.text): \(gap) ms without a commit\(changes(since: term))"
                )
            } else {
                summary.stuck += 1
                let because = isOver ? missing.joined(separator: "; ") : "nobody took over"
                journal.say("round \(round)/\(rounds): \(injection.text): STUCK: \(because)")
                await journal.keepView(cluster, named: "stuck-\(round)")
                if !(try await becomeWhole(within: Self.healingLimit)).isEmpty { return summary }
            }
        }
        journal.say("median of \(rounds) rounds: \(Gaps.percentile(50, of: summary.gaps)) ms without a commit")
        return summary
    }

    /// The whole host of the primary is stopped and goes on after somebody else was promoted.
    private func frozenPrimary(_ rounds: Int) async throws -> Summary {
        var summary = Summary()
        for round in 1...rounds {
            summary.rounds = round
            summary.faults[FaultKind.hostFrozen.rawValue, default: 0] += 1
            guard let old = observer.primary, let view = observer.view else {
                throw CommandFailure(.failed, "could not find the primary")
            }
            let stubborn = try await stubbornClients(of: old, round)
            defer { for task in stubborn { task.cancel() } }
            let begin = MonotonicClock.nanoseconds()
            let fault = Fault(.hostFrozen, .primary, start: .zero, length: .zero)
            let injection = try await cluster.inject(fault, primary: old)
            let struck = recorder.acknowledged.count
            let isOver = try await wait(within: Self.healingLimit) {
                guard let now = await observer.look() else { return false }
                return now.term > view.term && now.phase == .steady && recorder.acknowledged.count > struck + 10
            }
            let gap = gap(since: begin)
            journal.say("round \(round): \(observer.primary?.text ?? "nobody") took over from \(old) after \(gap) ms")
            try await Task.sleep(for: .seconds(2))
            let woken = Int64(MonotonicClock.nanoseconds())
            await cluster.heal(injection)
            journal.say("round \(round): \(old) goes on")
            let missing = try await becomeWhole(within: Self.healingLimit)
            summary.gaps.append(gap)
            if !isOver || !missing.isEmpty { summary.stuck += 1 }
            report(of: old, round: round, since: woken)
        }
        return summary
    }

    /// Clients that know one server only and wait for it as long as it takes.
    private func stubbornClients(of name: InstanceName, _ round: Int) async throws -> [Task<Void, Never>] {
        let first = 1000 * round
        let clients = (0..<3).map { index in
            var client = Client(number: first + index, work: .elements, database: database, recorder: recorder)
            client.only = name.text
            client.statementDeadline = .seconds(60)
            return client
        }
        let tasks = clients.map { client in Task { await client.run(seed: seed) } }
        let isReady = try await wait(within: .seconds(20)) {
            let entries = recorder.entries
            return clients.allSatisfy { client in entries.contains { $0.client == client.number && $0.event == .ok } }
        }
        guard isReady else { throw CommandFailure(.failed, "could not get clients to work on \(name)") }
        return tasks
    }

    /// What the woken server told its clients.
    private func report(of old: InstanceName, round: Int, since woken: Int64) {
        let entries = recorder.entries
        let answers = entries.filter { entry in
            entry.client >= 1000 && entry.event != .invoked && entry.at >= woken && entry.server == old.text
        }
        let begun = Dictionary(
            entries.filter { $0.event == .invoked }.map { ($0.number, $0.at) },
            uniquingKeysWith: { first, _ in first }
        )
        let acknowledged = answers.filter { $0.event == .ok }
        let fresh = acknowledged.filter { (begun[$0.number] ?? .min) >= woken }
        journal.say(
            "round \(round): after waking, \(old) gave \(answers.count) answers to its own clients: "
                + "\(acknowledged.count) acknowledgements, \(fresh.count) of them of operations begun after it woke"
        )
    }

    /// Controller and record gone and a standby dead, too: the primary goes on.
    private func lone(_ minutes: Int) async throws -> Summary {
        var summary = Summary()
        summary.rounds = 1
        guard let primary = observer.primary, let standby = cluster.names.last(where: { $0 != primary }) else {
            throw CommandFailure(.failed, "could not find a standby")
        }
        let rank = cluster.names.firstIndex(of: standby) ?? 0
        var injections: [Injection] = []
        for controller in cluster.controllers {
            cluster.setLinks(of: controller, incoming: .cut, outgoing: .cut)
            cluster.kill(.controller, on: controller)
        }
        summary.faults[FaultKind.controllerKilled.rawValue] = 1
        let loss = Fault(.hostKilled, .instance(rank), start: .zero, length: .zero)
        injections.append(try await cluster.inject(loss, primary: primary))
        summary.faults[FaultKind.hostKilled.rawValue] = 1
        let begin = MonotonicClock.nanoseconds()
        journal.say("controller and record store are gone, \(standby) is dead; \(primary) has one standby left")
        let end = MonotonicClock.now() + .seconds(60 * minutes)
        while MonotonicClock.now() < end {
            try await sleep(until: min(end, MonotonicClock.now() + .seconds(30)))
            let acknowledged = recorder.acknowledged.count
            journal.say(
                "  longest time without a commit so far \(gap(since: begin)) ms, \(acknowledged) commits in all"
            )
        }
        let gap = gap(since: begin)
        summary.gaps.append(gap)
        if gap > Self.loneLimit {
            summary.stuck += 1
            journal.say("NOT throughout: \(gap) ms without an acknowledged commit, more than \(Self.loneLimit) ms")
        }
        for injection in injections { await cluster.heal(injection) }
        await cluster.healAll()
        let missing = try await becomeWhole(within: Self.healingLimit)
        if !missing.isEmpty {
            summary.stuck += 1
            journal.say("STUCK: \(missing.joined(separator: "; "))")
        }
        return summary
    }

    /// What a client may have to wait when the standby that acknowledged first is gone.
    private static let loneLimit: Int64 = 3000

    /// Loss and jitter on every link are no reason to fail over.
    private func lossy(_ minutes: Int) async throws -> Summary {
        var summary = Summary()
        summary.rounds = 1
        summary.faults[FaultKind.lossyLink.rawValue] = cluster.names.count
        let term = observer.view?.term
        var rule = LinkRule()
        rule.lossPerMille = 10
        rule.jitter = .milliseconds(50)
        for host in cluster.namespaces.hosts { cluster.setLinks(of: host, incoming: rule, outgoing: rule) }
        let begin = MonotonicClock.nanoseconds()
        let end = MonotonicClock.now() + .seconds(60 * minutes)
        while MonotonicClock.now() < end {
            try await sleep(until: min(end, MonotonicClock.now() + .seconds(30)))
            journal.say("  term \(observer.view?.term ?? .none), longest time without a commit \(gap(since: begin)) ms")
        }
        let view = await observer.look()
        summary.gaps.append(gap(since: begin))
        await cluster.healAll()
        let missing = try await becomeWhole(within: Self.healingLimit)
        let isWell = missing.isEmpty && (view ?? observer.view)?.term == term
        if !isWell {
            summary.stuck += 1
            let because = missing.joined(separator: "; ")
            journal.say("NOT calm: term \(term ?? .none) became \(view?.term ?? .none); \(because)")
        }
        return summary
    }
}
