package import ClusterModel
import Foundation
import Platform

/// What a local cluster is, kept in its folder: this file makes the folder ours.
package struct ClusterFile: Codable, Hashable, Sendable {
    /// One server with its agent and launcher.
    package struct Instance: Codable, Hashable, Sendable {
        package var name: InstanceName
        package var port: UInt16
        /// Where its server listens; nil stands for this machine's loopback address.
        package var host: String?
        /// Where its agent answers the others'; nil in clusters made before agents did.
        package var agentPort: UInt16?
        /// Where its agent answers probes over HTTP; nil in clusters made before agents did.
        package var probePort: UInt16?

        package var address: String { host ?? ClusterFile.loopback }
    }

    /// A process that was started, told apart from a later one of the same number by its start time.
    package struct Started: Codable, Hashable, Sendable {
        package var part: ClusterPart
        package var instance: InstanceName?
        package var processID: Int32
        /// Clock ticks after the machine's start, as in `/proc/PID/stat`.
        package var startTicks: UInt64
    }

    /// Marks the file as ours, with the version of its format.
    package static let currentFormat = "understudy local cluster 1"
    static let sizeLimit = 1 << 20

    package var format: String
    package var name: ClusterName
    package var durability: Durability
    /// Nil stands for one, as in clusters that were made before this could be chosen.
    package var synchronousStandbys: Int?
    package var postgresBin: String
    /// Account of the operating system that servers, agents and controller run as.
    package var account: String
    package var controllerPort: UInt16
    /// Where the controller listens; nil stands for this machine's loopback address.
    package var controllerHost: String?
    /// Ports of the controllers that stand by beside the first; nil if there are none.
    package var furtherControllerPorts: [UInt16]?
    /// Where those listen; nil stands for the host of the first.
    package var furtherControllerHosts: [String]?
    package var instances: [Instance]
    /// Timings of the protocol that differ from the default, as the configuration files spell them.
    package var timings: [String: String]
    package var processes: [Started]

    static let loopback = "127.0.0.1"

    /// The names of the instances, in order of rank.
    package var names: [InstanceName] { instances.map(\.name) }

    /// Where each controller listens, the first one first.
    package var controllerPorts: [UInt16] { [controllerPort] + (furtherControllerPorts ?? []) }

    /// Where each controller is asked.
    var controllers: [Endpoint] {
        let first = controllerHost ?? Self.loopback
        let hosts = [first] + (furtherControllerHosts ?? [])
        return controllerPorts.enumerated().map { index, port in
            Endpoint(host: index < hosts.count ? hosts[index] : first, port: port)
        }
    }

    /// What people call a controller: it has a number only where there are several.
    package func controllerName(_ index: Int) -> String {
        controllerPorts.count == 1 ? "controller" : "controller-\(index + 1)"
    }

    /// How a client connects to whichever instance is primary.
    package var connectionString: String {
        let hosts = instances.map(\.address).joined(separator: ",")
        let ports = instances.map { "\($0.port)" }.joined(separator: ",")
        return "postgresql://postgres@/postgres?host=\(hosts)&port=\(ports)&target_session_attrs=read-write"
    }

    /// Reads the file of a folder.
    ///
    /// - Returns: nil if there is none.
    package static func read(in folder: ClusterFolder) throws(CommandFailure) -> ClusterFile? {
        let bytes: [UInt8]?
        do {
            bytes = try DurableFile.read(folder.clusterFile, limit: sizeLimit)
        } catch {
            throw CommandFailure(.failed, "\(error); run as the user who brought the cluster up")
        }
        guard let bytes else { return nil }
        do {
            let file = try JSONDecoder().decode(ClusterFile.self, from: Data(bytes))
            guard file.format == currentFormat else {
                throw CommandFailure(
                    .refused,
                    "could not use the cluster in \(folder.path): its format is '\(file.format.prefix(60))', this "
                        + "version of understudy knows '\(currentFormat)'; use the version that made it"
                )
            }
            return file
        } catch let failure as CommandFailure {
            throw failure
        } catch {
            throw CommandFailure(
                .refused,
                "could not read \(folder.clusterFile): it is no description of a local cluster; mend it, or name "
                    + "another directory with --directory"
            )
        }
    }

    /// Reads the file of a folder in which there must be a cluster.
    package static func require(in folder: ClusterFolder) throws(CommandFailure) -> ClusterFile {
        guard let file = try read(in: folder) else {
            throw CommandFailure(
                .usage,
                "could not find a local cluster in \(folder.path): there is no cluster.json; start one with "
                    + "\(folder.command("up")), or name its directory with --directory"
            )
        }
        return file
    }

    func write(in folder: ClusterFolder) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try DurableFile.write(Array(try encoder.encode(self)) + [0x0A], to: folder.clusterFile, mode: 0o644)
    }
}

extension ClusterFile {
    /// Stands for whatever cluster may have been in a directory: its processes are found by the places of their files.
    static var anything: ClusterFile? {
        guard let name = ClusterName("local") else { return nil }
        return ClusterFile(
            format: currentFormat,
            name: name,
            durability: .async,
            postgresBin: "",
            account: "",
            controllerPort: 1,
            furtherControllerPorts: Array(repeating: 1, count: LocalCluster.controllerLimit - 1),
            instances: LocalCluster.instanceNames.compactMap(InstanceName.init).map { Instance(name: $0, port: 1) },
            timings: [:],
            processes: []
        )
    }
}

/// The programs that make up a cluster.
package enum ClusterPart: String, Codable, Hashable, Sendable, CaseIterable {
    case server, agent, launcher, controller
}
