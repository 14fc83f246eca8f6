import ClusterModel
import InstanceDecision

/// What agents say to each other while no leader answers (R10): one connection for each question, so that an answer
/// reaches the agent that asked and no later one.
extension World {
    func ask(_ request: LeaseRequest, _ agents: [AgentAddress], _ host: Host, _ agent: AgentProcess) {
        for address in agents {
            guard let peer = hosts.first(where: { $0.spec.agent == address.endpoint }) else { continue }
            trace("[\(host.name)] asks \(peer.name) for a lease of term \(request.term)")
            carry(from: host, to: peer) { world in
                guard let asked = peer.agent else { return }
                let number = UInt64(world.nextNumber())
                world.questions[number] = Question(asker: host, agent: agent)
                // Its certificate says who asks.
                world.inside(peer, asked) {
                    $0.give(.event(.asked(request, from: host.name, question: number)), peer, asked)
                }
            }
        }
    }

    func answer(_ answer: LeaseAnswer, _ number: UInt64, _ host: Host) {
        guard let question = questions.removeValue(forKey: number) else { return }
        let asker = question.asker
        trace("[\(host.name)] answers \(asker.name): \(answer.lease == nil ? answer.reason : "granted")")
        carry(from: host, to: asker) { world in
            world.inside(asker, question.agent) {
                $0.give(.event(.peerAnswered(answer, from: host.name)), asker, question.agent)
            }
        }
    }

    private func carry(from one: Host, to other: Host, _ step: @escaping EventQueue.Step) {
        let copies = network.isChaotic && random.chance(200) ? 2 : 1
        for _ in 0..<copies {
            if network.isChaotic && random.chance(150) { continue }
            let isSlow = network.isChaotic && random.chance(100)
            let delay = isSlow ? 20_000...4_000_000 : 100...2_000 as ClosedRange<UInt64>
            soon(delay) { world in
                guard world.network.carries(one.index, other.index), other.isOn else { return }
                world.on(other, step)
            }
        }
    }
}

/// Who asked, in which life.
struct Question {
    let asker: Host
    let agent: AgentProcess
}
