import ClusterModel
import Foundation

/// Writes the configuration files of controller and agents.
struct Configurations {
    let file: ClusterFile
    let folder: ClusterFolder

    func controller(_ index: Int) -> String {
        var lines = [
            "cluster: \(file.name)",
            "durability: \(file.durability.rawValue)",
            "synchronousStandbys: \(file.synchronousStandbys ?? 1)",
            "listen: \(quoted("\(file.controllers[index])"))",
            "certificates: \(quoted(folder.certificateFolder("controller")))",
            "recordFile: \(quoted(folder.recordFile))",
            "historyFile: \(quoted(folder.historyFile))",
            "instances:",
        ]
        lines += file.instances.map { instance in
            let agent = instance.agentPort.map { ", agent: \(quoted("\(instance.address):\($0)"))" } ?? ""
            return "  - {name: \(instance.name), server: \(quoted("\(instance.address):\(instance.port)"))\(agent)}"
        }
        return (lines + timings).joined(separator: "\n") + "\n"
    }

    func agent(of instance: ClusterFile.Instance) -> String {
        let name = instance.name
        let listen = [("listen", instance.agentPort), ("http", instance.probePort)].compactMap { key, port in
            port.map { "\(key): \(quoted("\(instance.address):\($0)"))" }
        }
        let lines =
            [
                "cluster: \(file.name)",
                "instance: \(name)",
                "controllers: [\(file.controllers.map { quoted("\($0)") }.joined(separator: ", "))]",
                "certificates: \(quoted(folder.certificateFolder(name.text)))",
                "launcherSocket: \(quoted(folder.launcherSocket(name)))",
                "dataFolder: \(quoted(folder.volume(name)))",
            ] + listen + timings + [
                "postgres:",
                "  server: \(quoted("\(instance.address):\(instance.port)"))",
                "  socketFolder: \(quoted(folder.folder(name)))",
                "  superuser: postgres",
                "  replicationPasswordFile: \(quoted(folder.passwordFile(name)))",
                "  settings: {shared_buffers: 32MB}",
                // On hosts of their own the servers' clients are those beside them.
                "  accessRules: [\"host all all \(instance.host == nil ? "127.0.0.0/8" : "samenet") trust\"]",
            ]
        return lines.joined(separator: "\n") + "\n"
    }

    private var timings: [String] {
        if file.timings.isEmpty { return [] }
        let entries = file.timings.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
        return ["timings: {\(entries.joined(separator: ", "))}"]
    }

    /// YAML's double-quoted text; paths with line breaks or quotes were refused before.
    private func quoted(_ text: String) -> String {
        "\"" + text.replacingOccurrences(of: "\\", with: "\\\\") + "\""
    }
}
