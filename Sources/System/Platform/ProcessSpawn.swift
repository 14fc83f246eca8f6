import Glibc

/// Starts the program in a process group of its own with default signals and only the three standard descriptors.
func spawn(_ request: ProcessRequest, output: Int32, errors: Int32) throws(PlatformError) -> Int32 {
    let attempt = "start \(request.program)"
    var actions = unsafe posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    // Safe: both structures are initialized here, used by this one call, and destroyed before they go.
    _ = unsafe posix_spawn_file_actions_init(&actions)
    _ = unsafe posix_spawnattr_init(&attributes)
    defer {
        _ = unsafe posix_spawn_file_actions_destroy(&actions)
        _ = unsafe posix_spawnattr_destroy(&attributes)
    }
    _ = unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    _ = unsafe posix_spawn_file_actions_adddup2(&actions, output, 1)
    _ = unsafe posix_spawn_file_actions_adddup2(&actions, errors, 2)
    // Sockets of the event loops are inheritable: a child that kept one would keep its port in use.
    _ = unsafe addCloseFrom(&actions, 3)
    var all = sigset_t()
    var none = sigset_t()
    _ = unsafe sigfillset(&all)
    _ = unsafe sigemptyset(&none)
    _ = unsafe posix_spawnattr_setsigdefault(&attributes, &all)
    _ = unsafe posix_spawnattr_setsigmask(&attributes, &none)
    var flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK
    // A new session is a new process group, too.
    flags |= request.hasOwnSession ? 0x80 : POSIX_SPAWN_SETPGROUP
    _ = unsafe posix_spawnattr_setflags(&attributes, Int16(flags))

    var processID: pid_t = -1
    let code = unsafe withCStrings([request.program] + request.arguments) { arguments in
        if let environment = request.environment {
            return unsafe withCStrings(environment) { variables in
                unsafe posix_spawn(&processID, request.program, &actions, &attributes, arguments, variables)
            }
        }
        return unsafe posix_spawn(&processID, request.program, &actions, &attributes, arguments, environ)
    }
    guard code == 0 else {
        throw PlatformError(attempt, code: code, mend: "check that the program is there and may be run")
    }
    return processID
}

/// GNU's addition to `posix_spawn`, which the Glibc module leaves out.
@_silgen_name("posix_spawn_file_actions_addclosefrom_np")
private func addCloseFrom(_ actions: UnsafeMutablePointer<posix_spawn_file_actions_t>, _ first: Int32) -> Int32

/// Lends the strings as the null-terminated array of C strings that `posix_spawn` wants.
private func withCStrings<Result>(
    _ strings: [String],
    _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var copies = unsafe [UnsafeMutablePointer<CChar>?]()
    for string in strings { unsafe copies.append(unsafe strdup(string)) }
    unsafe copies.append(nil)
    defer { while let copy = unsafe copies.popLast() { unsafe free(copy) } }
    return unsafe body(copies)
}
