import CNetwork
import Foundation
package import LocalCluster
import Platform

/// A host: a network namespace with one cable into the switch.
package struct Host: Hashable, Sendable {
    /// What it is called in words.
    package let name: String
    /// Its port on the switch, from 0.
    package let port: Int
    /// The name of the namespace.
    package let namespace: String

    package var address: String { "10.117.0.\(port + 1)" }
    package var hardwareAddress: String { "02:55:53:00:00:0\(port)" }
    package var namespaceFile: String { "/run/netns/\(namespace)" }
    var cable: String { "port\(port)" }
}

/// The namespaces of one run, removed with everything that runs in them.
package struct Namespaces: Sendable {
    package let hosts: [Host]
    /// The host whose network this process is in.
    let own: String
    /// Where the switch's ends of the cables lie.
    let fabric: String

    private static let prefix = "us-"
    private static let program = "/usr/sbin/ip"

    /// The hosts of this process, not made yet.
    package init(hosts names: [String], own: String) {
        let run = "\(Self.prefix)\(ProcessInfo.processInfo.processIdentifier)"
        self.own = own
        hosts = names.enumerated().map { Host(name: $1, port: $0, namespace: "\(run)-\($1)") }
        fabric = "\(run)-fabric"
    }

    package subscript(name: String) -> Host? { hosts.first { $0.name == name } }

    /// Makes all hosts with their cables; every host knows the others' hardware addresses for good.
    ///
    /// So a cut link stays silent: nobody is told that a host cannot be reached.
    package func make() async throws {
        try await Self.ip(["netns", "add", fabric])
        for host in hosts {
            if host.name == own {
                let process = ProcessInfo.processInfo.processIdentifier
                try await Self.ip(["netns", "attach", host.namespace, "\(process)"])
            } else {
                try await Self.ip(["netns", "add", host.namespace])
            }
            try await Self.ip([
                "link", "add", "cable", "netns", host.namespace, "address", host.hardwareAddress, "mtu", "9000",
                "type", "veth", "peer", "name", host.cable, "netns", fabric, "mtu", "9000",
            ])
            try await Self.ip(["-n", host.namespace, "link", "set", "cable", "addrgenmode", "none"])
            try await Self.ip(["-n", fabric, "link", "set", host.cable, "addrgenmode", "none", "up"])
            try await Self.ip(["-n", host.namespace, "link", "set", "lo", "up"])
            try await Self.ip(["-n", host.namespace, "link", "set", "cable", "up"])
            try await Self.ip(["-n", host.namespace, "address", "add", "\(host.address)/24", "dev", "cable"])
            try disableOffloads(of: host)
            for other in hosts where other != host {
                try await Self.ip([
                    "-n", host.namespace, "neighbour", "replace", other.address, "lladdr", other.hardwareAddress,
                    "nud", "permanent", "dev", "cable",
                ])
            }
        }
    }

    /// Starts the switch between them.
    package func startFabric(seed: UInt64) throws -> Fabric {
        try Fabric.start(interfaces: hosts.map(\.cable), in: "/run/netns/\(fabric)", seed: seed)
    }

    /// Ends every process of the hosts and removes the namespaces.
    package func remove() async {
        for host in hosts where host.name != own { await HostProcesses(of: host).endAll() }
        for namespace in hosts.map(\.namespace) + [fabric] { try? await Self.ip(["netns", "delete", namespace]) }
    }

    /// Moves this process into a network of its own, which becomes that of the clients' host.
    ///
    /// To be called before there is any thread but this one: later ones inherit the network of their maker.
    package static func leaveOwnNetwork() throws(CommandFailure) {
        guard CNetwork_leave() == 0 else {
            throw CommandFailure(.failed, "could not make a network namespace: \(SystemError.text(errno))")
        }
    }

    /// Removes what earlier runs left that did not come to their end; those that still run are left alone.
    static func sweep(report: (String) -> Void) async {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/run/netns")) ?? []
        for name in names.sorted() where name.hasPrefix(prefix) {
            let parts = name.dropFirst(prefix.count).split(separator: "-", maxSplits: 1)
            guard parts.count == 2, let process = Int32(parts[0]), RunningProcess(process) == nil else { continue }
            report("Removing the host \(name) that an earlier run left.")
            await HostProcesses(of: Host(name: name, port: 0, namespace: name)).endAll()
            try? await ip(["netns", "delete", name])
        }
    }

    private func disableOffloads(of host: Host) throws {
        let outcome = Latch<Int32>()
        try WorkerThread.start("offloads") {
            var code: Int32 = 0
            if unsafe CNetwork_join(host.namespaceFile) != 0 || CNetwork_disable_offloads("cable") != 0 { code = errno }
            outcome.set(code)
        }
        let code = outcome.wait()
        guard code == 0 else {
            let cause = SystemError.text(code)
            throw CommandFailure(.failed, "could not prepare the cable of the host \(host.name): \(cause)")
        }
    }

    private static func ip(_ arguments: [String]) async throws {
        let outcome = try await ChildProcess.run(ProcessRequest(program, arguments), deadline: .seconds(10))
        guard outcome.exit.isSuccess else {
            let words = outcome.errorText.split(separator: "\n").joined(separator: "; ")
            throw CommandFailure(.failed, "could not run `ip \(arguments.joined(separator: " "))`: \(words)")
        }
    }
}
