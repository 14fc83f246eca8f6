package import ClusterModel
import Foundation

/// The processes of one local cluster that run now, found by what they were started with.
///
/// Nothing is believed that was written down: a process counts because its command line names this cluster's files,
/// so that what an interrupted start left behind is found, too.
package struct ClusterProcesses: Sendable {
    /// By their place among the controllers of the cluster.
    package var controllers: [Int: RunningProcess] = [:]
    package var agents: [InstanceName: RunningProcess] = [:]
    /// Of each launcher the outermost process: its guard.
    package var launchers: [InstanceName: RunningProcess] = [:]
    package var servers: [InstanceName: RunningProcess] = [:]
    /// Every process that belongs to an instance's launcher or works in its data directory, children included.
    var remains: [InstanceName: [RunningProcess]] = [:]

    /// Looks at the machine.
    package init(of file: ClusterFile, in folder: ClusterFolder) {
        let everything = RunningProcess.all()
        func started(_ program: String, with argument: String) -> [RunningProcess] {
            everything.filter { $0.program == program && $0.arguments.contains(argument) }
        }
        for index in file.controllerPorts.indices {
            controllers[index] = started("understudy-controller", with: folder.controllerConfiguration(index)).first
        }
        for name in file.names {
            agents[name] = started("understudy-agent", with: folder.agentConfiguration(name)).first
            let pair = started("understudy-launcher", with: folder.launcherSocket(name))
            launchers[name] = pair.first { one in !pair.contains { $0.processID == one.parent } }
            let data = folder.dataDirectory(name)
            // The kernel's words for a directory that was taken away under a process.
            let inData = everything.filter { [data, data + " (deleted)"].contains($0.workingDirectory) }
            servers[name] = Self.postmaster(of: data, among: inData)
            remains[name] = pair + inData
        }
    }

    /// The process that `postmaster.pid` names, if it truly works in that data directory.
    private static func postmaster(of data: String, among processes: [RunningProcess]) -> RunningProcess? {
        guard let text = try? String(contentsOfFile: "\(data)/postmaster.pid", encoding: .utf8),
            let line = text.split(separator: "\n").first, let number = Int32(line.drop { $0 == "-" })
        else { return nil }
        return processes.first { $0.processID == number }
    }

    /// The first controller that runs, for those who need any.
    package var controller: RunningProcess? { controllers.min { $0.key < $1.key }?.value }

    /// Every process that belongs to the cluster, in order of its number.
    var all: [RunningProcess] {
        let parts = Array(controllers.values) + Array(agents.values) + Array(launchers.values)
        let found = Set(parts + remains.values.flatMap(\.self))
        return found.sorted { $0.processID < $1.processID }
    }

    /// All of them, for `cluster.json`.
    func started(_ names: [InstanceName]) -> [ClusterFile.Started] {
        var list: [ClusterFile.Started] = []
        func add(_ part: ClusterPart, _ instance: InstanceName?, _ process: RunningProcess?) {
            guard let process else { return }
            list.append(
                ClusterFile.Started(
                    part: part,
                    instance: instance,
                    processID: process.processID,
                    startTicks: process.startTicks
                )
            )
        }
        for (_, controller) in controllers.sorted(by: { $0.key < $1.key }) { add(.controller, nil, controller) }
        for name in names {
            add(.launcher, name, launchers[name])
            add(.agent, name, agents[name])
            add(.server, name, servers[name])
        }
        return list
    }

    /// What is missing of a cluster that is up, such as `agent of two`.
    package func missing(of file: ClusterFile) -> [String] {
        var list = file.controllerPorts.indices.filter { controllers[$0] == nil }.map(file.controllerName)
        for name in file.names {
            if launchers[name] == nil { list.append("launcher of \(name)") }
            if agents[name] == nil { list.append("agent of \(name)") }
        }
        return list
    }

    var isEmpty: Bool {
        controllers.isEmpty && agents.isEmpty && launchers.isEmpty && remains.values.allSatisfy(\.isEmpty)
    }
}
