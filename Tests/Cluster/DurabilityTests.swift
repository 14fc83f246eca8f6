import ClusterModel
import Demo
import Foundation
import LocalCluster
import PostgresDriver
import Testing

/// What a commit waits for, changed while clients write (R12).
@Suite("Durability changed on real servers", .serialized, .timeLimit(.minutes(8)))
struct DurabilityTests {
    @Test("from async through required and preferred and back, under writers, and no commit is lost")
    func everyChange() async throws {
        try await TestCluster.with(["--durability", "async", "--controllers", "2"]) { cluster in
            let writers = try await Writers(on: cluster)
            defer { writers.cancel() }
            try await writers.goOn(cluster)
            try await rehearsal(cluster)
            for (words, mode, required) in [
                (["required"], Durability.required, 1), (["preferred", "--synchronous-standbys", "2"], .preferred, 2),
                (["preferred", "--synchronous-standbys", "1"], .preferred, 1), (["async"], .async, 0),
                (["preferred"], .preferred, 1),
            ] {
                let before = try await cluster.view()
                let answer = try await cluster.local(["durability"] + words)
                #expect(answer.code == 0, "\(answer)")
                let view = try await cluster.view()
                #expect(view.durability == mode && view.rules.map(\.mode) == [mode])
                #expect(view.rules.first?.required == required)
                #expect(view.term == before.term && view.primary == before.primary)
                #expect(try cluster.file.durability == mode)
                try await writers.goOn(cluster)
            }
            // What was promised last holds: a primary that dies loses nothing.
            let before = try await cluster.healed()
            #expect(try await cluster.local("kill", "primary").code == 0)
            try await cluster.healed(after: before.term)
            try await writers.goOn(cluster)
            #expect(try await writers.lost() == [])
        }
    }

    /// Says what would happen, and changes nothing; what cannot be is refused with the reason.
    private func rehearsal(_ cluster: TestCluster) async throws {
        let before = try await cluster.view()
        let story = try await cluster.local("durability", "required", "--dry-run")
        #expect(story.code == 0 && story.output.contains("from 'async' to 'required'"), "\(story)")
        #expect(story.output.contains("no commit waits, async") && story.output.contains("Nothing was changed."))
        #expect(try await cluster.view().rules == before.rules)
        let same = try await cluster.local("durability", "async", "--dry-run")
        #expect(same.output.contains("is 'async' already"), "\(same)")
        let tooMany = try await cluster.local("durability", "required", "--synchronous-standbys", "3")
        #expect(tooMany.code == 2 && tooMany.complaint.contains("choose 1 to 2"), "\(tooMany)")
        let nobody = try await cluster.local("durability", "async", "--synchronous-standbys", "1")
        #expect(nobody.code == 2 && nobody.complaint.contains("waits for nobody"), "\(nobody)")
    }

    @Test("required is refused while its standbys are not there; a role that weakens its commits is warned of")
    func refusalAndWarning() async throws {
        try await TestCluster.with(["--instances", "2", "--durability", "async"]) { cluster in
            #expect(try await cluster.local("kill", "two", "--what", "launcher").code == 0)
            try await cluster.wait("the standby is gone") { view in !view.instances.contains(where: \.streaming) }
            let refused = try await cluster.local("durability", "required")
            #expect(refused.code == 3 && refused.complaint.contains("none streams"), "\(refused)")
            #expect(try cluster.file.durability == .async)
            try await cluster.up()
            #expect(try await cluster.local("durability", "required").code == 0)
            let session = try await connect(cluster)
            try await session.query("CREATE ROLE hasty LOGIN", deadline: .seconds(5))
            try await session.query("ALTER ROLE hasty SET synchronous_commit = off", deadline: .seconds(5))
            try await cluster.wait("the warning is shown") { view in
                view.warnings.contains { $0.contains("role hasty") && $0.contains("ALTER ROLE hasty RESET") }
            }
            #expect(try await cluster.local("status").output.contains("Warning: role hasty"))
            #expect(try await cluster.local("explain").output.contains("Warning: role hasty"))
            try await session.query("ALTER ROLE hasty RESET synchronous_commit", deadline: .seconds(5))
            try await cluster.wait("the warning is gone") { $0.warnings.isEmpty }
        }
    }

    private func connect(_ cluster: TestCluster) async throws -> PostgresSession {
        try await PostgresSession.connect(
            ConnectionTarget(
                host: "127.0.0.1",
                port: try cluster.port(try await cluster.primary()),
                user: "postgres",
                applicationName: "test"
            ),
            deadline: .seconds(5)
        )
    }
}
