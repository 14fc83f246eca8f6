package import ClusterModel
import ClusterProtocol
import ControlChannel
import Foundation
import TLSTransport

/// Asks the controller of a local cluster.
package struct ControllerQuestion: Sendable {
    private let client: OperatorClient
    private let softwareVersion = Version.current

    /// - Throws: `CommandFailure` if the operator's certificate cannot be used.
    package init(of file: ClusterFile, in folder: ClusterFolder) throws(CommandFailure) {
        do {
            let tls = try TLSContext(files: folder.certificates("operator"))
            client = OperatorClient(
                cluster: file.name,
                endpoints: file.controllers,
                tls: tls,
                software: "understudy \(softwareVersion)",
                mend: "\(folder.command("up")) starts what does not run"
            )
        } catch {
            throw CommandFailure(.failed, "\(error)")
        }
    }

    /// The state of the cluster as the controller sees it.
    ///
    /// - Throws: `CommandFailure` if the controller does not answer in time.
    package func view(deadline: Duration = .seconds(2)) async throws(CommandFailure) -> ClusterView {
        let answer: OperatorAnswer
        do {
            answer = try await client.ask(.status, deadline: deadline)
        } catch {
            throw CommandFailure(.failed, "\(error)")
        }
        switch answer {
        case .status(let json):
            guard let view = try? JSONDecoder().decode(ClusterView.self, from: Data(json.utf8)) else {
                throw CommandFailure(
                    .failed,
                    "could not read the controller's answer: it is of another version; use the same version of all "
                        + "programs"
                )
            }
            return view
        case .rejected(let reason): throw CommandFailure(.failed, "could not ask the controller: \(reason)")
        case .command: throw CommandFailure(.failed, "could not ask the controller: it answered another question")
        }
    }

    /// Gives a command, once.
    ///
    /// - Returns: What was done.
    /// - Throws: `CommandFailure` with the controller's reason, and the exit code that it means.
    package func give(
        _ command: ClusterCommand,
        deadline: Duration = .seconds(10)
    ) async throws(CommandFailure) -> String {
        let (verb, arguments) = command.words
        let answer: OperatorAnswer
        do {
            answer = try await client.ask(.command(verb: verb, arguments: arguments), deadline: deadline)
        } catch {
            throw CommandFailure(.failed, "\(error)")
        }
        switch answer {
        case .command(0, let text): return text
        case .command(let code, let text):
            throw CommandFailure(CommandFailure.Kind(rawValue: code) ?? .failed, "could not \(verb): \(text)")
        case .rejected(let reason): throw CommandFailure(.failed, "could not \(verb): \(reason)")
        case .status: throw CommandFailure(.failed, "could not \(verb): the controller answered another question")
        }
    }
}

/// The version of all programs.
package enum Version {
    package static let current = "0.1.0"
}
