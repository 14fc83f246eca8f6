import InstanceDecision
import LauncherClient
import LauncherProtocol

/// What is asked of the launcher.
extension PostgresAdapter {
    static let hangUp: Int32 = 1
    static let terminate: Int32 = 15

    /// One question to the launcher.
    func launch<Value: Sendable>(
        _ body: @Sendable (LauncherClient) async throws(LauncherError) -> Value
    ) async throws(WorkError) -> Value {
        do throws(LauncherError) {
            return try await body(launcher)
        } catch {
            throw WorkError(error)
        }
    }

    func place(
        _ path: String,
        _ text: String,
        mode: UInt32 = 0o600,
        durable: Bool = true
    ) async throws(WorkError) {
        // What was given up writes nothing any more, not even through the connection that came after it.
        if Task.isCancelled { throw .cancelled }
        do throws(LauncherError) {
            try await launcher.place(path, Array(text.utf8), mode: mode, durable: durable)
        } catch {
            // It may yet be written, over what comes after it: a new connection ends what the old one began.
            if error.code == .timedOut { launcher.disconnect() }
            throw WorkError(error)
        }
    }

    /// Whether any process of the server is alive, as its parent says.
    func serverRuns() async throws(WorkError) -> Bool {
        let status = try await launch { (l) throws(LauncherError) in try await l.status() }
        if case .down = status.server { return false }
        return true
    }

    /// The text of a file; nil if there is none.
    func readText(_ path: String, limit: Int = 1 << 20) async throws(WorkError) -> String? {
        let bytes: [UInt8]?
        do throws(LauncherError) {
            bytes = try await launcher.read(path, limit: limit)
        } catch {
            if error.code == .absent { return nil }
            throw WorkError(error)
        }
        return bytes.map { String(decoding: $0, as: UTF8.self) }
    }

    func removeFile(_ path: String) async throws(WorkError) {
        if Task.isCancelled { throw .cancelled }
        _ = try await launch { (l) throws(LauncherError) in try await l.remove(path) }
    }

    func exists(_ path: String) async throws(WorkError) -> Bool {
        do throws(LauncherError) {
            return try await launcher.inspect(path) != nil
        } catch {
            if error.code == .absent { return false }
            throw WorkError(error)
        }
    }

    /// Signals the postmaster, or one of the server's processes.
    func signal(_ number: Int32, _ processID: Int32? = nil) async throws(WorkError) {
        try await launch { (l) throws(LauncherError) in try await l.signal(number, processID: processID) }
    }

    /// Signals a process that may have ended by itself.
    func signalIfAlive(_ number: Int32, _ processID: Int32) async {
        try? await launcher.signal(number, processID: processID)
    }

    /// Runs one of the server's tools to its successful end.
    ///
    /// - Returns: The tail of its output.
    @discardableResult
    func tool(
        _ name: String,
        _ arguments: [String],
        timeout: Duration? = nil,
        onOutput: (@Sendable (ToolStream, [UInt8]) -> Void)? = nil
    ) async throws(WorkError) -> String {
        let result = try await toolResult(name, arguments, timeout: timeout, onOutput: onOutput)
        if Task.isCancelled { throw .cancelled }
        if result.timedOut { throw WorkError("\(name) did not end in time") }
        guard result.isSuccess else {
            let lines = result.outputTail.split(whereSeparator: \.isNewline).suffix(4)
            let words = lines.isEmpty ? "it said nothing" : lines.joined(separator: "; ")
            throw WorkError("\(name) ended with \(result.end): \(words)")
        }
        return result.outputTail
    }

    func toolResult(
        _ name: String,
        _ arguments: [String],
        timeout: Duration? = nil,
        onOutput: (@Sendable (ToolStream, [UInt8]) -> Void)? = nil
    ) async throws(WorkError) -> ToolResult {
        let environment = [
            EnvironmentVariable("LC_ALL", "C"), EnvironmentVariable("PGPASSFILE", passwordFile),
            EnvironmentVariable("PGCONNECT_TIMEOUT", "5"),
        ]
        return try await launch { (l) throws(LauncherError) in
            try await l.run(
                name,
                arguments: arguments,
                environment: environment,
                timeout: timeout,
                onOutput: onOutput
            )
        }
    }

    var passwordFile: String { "\(configuration.dataFolder)/\(InstanceLayout.passwords)" }

    /// Reads a control file; once more if a running server was just writing it.
    func controlData(of folder: String) async throws(WorkError) -> ControlData {
        var problem = ""
        for _ in 0..<3 {
            let path = "\(configuration.dataFolder)/\(folder)"
            let text = try await tool("pg_controldata", ["-D", path], timeout: .seconds(10))
            if !text.contains("WARNING") { return ControlData(text) }
            problem = text.split(whereSeparator: \.isNewline).prefix(2).joined(separator: "; ")
            try await pause(.milliseconds(20))
        }
        throw WorkError("the control file of \(folder) is damaged or of another version: \(problem)")
    }
}
