package import ClusterModel
import Foundation
import Platform

/// Changes what a commit waits for in a cluster that lives, by the steps of R12.
///
/// The controllers are told anew what the cluster should be, one after the other; the change itself is theirs, and
/// goes on whatever becomes of this program.
package struct DurabilityChange: Sendable {
    private let folder: ClusterFolder
    private let before: ClusterFile
    private let after: ClusterFile
    private let question: ControllerQuestion
    private let view: ClusterView

    /// Looks at the cluster, and whether it can be changed at all.
    ///
    /// - Throws: `CommandFailure`: usage, or refused with the reason.
    package init(
        of file: ClusterFile,
        in folder: ClusterFolder,
        to mode: Durability,
        synchronousStandbys: Int?
    ) async throws(CommandFailure) {
        self.folder = folder
        before = file
        var changed = file
        changed.durability = mode
        if let synchronousStandbys { changed.synchronousStandbys = synchronousStandbys }
        if !mode.isSynchronous { changed.synchronousStandbys = nil }
        after = changed
        try Self.check(changed, synchronousStandbys)
        question = try ControllerQuestion(of: file, in: folder)
        view = try await question.view()
        if isDone(view) { return }
        guard view.phase == .steady, view.request == nil else {
            throw CommandFailure(
                .refused,
                "could not change the durability: the primary is being changed; see \(folder.command("status"))"
            )
        }
        let streaming = view.instances.filter(\.streaming).count
        guard mode != .required || streaming >= after.standbysWaitedFor else {
            throw CommandFailure(
                .refused,
                "could not change the durability to 'required': commits would wait for "
                    + "\(PlainText.count(after.standbysWaitedFor, "standby")), and "
                    + (streaming == 0 ? "none streams" : "only \(streaming) \(streaming == 1 ? "streams" : "stream")")
                    + "; start the others with \(folder.command("up"))"
            )
        }
    }

    private static func check(_ file: ClusterFile, _ standbys: Int?) throws(CommandFailure) {
        let most = file.instances.count - 1
        if file.durability == .required && most < 1 {
            throw CommandFailure(
                .usage,
                "could not change the durability to 'required': a commit waits for a standby, and there is none"
            )
        }
        guard let standbys else { return }
        guard file.durability.isSynchronous, (1...max(1, most)).contains(standbys) else {
            throw CommandFailure(
                .usage,
                file.durability.isSynchronous
                    ? "could not have commits wait for \(PlainText.count(standbys, "standby")): choose 1 to \(max(1, most))"
                    : "could not have commits wait for standbys: durability 'async' waits for nobody"
            )
        }
    }

    /// What would happen, for a person.
    package var story: String {
        if isDone(view) { return "The durability is \(name(after)) already: nothing would be changed." }
        let rule = view.rules.last.map(RuleText.text) ?? "none"
        return """
            Would change the durability from \(name(before)) to \(name(after)):
              1. \(before.controllerPorts.count == 1 ? "the controller is" : "the controllers are, one after the other,") \
            started anew with it; clients notice nothing
              2. the record takes up the new rule beside the present one: \(rule)
              3. the primary puts its names in force, and \(barrier)
              4. the record drops the old rule (R12); until then a promotion has both to satisfy
            \(Self.promise(after))
            Nothing was changed.
            """
    }

    private var barrier: String {
        guard after.durability.isSynchronous else { return "says so: from then on no commit waits" }
        return "\(after.standbysWaitedFor) of its standbys flush all it wrote before"
    }

    /// What holds afterwards, in a sentence.
    private static func promise(_ file: ClusterFile) -> String {
        switch file.durability {
        case .async: "Afterwards a failover may lose the latest commits, up to maximumLagOnFailover."
        case .required: "Afterwards no failover loses a commit, and commits wait when too few standbys are there."
        case .preferred:
            "Afterwards no failover loses a commit; when no standby is there, the primary goes on as a single server."
        }
    }

    /// Tells the controllers, and waits until the new rule stands alone.
    ///
    /// - Throws: `CommandFailure`; `timedOut` if it is under way yet.
    package func carryOut(limit: Duration, report: @Sendable (String) -> Void) async throws {
        if isDone(view) { return report("The durability is \(name(after)) already.") }
        let lock = try LocalCluster.acquireLock(folder)
        defer { withExtendedLifetime(lock) {} }
        let account = try Account.current()
        let beside = try Programs.ownFolder()
        let programs = try await Programs.find(beside: beside, for: account, copies: folder.programs)
        var cluster = LocalCluster(folder: folder, file: after, account: account, programs: programs)
        try after.write(in: folder)
        try cluster.writeFiles()
        // Those that stand by first: whoever takes over from the leader knows what is wanted already.
        let leader = view.controller.flatMap { endpoint in after.controllers.firstIndex(of: endpoint) } ?? 0
        let order = after.controllerPorts.indices.filter { $0 != leader } + [leader]
        for index in order {
            try await restart(cluster, index)
            report("  \(after.controllerName(index)) knows that the durability is to be \(name(after))")
        }
        try cluster.noteProcesses()
        let clock = ContinuousClock()
        let end = clock.now + limit
        var last: ClusterView?
        while clock.now < end {
            if let now = try? await question.view() {
                if isDone(now) { return report("The durability is \(name(after)) now. \(Self.promise(after))") }
                last = now
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw CommandFailure(
            .timedOut,
            "could not see the end of the change within \(limit.components.seconds) s\(WaitingText.text(last)); it goes "
                + "on: see " + folder.command("status")
        )
    }

    private func restart(_ cluster: LocalCluster, _ index: Int) async throws {
        if let running = ClusterProcesses(of: after, in: folder).controllers[index] {
            running.signal(SIGTERM)
            running.signal(SIGCONT)
            if !(await ended(running, within: .seconds(5))) {
                running.signal(SIGKILL)
                guard await ended(running, within: .seconds(5)) else {
                    throw CommandFailure(.timedOut, "could not stop process \(running.processID): it does not end")
                }
            }
        }
        _ = try ChildProcess.start(cluster.controllerRequest(index))
        let clock = ContinuousClock()
        let end = clock.now + .seconds(20)
        while clock.now < end {
            // Whoever stands by names the leader: any answer of the cluster will do.
            if (try? await question.view()) != nil, ClusterProcesses(of: after, in: folder).controllers[index] != nil {
                return
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw CommandFailure(
            .timedOut,
            "could not reach \(after.controllerName(index)) after its start: see its log \(folder.controllerLog(index))"
        )
    }

    private func ended(_ process: RunningProcess, within limit: Duration) async -> Bool {
        let clock = ContinuousClock()
        let end = clock.now + limit
        while process.isAlive {
            if clock.now >= end { return false }
            // Stopping goes on even if the task was cancelled: then this only polls faster.
            try? await Task.sleep(for: .milliseconds(10))
        }
        return true
    }

    /// Whether the controller that leads wants this mode, and the record holds nothing else.
    private func isDone(_ view: ClusterView) -> Bool {
        guard view.durability == after.durability, view.rules.count == 1, let rule = view.rules.first else {
            return false
        }
        guard rule.mode == after.durability else { return false }
        switch after.durability {
        case .async: return true
        case .required: return rule.required == after.standbysWaitedFor
        // Fewer may be there: then k is as high as it can be.
        case .preferred:
            return rule.required == min(after.standbysWaitedFor, view.instances.filter(\.streaming).count)
        }
    }

    private func name(_ file: ClusterFile) -> String {
        let count = file.standbysWaitedFor
        return "'\(file.durability.rawValue)'"
            + (file.durability.isSynchronous && count > 1 ? " with \(count) standbys" : "")
    }
}

extension ClusterFile {
    /// How many standbys a commit should wait for, where it waits at all.
    fileprivate var standbysWaitedFor: Int { synchronousStandbys ?? 1 }
}

/// Numbers in words that fit them.
enum PlainText {
    static func count(_ number: Int, _ what: String) -> String { "\(number) \(what)" + (number == 1 ? "" : "s") }
}

/// A rule in words.
private enum RuleText {
    static func text(_ rule: Rule) -> String {
        let names = rule.voters.map(\.name.text).joined(separator: ", ")
        if rule.required == 0 { return "no commit waits, \(rule.mode.rawValue)" }
        return "\(rule.required) of \(names), \(rule.mode.rawValue)"
    }
}
