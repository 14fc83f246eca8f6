import ClusterModel
import InstanceDecision

/// The ends of long work in a small world.
extension SmallWorld {
    mutating func endStart(_ index: Int) {
        guard case .start(let id, let launch, _) = hosts[index].start else { return }
        hosts[index].start = nil
        var server = SmallServer(known: Array(repeating: nil, count: hosts.count))
        server.isUp = true
        switch launch {
        case .firstPrimary:
            server.isPrimary = true
            server.term = hosts[index].state?.primaryOfTerm.rawValue ?? 0
            server.recovered = hosts[index].records.count
        case .standby(let source):
            server.names = standbySynchronousNames
            server.gateIsOpen = true
            if case .upstream(let upstream) = source { server.upstream = self.index(of: upstream.server) }
        }
        hosts[index].wasPrimary = server.isPrimary
        hosts[index].server = server
        give(.completed(id, .started), to: index)
    }

    mutating func endWork(_ index: Int) {
        guard let action = hosts[index].work, let id = action.id else { return }
        if let outcome = outcome(of: action, index) {
            hosts[index].work = nil
            give(.completed(id, outcome), to: index)
        }
    }

    /// Nil while it cannot end.
    private mutating func outcome(of action: InstanceAction, _ index: Int) -> Outcome? {
        switch action {
        case .initialize:
            hosts[index].records = [SmallRecord(timeline: 1, id: 1000)]
            return .initialized(newIncarnation(index), SmallWorld.system)
        case .clone(_, let upstream, _):
            guard let source = copy(upstream, index) else { return nil }
            hosts[index].records = source
            return .cloned(newIncarnation(index), SmallWorld.system)
        case .makeReadyToRewind(_, let upstream): return copy(upstream, index).map { _ in .readyToRewind }
        case .rewind(_, let upstream):
            guard let source = copy(upstream, index) else { return nil }
            hosts[index].records = source
            hosts[index].wasPrimary = false
            return .rewound
        case .inspect:
            if hosts[index].server != nil { return .foundServer }
            return .inspected(
                StoppedFacts(
                    systemIdentifier: SmallWorld.system,
                    timeline: position(index).timeline,
                    cleanShutdown: false,
                    wasPrimary: hosts[index].wasPrimary,
                    end: .zero
                )
            )
        case .readLineage(_, let timeline): return .lineage(lineage(index, timeline))
        default: return hosts[index].server?.isUp == true ? served(action, index) : .failed("the server is gone")
        }
    }

    private func lineage(_ index: Int, _ timeline: Timeline) -> Lineage {
        let records = hosts[index].records
        let forks = records.indices.dropFirst().filter { place in
            records[place - 1].timeline != records[place].timeline && records[place].timeline <= timeline.rawValue
        }.map { place in
            Lineage.Fork(parent: Timeline(rawValue: records[place - 1].timeline), lsn: LSN(rawValue: UInt64(place)))
        }
        return Lineage(timeline: timeline, forks: forks)
    }

    private mutating func served(_ action: InstanceAction, _ index: Int) -> Outcome {
        switch action {
        case .cutReceiver:
            if rule != .revocation, let from = hosts[index].server?.upstream {
                hosts[from].server?.known[index] = nil
                hosts[index].server?.upstream = nil
            }
            return .cut(position(index))
        case .follow(_, let upstream, _):
            if let from = hosts[index].server?.upstream { hosts[from].server?.known[index] = nil }
            let source = self.index(of: upstream.server)
            hosts[index].server?.upstream = source
            return .following
        case .promote(_, let work): return promoted(work, index)
        case .applyRules(_, let work):
            hosts[index].server?.names = work.synchronousNames
            settle(index)
            return .rulesApplied(barrier: LSN(rawValue: UInt64(hosts[index].records.count)))
        case .checkpointFirst: return .checkpointed
        case .openClients:
            hosts[index].server?.gateIsOpen = true
            let server = hosts[index].server
            if let term = server?.term, term < highestTerm {
                violation = "I1: '\(spec.instances[index].name)' opened in term \(term) after term \(highestTerm)"
            }
            highestTerm = max(highestTerm, server?.term ?? 0)
            promise(index, through: server?.recovered ?? 0)
            return .opened
        default: return .failed("not a work of a server")
        }
    }

    private mutating func promoted(_ work: PromotionWork, _ index: Int) -> Outcome {
        if hosts[index].server?.isPrimary == true { return .failed("it is a primary already") }
        let fork = hosts[index].records.count
        let parent = position(index).timeline
        let highest = max(position(index).timeline.rawValue, work.foreignTimelines.map(\.rawValue).max() ?? 0)
        let timeline = highest + 1
        hosts[index].records.append(SmallRecord(timeline: timeline, id: 1000 * UInt32(work.term.rawValue)))
        if let from = hosts[index].server?.upstream { hosts[from].server?.known[index] = nil }
        hosts[index].server?.upstream = nil
        hosts[index].server?.isPrimary = true
        hosts[index].server?.names = rule == .names ? "" : work.synchronousNames
        hosts[index].server?.gateIsOpen = rule == .opening
        hosts[index].server?.term = work.term.rawValue
        hosts[index].server?.recovered = fork + 1
        let nobody: [Int?] = Array(repeating: nil, count: hosts.count)
        hosts[index].server?.known = nobody
        hosts[index].wasPrimary = true
        checkPromotion(index)
        if rule == .opening {
            highestTerm = max(highestTerm, work.term.rawValue)
            promise(index, through: fork + 1)
        }
        return .promoted(
            timeline: Timeline(rawValue: timeline),
            switchLSN: LSN(rawValue: UInt64(fork + 1)),
            fork: Lineage.Fork(parent: parent, lsn: LSN(rawValue: UInt64(fork)))
        )
    }

    private func copy(_ upstream: Upstream, _ index: Int) -> [SmallRecord]? {
        guard let from = self.index(of: upstream.server), reaches(from, index), let server = hosts[from].server,
            server.isUp, server.isPrimary
        else { return nil }
        return hosts[from].records
    }

    private mutating func newIncarnation(_ index: Int) -> Incarnation {
        hosts[index].copies += 1
        let incarnation = Incarnation(number: UInt32(index + 1) << 8 | hosts[index].copies)
        hosts[index].incarnation = incarnation
        return incarnation
    }
}
