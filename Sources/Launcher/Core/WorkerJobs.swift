import CPlatform
import Glibc
import LauncherProtocol

/// A child of the worker that is no part of the server: a file operation, or a tool under its supervisor.
final class Job {
    let processID: Int32
    let connection: Int?
    let request: UInt32
    let isTool: Bool
    var outputs: [ToolStream: Int32]
    /// What a file operation answered, or why it was not done.
    var answer: [UInt8] = []
    var deadline: Int64?
    var timedOut = false
    var end: ProcessEnd?
    /// Done by the worker once a file operation has answered `done`.
    var afterwards: (() -> LauncherReply)?

    init(processID: Int32, connection: Int?, request: UInt32, isTool: Bool, outputs: [ToolStream: Int32]) {
        self.processID = processID
        self.connection = connection
        self.request = request
        self.isTool = isTool
        self.outputs = outputs
    }
}

extension Worker {
    private static let jobLimit = 32

    /// Why no new work is taken now; `nil` when it is.
    func reasonToWait(for connection: Int) -> LauncherReply? {
        if jobs.values.contains(where: { $0.connection != nil && $0.connection != connection }) {
            return .failure(.busy, "work of an earlier connection is still being ended; ask again")
        }
        if jobs.count >= Worker.jobLimit {
            return .failure(.busy, "\(jobs.count) tools and file operations run already; ask again")
        }
        return nil
    }

    // MARK: File operations

    func startFileOperation(
        _ request: LauncherRequest,
        id: UInt32,
        connection: Int?,
        afterwards: (() -> LauncherReply)? = nil
    ) {
        guard let answer = System.pipe() else {
            reply(.failure(.failed, "could not start a file operation: no pipe"), to: id, of: connection)
            return
        }
        let child = CPlatform_fork()
        if child == 0 {
            bindToWorker(keeping: [answer.writing, world.folder])
            let reply = DataFolder(descriptor: world.folder).answer(request)
            _exit(System.writeAll(answer.writing, LauncherMessage.reply(id: id, reply).encoded()) == 0 ? 0 : 1)
        }
        System.close(answer.writing)
        guard child > 0 else {
            System.close(answer.reading)
            reply(.failure(.failed, "could not start a file operation: no process"), to: id, of: connection)
            return
        }
        let job = Job(
            processID: child,
            connection: connection,
            request: id,
            isTool: false,
            outputs: [.output: answer.reading]
        )
        job.afterwards = afterwards
        jobs[child] = job
    }

    // MARK: Tools

    func startTool(
        _ tool: String,
        _ arguments: [String],
        _ environment: [EnvironmentVariable],
        timeoutMilliseconds: UInt64,
        connection: Int,
        request: UInt32
    ) {
        guard ServerTools.allowed.contains(tool) else {
            let list = ServerTools.allowed.joined(separator: ", ")
            reply(.failure(.refused, "could not run '\(tool)': only \(list) are run"), to: request, of: connection)
            return
        }
        guard let output = System.pipe(), let error = System.pipe() else {
            reply(.failure(.failed, "could not run \(tool): no pipe"), to: request, of: connection)
            return
        }
        let child = CPlatform_fork()
        if child == 0 {
            guard dup2(output.writing, 1) >= 0, dup2(error.writing, 2) >= 0 else { _exit(1) }
            superviseTool(world.settings.toolFolder + "/" + tool, arguments, mergedEnvironment(environment))
        }
        System.close(output.writing)
        System.close(error.writing)
        guard child > 0 else {
            System.close(output.reading)
            System.close(error.reading)
            reply(.failure(.failed, "could not run \(tool): no process"), to: request, of: connection)
            return
        }
        let job = Job(
            processID: child,
            connection: connection,
            request: request,
            isTool: true,
            outputs: [.output: output.reading, .error: error.reading]
        )
        if timeoutMilliseconds > 0 {
            job.deadline = CPlatform_boot_time() + Int64(min(timeoutMilliseconds, 1 << 40)) * 1_000_000
        }
        jobs[child] = job
        reply(.started(processID: child), to: request, of: connection)
    }

    /// In a forked child: runs the tool, and ends once nothing that came from it is left.
    private func superviseTool(_ program: String, _ arguments: [String], _ environment: [String]) -> Never {
        bindToWorker(keeping: [world.folder])
        _ = unsafe CPlatform_set_name("launcher-tool")
        guard CPlatform_become_subreaper() == 0, fchdir(world.folder) == 0 else { _exit(1) }
        let supervisor = getpid()
        let child = CPlatform_fork()
        if child == 0 {
            _ = CPlatform_die_with_parent(SIGKILL)
            guard getppid() == supervisor else { _exit(1) }
            CPlatform_reset_signals()
            let code = System.execute(program, arguments, environment: environment)
            let text = "could not run \(program): \(System.text(ofError: code))\n"
            _ = System.writeAll(2, Array(text.utf8))
            _exit(127)
        }
        guard child > 0 else { _exit(1) }
        let end = Supervisor.watch(child: child, signals: CPlatform_signal_descriptor()) { signal, _ in
            signal == SIGTERM ? .killEverything : .nothing
        }
        Supervisor.endLike(end)
    }

    /// Ends a job: a tool with everything under it, a file operation at once.
    func end(_ job: Job) {
        guard job.end == nil else { return }
        _ = kill(job.processID, job.isTool ? SIGTERM : SIGKILL)
    }

    // MARK: Output and end

    func readJob(_ processID: Int32, _ stream: ToolStream) {
        guard let job = jobs[processID], let descriptor = job.outputs[stream] else { return }
        switch System.read(descriptor, limit: LauncherFrame.outputLimit) {
        case .nothingYet: return
        case .bytes(let bytes):
            if !job.isTool {
                if job.answer.count <= LauncherFrame.limit { job.answer += bytes }
            } else if job.connection == commander {
                tell(.toolOutput(tool: job.request, stream: stream, bytes: Array(bytes)))
            }
        case .end, .failed:
            System.close(descriptor)
            job.outputs[stream] = nil
            finishIfComplete(job)
        }
    }

    func finishIfComplete(_ job: Job) {
        guard let end = job.end, job.outputs.isEmpty else { return }
        jobs[job.processID] = nil
        guard let connection = job.connection, connection == commander else { return }
        if job.isTool {
            tell(.toolExited(tool: job.request, end: end, timedOut: job.timedOut))
            return
        }
        guard !job.answer.isEmpty, job.answer.count <= LauncherFrame.limit else {
            let reason = job.answer.isEmpty ? "the file operation ended by \(end)" : "the answer is too long to send"
            reply(.failure(.failed, reason), to: job.request, of: connection)
            return
        }
        if let afterwards = job.afterwards,
            let message = try? LauncherMessage(decoding: job.answer), message == .reply(id: job.request, .done)
        {
            reply(afterwards(), to: job.request, of: connection)
        } else {
            commandingConnection?.send(job.answer)
        }
    }
}
