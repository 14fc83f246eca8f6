import ClusterModel
import InstanceDecision

/// PostgreSQL in a small world: each step is done whole, at any moment.
extension SmallWorld {
    func reaches(_ one: Int, _ other: Int) -> Bool { !hosts[one].isIsolated && !hosts[other].isIsolated }

    func position(_ index: Int) -> WALPosition {
        let records = hosts[index].records
        return WALPosition(
            timeline: Timeline(rawValue: records.last?.timeline ?? 1),
            lsn: LSN(rawValue: UInt64(records.count))
        )
    }

    func index(of endpoint: Endpoint) -> Int? { spec.instances.firstIndex { $0.server == endpoint } }

    /// Whose receiver streams to that host.
    func source(of index: Int) -> Int? {
        guard let server = hosts[index].server, server.isUp, !server.isPrimary, let from = server.upstream,
            hosts[from].server?.known[index] != nil, reaches(from, index)
        else { return nil }
        return from
    }

    func status(_ index: Int) -> ServerStatus? {
        guard let server = hosts[index].server, server.isUp else { return nil }
        let capacity = CapacitySettings(
            maxConnections: 1,
            maxWorkerProcesses: 1,
            maxWALSenders: 1,
            maxPreparedTransactions: 1,
            maxLocksPerTransaction: 1
        )
        var seen = ServerStatus(
            inRecovery: !server.isPrimary,
            position: position(index),
            systemIdentifier: SmallWorld.system,
            capacity: capacity
        )
        seen.insertLSN = LSN(rawValue: server.isPrimary ? UInt64(hosts[index].records.count) : 0)
        seen.replayLSN = position(index).lsn
        seen.clientsAdmitted = server.gateIsOpen
        seen.synchronousNames = server.names
        if let from = source(of: index) {
            seen.receiver = ReceiverStatus(
                status: "streaming",
                timeline: Timeline(rawValue: hosts[from].records.last?.timeline ?? 1),
                sender: spec.instances[from].server,
                sinceLastMessage: .zero
            )
        }
        for (other, flushed) in server.known.enumerated() {
            guard let flushed, let incarnation = hosts[other].incarnation else { continue }
            let member = MemberID(name: spec.instances[other].name, incarnation: incarnation)
            seen.senders.append(
                SenderStatus(
                    applicationName: member.applicationName,
                    usesOwnSlot: true,
                    state: "streaming",
                    flushLSN: LSN(rawValue: UInt64(flushed))
                )
            )
        }
        return seen
    }

    /// Whether a receiver could connect, or has something to fetch.
    func canStream(_ index: Int) -> Bool {
        guard let server = hosts[index].server, server.isUp, !server.isPrimary, let from = server.upstream,
            from != index, reaches(from, index), let sender = hosts[from].server, sender.isUp
        else { return false }
        let own = hosts[index].records
        let theirs = hosts[from].records
        guard own.count <= theirs.count, own.elementsEqual(theirs.prefix(own.count)) else { return false }
        return sender.known[index] != theirs.count
    }

    /// A receiver connects and fetches all there is.
    mutating func stream(_ index: Int) {
        guard canStream(index), let from = hosts[index].server?.upstream else { return }
        let theirs = hosts[from].records
        hosts[index].records = theirs
        hosts[from].server?.known[index] = theirs.count
        settle(from)
    }

    /// A client commits.
    mutating func commit(_ index: Int) {
        guard let server = hosts[index].server, server.isUp, server.isPrimary, server.gateIsOpen else { return }
        limits.commits -= 1
        lastCommit += 1
        let timeline = hosts[index].records.last?.timeline ?? 1
        hosts[index].records.append(SmallRecord(timeline: timeline, id: lastCommit))
        let place = hosts[index].records.count - 1
        hosts[index].server?.pending.append(place)
        settle(index)
    }

    /// Acknowledges what enough of the names have flushed.
    mutating func settle(_ index: Int) {
        guard let server = hosts[index].server, server.isPrimary, !server.pending.isEmpty else { return }
        let names = SynchronousNames(server.names)
        var waiting: [Int] = []
        for place in server.pending {
            let count = hosts.indices.count { other in
                guard let flushed = server.known[other], flushed > place, let incarnation = hosts[other].incarnation
                else { return false }
                let member = MemberID(name: spec.instances[other].name, incarnation: incarnation)
                return names.applications.contains(member.applicationName)
            }
            if count >= names.required { acknowledged(index, place) } else { waiting.append(place) }
        }
        hosts[index].server?.pending = waiting
    }

    private mutating func acknowledged(_ index: Int, _ place: Int) {
        guard let server = hosts[index].server else { return }
        let name = spec.instances[index].name
        if server.term < highestTerm {
            violation = "I1: '\(name)' acknowledged in term \(server.term) after term \(highestTerm) had begun"
        }
        highestTerm = max(highestTerm, server.term)
        promise(index, through: place + 1)
    }

    mutating func promise(_ index: Int, through count: Int) {
        let records = hosts[index].records
        let common = min(count, chain.count)
        if Array(records.prefix(common)) != Array(chain.prefix(common)) {
            violation = "I3: '\(spec.instances[index].name)' goes on without a promised commit"
        }
        if count > chain.count { chain = Array(records.prefix(count)) }
    }

    /// It became primary: all that was promised must be there.
    mutating func checkPromotion(_ index: Int) {
        guard let server = hosts[index].server, server.term >= highestTerm else { return }
        if Array(hosts[index].records.prefix(chain.count)) != chain {
            let name = spec.instances[index].name
            violation = "I3: '\(name)' became primary of term \(server.term) without a promised commit"
        }
    }
}
