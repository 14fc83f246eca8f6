import ClusterModel
import JSON
import KubernetesObjects
import KubernetesWorld
import Testing

@testable import ResourcePlan

/// What holds beyond the list of acceptance.
@Suite("Resource plan: laws")
struct LawTests {
    private func unready(_ bench: inout Bench, _ node: String) throws {
        var object = KubernetesObject(.nodes, name: node)
        object["status", "conditions"] = [["type": "Ready", "status": "False"]]
        bench.put(.nodes, object)
        bench.runControllers()
    }

    private func machine(_ bench: inout Bench, _ name: String, isCordoned: Bool) {
        var object = KubernetesObject(.nodes, name: name)
        object["status", "conditions"] = [["type": "Ready", "status": "True"]]
        if isCordoned { object["spec", "unschedulable"] = true }
        bench.put(.nodes, object)
    }

    private func machines(_ bench: inout Bench) {
        for pod in bench.pods { machine(&bench, "node-" + pod.name, isCordoned: false) }
    }

    @Test("a settled cluster yields no change, not even to a planner that knows nothing of before")
    func rest() throws {
        var bench = Bench.settled(["backup": ["schedule": "@daily", "pvcName": "dumps", "volumeMount": "/dumps"]])
        bench.bringClaim("dumps")
        bench.settle()
        #expect(bench.step().changes.isEmpty)
        var fresh = ResourcePlanner(
            Installation(
                agentImage: "understudy:1",
                controllers: [
                    Endpoint(host: "understudy.system", port: 7432)
                ]
            )
        )
        let changes = fresh.plan(bench.observation(), at: bench.now).changes
        #expect(changes.isEmpty, "\(changes.map(\.why))")
    }

