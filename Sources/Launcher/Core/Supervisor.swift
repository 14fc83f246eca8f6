import CPlatform
import Glibc
import LauncherProtocol

/// Watches one child and, once it is gone, leaves nothing alive that ever came from it.
///
/// Used twice: the guard watches the worker with it, and each tool runs under one, so that what a tool leaves behind is
/// never taken for a process of the server. The calling process must be a subreaper with its signals blocked.
enum Supervisor {
    /// What a signal to the supervisor means.
    enum Answer {
        case forward(Int32)
        case killEverything
        case nothing
    }

    /// Returns how the child ended, as soon as it and all its descendants are gone.
    static func watch(
        child: Int32,
        signals: Int32,
        answer: (_ signal: Int32, _ childIsAlive: Bool) -> Answer
    ) -> ProcessEnd {
        var end: ProcessEnd?
        var isKilling = false
        var round = 0
        while true {
            var reaped = System.reap()
            while let one = reaped.child {
                if one.processID == child {
                    end = one.end
                    isKilling = true
                }
                reaped = System.reap()
            }
            if reaped.isLast { return end ?? .exited(1) }
            if isKilling {
                killDescendants()
                round += 1
            }
            _ = System.wait(for: signals, milliseconds: isKilling ? pause(afterRound: round) : -1)
            while case let signal = CPlatform_signal_read(signals), signal != 0 {
                switch answer(signal, end == nil) {
                case .forward(let signal): _ = kill(child, signal)
                case .killEverything: isKilling = true
                case .nothing: break
                }
            }
        }
    }

    /// Kills and reaps until no child is left, at most for so long.
    static func killEverything(milliseconds: Int64) {
        let deadline = CPlatform_boot_time() + milliseconds * 1_000_000
        var round = 0
        while CPlatform_boot_time() < deadline {
            var reaped = System.reap()
            while reaped.child != nil { reaped = System.reap() }
            if reaped.isLast { return }
            killDescendants()
            round += 1
            _ = poll(nil, 0, pause(afterRound: round))
        }
    }

    /// Milliseconds between two rounds: short at first, long where a process hangs in the kernel.
    static func pause(afterRound round: Int) -> Int32 {
        round < 500 ? 1 : 50
    }

    private static func killDescendants() {
        for processID in ProcessTable().descendants(of: getpid()) { _ = kill(processID, SIGKILL) }
    }

    /// Ends this process the way another one ended.
    static func endLike(_ end: ProcessEnd) -> Never {
        if case .signalled(let signal) = end {
            _ = CPlatform_set_dumpable(0)
            CPlatform_reset_signals()
            _ = kill(getpid(), signal)
        }
        if case .exited(let status) = end { _exit(status) }
        _exit(1)
    }
}
