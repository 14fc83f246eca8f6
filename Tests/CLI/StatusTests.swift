import ClusterModel
import Foundation
import Testing

@testable import LocalCluster

@Suite("Status and history for people")
struct StatusTests {
    private func view() throws -> ClusterView {
        let name = try #require(ClusterName("demo"))
        var record = ClusterRecord(forming: name, mode: .required)
        record.term = Term(rawValue: 2)
        record.phase = .steady
        record.primary = InstanceName("two")
        var view = ClusterView(record: record, durability: .required)
        view.instances = try ["one", "two"].enumerated().map { index, text in
            let endpoint = Endpoint(host: "127.0.0.1", port: UInt16(15432 + index))
            var instance = ClusterView.Instance(
                name: try #require(InstanceName(text)),
                server: endpoint,
                role: index == 1 ? "primary" : "standby"
            )
            instance.connected = true
            instance.reportAgeMilliseconds = 120
            instance.position = WALPosition(timeline: Timeline(rawValue: 2), lsn: LSN(rawValue: 0x3000148))
            instance.lagBytes = index == 1 ? nil : 2_000_000
            instance.streaming = index == 0
            instance.opened = index == 1
            instance.votes = index == 0
            return instance
        }
        let standby = try #require(view.instances.first)
        let incarnation = Incarnation(number: 1)
        view.rules = [
            Rule(voters: [MemberID(name: standby.name, incarnation: incarnation)], required: 1, mode: .required)
        ]
        return view
    }

    private func report(_ view: ClusterView?, complaint: String = "") throws -> StatusReport {
        let file = try LocalClusterTests.file(instances: 2)
        let folder = ClusterFolder(path: "/tmp/understudy-test-none")
        let processes = ClusterProcesses(of: file, in: folder)
        return StatusReport(file: file, folder: folder, processes: processes, view: view, complaint: complaint)
    }

