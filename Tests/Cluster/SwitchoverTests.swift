import ClusterModel
import Demo
import Foundation
import LocalCluster
import Platform
import Testing

/// Planned changes of primary on real servers, and what keeps the unplanned ones from happening.
@Suite("Switchover on real servers", .serialized, .timeLimit(.minutes(8)))
struct SwitchoverTests {
    @Test(
        "under writers nothing is lost, and the old primary streams again without a rewind",
        arguments: Durability.allCases
    )
    func underWriters(durability: Durability) async throws {
        try await TestCluster.with(["--durability", durability.rawValue]) { cluster in
            let writers = try await Writers(on: cluster)
            defer { writers.cancel() }
            try await writers.goOn(cluster)
            for target in ["two", "three", "one"] {
                let before = try await cluster.view()
                let old = try await cluster.primary()
                // Under load a standby may be out of sight or too far behind at the moment: that is said, and it passes.
                let dry = try await accepted(cluster, "switchover", target, "--dry-run")
                #expect(dry.output.contains("Would hand over from '\(old)' to '\(target)'"), "\(dry)")
                let undisturbed = try await cluster.view()
                #expect(undisturbed.term == before.term && undisturbed.request == nil)
                let done = try await accepted(cluster, "switchover", target, "--wait")
                #expect(done.output.contains(", planned"), "\(done)")
                let after = try await cluster.healed(after: before.term)
                #expect(after.primary?.text == target)
                #expect(after.history.last?.why == "switchover from '\(old)' to '\(target)', asked for by an operator")
                // Same incarnation: neither copied anew nor rewound.
                #expect(incarnation(of: old, in: after) == incarnation(of: old, in: before))
                try await writers.goOn(cluster)
            }
            #expect(!(try log(of: cluster)).contains("rewinding to"))
            #expect((try log(of: cluster)).contains("a standby without a rewind"))
            #expect(try await writers.lost() == [])
            let history = try await cluster.local("history")
            #expect(history.output.components(separatedBy: ", planned").count == 4)
        }
    }

