import CPlatform
import Glibc
import LauncherProtocol

/// The launcher as a program.
public enum Launcher {
    /// Runs until the server and everything else under it is gone.
    ///
    /// - Returns: 0 when it was asked to end, 1 when it failed, 2 when the command line is wrong.
    public static func run(arguments: [String]) -> Int32 {
        let environment = readEnvironment()
        switch LauncherSettings.parse(arguments, environment: environment) {
        case .print(let text):
            _ = System.writeAll(1, Array(text.utf8))
            return 0
        case .usage(let problem):
            let text = "understudy-launcher: \(problem)\nSee understudy-launcher --help.\n"
            _ = System.writeAll(2, Array(text.utf8))
            return 2
        case .run(let settings):
            do throws(LauncherFailure) {
                return try start(settings, environment)
            } catch {
                System.log(error.message)
                return 1
            }
        }
    }

    private static func start(
        _ settings: LauncherSettings,
        _ inherited: [String: String]
    ) throws(LauncherFailure) -> Int32 {
        let niceness = CPlatform_niceness()
        // A lease timer is worth what the CPU time of its process is worth. Only root may; children get the old value.
        _ = CPlatform_set_niceness(-10)
        let ownership = try Identity.dropToOwner(ofFolder: settings.dataFolder)
        let folder = unsafe CPlatform_openat(
            AT_FDCWD,
            settings.dataFolder,
            O_RDONLY | O_DIRECTORY | O_CLOEXEC,
            0
        )
        guard folder >= 0 else { throw .failed("could not open data folder \(settings.dataFolder)", errno) }
        prepareSignals()
        guard CPlatform_become_subreaper() == 0 else {
            throw .failed("could not become the reaper of the server's processes", errno)
        }
        let lock = try FolderLock.take(folder: folder, path: settings.dataFolder)
        let leftovers = try Leftovers.end(inFolder: settings.dataFolder)
        Leftovers.clearProcessFile(folder: folder, patienceMilliseconds: 10_000)
        if leftovers > 0 { System.log("ended \(leftovers) processes left by an earlier launcher") }
        var variables = inherited.filter { !$0.key.hasPrefix("UNDERSTUDY_") }
        variables.merge(ownership) { $1 }
        variables["PGDATA"] = settings.dataFolder + "/pgdata"
        let world = Worker.World(
            settings: settings,
            environment: variables,
            folder: folder,
            lock: lock,
            guardian: nil,
            guardProcessID: getpid(),
            niceness: niceness
        )
        // PID 1 needs no guard: with it, the kernel ends everything.
        return getpid() == 1 ? try Worker(world).run() : try runAsPair(world)
    }

    private static func runAsPair(_ world: Worker.World) throws(LauncherFailure) -> Int32 {
        // Opened before the fork: a guard that dies right after it is still seen to be dead.
        let guardian = CPlatform_pidfd_open(getpid())
        guard guardian >= 0 else {
            throw .failed("could not watch the guard, which needs Linux 5.3", errno)
        }
        let worker = CPlatform_fork()
        guard worker >= 0 else { throw .failed("could not start the worker", errno) }
        if worker == 0 {
            var world = world
            world.guardian = guardian
            // A subreaper's mark is not inherited.
            guard CPlatform_become_subreaper() == 0 else { _exit(1) }
            _ = unsafe CPlatform_set_name("launcher-worker")
            do throws(LauncherFailure) {
                _exit(try Worker(world).run())
            } catch {
                System.log(error.message)
                _exit(1)
            }
        }
        System.close(guardian)
        _ = unsafe CPlatform_set_name("launcher-guard")
        let end = Supervisor.watch(child: worker, signals: CPlatform_signal_descriptor()) { signal, isAlive in
            switch signal {
            case SIGTERM, SIGINT: isAlive ? .forward(SIGTERM) : .nothing
            case SIGHUP: isAlive ? .forward(SIGHUP) : .nothing
            default: .nothing
            }
        }
        if case .exited(let status) = end { return status }
        System.log("the worker ended by \(end); every process under it was killed")
        return 1
    }

    private static func prepareSignals() {
        CPlatform_reset_signals()
        CPlatform_ignore_signal(SIGPIPE)
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGCHLD] { _ = CPlatform_block_signal(signal) }
    }

    private static func readEnvironment() -> [String: String] {
        var variables: [String: String] = [:]
        guard var next = unsafe CPlatform_environment() else { return [:] }
        while let entry = unsafe next.pointee {
            let parts = unsafe String(cString: entry).split(
                separator: "=",
                maxSplits: 1,
                omittingEmptySubsequences: false
            )
            if parts.count == 2 { variables[String(parts[0])] = String(parts[1]) }
            unsafe next += 1
        }
        return variables
    }
}
