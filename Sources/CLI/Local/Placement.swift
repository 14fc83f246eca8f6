package import ClusterModel
package import Platform

/// A cluster whose parts run on hosts of their own, started and watched by whoever asks for it.
package struct Placement: Sendable {
    package var directory: String
    package var name: ClusterName
    package var durability: Durability
    /// The instances, in order of rank, with the address of each one's host.
    package var instances: [(name: InstanceName, address: String)]
    /// The addresses of the controllers' hosts; all controllers reach the same folder.
    package var controllerAddresses: [String]
    package var serverPort: UInt16 = 5432
    package var controllerPort: UInt16 = 7432
    package var agentPort: UInt16 = 7431
    /// Of every agent's answers to probes.
    package var probePort: UInt16 = 8008
    /// Timings that differ from the default, as the configuration files spell them.
    package var timings: [String: String] = [:]
    package var postgresBin: String?
    /// The folder of launcher, agent and controller; nil stands for that of this program.
    package var programs: String?

    package init(
        directory: String,
        name: ClusterName,
        durability: Durability,
        instances: [(name: InstanceName, address: String)],
        controllerAddresses: [String]
    ) {
        self.directory = directory
        self.name = name
        self.durability = durability
        self.instances = instances
        self.controllerAddresses = controllerAddresses
    }
}

extension LocalCluster {
    /// Writes configurations, certificates and folders, and starts nothing.
    package static func layOut(_ placement: Placement) async throws -> LocalCluster {
        let account = try Account.current()
        let folder = try ClusterFolder(named: placement.directory)
        let further = placement.controllerAddresses.dropFirst()
        let file = ClusterFile(
            format: ClusterFile.currentFormat,
            name: placement.name,
            durability: placement.durability,
            postgresBin: try await PostgresInstallation.find(named: placement.postgresBin, for: account).folder,
            account: account.user.name,
            controllerPort: placement.controllerPort,
            controllerHost: placement.controllerAddresses.first,
            furtherControllerPorts: further.isEmpty ? nil : further.map { _ in placement.controllerPort },
            furtherControllerHosts: further.isEmpty ? nil : Array(further),
            instances: placement.instances.map { instance in
                ClusterFile.Instance(
                    name: instance.name,
                    port: placement.serverPort,
                    host: instance.address,
                    agentPort: placement.agentPort,
                    probePort: placement.probePort
                )
            },
            timings: placement.timings,
            processes: []
        )
        try await prepare(folder, for: account)
        let beside = try placement.programs ?? Programs.ownFolder()
        let programs = try await Programs.find(beside: beside, for: account, copies: folder.programs)
        let cluster = LocalCluster(folder: folder, file: file, account: account, programs: programs)
        try file.write(in: folder)
        try cluster.writeFiles()
        let logs = file.controllerPorts.indices.map(folder.controllerLog) + file.names.map(folder.agentLog)
        for log in logs { try account.write("", to: log) }
        return cluster
    }

    /// How a part is started, of several controllers the one counted by `index`; nil of a server, which its launcher
    /// starts.
    package func request(for part: ClusterPart, of name: InstanceName?, index: Int = 0) -> ProcessRequest? {
        switch part {
        case .controller: controllerRequest(index)
        case .launcher: name.map(launcherRequest)
        case .agent: name.map(agentRequest)
        case .server: nil
        }
    }

    /// Has an agent show certificates, once it starts anew, that nobody else trusts.
    package func exchangeCertificates(of name: InstanceName) throws {
        try Certificates(file: file, folder: folder, account: account).exchange(of: name)
    }

    /// Gives an agent its own certificates back, which it reads on SIGHUP.
    ///
    /// - Returns: Whether it had others.
    package func restoreCertificates(of name: InstanceName) throws -> Bool {
        try Certificates(file: file, folder: folder, account: account).restore(of: name)
    }
}