    /// The answer to a command, asked again while it is refused: on a loaded machine a report may just be missing.
    @discardableResult
    private func accepted(_ cluster: TestCluster, _ arguments: String...) async throws -> TestCluster.Answer {
        let clock = ContinuousClock()
        let end = clock.now + .seconds(60)
        while true {
            let answer = try await cluster.local(arguments)
            if answer.code == 0 { return answer }
            guard answer.code == 3, clock.now < end else {
                throw CommandFailure(.timedOut, "not accepted: \(answer)")
            }
            print("refused, and asked again: \(answer.complaint)")
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    @Test("a candidate that dies while the primary checkpoints: given up, and the primary goes on in its term")
    func candidateDiesEarly() async throws {
        try await TestCluster.with { cluster in
            let writers = try await Writers(on: cluster)
            defer { writers.cancel() }
            try await writers.goOn(cluster)
            let before = try await cluster.healed()
            // The checkpoint does not end until the candidate is gone.
            let checkpointer = try checkpointer(of: try await cluster.primary(), in: cluster)
            #expect(checkpointer.signal(SIGSTOP))
            defer { checkpointer.signal(SIGCONT) }
            try await accepted(cluster, "switchover", "three")
            #expect(try await cluster.view().request?.step == .checkpoint)
            #expect(try await cluster.local("kill", "three", "--what", "agent").code == 0)
            let after = try await cluster.wait("it is given up") { $0.request == nil }
            #expect(after.primary == before.primary && after.term == before.term)
            #expect(checkpointer.signal(SIGCONT))
            try await writers.goOn(cluster)
            let explained = try await cluster.local("explain")
            #expect(explained.output.contains("abandoned: given up: switchover"), "\(explained.output)")
            #expect(explained.output.contains("'three' does not report"), "\(explained.output)")
            try await cluster.up()
            #expect(try await cluster.healed().term == before.term)
            #expect(try await writers.lost() == [])
        }
    }

    @Test("a candidate that hangs once the primary stops: another that holds everything takes over")
    func candidateHangsLate() async throws {
        try await TestCluster.with { cluster in
            let writers = try await Writers(on: cluster)
            defer { writers.cancel() }
            try await writers.goOn(cluster)
            let before = try await cluster.healed()
            #expect(try await cluster.local("kill", "three", "--what", "agent", "--signal", "STOP").code == 0)
            let answer = try await cluster.local("switchover", "three", "--wait")
            #expect(try await cluster.local("kill", "three", "--what", "agent", "--signal", "CONT").code == 0)
            let after = try await cluster.healed()
            // Told to hand over before its silence showed, or refused since it did. Whom one waits for did not take over.
            if after.term > before.term {
                #expect(answer.code == 1 && after.primary?.text == "two", "\(answer)")
                #expect(after.history.last?.why.contains("'three' could not") == true)
            } else {
                #expect(answer.code == 1 || answer.code == 3, "\(answer)")
                #expect(after.primary == before.primary)
            }
            try await writers.goOn(cluster)
            #expect(try await writers.lost() == [])
        }
    }

    @Test("paused, nobody takes over from a dead primary; by hand somebody does")
    func pauseAndPromote() async throws {
        try await TestCluster.with { cluster in
            let writers = try await Writers(on: cluster)
            defer { writers.cancel() }
            try await writers.goOn(cluster)
            let before = try await cluster.view()
            #expect(try await cluster.local("pause", "--reason", "a test").code == 0)
            let well = try await cluster.local("promote", "two")
            #expect(well.code == 3 && well.complaint.contains("use `switchover`"), "\(well)")
            #expect(try await cluster.local("kill", "primary").code == 0)
            let view = try await cluster.wait("it waits for people") { $0.waiting?.rule == "R18" }
            #expect(view.term == before.term && view.pauseReason == "a test")
            #expect(try await cluster.local("status").output.contains("Paused: a test"))
            // One of them may hold a few bytes more, and is named then.
            let first = try await cluster.local("promote", "two", "--dry-run")
            if first.code != 0 { #expect(first.complaint.contains("'three' holds"), "\(first)") }
            let chosen = first.code == 0 ? "two" : "three"
            let rehearsal = try await accepted(cluster, "promote", chosen, "--dry-run")
            #expect(rehearsal.output.contains("nothing acknowledged is lost"), "\(rehearsal)")
            try await accepted(cluster, "promote", chosen, "--wait")
            let after = try await cluster.healed(after: before.term)
            #expect(after.primary?.text == chosen && after.pauseReason == "a test")
            #expect(try await cluster.local("resume").code == 0)
            try await writers.goOn(cluster)
            #expect(try await writers.lost() == [])
        }
    }

    @Test("what may be lost is said, refused, and done on the operator's word")
    func acceptedLoss() async throws {
        try await TestCluster.with(["--durability", "required"]) { cluster in
            let before = try await cluster.healed()
            let (primary, gone) = (try await cluster.primary(), InstanceName("three"))
            for name in [gone, primary].compactMap(\.self) {
                for part in ["agent", "launcher"] {
                    #expect(try await cluster.local("kill", name.text, "--what", part).code == 0)
                }
            }
            try await cluster.wait("too few answer") { $0.waiting?.rule == "R19" || $0.waiting?.rule == "R7" }
            let refused = try await cluster.local("promote", "two")
            #expect(refused.code == 3 && refused.complaint.contains("could lose acknowledged commits"), "\(refused)")
            // Its whole host is silent: that it does not go on there is for a person to say (R10, D33).
            let unseen = try await cluster.local("promote", "two", "--accept-data-loss")
            #expect(unseen.code == 3 && unseen.complaint.contains("--old-primary-is-off"), "\(unseen)")
            let words = ["--accept-data-loss", "--old-primary-is-off"]
            let accepted = try await cluster.local(["promote", "two"] + words)
            #expect(accepted.code == 0 && accepted.output.contains("may be lost"), "\(accepted)")
            try await cluster.wait("it is primary") { $0.primary?.text == "two" && $0.phase == .steady }
            // What comes back follows, whatever it held.
            try await cluster.up()
            let after = try await cluster.healed(after: before.term)
            #expect(after.primary?.text == "two")
            #expect(after.history.last?.why.contains("accepts the loss of data") == true)
        }
    }

    @Test("what cannot be done is refused in one sentence")
    func refusals() async throws {
        let nowhere = TestCluster()
        for verb in [["switchover"], ["promote", "two"], ["pause"], ["resume"], ["explain"]] {
            let answer = try await TestCluster.run(["local"] + verb + ["--directory", nowhere.folder.path])
            #expect(answer.code == 2 && isOneSentence(answer.complaint), "\(answer)")
        }
        try await TestCluster.with(["--instances", "2"]) { cluster in
            try await cluster.healed()
            let unknown = try await cluster.local("switchover", "nine")
            #expect(unknown.code == 2 && isOneSentence(unknown.complaint) && unknown.complaint.contains("'nine'"))
            let same = try await cluster.local("switchover", try await cluster.primary().text)
            #expect(same.code == 3 && isOneSentence(same.complaint) && same.complaint.contains("is primary already"))
            let idle = try await cluster.local("switchover", "--abandon")
            #expect(idle.code == 1 && isOneSentence(idle.complaint))
            // One voter, which the old primary becomes: it has to come back before clients are admitted.
            let before = try await cluster.view()
            try await accepted(cluster, "switchover", "--wait")
            #expect(try await cluster.healed(after: before.term).primary != before.primary)
        }
    }

    private func isOneSentence(_ complaint: String) -> Bool {
        complaint.split(separator: "\n").count == 1 && complaint.hasPrefix("understudy: could not ")
    }

    private func checkpointer(of name: InstanceName, in cluster: TestCluster) throws -> RunningProcess {
        let data = cluster.folder.dataDirectory(name)
        return try #require(
            RunningProcess.all().first { process in
                guard process.workingDirectory == data else { return false }
                let title = FileManager.default.contents(atPath: "/proc/\(process.processID)/cmdline") ?? Data()
                return String(decoding: title, as: UTF8.self).contains("checkpointer")
            }
        )
    }

    private func incarnation(of name: InstanceName, in view: ClusterView) -> Incarnation? {
        view.instances.first { $0.name == name }?.incarnation
    }

    /// What all agents wrote.
    private func log(of cluster: TestCluster) throws -> String {
        try cluster.file.names.map { name in
            try String(contentsOfFile: "\(cluster.folder.path)/\(name)/agent.log", encoding: .utf8)
        }.joined()
    }
}
