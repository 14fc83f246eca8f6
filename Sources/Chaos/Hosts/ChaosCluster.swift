package import ClusterModel
import Foundation
package import LocalCluster
import Platform

/// A cluster of real servers on hosts of their own, with everything that can be done to it.
package struct ChaosCluster: Sendable {
    package static let instanceNames = ["one", "two", "three"]
    /// Two, of which one leads; they share a folder with the record, as over a network file system.
    package static let controllerNames = ["control", "deputy"]
    package static let clientName = "client"

    package let namespaces: Namespaces
    package let fabric: Fabric
    package let keeper: Keeper
    package let local: LocalCluster
    /// The file system that can run full, and the instance on it.
    package let volume: Volume
    package let volumeInstance: InstanceName
    /// The instance whose host counts its time since another moment.
    package let offsetInstance: InstanceName?

    package struct Options: Sendable {
        package var directory: String
        package var durability: Durability
        package var seed: UInt64
        package var programs: String?
        package var postgresBin: String?

        package init(directory: String, durability: Durability, seed: UInt64) {
            self.directory = directory
            self.durability = durability
            self.seed = seed
        }
    }

    /// The hosts that a run needs, none of them made yet.
    package static func hosts() -> Namespaces {
        Namespaces(hosts: instanceNames + controllerNames + [clientName], own: clientName)
    }

    package static func volume(in directory: String) -> Volume {
        Volume(path: "\(directory)/\(instanceNames[0])/volume", image: "\(directory)/volume.image")
    }

    /// Megabytes of the small file system: room for the server and one copy of it beside.
    private static let volumeSize = 1200

    /// Makes the hosts and starts everything on them.
    package static func bringUp(
        _ options: Options,
        on namespaces: Namespaces,
        report: @escaping @Sendable (String) -> Void
    ) async throws -> ChaosCluster {
        let names = instanceNames.compactMap { InstanceName($0) }
        let controllers = controllerNames.compactMap { namespaces[$0] }
        guard let first = names.first, let name = ClusterName("chaos"), controllers.count == controllerNames.count
        else { throw CommandFailure(.failed, "could not name the hosts") }
        try Self.note(options.directory)
        try await namespaces.make()
        let fabric = try namespaces.startFabric(seed: options.seed)
        let hostNames = namespaces.hosts.map(\.name).joined(separator: ", ")
        report("\(namespaces.hosts.count) hosts are connected: \(hostNames).")
        try ServerAccount.makeFolder(options.directory)
        try ServerAccount.makeFolder("\(options.directory)/\(first)")
        let volume = volume(in: options.directory)
        try await volume.mount(megabytes: volumeSize)
        var placement = Placement(
            directory: options.directory,
            name: name,
            durability: options.durability,
            instances: names.compactMap { name in namespaces[name.text].map { (name, $0.address) } },
            controllerAddresses: controllers.map(\.address)
        )
        // Rounds follow each other faster than failures do in life.
        placement.timings = ["repeatedFailoverDelay": "0ms"]
        placement.programs = options.programs
        placement.postgresBin = options.postgresBin
        let local = try await LocalCluster.layOut(placement)
        let offset = await TimeOffset.make(in: options.directory) ? names.dropFirst().first : nil
        if let offset { report("The clocks of \(offset) count from another moment, \(TimeOffset.seconds) s before.") }
        let cluster = ChaosCluster(
            namespaces: namespaces,
            fabric: fabric,
            keeper: Keeper(report: report),
            local: local,
            volume: volume,
            volumeInstance: first,
            offsetInstance: offset
        )
        for (index, host) in controllers.enumerated() {
            try cluster.start(.controller, of: nil, index: index, on: host)
        }
        for name in names {
            let host = try cluster.host(name)
            try cluster.start(.launcher, of: name, on: host)
            try cluster.start(.agent, of: name, on: host)
        }
        return cluster
    }

    /// Removes what a run made, in whatever state it is.
    package static func tearDown(_ namespaces: Namespaces, directory: String, fabric: Fabric?) async {
        await namespaces.remove()
        fabric?.end()
        await unmount(directory)
        let own = ProcessInfo.processInfo.processIdentifier
        try? FileManager.default.removeItem(atPath: "\(notes)/\(notePrefix)\(own)")
    }

    /// Refuses a machine on which hosts cannot be made.
    package static func requirePrograms() throws(CommandFailure) {
        let needed = [
            ("/usr/sbin/ip", "iproute2"), ("/usr/sbin/mkfs.ext4", "e2fsprogs"), ("/usr/bin/mount", "mount"),
            ("/usr/bin/umount", "mount"), ("/usr/bin/nsenter", "util-linux"), ("/usr/bin/unshare", "util-linux"),
            ("/usr/bin/fallocate", "util-linux"), ("/usr/sbin/fsfreeze", "util-linux"),
            ("/usr/bin/truncate", "coreutils"), ("/usr/bin/dd", "coreutils"),
        ]
        for (program, package) in needed where !FileManager.default.isExecutableFile(atPath: program) {
            throw CommandFailure(
                .failed,
                "could not find \(program), needed to make hosts; install it with `apt-get install \(package)`"
            )
        }
    }

    /// Removes what earlier runs left that were killed; those that still run are left alone.
    package static func sweep(report: (String) -> Void) async {
        await Namespaces.sweep(report: report)
        let names = (try? FileManager.default.contentsOfDirectory(atPath: notes)) ?? []
        for name in names.sorted() where name.hasPrefix(notePrefix) {
            guard let process = Int32(name.dropFirst(notePrefix.count)), RunningProcess(process) == nil else {
                continue
            }
            let note = "\(notes)/\(name)"
            if let bytes = try? DurableFile.read(note, limit: 4096) {
                let directory = String(decoding: bytes, as: UTF8.self)
                report("Unmounting what an earlier run left in \(directory).")
                await unmount(directory)
            }
            try? FileManager.default.removeItem(atPath: note)
        }
    }

    /// Where each run says which directory it works in, so that another can clean up after it.
    private static let notes = "/run"
    private static let notePrefix = "understudy-chaos-"

    private static func note(_ directory: String) throws {
        let own = ProcessInfo.processInfo.processIdentifier
        try DurableFile.write(Array(directory.utf8), to: "\(notes)/\(notePrefix)\(own)")
    }

    private static func unmount(_ directory: String) async {
        await volume(in: directory).unmount()
        await TimeOffset.remove(from: directory)
    }

    package var file: ClusterFile { local.file }
    package var names: [InstanceName] { local.file.names }

    /// Where the controllers run.
    package var controllers: [Host] { Self.controllerNames.compactMap { namespaces[$0] } }

    package func host(_ name: InstanceName) throws(CommandFailure) -> Host {
        guard let host = namespaces[name.text] else {
            throw CommandFailure(.failed, "could not find the host of \(name)")
        }
        return host
    }

    /// The host of the controller that a view says leads; the first one's if it says nothing.
    func leader(in view: ClusterView?) -> Host {
        let endpoint = view?.controller
        return controllers.first { $0.address == endpoint?.host } ?? controllers[0]
    }

    /// What the leading controller shows; nil if none answers.
    package func view() async -> ClusterView? {
        try? await ControllerQuestion(of: local.file, in: local.folder).view(deadline: .seconds(1))
    }

    /// The postmaster of an instance, if it runs.
    package func server(of name: InstanceName) -> RunningProcess? {
        ClusterProcesses(of: local.file, in: local.folder).servers[name]
    }

    private func start(_ part: ClusterPart, of name: InstanceName?, index: Int = 0, on host: Host) throws {
        guard let request = local.request(for: part, of: name, index: index) else { return }
        var enter = ["--net=\(host.namespaceFile)"]
        if let name, name == offsetInstance { enter.append("--time=\(TimeOffset.file(in: local.folder.path))") }
        var moved = request
        moved.program = "/usr/bin/nsenter"
        moved.arguments = enter + ["--", request.program] + request.arguments
        try keeper.start(Keeper.Part(part, on: host), moved)
    }
}

/// Clocks of one host that count from another moment: no instant of two machines may ever be compared.
enum TimeOffset {
    /// Ten days.
    static let seconds = 864_000

    static func file(in directory: String) -> String { "\(directory)/time" }

    /// - Returns: Whether this kernel can do it.
    static func make(in directory: String) async -> Bool {
        let path = file(in: directory)
        guard (try? DurableFile.write([], to: path)) != nil else { return false }
        let arguments = ["--time=\(path)", "--boottime", "\(seconds)", "--monotonic", "\(seconds)", "/usr/bin/true"]
        let request = ProcessRequest("/usr/bin/unshare", arguments)
        let outcome = try? await ChildProcess.run(request, deadline: .seconds(10))
        return outcome?.exit.isSuccess ?? false
    }

    static func remove(from directory: String) async {
        let mounts = (try? String(contentsOfFile: "/proc/mounts", encoding: .utf8)) ?? ""
        guard mounts.contains(" \(file(in: directory)) ") else { return }
        let request = ProcessRequest("/usr/bin/umount", [file(in: directory)])
        _ = try? await ChildProcess.run(request, deadline: .seconds(10))
    }
}
