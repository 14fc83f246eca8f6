package import ClusterModel
import Foundation
import Platform
import TLSTransport

/// A cluster on this machine: real servers, each with launcher and agent, and one controller.
package struct LocalCluster: Sendable {
    /// What `understudy local up` was asked for; nil stands for "as it is, or the default".
    package struct Options: Sendable {
        package var directory: String?
        package var instances: Int?
        package var durability: Durability?
        package var synchronousStandbys: Int?
        package var postgresBin: String?
        package var port: Int?
        package var name: String?
        /// How many controllers: one leads, the others stand by.
        package var controllers: Int?
        /// Timings that differ from the default, as the configuration files spell them.
        package var timings: [String: String] = [:]

        package init(directory: String? = nil) { self.directory = directory }
    }

    package let folder: ClusterFolder
    package private(set) var file: ClusterFile
    let account: Account
    let programs: Programs
    /// What was started or found running by this program.
    private(set) var parts: [Part] = []

    /// One program of the cluster, watched for its end.
    struct Part: Sendable {
        let what: String
        let log: String
        private let child: ChildProcess?
        private let adopted: RunningProcess?

        init(_ what: String, started child: ChildProcess, log: String) {
            self.what = what
            self.log = log
            self.child = child
            adopted = nil
        }

        init(_ what: String, adopted: RunningProcess, log: String) {
            self.what = what
            self.log = log
            child = nil
            self.adopted = adopted
        }

        var isAlive: Bool {
            if let child { return child.exit == nil }
            return adopted?.isAlive ?? false
        }
    }

    static let controllerLimit = 5
    static let defaultInstances = 3
    package static let instanceNames = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

    /// Makes the cluster, or takes up the one that is there: starts what does not run and keeps all data.
    ///
    /// `report` takes lines for the person who waits.
    package static func bringUp(
        _ options: Options,
        programsBeside: String? = nil,
        report: @Sendable (String) -> Void
    ) async throws -> LocalCluster {
        let account = try Account.current()
        try checkRanges(options)
        let folder = try ClusterFolder(named: options.directory)
        let known = try ClusterFile.read(in: folder)
        let file: ClusterFile
        let server: PostgresInstallation
        if let known {
            try compare(options, with: known, in: folder)
            file = known
            server = try await PostgresInstallation.examine(known.postgresBin, for: account)
        } else {
            try requireNoStrays(folder)
            try requireFree(folder)
            (file, server) = try await draft(options, account)
        }
        try await prepare(folder, for: account)
        let lock = try acquireLock(folder)
        defer { withExtendedLifetime(lock) {} }
        let beside = try programsBeside ?? Programs.ownFolder()
        let programs = try await Programs.find(beside: beside, for: account, copies: folder.programs)
        var cluster = LocalCluster(folder: folder, file: file, account: account, programs: programs)
        if known == nil { try file.write(in: folder) }
        report(cluster.headline(isNew: known == nil, server.release))
        if let warning = server.release.warning { report("Warning: \(warning)") }
        try cluster.writeFiles()
        try cluster.startMissing(report)
        return cluster
    }

    /// The exclusive right to change what runs in the folder.
    static func acquireLock(_ folder: ClusterFolder) throws -> FileLock {
        do {
            return try FileLock.acquire(folder.lockFile)
        } catch {
            throw CommandFailure(
                .failed,
                "could not use the cluster in \(folder.path): another understudy is at work there, or the folder "
                    + "belongs to another user (\(error.cause)); wait for it, or run as the owner"
            )
        }
    }

    /// What no cluster can be, whether there is one already or not.
    private static func checkRanges(_ options: Options) throws(CommandFailure) {
        if let count = options.instances, !(1...instanceNames.count).contains(count) {
            throw CommandFailure(.usage, "could not make \(count) instances: choose 1 to \(instanceNames.count)")
        }
        if let controllers = options.controllers, !(1...controllerLimit).contains(controllers) {
            throw CommandFailure(.usage, "could not make \(controllers) controllers: choose 1 to \(controllerLimit)")
        }
        if let port = options.port {
            let count = 2 * (options.instances ?? defaultInstances) + (options.controllers ?? 1)
            try PortChoice.checkRange(port, count)
        }
        let most = instanceNames.count - 1
        if let standbys = options.synchronousStandbys, !(1...most).contains(standbys) {
            throw CommandFailure(
                .usage,
                "could not have commits wait for \(PlainText.count(standbys, "standby")): choose 1 to \(most), fewer than there are instances"
            )
        }
    }

    /// Where a cluster's directory was taken away, its processes may still hold the ports, and write there again.
    private static func requireNoStrays(_ folder: ClusterFolder) throws(CommandFailure) {
        guard let strays = Teardown(ofStraysIn: folder) else { return }
        throw CommandFailure(
            .refused,
            "could not make a cluster in \(folder.path): processes of an earlier one run there "
                + "(\(strays.processNumbers)); end them with \(folder.command("down"))"
        )
    }

    /// A cluster that is there already must be what this call asks for: nothing is changed unseen.
    private static func compare(
        _ options: Options,
        with file: ClusterFile,
        in folder: ClusterFolder
    ) throws(CommandFailure) {
        var differences: [String] = []
        var changeable = 0
        func note(_ flag: String, _ asked: String?, _ there: String) {
            if let asked, asked != there { differences.append("\(flag) is \(there) there, not \(asked)") }
        }
        note("--durability", options.durability?.rawValue, file.durability.rawValue)
        note(
            "--synchronous-standbys",
            options.synchronousStandbys.map { "\($0)" },
            "\(file.synchronousStandbys ?? 1)"
        )
        changeable = differences.count
        note("--instances", options.instances.map { "\($0)" }, "\(file.instances.count)")
        note("--controllers", options.controllers.map { "\($0)" }, "\(file.controllerPorts.count)")
        note("--name", options.name, file.name.text)
        note("--port", options.port.map { "\($0)" }, "\(file.instances.first?.port ?? 0)")
        note("--postgres-bin", options.postgresBin.map(PostgresInstallation.standardized), file.postgresBin)
        guard !differences.isEmpty else { return }
        let mode = (options.durability ?? file.durability).rawValue
        let standbys = options.synchronousStandbys.map { " --synchronous-standbys \($0)" } ?? ""
        var mends = ["leave the flags out to take it up as it is"]
        if changeable > 0 {
            mends.append("change it while it runs with " + folder.command("durability \(mode)\(standbys)"))
        }
        if differences.count > changeable {
            mends.append("name another --directory, or remove it with " + folder.command("down --remove"))
        }
        throw CommandFailure(
            .refused,
            "could not bring up the cluster in \(folder.path) as asked: \(differences.joined(separator: "; ")); "
                + mends.joined(separator: "; ")
        )
    }

    /// A folder that is neither empty nor ours is not touched.
    private static func requireFree(_ folder: ClusterFolder) throws(CommandFailure) {
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: folder.path) else { return }
        guard attributes[.type] as? FileAttributeType == .typeDirectory else {
            throw CommandFailure(
                .usage,
                "could not use \(folder.path): it is a file; name a directory with --directory"
            )
        }
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder.path) else {
            throw CommandFailure(
                .failed,
                "could not read the directory \(folder.path): run as its owner, or name another"
            )
        }
        // What a first start left that failed before the cluster was described.
        guard
            names.isEmpty
                || names.contains("understudy.lock") && Set(names).isSubset(of: ["understudy.lock", "programs"])
        else {
            throw CommandFailure(
                .refused,
                "could not use the directory \(folder.path): it is not empty and holds no local cluster; name an empty or "
                    + "new one with --directory"
            )
        }
    }

    private static func draft(
        _ options: Options,
        _ account: Account
    ) async throws(CommandFailure) -> (ClusterFile, PostgresInstallation) {
        let count = options.instances ?? defaultInstances
        let controllers = options.controllers ?? 1
        let durability = options.durability ?? ClusterSpec.defaultDurability(instances: count)
        guard durability != .required || count > 1 else {
            throw CommandFailure(
                .usage,
                "could not make 1 instance with durability 'required': a commit waits for a standby; choose at least "
                    + "2 instances, or --durability async"
            )
        }
        guard let name = ClusterName(options.name ?? "local") else {
            throw CommandFailure(
                .usage,
                "could not name the cluster '\((options.name ?? "").prefix(60))': only a-z, 0-9 and inner hyphens, at "
                    + "most 50, are allowed"
            )
        }
        let server = try await PostgresInstallation.find(named: options.postgresBin, for: account)
        let base = try PortChoice.choose(3 * count + controllers, base: options.port)
        let instances = instanceNames.prefix(count).enumerated().compactMap { index, text in
            InstanceName(text).map { name in
                ClusterFile.Instance(
                    name: name,
                    port: UInt16(base + index),
                    agentPort: UInt16(base + count + controllers + index),
                    probePort: UInt16(base + 2 * count + controllers + index)
                )
            }
        }
        let file = ClusterFile(
            format: ClusterFile.currentFormat,
            name: name,
            durability: durability,
            synchronousStandbys: try synchronousStandbys(options, count, durability),
            postgresBin: server.folder,
            account: account.user.name,
            controllerPort: UInt16(base + count),
            furtherControllerPorts: controllers == 1 ? nil : (1..<controllers).map { UInt16(base + count + $0) },
            instances: instances,
            timings: options.timings,
            processes: []
        )
        return (file, server)
    }

    private static func synchronousStandbys(
        _ options: Options,
        _ count: Int,
        _ durability: Durability
    ) throws(CommandFailure) -> Int? {
        guard let wanted = options.synchronousStandbys else { return nil }
        guard durability.isSynchronous, (1...max(1, count - 1)).contains(wanted) else {
            throw CommandFailure(
                .usage,
                durability.isSynchronous
                    ? "could not have commits wait for \(PlainText.count(wanted, "standby")): "
                        + "\(PlainText.count(count, "instance")) can have \(count - 1) of them; choose 1 to \(max(1, count - 1))"
                    : "could not have commits wait for standbys: durability 'async' waits for nobody; choose 'preferred' "
                        + "or 'required'"
            )
        }
        return wanted
    }

    static func prepare(_ folder: ClusterFolder, for account: Account) async throws {
        let parent = URL(fileURLWithPath: folder.path).deletingLastPathComponent().path
        do {
            try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
            if !FileManager.default.fileExists(atPath: folder.path) { try account.makeFolder(folder.path) }
        } catch {
            throw CommandFailure(
                .failed,
                "could not make the directory \(folder.path): \(plain(error)); choose one with --directory"
            )
        }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        // An empty folder that somebody made for this is given to the account; a full one was checked before.
        if names.isEmpty { try account.takeOwnership(folder.path) }
        let check = account.request("/usr/bin/test", ["-w", folder.path, "-a", "-x", folder.path])
        let outcome = try await ChildProcess.run(check, deadline: .seconds(10))
        guard outcome.exit.isSuccess else {
            throw CommandFailure(
                .failed,
                "could not use the directory \(folder.path): user '\(account.user.name)', as whom the servers run, may not "
                    + "enter or change it; choose another with --directory"
            )
        }
    }

    private func headline(isNew: Bool, _ release: PostgresRelease) -> String {
        "\(isNew ? "Making" : "Taking up") cluster '\(file.name)' in \(folder.path): \(file.instances.count) instances, "
            + "durability \(file.durability.rawValue), PostgreSQL \(release)"
    }

    /// Folders, certificates and configuration; all but the certificates are written anew each time.
    func writeFiles() throws {
        try account.makeFolder(folder.controllerFolder)
        try account.makeFolder("\(folder.path)/certificates")
        if !FileManager.default.fileExists(atPath: folder.certificates("operator").key) {
            try Certificates(file: file, folder: folder, account: account).make()
        }
        let configurations = Configurations(file: file, folder: folder)
        for index in file.controllerPorts.indices {
            try account.write(configurations.controller(index), to: folder.controllerConfiguration(index))
        }
        let password = try replicationPassword()
        for instance in file.instances {
            try account.makeFolder(folder.folder(instance.name))
            try account.makeFolder(folder.volume(instance.name))
            try account.write(configurations.agent(of: instance), to: folder.agentConfiguration(instance.name))
            try account.write(password, to: folder.passwordFile(instance.name))
        }
    }

    /// The password by which standbys receive; the same for all, made once.
    private func replicationPassword() throws -> String {
        if let first = file.names.first,
            let bytes = try DurableFile.read(folder.passwordFile(first), limit: 4096), !bytes.isEmpty
        {
            return String(decoding: bytes, as: UTF8.self)
        }
        let digits = (0..<4).map { _ in String(UInt64.random(in: .min ... .max), radix: 36) }
        return digits.joined() + "\n"
    }

    /// Starts every part that does not run; a port that somebody else holds is found before anything is started.
    private mutating func startMissing(_ report: (String) -> Void) throws {
        let running = ClusterProcesses(of: file, in: folder)
        for (index, port) in file.controllerPorts.enumerated() where running.controllers[index] == nil {
            try PortChoice.check(Int(port))
        }
        for instance in file.instances where running.servers[instance.name] == nil {
            try PortChoice.check(Int(instance.port))
        }
        for instance in file.instances where running.agents[instance.name] == nil {
            for case let port? in [instance.agentPort, instance.probePort] { try PortChoice.check(Int(port)) }
        }
        for index in file.controllerPorts.indices {
            let (what, log) = (file.controllerName(index), folder.controllerLog(index))
            try start(what, running.controllers[index], controllerRequest(index), log: log, report)
        }
        for name in file.names {
            let launcher = launcherRequest(name)
            try start("launcher of \(name)", running.launchers[name], launcher, log: folder.launcherLog(name), report)
            try start("agent of \(name)", running.agents[name], agentRequest(name), log: folder.agentLog(name), report)
        }
    }

    private mutating func start(
        _ what: String,
        _ running: RunningProcess?,
        _ request: ProcessRequest,
        log: String,
        _ report: (String) -> Void
    ) throws {
        if let running {
            report("  \(what) runs already (process \(running.processID))")
            parts.append(Part(what, adopted: running, log: log))
            return
        }
        if !FileManager.default.fileExists(atPath: log) { try account.write("", to: log) }
        let child = try ChildProcess.start(request)
        report("  \(what) started (process \(child.processID))")
        parts.append(Part(what, started: child, log: log))
    }

    func controllerRequest(_ index: Int) -> ProcessRequest {
        let arguments = ["--config", folder.controllerConfiguration(index)]
        return account.request(programs.controller, arguments, logFile: folder.controllerLog(index))
    }

    func agentRequest(_ name: InstanceName) -> ProcessRequest {
        account.request(programs.agent, ["--config", folder.agentConfiguration(name)], logFile: folder.agentLog(name))
    }

    /// Root starts it as root: a launcher becomes the owner of its data folder by itself.
    func launcherRequest(_ name: InstanceName) -> ProcessRequest {
        let arguments = [
            "--data-folder", folder.volume(name), "--socket", folder.launcherSocket(name), "--postgres-bin",
            file.postgresBin, "--pid-file", folder.launcherProcessFile(name), "--log-file", folder.serverLog(name),
        ]
        return ProcessRequest(
            programs.launcher,
            arguments,
            environment: account.environment,
            logFile: folder.launcherLog(name),
            hasOwnSession: true
        )
    }

    /// Notes in `cluster.json` what runs now.
    mutating func noteProcesses() throws {
        file.processes = ClusterProcesses(of: file, in: folder).started(file.names)
        try file.write(in: folder)
    }
}

/// An error in words, without the frills that Foundation adds.
func plain(_ error: any Error) -> String {
    if let failure = error as? CommandFailure { return failure.description }
    if let failure = error as? PlatformError { return failure.description }
    let described = error as NSError
    if let cause = described.userInfo[NSUnderlyingErrorKey] as? NSError { return cause.localizedDescription }
    return "\(error)"
}
