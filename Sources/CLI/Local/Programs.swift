import Foundation
import Platform

/// The programs that stand beside this one.
struct Programs: Hashable, Sendable {
    /// The folder they are started from.
    let folder: String

    private static let names = ["understudy-launcher", "understudy-agent", "understudy-controller"]

    var launcher: String { "\(folder)/understudy-launcher" }
    var agent: String { "\(folder)/understudy-agent" }
    var controller: String { "\(folder)/understudy-controller" }

    /// Finds them and makes sure that the account can run them, in a copy if it cannot reach them where they are.
    ///
    /// `beside` is the folder of this program's own executable, `copies` the one where copies may be put.
    static func find(beside: String, for account: Account, copies: String) async throws -> Programs {
        let found = Programs(folder: beside)
        for name in names where !FileManager.default.isExecutableFile(atPath: "\(beside)/\(name)") {
            throw CommandFailure(
                .failed,
                "could not find the program \(name) in \(beside): build all of them with `make build`"
            )
        }
        guard let complaint = await found.complaint(of: account) else { return found }
        try account.makeFolder(copies)
        let manager = FileManager.default
        for name in names {
            let target = "\(copies)/\(name)"
            try? manager.removeItem(atPath: target)
            try manager.copyItem(atPath: "\(beside)/\(name)", toPath: target)
            try manager.setAttributes([.posixPermissions: 0o755], ofItemAtPath: target)
            try account.takeOwnership(target)
        }
        let copied = Programs(folder: copies)
        guard await copied.complaint(of: account) != nil else { return copied }
        throw CommandFailure(
            .failed,
            "could not run \(beside)/understudy-agent as user '\(account.user.name)': \(complaint); build understudy in "
                + "a directory that this user may enter, with Swift installed where it may read"
        )
    }

    /// The folder of the executable of this process.
    static func ownFolder() throws(CommandFailure) -> String {
        guard let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"),
            let slash = path.lastIndex(of: "/")
        else { throw CommandFailure(.failed, "could not find this program's own folder: /proc is not mounted") }
        return String(path[..<slash])
    }

    private func complaint(of account: Account) async -> String? {
        for program in [agent, controller] {
            do {
                let outcome = try await ChildProcess.run(
                    account.request(program, ["--version"]),
                    deadline: .seconds(20)
                )
                if outcome.exit.isSuccess { continue }
                let words = outcome.errorText.split(separator: "\n").first.map(String.init)
                return words ?? "it ended with \(outcome.exit)"
            } catch {
                return "\(error)"
            }
        }
        return nil
    }
}
