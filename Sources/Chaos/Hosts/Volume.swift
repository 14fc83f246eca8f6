import Foundation
import LocalCluster
import Platform
import Synchronization

/// A small file system in a file, so that "no space left" is real.
package final class Volume: Sendable {
    /// Where it is mounted.
    package let path: String
    private let image: String
    private let isFrozen = Mutex(false)

    private var filler: String { "\(path)/filler" }

    package init(path: String, image: String) {
        self.path = path
        self.image = image
    }

    /// Makes and mounts it; the folder above must exist.
    package func mount(megabytes: Int) async throws {
        try DurableFile.makeDirectory(path)
        try await Self.run("/usr/bin/truncate", ["--size=\(megabytes)M", image])
        try await Self.run("/usr/sbin/mkfs.ext4", ["-q", "-F", "-m", "0", image])
        try await Self.run("/usr/bin/mount", ["-o", "loop", image, path])
        try? FileManager.default.removeItem(atPath: "\(path)/lost+found")
    }

    /// Takes all the space that is left.
    package func fill() async throws {
        // To write now would be to hang as well.
        if isFrozen.withLock({ $0 }) { return }
        let attributes = try FileManager.default.attributesOfFileSystem(forPath: path)
        let free = (attributes[.systemFreeSize] as? NSNumber)?.int64Value ?? 0
        _ = try? await Self.run("/usr/bin/fallocate", ["--length", "\(max(free, 4096))", filler])
        // What is too small for one piece is taken by writing until it fails.
        _ = try? await Self.run("/usr/bin/dd", ["if=/dev/zero", "of=\(filler).rest", "bs=4096", "conv=fsync"])
    }

    /// Gives the space back.
    package func release() {
        for name in [filler, "\(filler).rest"] { try? FileManager.default.removeItem(atPath: name) }
    }

    /// Lets every write wait until it is thawed; whoever waits cannot be killed.
    package func freeze() async throws {
        if isFrozen.withLock({ $0 }) { return }
        try await Self.run(Self.freezer, ["--freeze", path])
        isFrozen.withLock { $0 = true }
    }

    /// Lets writes go on; a file system that is not frozen is left as it is.
    package func thaw() async {
        if (try? await Self.run(Self.freezer, ["--unfreeze", path])) != nil { isFrozen.withLock { $0 = false } }
    }

    private static let freezer = "/usr/sbin/fsfreeze"

    /// Unmounts it; processes that use it must be gone.
    package func unmount() async {
        await thaw()
        for _ in 0..<50 {
            let mounts = (try? String(contentsOfFile: "/proc/mounts", encoding: .utf8)) ?? ""
            guard mounts.contains(" \(path) ") else { return }
            if (try? await Self.run("/usr/bin/umount", [path])) != nil { continue }
            usleep(100_000)
        }
        _ = try? await Self.run("/usr/bin/umount", ["--lazy", path])
    }

    private static func run(_ program: String, _ arguments: [String]) async throws {
        let outcome = try await ChildProcess.run(ProcessRequest(program, arguments), deadline: .seconds(60))
        guard outcome.exit.isSuccess else {
            let words = outcome.errorText.split(separator: "\n").joined(separator: "; ")
            let call = ([program] + arguments).joined(separator: " ")
            throw CommandFailure(.failed, "could not run `\(call)`: \(words)")
        }
    }
}
