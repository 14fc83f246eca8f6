import Glibc
import Synchronization

/// Signals sent to this process.
public enum Signals {
    /// Ends a process that is asked to end, as service managers and `kill` do by default.
    public static let terminate: Int32 = SIGTERM
    /// Ends a process from the keyboard.
    public static let interrupt: Int32 = SIGINT
    /// Asks a process to read its configuration again.
    public static let hangUp: Int32 = SIGHUP
    /// Ends a process without asking it.
    public static let kill: Int32 = SIGKILL

    /// Makes a broken pipe an ordinary error of the writing call instead of the end of the process.
    public static func ignoreBrokenPipes() {
        _ = signal(SIGPIPE, SIG_IGN)
    }

    /// Turns signals into a stream, so that they are handled as values in one place.
    ///
    /// - Parameter signals: Numbers of the signals; each ceases to have its default effect.
    /// - Returns: The signals as they arrive; at most 16 wait to be read, further ones are dropped.
    /// - Throws: `PlatformError` if the system has no descriptor or thread to give.
    public static func stream(_ signals: [Int32]) throws(PlatformError) -> AsyncStream<Int32> {
        let pipe = try FileDescriptor.pipe()
        _ = fcntl(pipe.writing.number, F_SETFL, O_NONBLOCK)
        let (stream, continuation) = AsyncStream<Int32>.makeStream(bufferingPolicy: .bufferingOldest(16))
        // The handler needs the descriptor for as long as the process lives: a later stream replaces this one.
        signalPipe.store(dup(pipe.writing.number), ordering: .sequentiallyConsistent)
        try WorkerThread.start("signals") {
            while let byte = pipe.reading.read(1), let number = byte.first { continuation.yield(Int32(number)) }
            continuation.finish()
        }
        for number in signals {
            _ = signal(number) { received in
                // Only calls that are allowed inside a signal handler; the interrupted code keeps its error number.
                let saved = errno
                var byte = UInt8(truncatingIfNeeded: received)
                _ = unsafe write(signalPipe.load(ordering: .relaxed), &byte, 1)
                errno = saved
            }
        }
        return stream
    }
}

private let signalPipe = Atomic<Int32>(-1)