    @Test("what an instance is made of stands in the status before it is made")
    func persistFirst() throws {
        var bench = Bench(manifest())
        for round in 0..<20 {
            if round == 1 { #expect(bench.statefulSets.count == 1, "the others copy from the first") }
            for (place, change) in bench.step().changes.enumerated() {
                guard case .create(.statefulSets, let object) = change.deed else { continue }
                let index = try #require(ClusterNames(bench.name).index(ofStatefulSet: object.name))
                let before = bench.plans.last?.changes.prefix(place) ?? []
                let recorded = bench.plans.flatMap { $0.changes }.contains { change in
                    guard case .status(let patch) = change.deed else { return false }
                    let list = patch[path: ["status", "instances"]]?.array ?? []
                    return list.contains { $0.integer == Int64(index) }
                }
                #expect(recorded)
                #expect(before.contains { if case .status = $0.deed { true } else { false } })
            }
            bench.runControllers()
        }
        #expect(bench.statefulSets.count == 3)
    }

    @Test("an instance that could not be made is tried again under its number", arguments: [1, 3])
    func notMade(replicas: Int64) throws {
        var bench = Bench(manifest(replicas: .number(JSONNumber(replicas))))
        if replicas > 1 { bench.settle() }
        bench.change("replicas", to: .number(JSONNumber(replicas + 1)))
        for _ in 0..<3 {
            bench.step()
            // As where a quota refuses it.
            bench.remove(.statefulSets, "my-kubegres-\(replicas == 1 ? 1 : 4)")
        }
        bench.settle()
        #expect(bench.statefulSets.count == Int(replicas) + 1)
        #expect(bench.cluster.status["lastCreatedInstanceIndex"]?.integer == replicas + 1)
        #expect(!bench.deeds.contains { if case .startOver = $0 { true } else { false } })
    }

    @Test("R20: the old primary's pod leaves the primary Service before the new one enters, and never a pod not open")
    func routing() throws {
        var bench = Bench.settled()
        let standing = try #require(bench.database.standing)
        func plan(primary: Int, isOpen: Bool) -> [String] {
            var seen = bench.observation()
            seen.standing = ClusterStanding(
                primary: primary,
                isOpen: isOpen,
                isChanging: !isOpen,
                instances: standing.instances
            )
            return bench.planner.plan(seen, at: bench.now).changes.compactMap { change in
                guard case .patch(.pods, let name, let patch) = change.deed else { return nil }
                return name + " " + (patch[path: ["metadata", "labels", "replicationRole"]]?.string ?? "")
            }
        }
        #expect(plan(primary: 3, isOpen: false) == ["my-kubegres-1-0 replica"])
        #expect(plan(primary: 3, isOpen: true) == ["my-kubegres-1-0 replica", "my-kubegres-3-0 primary"])
        #expect(plan(primary: 1, isOpen: false).isEmpty, "a restart in place moves nobody")
        let born = bench.templates.map { $0[path: ["metadata", "labels", "replicationRole"]] }
        #expect(born == ["replica", "replica", "replica"], "nobody is born a primary")
    }

    @Test(
        "R15: an instance whose machine is gone is replaced after its time, under a new number, and goes when the new one serves"
    )
    func replacement() throws {
        var bench = Bench.settled()
        machines(&bench)
        bench.settle()
        try unready(&bench, "node-my-kubegres-3-0")
        let since = bench.now
        let first = bench.step()
        #expect(first.lookAgainAt == since + .seconds(30))
        #expect(bench.statefulSets.count == 3)
        bench.now = since + .seconds(31)
        bench.settle()
        #expect(bench.statefulSets.map(\.name) == ["my-kubegres-1", "my-kubegres-2", "my-kubegres-4"])
        #expect(bench.cluster.status["keptVolumes"] == ["postgres-db-my-kubegres-3-0"])
        let order = bench.deeds.compactMap { deed -> String? in
            switch deed {
            case .create(.statefulSets, let object): "+" + object.name
            case .delete(.statefulSets, let name, _): "-" + name
            default: nil
            }
        }
        #expect(order.suffix(2) == ["+my-kubegres-4", "-my-kubegres-3"])
    }

    @Test("R15: an instance that comes back in time is not replaced; one that comes back late stays, the new one goes")
    func comesBack() throws {
        var bench = Bench.settled()
        machines(&bench)
        bench.settle()
        try unready(&bench, "node-my-kubegres-3-0")
        bench.step()
        bench.now = bench.now + .seconds(29)
        bench.step()
        machine(&bench, "node-my-kubegres-3-0", isCordoned: false)
        bench.now = bench.now + .seconds(60)
        bench.settle()
        #expect(bench.statefulSets.map(\.name) == ["my-kubegres-1", "my-kubegres-2", "my-kubegres-3"])
        try unready(&bench, "node-my-kubegres-3-0")
        bench.step()
        bench.now = bench.now + .seconds(31)
        bench.step()
        #expect(bench.statefulSets.count == 4, "the new one is there, but does not serve")
        machine(&bench, "node-my-kubegres-3-0", isCordoned: false)
        machine(&bench, "node-my-kubegres-4-0", isCordoned: false)
        bench.stuck["my-kubegres-4-0"] = "ContainerCreating"
        bench.settle()
        #expect(bench.statefulSets.map(\.name) == ["my-kubegres-1", "my-kubegres-2", "my-kubegres-3"])
    }

    @Test("R15: an operator that begins anew while a replacement is under way does not take it for one too many")
    func restartedWhileReplacing() throws {
        var bench = Bench.settled()
        machines(&bench)
        bench.settle()
        try unready(&bench, "node-my-kubegres-3-0")
        bench.stuck["my-kubegres-4-0"] = "ContainerCreating"
        bench.step()
        bench.now = bench.now + .seconds(31)
        for _ in 0..<5 {
            bench.step()
            bench.runControllers()
        }
        #expect(bench.statefulSets.count == 4)
        var fresh = ResourcePlanner(Installation(agentImage: "understudy:1", controllers: []))
        let plan = fresh.plan(bench.observation(), at: bench.now)
        #expect(plan.cluster?.members.count == 4)
    }

    @Test("R16: a primary whose pod is about to end hands over first")
    func ending() throws {
        var bench = Bench.settled()
        var pod = try #require(bench.get(.pods, "my-kubegres-1-0"))
        pod["metadata", "deletionTimestamp"] = "2026-11-22T12:00:00Z"
        bench.put(.pods, pod)
        let deeds = bench.step().changes.map(\.deed)
        #expect(deeds.contains(.switchover(to: InstanceName("my-kubegres-2"))))
    }

    @Test("R15, R18: nobody is replaced while no primary serves, or while failover is disabled")
    func noReplacement() throws {
        var bench = Bench.settled(["failover": ["isDisabled": true]])
        machines(&bench)
        bench.settle()
        try unready(&bench, "node-my-kubegres-3-0")
        bench.settle()
        bench.now = bench.now + .seconds(3600)
        bench.settle()
        let names = ["my-kubegres-1", "my-kubegres-2", "my-kubegres-3"]
        #expect(bench.statefulSets.map(\.name) == names)
        var other = Bench.settled()
        machines(&other)
        other.settle()
        for index in 1...3 { try unready(&other, "node-my-kubegres-\(index)-0") }
        other.settle()
        other.now = other.now + .seconds(3600)
        other.settle()
        #expect(other.statefulSets.map(\.name) == names)
        #expect(other.cluster.status["lastCreatedInstanceIndex"] == 3)
    }

    @Test("R12: a surplus instance is deleted only when no rule counts on it")
    func votersStay() throws {
        var bench = Bench.settled()
        bench.change("replicas", to: 2)
        let plan = bench.step()
        #expect(plan.cluster?.members.map(\.name.text) == ["my-kubegres-1", "my-kubegres-2"])
        #expect(bench.statefulSets.count == 3, "it votes still")
        bench.settle()
        #expect(bench.statefulSets.count == 2)
    }

    @Test("a primary on a machine that takes no pods any more hands over before it is evicted, to one that may stay")
    func cordon() throws {
        var bench = Bench.settled()
        machines(&bench)
        bench.settle()
        machine(&bench, "node-my-kubegres-1-0", isCordoned: true)
        machine(&bench, "node-my-kubegres-2-0", isCordoned: true)
        bench.settle()
        #expect(bench.pods(role: "primary") == ["my-kubegres-3-0"])
        machine(&bench, "node-my-kubegres-3-0", isCordoned: true)
        bench.settle()
        #expect(bench.pods(role: "primary") == ["my-kubegres-3-0"], "nobody could stay: it moves no further")
        #expect(bench.get(.budgets, "my-kubegres-primary")?.spec["maxUnavailable"] == 0)
        #expect(bench.get(.budgets, "my-kubegres-replica")?.spec["maxUnavailable"] == 1)
    }

    @Test("a roll-out waits for whoever is not well, but a pod that cannot start is made anew at once")
    func rollOut() throws {
        var bench = Bench.settled()
        bench.change("image", to: "postgres:nonsense")
        bench.step()
        bench.runControllers()
        bench.step()
        #expect(bench.pods.count == 2)
        bench.stuck["my-kubegres-3-0"] = "ImagePullBackOff"
        bench.settle()
        #expect(bench.pods(role: "primary") == ["my-kubegres-1-0"])
        let outdated = bench.pods.filter { $0.spec["containers"]?.array?.first?["image"] == "postgres:17.2" }
        #expect(outdated.map(\.name) == ["my-kubegres-1-0", "my-kubegres-2-0"], "one broken pod, no more")
        bench.change("image", to: "postgres:17.3")
        bench.step()
        bench.step()
        #expect(bench.get(.pods, "my-kubegres-3-0") == nil)
        bench.stuck = [:]
        bench.settle()
        #expect(bench.areUpToDate)
        #expect(bench.roles == [1, 2])
    }

    @Test("with failover disabled a roll-out restarts the primary in its place")
    func disabledRollOut() throws {
        var bench = Bench.settled(["failover": ["isDisabled": true]])
        bench.changed("image", to: "postgres:17.3")
        #expect(bench.pods(role: "primary") == ["my-kubegres-1-0"])
        #expect(!bench.deeds.contains { if case .switchover = $0 { true } else { false } })
    }

    @Test("a paused cluster is not changed but for where clients are led")
    func paused() throws {
        var bench = Bench.settled()
        bench.change("paused", to: true)
        bench.change("image", to: "postgres:17.3")
        bench.change("replicas", to: 5)
        bench.settle()
        bench.deeds = []
        bench.remove(.services, "my-kubegres-replica")
        bench.settle()
        #expect(bench.deeds.isEmpty)
        #expect(bench.lastPlan?.cluster?.failoverDisabled == true)
        bench.change("paused", to: false)
        bench.settle()
        #expect(bench.statefulSets.count == 5)
        #expect(bench.areUpToDate)
    }

    @Test("objects with our names that are not ours are told of, and neither changed nor deleted")
    func foreign() throws {
        var bench = Bench(manifest())
        var service = KubernetesObject(.services, namespace: "default", name: "my-kubegres")
        service.spec = ["ports": [["port": 80]], "type": "NodePort"]
        bench.put(.services, service)
        var set = KubernetesObject(.statefulSets, namespace: "default", name: "my-kubegres-2")
        set.spec = ["replicas": 7]
        bench.put(.statefulSets, set)
        let before = try [
            #require(bench.get(.services, "my-kubegres")), #require(bench.get(.statefulSets, "my-kubegres-2")),
        ]
        bench.settle()
        #expect(bench.get(.services, "my-kubegres") == before[0])
        #expect(bench.get(.statefulSets, "my-kubegres-2") == before[1])
        #expect(bench.events("ForeignObject").count == 1, "a taken number is passed over, a taken Service told of")
        #expect(bench.pods(role: "primary").count == 1)
        #expect(bench.cluster.status["instances"] == [3, 4, 5])
    }

    @Test("a Service that an older operator made keeps its type and address; its port is put right")
    func headless() throws {
        var bench = Bench.settled()
        var service = try #require(bench.get(.services, "my-kubegres"))
        service.spec = [
            "clusterIP": "None", "type": "ClusterIP", "selector": service.spec["selector"] ?? .null,
            "ports": [["protocol": "TCP", "port": 5499, "nodePort": 30_007]],
        ]
        bench.put(.services, service)
        bench.settle()
        let kept = try #require(bench.get(.services, "my-kubegres"))
        #expect(kept.spec["clusterIP"] == "None")
        #expect(kept.spec["ports"] == [["protocol": "TCP", "port": 5432, "targetPort": 5432, "nodePort": 30_007]])
    }

    @Test("volumes of an earlier cluster of the name: ours are taken up again, others are left alone and told of")
    func earlierVolumes() throws {
        var bench = Bench.settled(replicas: 2)
        let volumes = bench.all(.claims).map(\.uid)
        var again = Bench(manifest(replicas: 2))
        again.objects[.claims] = bench.objects[.claims]
        again.settle()
        #expect(again.roles == [1, 1])
        #expect(again.all(.claims).map(\.uid) == volumes)
        bench.remove(.claims, "postgres-db-my-kubegres-2-0")
        var other = Bench(manifest(replicas: 1))
        other.objects[.claims] = bench.objects[.claims]?.mapValues { claim in
            var unmarked = claim
            unmarked.labels = ["app": "my-kubegres"]
            return unmarked
        }
        other.settle()
        #expect(other.statefulSets.map(\.name) == ["my-kubegres-2"])
        #expect(other.events("OldVolumesLeftAlone").count == 1)
    }

    @Test("a cluster of Kubegres is taken over: replicas first, the primary last, on its volumes, under its names")
    func adoption() throws {
        var bench = Bench.settled()
        // As the older operator leaves it: its own template, no marks, roles in the template, status without ours.
        for var set in bench.statefulSets {
            let isPrimary = set.name == "my-kubegres-2"
            set.labels["replicationRole"] = isPrimary ? "primary" : "replica"
            set.annotations = [:]
            set["spec", "template", "spec", "initContainers"] = [["name": "setup-replica-data-directory"]]
            set["spec", "template", "metadata", "annotations"] = nil
            set["spec", "updateStrategy"] = ["type": "RollingUpdate"]
            bench.put(.statefulSets, set)
            var pod = try #require(bench.get(.pods, set.name + "-0"))
            pod.annotations = [:]
            pod.labels["replicationRole"] = isPrimary ? "primary" : "replica"
            bench.put(.pods, pod)
        }
        for var claim in bench.all(.claims) {
            claim.labels = ["app": "my-kubegres"]
            bench.put(.claims, claim)
        }
        var resource = bench.cluster
        resource.status = ["lastCreatedInstanceIndex": 3, "enforcedReplicas": 5]
        bench.cluster = resource
        let volumes = bench.all(.claims).map(\.uid)
        bench.deeds = []
        bench.planner = ResourcePlanner(Installation(agentImage: "understudy:1", controllers: []))
        var seen = bench.observation()
        seen.standing = nil
        let first = bench.planner.plan(seen, at: bench.now)
        #expect(!first.changes.contains { if case .delete = $0.deed { true } else { false } })
        #expect(!first.changes.contains { if case .create(.statefulSets, _) = $0.deed { true } else { false } })
        bench.database = DatabaseModel(primary: 2, members: [1, 2, 3])
        bench.settle()
        let restarts = bench.deeds.compactMap { deed -> String? in
            if case .delete(.pods, let name, _) = deed { name } else { nil }
        }
        #expect(restarts == ["my-kubegres-3-0", "my-kubegres-1-0", "my-kubegres-2-0"])
        #expect(bench.all(.claims).map(\.uid) == volumes)
        #expect(bench.all(.claims).allSatisfy { $0.labels["understudy.dev/member"] == "true" })
        #expect(bench.areUpToDate)
        let left = bench.templates.flatMap { $0[path: ["spec", "initContainers"]]?.array ?? [] }.map { $0["name"] }
        #expect(!left.contains("setup-replica-data-directory"))
    }

    @Test("a restart asked for by kubectl on one StatefulSet, or on the resource, is carried out in order")
    func restarts() throws {
        var bench = Bench.settled()
        let old = bench.pods.map(\.uid)
        var set = try #require(bench.get(.statefulSets, "my-kubegres-2"))
        let path = ["spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt"]
        set.content[path: path] = "2026-11-22T12:00:00Z"
        bench.put(.statefulSets, set)
        bench.settle()
        #expect(bench.pods.map(\.uid).enumerated().map { $1 == old[$0] } == [true, false, true])
        var resource = bench.cluster
        resource.annotations["kubectl.kubernetes.io/restartedAt"] = "2026-11-22T13:00:00Z"
        bench.cluster = resource
        bench.settle()
        #expect(bench.areUpToDate)
        #expect(!bench.pods.contains { old.contains($0.uid) })
    }

    @Test("someone's change of a StatefulSet is put right, and the pods follow")
    func drift() throws {
        var bench = Bench.settled()
        var set = try #require(bench.get(.statefulSets, "my-kubegres-3"))
        set["spec", "template", "spec", "terminationGracePeriodSeconds"] = 1
        set["spec", "replicas"] = 0
        bench.put(.statefulSets, set)
        bench.settle()
        #expect(bench.get(.statefulSets, "my-kubegres-3")?.spec["replicas"] == 1)
        #expect(bench.shared("terminationGracePeriodSeconds") == 60)
        #expect(bench.areUpToDate)
    }

    @Test("conditions say what holds, and their moments change with their state only")
    func conditions() throws {
        var bench = Bench.settled()
        func state(_ type: String) -> String? { bench.cluster.condition(type) }
        #expect(state("Ready") == "True" && state("SpecValid") == "True" && state("Degraded") == "False")
        #expect(state("FailoverPossible") == "True" && state("Progressing") == "False")
        #expect(bench.cluster.status["observedGeneration"]?.integer == bench.cluster.generation)
        #expect(bench.cluster.status["primary"] == "my-kubegres-1-0")
        #expect(bench.cluster.status["ready"] == "3/3")
        #expect(bench.cluster.status["durability"] == "preferred")
        bench.change("customConfig", to: "nowhere")
        bench.settle()
        #expect(state("SpecValid") == "False" && state("Ready") == "True")
        bench.stuck["my-kubegres-2-0"] = "CrashLoopBackOff"
        bench.settle()
        #expect(state("Ready") == "False" && state("Degraded") == "True")
    }

    @Test("a resource that is being deleted is left to the garbage collector")
    func deletion() throws {
        var bench = Bench.settled()
        var resource = bench.cluster
        resource["metadata", "deletionTimestamp"] = "2026-11-22T12:00:00Z"
        bench.cluster = resource
        #expect(bench.step().changes.isEmpty)
    }
}
