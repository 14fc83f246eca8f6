package import ClusterModel
import Foundation
import Platform
import TLSTransport

/// Where everything of one local cluster lies.
package struct ClusterFolder: Hashable, Sendable {
    /// Absolute path, symbolic links resolved.
    package let path: String

    /// Longest path: the server's Unix socket below it must stay under the 107 bytes that Linux allows.
    package static let lengthLimit = 70

    package init(path: String) { self.path = path }

    /// How a person asks something of this very cluster, to be pasted.
    func command(_ words: String) -> String { "`understudy local \(words) --directory \(path)`" }

    /// Makes what the user named absolute and resolves what exists of it; nil stands for the default place.
    package init(named directory: String?) throws(CommandFailure) {
        let expanded = NSString(string: directory ?? Self.defaultPath).expandingTildeInPath
        guard !expanded.isEmpty, !expanded.contains(where: \.isNewline), !expanded.contains("\"") else {
            throw CommandFailure(.usage, "could not use the directory '\(expanded)': its name must be one plain line")
        }
        // The working directory may be gone: then only an absolute path has a meaning.
        let absolute = URL(fileURLWithPath: expanded).standardizedFileURL.resolvingSymlinksInPath().path
        guard absolute.utf8.count <= Self.lengthLimit else {
            throw CommandFailure(
                .usage,
                "could not use the directory \(absolute): it is longer than \(Self.lengthLimit) characters, and a Unix "
                    + "socket below it would not fit; choose a shorter one with --directory"
            )
        }
        guard absolute != "/" else {
            throw CommandFailure(.usage, "could not use the directory /: choose one of its own with --directory")
        }
        let kind = (try? FileManager.default.attributesOfItem(atPath: absolute))?[.type] as? FileAttributeType
        guard kind == nil || kind == .typeDirectory else {
            throw CommandFailure(
                .usage,
                "could not use the directory \(absolute): it is a file; name a directory with --directory"
            )
        }
        path = absolute
    }

    /// Where a cluster lies if nobody says otherwise.
    package static var defaultPath: String {
        if UserAccount.isSuperuser { return "/var/lib/understudy/local" }
        let environment = ProcessInfo.processInfo.environment
        let home = environment["HOME"] ?? UserAccount.withID(UserAccount.currentUserID)?.home ?? "/tmp"
        return "\(home)/.understudy/local"
    }

    var clusterFile: String { "\(path)/cluster.json" }
    var lockFile: String { "\(path)/understudy.lock" }
    var programs: String { "\(path)/programs" }
    var controllerFolder: String { "\(path)/controller" }
    func controllerConfiguration(_ index: Int) -> String { "\(path)/controller/controller\(suffix(index)).yaml" }
    func controllerLog(_ index: Int) -> String { "\(path)/controller/controller\(suffix(index)).log" }
    private func suffix(_ index: Int) -> String { index == 0 ? "" : "-\(index + 1)" }
    var recordFile: String { "\(path)/controller/record.json" }
    /// What happened to the cluster, one JSON object a line.
    package var historyFile: String { "\(path)/controller/history.jsonl" }

    func folder(_ name: InstanceName) -> String { "\(path)/\(name)" }
    func volume(_ name: InstanceName) -> String { "\(path)/\(name)/volume" }
    func agentConfiguration(_ name: InstanceName) -> String { "\(path)/\(name)/agent.yaml" }
    func agentLog(_ name: InstanceName) -> String { "\(path)/\(name)/agent.log" }
    func launcherSocket(_ name: InstanceName) -> String { "\(path)/\(name)/launcher.sock" }
    func launcherLog(_ name: InstanceName) -> String { "\(path)/\(name)/launcher.log" }
    func launcherProcessFile(_ name: InstanceName) -> String { "\(path)/\(name)/launcher.pid" }
    func serverLog(_ name: InstanceName) -> String { "\(path)/\(name)/postgres.log" }
    func passwordFile(_ name: InstanceName) -> String { "\(path)/\(name)/replication-password" }

    /// The data directory of an instance's server.
    package func dataDirectory(_ name: InstanceName) -> String { "\(volume(name))/pgdata" }

    func certificates(_ peer: String) -> TLSFiles {
        let folder = certificateFolder(peer)
        return TLSFiles(
            authorities: "\(folder)/ca.pem",
            certificate: "\(folder)/certificate.pem",
            key: "\(folder)/key.pem"
        )
    }

    func certificateFolder(_ peer: String) -> String { "\(path)/certificates/\(peer)" }
}
