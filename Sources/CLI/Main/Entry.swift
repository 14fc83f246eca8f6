import ArgumentParser
import Foundation
import LocalCluster
import Platform

/// Runs one command and turns what became of it into words and an exit code.
@main
enum Entry {
    static func main() async {
        Signals.ignoreBrokenPipes()
        do {
            var command = try Understudy.parseAsRoot()
            if var waiting = command as? any AsyncParsableCommand {
                try await waiting.run()
            } else {
                try command.run()
            }
        } catch let failure as CommandFailure {
            complain(failure.description)
            exit(failure.kind.rawValue)
        } catch let code as ExitCode {
            exit(code.rawValue)
        } catch let failure as PlatformError {
            complain(failure.description)
            exit(CommandFailure.Kind.failed.rawValue)
        } catch {
            leave(for: error)
        }
    }

    /// Help and version are answers; anything else that the parser throws is wrong usage.
    private static func leave(for error: any Error) -> Never {
        let message = Understudy.fullMessage(for: error)
        switch Understudy.exitCode(for: error) {
        case .success:
            print(message)
            exit(0)
        case .validationFailure:
            try? FileHandle.standardError.write(contentsOf: Data((message + "\n").utf8))
            exit(CommandFailure.Kind.usage.rawValue)
        default:
            complain("\(error)")
            exit(CommandFailure.Kind.failed.rawValue)
        }
    }

    private static func complain(_ sentence: String) {
        try? FileHandle.standardError.write(contentsOf: Data("understudy: \(sentence)\n".utf8))
    }
}

/// Prints a line at once, also into a pipe.
@Sendable
func say(_ line: String) {
    try? FileHandle.standardOutput.write(contentsOf: Data((line + "\n").utf8))
}
