import ClusterModel
import Foundation
import LocalCluster
import Platform
import Testing

/// Members whose data is lost or given up, on real servers (R15).
@Suite("Data made anew on real servers", .serialized, .timeLimit(.minutes(8)))
struct RebuildTests {
    @Test("a standby's data is made anew on request, the primary's never; nothing acknowledged is lost")
    func onRequest() async throws {
        try await TestCluster.with(["--durability", "required"]) { cluster in
            let writers = try await Writers(on: cluster)
            defer { writers.cancel() }
            try await writers.goOn(cluster)
            let before = try await cluster.view()
            let primary = try await cluster.primary()
            let standby = try await cluster.standby()
            let refused = try await cluster.local("rebuild", primary.text)
            #expect(refused.code == 3 && refused.complaint.contains("is the primary"), "\(refused)")
            let answer = try await cluster.local("rebuild", standby.text, "--wait", "--timeout", "120")
            #expect(answer.code == 0 && answer.output.contains("is made anew"), "\(answer)")
            let after = try await cluster.healed()
            #expect(Self.incarnation(of: standby, after) != Self.incarnation(of: standby, before))
            #expect(after.primary == primary && after.term == before.term)
            // Lag in time is measured (R22), and of one that streams it is short.
            try await cluster.wait("the lag of both standbys is known") { view in
                view.instances.allSatisfy { $0.name == primary || ($0.lagMilliseconds ?? .max) < 30_000 }
            }
            try await writers.goOn(cluster)
            #expect(try await writers.lost() == [])
        }
    }

    @Test("a data directory that is gone under a running standby is made anew by itself, as a new member")
    func lostStandby() async throws {
        try await TestCluster.with(["--durability", "required"]) { cluster in
            let standby = try await cluster.standby()
            let before = try await cluster.view()
            try await loseData(of: standby, cluster)
            try await cluster.wait("the standby is a new member", within: .seconds(120)) { view in
                let found = Self.incarnation(of: standby, view)
                return found != nil && found != Self.incarnation(of: standby, before)
            }
            let after = try await cluster.healed()
            #expect(after.term == before.term)
            // The old voter has no vote any more (R12).
            let old = try #require(Self.incarnation(of: standby, before))
            try await cluster.wait("the old voter is gone from the rules") { view in
                !view.rules.flatMap(\.voters).contains(MemberID(name: standby, incarnation: old))
            }
        }
    }

    @Test("a state file of a newer version is shown and left alone; put back, the member is who it was (D106)")
    func newerState() async throws {
        try await TestCluster.with(["--durability", "required"]) { cluster in
            let standby = try await cluster.standby()
            let before = try await cluster.view()
            let file = URL(fileURLWithPath: "\(cluster.folder.path)/\(standby)/volume/state")
            let kept = try Data(contentsOf: file)
            #expect(try await cluster.local("kill", standby.text, "--what", "agent").code == 0)
            let newer = Data(#"{"version": 999}"#.utf8)
            try newer.write(to: file)
            // Waits until the standby is back, which it is once its file is.
            async let up: Void = cluster.up()
            try await cluster.wait("status shows what is wrong with it") { view in
                let fault = view.instances.first { $0.name == standby }?.fault ?? ""
                return fault.contains("state") && fault.contains("999")
            }
            #expect(try Data(contentsOf: file) == newer)
            try kept.write(to: file)
            let after = try await cluster.healed()
            #expect(Self.incarnation(of: standby, after) == Self.incarnation(of: standby, before))
            #expect(after.term == before.term)
            try await up
        }
    }

    @Test("a primary whose data directory is gone is replaced, and comes back as a new member; no commit is lost")
    func lostPrimary() async throws {
        try await TestCluster.with(["--durability", "required"]) { cluster in
            let writers = try await Writers(on: cluster)
            defer { writers.cancel() }
            try await writers.goOn(cluster)
            let before = try await cluster.view()
            let primary = try await cluster.primary()
            try await loseData(of: primary, cluster)
            let after = try await cluster.healed(after: before.term)
            #expect(after.primary != primary)
            #expect(Self.incarnation(of: primary, after) != Self.incarnation(of: primary, before))
            try await writers.goOn(cluster)
            #expect(try await writers.lost() == [])
        }
    }

    /// Takes the directory away at once, and then what is in it: its server may still write there.
    private func loseData(of name: InstanceName, _ cluster: TestCluster) async throws {
        let volume = "\(cluster.folder.path)/\(name)/volume"
        try FileManager.default.moveItem(atPath: volume + "/pgdata", toPath: volume + "/lost")
        try await cluster.eventually("the data are gone", within: .seconds(10)) {
            try? FileManager.default.removeItem(atPath: volume + "/lost")
            return !FileManager.default.fileExists(atPath: volume + "/lost")
        }
    }

    private static func incarnation(of name: InstanceName, _ view: ClusterView) -> Incarnation? {
        view.instances.first { $0.name == name }?.incarnation
    }
}
