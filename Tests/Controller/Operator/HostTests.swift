import ClusterModel
import ClusterProtocol
import ControlChannel
import JSON
import KubernetesClient
import KubernetesObjects
import KubernetesStandIn
import KubernetesWorld
import Logging
import Platform
import Synchronization
import TLSTransport
import Testing

@testable import OperatorRuntime

@Suite("Operator: the cores of clusters and their agents")
struct HostTests {
    @Test("agents reach the core of their own cluster and no other, with the certificates that the operator made")
    func ownCluster() async throws {
        try await Installed.run { installed in
            let one = try await installed.cluster("kubegres-one")
            let two = try await installed.cluster("kubegres-two")
            let agents = try await [one, two].asyncMap { try await installed.agent($0, 1) }
            try await installed.with(agents) {
                try await eventually("each is told to make the first primary") {
                    agents.allSatisfy { $0.orders.contains("initialize") }
                }
                for (agent, name) in zip(agents, [one, two]) {
                    let record = try await installed.record(name)
                    #expect(record.cluster.text == agent.cluster && record.primary == agent.instance)
                    #expect(record.phase == .initializing)
                    // Its order rests on its own record's version.
                    #expect(agent.stamps.allSatisfy { $0.version <= record.version })
                }
            }
            // The certificate of one cluster's instance, with the other's name in the hello.
            let certificates = try await installed.secret("\(one)-1-understudy")
            let forger = try await installed.agent(two, 1, certificates: certificates)
            try await installed.with([forger]) {
                try await eventually("it is refused") { forger.said("its certificate speaks for \(agents[0].cluster)") }
                #expect(forger.orders.isEmpty)
            }
        }
    }

    @Test("a resource that is deleted is forgotten: its agents are refused, and another of its name is another cluster")
    func forgotten() async throws {
        try await Installed.run { installed in
            let name = try await installed.cluster("my-kubegres")
            let agent = try await installed.agent(name, 1)
            try await installed.with([agent]) {
                try await eventually("it is told something") { !agent.orders.isEmpty }
                try await installed.server.client.delete(.kubegres, namespace: "default", name: name)
                try await eventually("it is refused") { agent.said("keeps no cluster '\(agent.cluster)'") }
            }
            _ = try await installed.cluster(name)
            let heir = try await installed.agent(name, 1)
            #expect(heir.cluster != agent.cluster)
            try await installed.with([heir]) {
                try await eventually("the new one is served") { heir.orders.contains("initialize") }
            }
        }
    }

    @Test("when the leader is told to stop the other operator takes over, its agents come, and the record goes on")
    func handover() async throws {
        try await Installed.run(operators: 2) { installed in
            let name = try await installed.cluster("my-kubegres")
            let agent = try await installed.agent(name, 1)
            try await installed.with([agent]) {
                try await eventually("it is told to make the first primary") { agent.orders.contains("initialize") }
                let before = try await installed.record(name)
                let leader = try #require(try await installed.leader())
                agent.forgetOrders()
                await installed.stop(leader)
                try await eventually("the other leads") {
                    try await installed.leader().map { $0 != leader } ?? false
                }
                try await eventually("it is told again") { agent.orders.contains("initialize") }
                let after = try await installed.record(name)
                #expect(after.term == before.term && after.primary == before.primary)
                #expect(after.version >= before.version)
            }
        }
    }

    @Test("whoever does not lead plans nothing and hosts nobody")
    func standby() async throws {
        try await APIServer.run { server in
            var lease = KubernetesLease(namespace: "default", name: OperatorShell.leaseName)
            lease.holder = "somebody"
            lease.object.annotations = [
                KubernetesLeadershipStore.versionMark: "1", KubernetesLeadershipStore.addressMark: "10.0.0.1:7432",
            ]
            _ = try await server.client.write(lease, fieldManager: "test")
            let renewing = Task {
                var version = 1
                while !Task.isCancelled {
                    version += 1
                    guard var found = try await server.client.lease(namespace: "default", name: lease.object.name)
                    else {
                        return
                    }
                    found.object.annotations[KubernetesLeadershipStore.versionMark] = "\(version)"
                    _ = try await server.client.write(found, fieldManager: "test")
                    try await Task.sleep(for: .milliseconds(200))
                }
            }
            defer { renewing.cancel() }
            try await Installed.run(on: server) { installed in
                _ = try await installed.cluster("my-kubegres", isKept: false)
                let authority = try await installed.authority()
                let begun = try await installed.begun("my-kubegres")
                let stranger = try authority.issue("my-kubegres-1", begun: begun)
                let agent = try await installed.agent("my-kubegres", 1, certificates: stranger)
                try await installed.with([agent]) {
                    try await eventually("it is sent to the leader") { agent.said("the leader is at 10.0.0.1:7432") }
                }
                let sets = try await server.client.list(ObjectCollection(.statefulSets, namespace: nil)).items
                #expect(sets.isEmpty)
                let status = try await server.status("my-kubegres")
                #expect(status == .null || status["record"] == nil)
            }
        }
    }

    @Test("an authority that is garbled is a clear error, and two operators that begin at once share one")
    func authority() async throws {
        try await APIServer.run { server in
            let both = try await withThrowingTaskGroup(of: InstallationAuthority.self) { group in
                for _ in 0..<2 {
                    group.addTask { try await InstallationAuthority.open(server.client, namespace: "default") }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            let certificates = try both.map { try $0.controllerCredentials().authorities }
            #expect(certificates.count == 2 && certificates[0] == certificates[1])
            _ = try await server.client.mergePatch(
                ["data": ["ca.key": "AAAA"]],
                .secrets,
                namespace: "default",
                name: InstallationAuthority.secretName,
                fieldManager: "test"
            )
            let error = await #expect(throws: KubernetesError.self) {
                _ = try await InstallationAuthority.open(server.client, namespace: "default")
            }
            #expect(error?.description.contains("Secret 'understudy-authority' in namespace 'default'") == true)
            #expect(error?.description.contains("put 'ca.crt' and 'ca.key' back as they were") == true)
        }
    }
}

extension Sequence where Self: Sendable, Element: Sendable {
    fileprivate func asyncMap<Value>(_ body: (Element) async throws -> Value) async rethrows -> [Value] {
        var result: [Value] = []
        for element in self { result.append(try await body(element)) }
        return result
    }
}
