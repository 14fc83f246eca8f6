import JSON
import KubernetesClient
import KubernetesObjects
import KubernetesStandIn
import KubernetesWorld
import OperatorRuntime
import ResourcePlan
import Testing

/// The operator's loop against a stand-in of an API server.
@Suite("Operator: watches, plans and carries out")
struct OperatorTests {
    @Test("RE5-RE7: a resource becomes a primary and its replicas, grows and shrinks, and says so")
    func life() async throws {
        try await World.run { world in
            try await world.create("my-kubegres", manifest())
            try await world.eventually("one and two") { try await world.roles("my-kubegres") == [1, 2] }
            try await world.change("my-kubegres", ["replicas": 4])
            try await world.eventually("one and three") { try await world.roles("my-kubegres") == [1, 3] }
            try await world.change("my-kubegres", ["replicas": 2])
            try await world.eventually("one and one") { try await world.roles("my-kubegres") == [1, 1] }
            try await world.eventually("the status says so") {
                let status = try await world.user.get(.kubegres, namespace: "default", name: "my-kubegres").status
                return status["ready"] == "2/2" && status["primary"] == "my-kubegres-1-0"
            }
            let reasons = try await world.all(EventRecorder.resource).compactMap { $0.content["reason"]?.string }
            #expect(Set(reasons).isSuperset(of: ["PrimaryStatefulSetDeployment", "ReplicaStatefulSetDeployment"]))
            #expect(try await world.all(.secrets).count >= 2)
        }
    }

    @Test("a cluster at rest costs no request that writes")
    func rest() async throws {
        try await World.run { world in
            try await world.create("my-kubegres", manifest())
            try await world.eventually("ready") {
                try await world.user.get(.kubegres, namespace: "default", name: "my-kubegres").status["ready"] == "3/3"
            }
            // Told once more that something happened, and shown everything anew, it finds nothing to do.
            func writes() -> Int { world.api.log.filter { !$0.hasPrefix("GET") }.count }
            func lists() -> Int {
                world.api.log.filter { $0.hasPrefix("GET") && $0.contains("limit=") && $0.contains("nodes") }.count
            }
            let listed = lists()
            world.api.forgetHistory()
            world.api.endWatches()
            try await world.eventually("everything is listed again") { lists() > listed }
            try await world.eventually("it is at rest") {
                let written = writes()
                await world.clusterOperator.look(at: ClusterKey(namespace: "default", name: "my-kubegres"))
                // What it makes of that comes a moment later.
                for _ in 0..<20 where writes() == written { try await Task.sleep(for: .milliseconds(20)) }
                return writes() == written
            }
        }
    }

    @Test("CC2: what was missing is noticed when it appears")
    func missing() async throws {
        try await World.run { world in
            try await world.create("my-kubegres", manifest(["customConfig": "mine"]))
            try await world.eventually("it is told") {
                try await world.all(EventRecorder.resource).contains { $0.content["reason"] == "SpecCheckErr" }
            }
            #expect(try await world.all(.statefulSets).isEmpty)
            var map = KubernetesObject(.configMaps, namespace: "default", name: "mine")
            map.content["data"] = ["postgres.conf": "work_mem = 8MB"]
            _ = try await world.user.create(map, of: .configMaps, fieldManager: "test")
            try await world.eventually("it is made") { try await world.roles("my-kubegres") == [1, 2] }
        }
    }

    @Test("MK1, PF3: two clusters in a namespace; a StatefulSet that is deleted comes back")
    func healing() async throws {
        try await World.run { world in
            try await world.create("kubegres-one", manifest(replicas: 2))
            try await world.create("kubegres-two", manifest(replicas: 3))
            try await world.eventually("both are there") {
                let one = try await world.roles("kubegres-one")
                let two = try await world.roles("kubegres-two")
                return one == [1, 1] && two == [1, 2]
            }
            let old = try await world.user.get(.statefulSets, namespace: "default", name: "kubegres-two-1").uid
            try await world.user.delete(.statefulSets, namespace: "default", name: "kubegres-two-1")
            try await world.eventually("another one of that name is there, and so is a primary") {
                let sets = try await world.all(.statefulSets)
                let roles = try await world.roles("kubegres-two")
                return roles == [1, 2] && sets.contains { $0.name == "kubegres-two-1" && $0.uid != old }
            }
            #expect(try await world.roles("kubegres-one") == [1, 1])
        }
    }

    @Test(
        "refused, lost and late answers delay the operator, and nothing is made twice",
        arguments: [
            StandInFault.Effect.refuse(status: 500, retryAfterSeconds: nil), .loseAnswer, .cut(afterBytes: 20),
            .delay(.milliseconds(50)),
        ]
    )
    func faults(effect: StandInFault.Effect) async throws {
        try await World.run { world in
            // Of what the operator writes, whichever comes: it is the one that names itself so.
            world.api.inject(
                StandInFault(effect, times: 6) { request in
                    request.method != "GET" && request.parameter("fieldManager") == "understudy"
                }
            )
            try await world.create("my-kubegres", manifest())
            try await world.eventually("all the same") { try await world.roles("my-kubegres") == [1, 2] }
            #expect(
                try await world.all(.statefulSets).map(\.name).sorted() == [
                    "my-kubegres-1", "my-kubegres-2", "my-kubegres-3",
                ]
            )
        }
    }

    @Test("a resource that is deleted takes its objects with it; the data stay, and come back with it")
    func deletion() async throws {
        try await World.run { world in
            try await world.create("my-kubegres", manifest(replicas: 2))
            try await world.eventually("there") { try await world.roles("my-kubegres") == [1, 1] }
            try await world.user.delete(.kubegres, namespace: "default", name: "my-kubegres")
            try await world.eventually("gone") { try await world.all(.statefulSets).isEmpty }
            let claims = try await world.all(.claims).map(\.uid)
            #expect(claims.count == 2)
            try await world.create("my-kubegres", manifest(replicas: 2))
            try await world.eventually("back") { try await world.roles("my-kubegres") == [1, 1] }
            #expect(try await world.all(.claims).map(\.uid) == claims)
        }
    }
}
