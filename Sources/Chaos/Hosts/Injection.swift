package import ClusterModel
import Foundation
package import LocalCluster
import Platform

/// A fault at work: who was struck, and how it is undone.
package struct Injection: Sendable {
    package let fault: Fault
    /// For people, with the name of whom it struck.
    package let text: String
    package let host: Host
}

extension ChaosCluster {
    /// Injects a fault; `primary` is who is primary as far as is known.
    package func inject(_ fault: Fault, primary: InstanceName?) async throws -> Injection {
        let name: InstanceName
        switch fault.target {
        case .primary: name = primary ?? names[0]
        case .instance(let rank): name = names[rank % names.count]
        case .volume: name = volumeInstance
        case .controller, .everybody: name = names[0]
        }
        let host = fault.target == .controller ? leader(in: await view()) : try host(name)
        let whom = fault.target == .everybody ? "everybody" : host.name
        switch fault.kind {
        case .diskFull: try await volume.fill()
        case .diskHung: try await volume.freeze()
        case .certificateForeign:
            try local.exchangeCertificates(of: name)
            keeper.signal(Keeper.Part(.agent, on: host), SIGKILL)
        case .everythingKilled:
            // Held first: nobody may come back before the last has gone.
            for one in namespaces.hosts { keeper.hold(keeper.parts(of: one)) }
            for one in namespaces.hosts where one.name != Self.clientName { await HostProcesses(of: one).endAll() }
        default: await strike(fault.kind, host, name)
        }
        let text = "\(fault.kind.rawValue.split(separator: "_").joined(separator: " ")): \(whom)"
        return Injection(fault: fault, text: text, host: host)
    }

    private func strike(_ kind: FaultKind, _ host: Host, _ name: InstanceName) async {
        let parts = keeper.parts(of: host)
        switch kind {
        case .postmasterKilled: server(of: name)?.signal(SIGKILL)
        case .postmasterFrozen: server(of: name)?.signal(SIGSTOP)
        case .agentKilled: kill(.agent, on: host)
        case .launcherKilled: kill(.launcher, on: host)
        case .controllerKilled: kill(.controller, on: host)
        case .agentFrozen: keeper.signal(Keeper.Part(.agent, on: host), SIGSTOP)
        case .controllerFrozen: keeper.signal(Keeper.Part(.controller, on: host), SIGSTOP)
        case .hostFrozen: HostProcesses(of: host).freeze()
        case .podKilled:
            keeper.hold(parts)
            await HostProcesses(of: host).endAll()
        case .hostKilled:
            keeper.hold(parts)
            setLinks(of: host, incoming: .cut, outgoing: .cut)
            await HostProcesses(of: host).endAll()
        case .isolated: setLinks(of: host, incoming: .cut, outgoing: .cut)
        case .deaf: setLinks(of: host, incoming: .cut, outgoing: .perfect)
        case .mute: setLinks(of: host, incoming: .perfect, outgoing: .cut)
        case .cutFromController:
            setLinks(of: host, incoming: .cut, outgoing: .cut) { Self.controllerNames.contains($0.name) }
        case .cutFromInstances:
            setLinks(of: host, incoming: .cut, outgoing: .cut) { Self.instanceNames.contains($0.name) }
        case .slowLink: setLinks(of: host, incoming: Self.slow, outgoing: Self.slow)
        case .lossyLink: setLinks(of: host, incoming: Self.lossy, outgoing: Self.lossy)
        case .diskFull, .diskHung, .certificateForeign, .everythingKilled: break
        }
    }

    /// Undoes a fault.
    package func heal(_ injection: Injection) async {
        let host = injection.host
        switch injection.fault.kind {
        case .diskFull:
            // Nothing can be deleted while another fault has it hang.
            await volume.thaw()
            volume.release()
        case .diskHung: await volume.thaw()
        case .certificateForeign: restoreCertificates(on: host)
        case .everythingKilled: for one in namespaces.hosts { keeper.release(keeper.parts(of: one)) }
        case .postmasterFrozen, .agentFrozen, .hostFrozen, .controllerFrozen: HostProcesses(of: host).thaw()
        case .agentKilled, .launcherKilled, .controllerKilled, .podKilled: keeper.release(keeper.parts(of: host))
        case .hostKilled:
            setLinks(of: host, incoming: .perfect, outgoing: .perfect)
            keeper.release(keeper.parts(of: host))
        case .isolated, .deaf, .mute, .cutFromController, .cutFromInstances, .slowLink, .lossyLink:
            setLinks(of: host, incoming: .perfect, outgoing: .perfect)
        case .postmasterKilled: break
        }
    }

    /// Undoes everything, whatever was done.
    package func healAll() async {
        await volume.thaw()
        fabric.change { table in
            for from in namespaces.hosts {
                for to in namespaces.hosts { table[from.port, to.port] = .perfect }
            }
        }
        volume.release()
        for host in namespaces.hosts {
            restoreCertificates(on: host)
            HostProcesses(of: host).thaw()
            keeper.release(keeper.parts(of: host))
        }
    }

    private func restoreCertificates(on host: Host) {
        guard let name = names.first(where: { $0.text == host.name }) else { return }
        guard (try? local.restoreCertificates(of: name)) == true else { return }
        keeper.signal(Keeper.Part(.agent, on: host), SIGHUP)
    }

    /// Sets the rules of all links of a host, in both directions.
    package func setLinks(
        of host: Host,
        incoming: LinkRule,
        outgoing: LinkRule,
        with isMeant: (Host) -> Bool = { _ in true }
    ) {
        fabric.change { table in
            for other in namespaces.hosts where other != host && isMeant(other) {
                table[other.port, host.port] = incoming
                table[host.port, other.port] = outgoing
            }
        }
    }

    /// Kills a part, which stays down until it is released.
    package func kill(_ part: ClusterPart, on host: Host) {
        keeper.hold([Keeper.Part(part, on: host)])
        keeper.signal(Keeper.Part(part, on: host), SIGKILL)
    }

    private static let slow = {
        var rule = LinkRule()
        rule.delay = .milliseconds(80)
        rule.jitter = .milliseconds(60)
        rule.reorderPerMille = 20
        return rule
    }()

    private static let lossy = {
        var rule = LinkRule()
        rule.lossPerMille = 100
        rule.duplicatePerMille = 20
        return rule
    }()
}
