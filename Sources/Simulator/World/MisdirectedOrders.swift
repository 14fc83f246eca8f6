import ClusterModel
import InstanceDecision

/// Orders that do not fit whom they reach: an earlier one, under a stamp of today, to anybody.
extension World {
    /// What the table would take is not sent: a controller that forges promotions is beyond every promise.
    func misdirect(_ order: Order) {
        if !pastOrders.contains(where: { $0.name == order.name }) {
            pastOrders.append(order)
            // Seldom given, and as easily misdirected as what it resembles.
            if case .follow(let plan) = order.kind {
                pastOrders.append(Order(stamp: order.stamp, kind: .catchUp(plan)))
            }
        }
        guard isMisdirecting else { return }
        var choices: [(Order, Host, AgentProcess, Situation)] = []
        for past in pastOrders {
            for host in hosts {
                guard let agent = host.agent else { continue }
                let situation = agent.machine.situation(for: order.stamp.term)
                guard agent.machine.isWithoutLauncher || isRefused(past, situation) else { continue }
                choices.append((Order(stamp: order.stamp, kind: past.kind), host, agent, situation))
            }
        }
        // An office of an earlier term is short when a new one is prepared: not to be missed.
        let rare = choices.filter { $0.3 == .primaryOfEarlierTerm || $0.2.machine.isWithoutLauncher }
        guard let (stray, host, agent, situation) = random.pick(rare.isEmpty ? choices : rare) else { return }
        isMisdirecting = false
        soon(100...2000) { world in
            world.inside(host, agent) { world in
                // One that waits is judged later, when the table may take it.
                guard !agent.isBusy, agent.inbox.isEmpty, agent.machine.situation(for: stray.stamp.term) == situation,
                    agent.machine.isWithoutLauncher || world.isRefused(stray, situation)
                else { return }
                world.trace("[\(host.name)] gets \(stray.name), which is not for it")
                world.give(.event(.order(stray)), host, agent)
            }
        }
    }

    private func isRefused(_ order: Order, _ situation: Situation) -> Bool {
        admissionTable.contains { $0.order == order.name && $0.situation == situation && $0.refusal != nil }
    }
}
