import Foundation
import Platform
import Testing

@Suite("Chaos on real servers")
struct ShortChaosTests {
    /// Hosts need root and a kernel that gives namespaces and loop devices; containers often have neither.
    private static let isPossible: Bool = {
        guard UserAccount.isSuperuser, FileManager.default.fileExists(atPath: "/dev/loop-control") else { return false }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/unshare")
        process.arguments = ["--net", "/usr/sbin/ip", "link", "add", "cable", "type", "veth"]
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }()

    @Test("drawn faults lose nothing, make no second writer and leave nobody stuck", .enabled(if: isPossible))
    func shortRun() async throws {
        let answer = try await TestCluster.run(
            program: "understudy-chaos",
            ["--rounds", "5", "--seed", "2"],
            deadline: .seconds(900)
        )
        #expect(answer.code == 0, "\(answer.output)\(answer.complaint)")
        let last = answer.output.split(separator: "\n").last { $0.hasPrefix("CHAOS ") } ?? ""
        #expect(last.hasPrefix("CHAOS {\"rounds\":5,"))
        #expect(last.contains("\"lost_acknowledged\":0,\"double_writers\":0,\"stuck\":0"))
    }

    @Test("clients that wait for no standby lose what a frozen primary tells them", .enabled(if: isPossible))
    func sensitivity() async throws {
        let answer = try await TestCluster.run(
            program: "understudy-chaos",
            ["--scenario", "frozen-primary", "--rounds", "2", "--seed", "2", "--weaken-clients"],
            deadline: .seconds(600)
        )
        #expect(answer.code == 1, "\(answer.output)\(answer.complaint)")
        #expect(answer.output.contains("WRONG: lost acknowledged"))
        if let found = answer.output.firstMatch(of: /The logs are in (\/tmp\/understudy-chaos-[0-9]+):/) {
            try? FileManager.default.removeItem(atPath: String(found.1))
        }
    }

    @Test("without root it says so and ends with 2", .enabled(if: UserAccount.isSuperuser))
    func needsRoot() async throws {
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let folder = URL(fileURLWithPath: own).deletingLastPathComponent().path
        let copy = "/tmp/understudy-chaos-copy-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.copyItem(atPath: "\(folder)/understudy-chaos", toPath: copy)
        defer { try? FileManager.default.removeItem(atPath: copy) }
        let user = try #require(UserAccount.named("postgres"))
        try user.takeOwnership(of: copy)
        let request = ProcessRequest("/usr/bin/setpriv", ["--reuid=\(user.userID)", "--clear-groups", copy])
        let outcome = try await ChildProcess.run(request, deadline: .seconds(30))
        #expect(outcome.exit == .code(2))
        #expect(outcome.errorText.contains("need root"))
    }
}
