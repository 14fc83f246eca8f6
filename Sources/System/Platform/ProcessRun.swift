import Glibc

/// What a program that ran to its end, or to its deadline, left behind.
public struct ProcessOutcome: Sendable, Hashable {
    /// How it ended.
    public let exit: ProcessExit
    /// Tells whether it was killed because its time was over.
    public let timedOut: Bool
    /// The beginning of its standard output.
    public let output: [UInt8]
    /// The beginning of its standard error.
    public let errorOutput: [UInt8]
    /// Tells whether output beyond the limit was thrown away.
    public let wasTruncated: Bool

    /// The standard output as text.
    public var outputText: String { String(decoding: output, as: UTF8.self) }
    /// The standard error as text.
    public var errorText: String { String(decoding: errorOutput, as: UTF8.self) }
}

extension ChildProcess {
    /// Runs a program to its end and keeps what it printed.
    ///
    /// - Parameters:
    ///   - request: What to start.
    ///   - deadline: How long it may take; then its whole process group is killed.
    ///   - outputLimit: How many bytes of each of its outputs are kept; the rest is read and thrown away.
    /// - Returns: The outcome, once the program has ended; a program it left behind is not waited for.
    /// - Throws: `PlatformError` if it could not be started.
    public static func run(
        _ request: ProcessRequest,
        deadline: Duration,
        outputLimit: Int = 65536
    ) async throws(PlatformError) -> ProcessOutcome {
        let output = try FileDescriptor.pipe()
        let errors = try FileDescriptor.pipe()
        let ended = try FileDescriptor.pipe()
        let endMark = ended.writing
        let child = try start(request, output: output.writing, errors: errors.writing) { _ = endMark.write([1]) }
        let collector = OutputCollector(
            child: child,
            sources: [output.reading, errors.reading],
            ended: ended.reading,
            deadline: MonotonicClock.now() + deadline,
            limit: outputLimit
        )
        let collected = await withCheckedContinuation { continuation in
            do {
                try WorkerThread.start("collect") { continuation.resume(returning: collector.collect()) }
            } catch {
                child.signal(SIGKILL, wholeGroup: true)
                continuation.resume(returning: .init(timedOut: true))
            }
        }
        return ProcessOutcome(
            exit: await child.waitForExit(),
            timedOut: collected.timedOut,
            output: collected.contents[0],
            errorOutput: collected.contents[1],
            wasTruncated: collected.wasTruncated
        )
    }
}

/// Reads a child's two outputs until it has ended or its time is over.
private struct OutputCollector: Sendable {
    struct Collected: Sendable {
        var timedOut = false
        var contents: [[UInt8]] = [[], []]
        var wasTruncated = false
    }

    let child: ChildProcess
    let sources: [FileDescriptor]
    let ended: FileDescriptor
    let deadline: Duration
    let limit: Int

    func collect() -> Collected {
        var collected = Collected()
        var polled = (sources + [ended]).map { pollfd(fd: $0.number, events: Int16(POLLIN), revents: 0) }
        for source in sources { _ = fcntl(source.number, F_SETFL, O_NONBLOCK) }
        while true {
            let remaining = collected.timedOut ? Duration.seconds(10) : deadline - MonotonicClock.now()
            // Safe: the array and its count belong together and outlive the call.
            let ready = unsafe poll(&polled, nfds_t(polled.count), remaining.pollMilliseconds + 1)
            if ready == 0 && !collected.timedOut {
                collected.timedOut = true
                child.signal(SIGKILL, wholeGroup: true)
            }
            for index in sources.indices where polled[index].revents != 0 {
                if drain(index, into: &collected) { polled[index].fd = -1 }
            }
            if polled[sources.count].revents != 0 {
                // What the child wrote before it ended is in the pipes by now.
                for index in sources.indices { _ = drain(index, into: &collected) }
                return collected
            }
        }
    }

    /// Reads what is there now; `true` at the end of the stream.
    private func drain(_ index: Int, into collected: inout Collected) -> Bool {
        // Bounded, so that a program that never stops printing cannot keep its deadline from being seen.
        for _ in 0..<64 {
            guard let part = sources[index].read(16384) else { return errno != EAGAIN }
            if part.isEmpty { return true }
            let room = limit - collected.contents[index].count
            if part.count > room { collected.wasTruncated = true }
            collected.contents[index] += part.prefix(max(room, 0))
        }
        return false
    }
}
