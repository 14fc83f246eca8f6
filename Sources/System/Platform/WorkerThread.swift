import Glibc

/// A thread of its own for calls that block, so that they never hold up the shared pool.
public enum WorkerThread {
    /// Runs the body on a new thread that nobody waits for.
    ///
    /// - Parameters:
    ///   - name: What it is for, named in the error if there is no thread to give.
    ///   - body: The work; the thread ends with it.
    /// - Throws: `PlatformError` if the system has no thread to give.
    public static func start(_ name: String, _ body: @escaping @Sendable () -> Void) throws(PlatformError) {
        let box = unsafe Unmanaged.passRetained(Box(body: body))
        var attributes = pthread_attr_t()
        _ = unsafe pthread_attr_init(&attributes)
        _ = unsafe pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        _ = unsafe pthread_attr_setstacksize(&attributes, 512 * 1024)
        var thread = pthread_t()
        // Safe: the box was retained for the thread, which takes that reference over and gives it back once.
        let code = unsafe pthread_create(
            &thread,
            &attributes,
            { argument in
                guard let argument = unsafe argument else { return nil }
                let box = unsafe Unmanaged<Box>.fromOpaque(argument).takeRetainedValue()
                box.body()
                return nil
            },
            box.toOpaque()
        )
        _ = unsafe pthread_attr_destroy(&attributes)
        if code != 0 {
            unsafe box.release()
            throw PlatformError("start thread \(name)", code: code)
        }
    }

    private final class Box: Sendable {
        let body: @Sendable () -> Void

        init(body: @escaping @Sendable () -> Void) {
            self.body = body
        }
    }
}