    @Test("the table says who is primary, how far behind the others are, and what does not run")
    func table() throws {
        let text = try report(try view()).text()
        #expect(
            text.hasPrefix("Cluster 'demo': two is primary and admits clients\nTerm 2, steady, durability required")
        )
        #expect(text.contains("one       standby  127.0.0.1:15432  2         0/3000148  1953 kB  streaming  yes"))
        #expect(text.contains("two       primary  127.0.0.1:15433  2         0/3000148  -        open       no"))
        #expect(text.contains("Not running: controller, launcher of one"))
        #expect(text.split(separator: "\n").allSatisfy { $0.last != " " })
    }

    @Test("WAL that was kept aside is listed, and nothing said where there is none (R14)")
    func keptWAL() throws {
        var view = try view()
        #expect(!(try report(view).text().contains("does not contain")))
        let folder = "/data/one/divergent-wal/joining-00000002-left-00000001-at-0-3000148"
        view.instances[0].keptWAL = [folder]
        let text = try report(view).text()
        #expect(text.contains("WAL that this history does not contain") && text.contains("\n  \(folder)\n"))
    }

    @Test("lag is shown in bytes and in time, and a suspect primary with its reason (R9, R22)")
    func lagAndSuspicion() throws {
        var view = try view()
        view.instances[0].lagMilliseconds = 420
        view.suspect = Explanation(.evidence, rule: "R9", "'two' is suspect: its agent does not report")
        let text = try report(view).text()
        #expect(text.contains("1953 kB, 420 ms") && text.contains("\nSuspect: 'two' is suspect"))
        view.instances[0].lagMilliseconds = 75_000
        #expect(try report(view).text().contains("1953 kB, 75 s"))
    }

    @Test("a cluster at k = 0 is shown as the single server that it is")
    func singleServer() throws {
        var view = try view()
        view.durability = .preferred
        #expect(try report(view).text().contains("durability preferred: a commit waits for 1 of 1"))
        view.rules = [.birth(.preferred)]
        #expect(try report(view).text().contains("k = 0, a single server: commits wait for nobody"))
    }

    @Test("without the controller the processes are shown, and why there is no more")
    func blind() throws {
        let text = try report(nil, complaint: "its process does not run").text()
        #expect(text.contains("the controller does not answer: its process does not run"))
        #expect(text.contains("agent       two       does not run"))
    }

    @Test("without the controller the agents' own words are shown, whoever of them answers")
    func words() throws {
        let blind = try report(nil, complaint: "its process does not run")
        var words = try ["one", "two"].map { name in
            AgentWord(
                name: try #require(InstanceName(name)),
                server: "standby",
                isPrimary: false,
                isReady: true,
                term: "4",
                timeline: "3",
                position: "0/5000148",
                note: ""
            )
        }
        func text() -> String {
            StatusReport(
                file: blind.file,
                folder: blind.folder,
                processes: blind.processes,
                view: nil,
                complaint: blind.complaint,
                words: words
            ).text()
        }
        #expect(text().contains("As the agents themselves tell: none is an open primary"))
        words[1].server = "primary"
        words[1].isPrimary = true
        #expect(text().contains("As the agents themselves tell: two is primary and admits clients"))
        #expect(text().contains("two       primary  4     3         0/5000148  yes"))
    }

    @Test("the JSON holds the controller's view unchanged")
    func json() throws {
        struct Answer: Decodable {
            let controller: String
            let view: ClusterView
        }
        let view = try view()
        let answer = try JSONDecoder().decode(Answer.self, from: Data(try report(view).json().utf8))
        #expect(answer.view == view)
        #expect(answer.controller == "answers")
    }

    @Test("a cluster is complete when its primary admits clients and every standby streams")
    func missing() throws {
        var view = try view()
        #expect(LocalCluster.missing(in: view).isEmpty)
        view.instances[0].streaming = false
        view.instances[0].fault = "no space left"
        #expect(LocalCluster.missing(in: view) == ["one does not stream from two (no space left)"])
        view.instances[1].opened = false
        #expect(LocalCluster.missing(in: view).count == 2)
    }

    @Test("a cluster that waits for a person since it is paused is not waited for (R18)")
    func standstill() throws {
        var view = try view()
        #expect(LocalCluster.standstill(in: view) == nil)
        view.waiting = Explanation(.waiting, rule: "R19", "too few answer")
        #expect(LocalCluster.standstill(in: view) == nil)
        #expect(WaitingText.text(view).contains("waiting: ") && WaitingText.text(view).contains("too few answer"))
        view.waiting = Explanation(.waiting, rule: "R18", "automation is paused (a test)")
        #expect(LocalCluster.standstill(in: view) == "automation is paused (a test)")
    }

    @Test("JSON for programs names its units, and shows positions as PostgreSQL prints them")
    func jsonNames() throws {
        var view = try view()
        view.instances[1].leaseRemainingMilliseconds = 2900
        let text = try report(view).json()
        #expect(text.contains("\"leaseRemainingMilliseconds\" : 2900"))
        #expect(text.contains("\"reportAgeMilliseconds\" : 120") && text.contains("\"lsn\" : \"0/3000148\""))
    }

    @Test("what an instance is at is said once, and in its own words")
    func work() throws {
        var instance = try #require(try view().instances.first)
        for (role, activity, words) in [
            ("starting", "starting: connection failed: FATAL:  the database system is starting up", ""),
            ("starting", "starting: FATAL:  it is in recovery mode", "it is in recovery mode"),
            ("starting", "starting: 40 % of the WAL", "40 % of the WAL"), ("cloning", "cloning", ""),
            ("down", "cloning from one", "cloning from one"), ("standby", "", ""),
        ] {
            (instance.role, instance.activity) = (role, activity)
            #expect(instance.work == words)
        }
    }

    @Test("the history explains each change of primary, and skips what a crash left half written")
    func history() throws {
        var phases = PhaseTimes()
        phases.detect = 4
        let summary = FailoverSummary(
            term: Term(rawValue: 2),
            from: InstanceName("one"),
            to: try #require(InstanceName("two")),
            timeline: Timeline(rawValue: 2),
            why: "its server is down",
            evidence: ["'three' has less WAL"],
            phases: phases
        )
        let json = String(decoding: try JSONEncoder().encode(summary), as: UTF8.self)
        let lines = [
            #"{"at":"2026-11-22T10:00:00.000Z","kind":"candidate","rule":"R8","text":"two it is","evidence":["because"]}"#,
            #"{"at":"2026-11-22T10:00:01.000Z","failover":\#(json)}"#,
            #"{"at":"2026-11-22T10:00:02"#,
        ]
        let history = History(lines.joined(separator: "\n"))
        #expect(history.entries.count == 2 && history.unreadable == 1)
        #expect(history.failovers.map(\.summary) == [summary])
        let short = history.text(last: 5, all: false)
        #expect(short.contains("Term 2: one to two, timeline 2, in 4 ms"))
        #expect(short.contains("why: its server is down") && short.contains("- 'three' has less WAL"))
        #expect(!short.contains("two it is"))
        #expect(history.text(last: 5, all: true).contains("candidate: two it is [R8]"))
        #expect(History("").text(last: 5, all: false) == "No change of primary so far.")
    }
}
