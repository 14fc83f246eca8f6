import JSON
import KubernetesObjects
import KubernetesWorld
import ResourcePlan
import Testing

/// Rows of the list of acceptance that count instances: scaling, disabled failover, losses.
@Suite("Resource plan: how many instances")
struct CountRows {
    @Test("NS1-NS4, RE3-RE8: as many instances as are asked for, up and down, and the primary stays")
    func scaling() throws {
        var bench = Bench(manifest(replicas: 3), namespace: "toto")
        bench.settle()
        #expect(bench.roles == [1, 2])
        #expect(bench.statefulSets.allSatisfy { $0.namespace == "toto" })
        let primary = bench.pods(role: "primary")
        for (replicas, roles) in [(4, [1, 3]), (3, [1, 2]), (1, [1, 0]), (2, [1, 1])] {
            bench.change("replicas", to: .number(JSONNumber(Int64(replicas))))
            bench.settle()
            #expect(bench.roles == roles)
            #expect(bench.cluster.spec["replicas"]?.integer == Int64(replicas))
            #expect(bench.pods(role: "primary") == primary)
        }
    }

    @Test(
        "RE1, RE2: without a number of instances nothing is made, and the event names the field",
        arguments: [nil, 0]
    )
    func noReplicas(replicas: Int64?) throws {
        var bench = Bench(manifest(replicas: replicas.map { .number(JSONNumber($0)) }))
        bench.settle()
        #expect(bench.events("SpecCheckErr").contains { $0.contains("'spec.replicas' is undefined") })
        #expect(bench.told.contains { $0.reason == "SpecCheckErr" && $0.isWarning })
        #expect(bench.statefulSets.isEmpty)
        #expect(bench.cluster.spec["replicas"]?.integer == replicas)
    }

    @Test("RE3: a single instance is a primary without replicas")
    func single() throws {
        var bench = Bench(manifest(replicas: 1))
        bench.settle()
        #expect(bench.roles == [1, 0])
        #expect(bench.get(.budgets, "my-kubegres-primary") == nil)
    }

    @Test("MK1: two resources in one namespace do not touch each other's objects")
    func twoClusters() throws {
        var one = Bench(manifest(replicas: 2), name: "kubegres-one")
        one.settle()
        var two = Bench(manifest(replicas: 3), name: "kubegres-two")
        // The second sees the first's objects where it lists by name or label only.
        two.objects[.configMaps] = one.objects[.configMaps]
        two.settle()
        #expect(one.roles == [1, 1])
        #expect(two.roles == [1, 2])
        #expect(two.events("BaseConfigMapDeployment").isEmpty)
        #expect(two.all(.services).map(\.name) == ["kubegres-two", "kubegres-two-replica"])
    }

    @Test("PF1: a single primary whose StatefulSet is deleted comes back to its volume, under its number")
    func singleComesBack() throws {
        var bench = Bench(manifest(replicas: 1))
        bench.settle()
        let volume = try #require(bench.get(.claims, "postgres-db-my-kubegres-1-0")).uid
        bench.remove(.statefulSets, "my-kubegres-1")
        bench.settle()
        #expect(bench.roles == [1, 0])
        #expect(bench.get(.claims, "postgres-db-my-kubegres-1-0")?.uid == volume)
        #expect(bench.events("RecreatingPrimaryStatefulSet").count == 1)
        #expect(!bench.deeds.contains { if case .startOver = $0 { true } else { false } })
    }

    @Test("PF2: a single primary whose volume is deleted, too, begins anew under the next number")
    func singleStartsOver() throws {
        var bench = Bench(manifest(replicas: 1))
        bench.settle()
        var claim = try #require(bench.get(.claims, "postgres-db-my-kubegres-1-0"))
        claim["metadata", "deletionTimestamp"] = "2026-11-22T12:00:00Z"
        bench.put(.claims, claim)
        bench.settle()
        #expect(bench.statefulSets.map(\.name) == ["my-kubegres-1"], "as long as it runs nothing is lost")
        bench.remove(.statefulSets, "my-kubegres-1")
        bench.settle()
        #expect(bench.roles == [1, 0])
        #expect(bench.statefulSets.map(\.name) == ["my-kubegres-2"])
        #expect(bench.deeds.contains { if case .startOver = $0 { true } else { false } })
        #expect(bench.cluster.status["lastCreatedInstanceIndex"]?.integer == 2)
    }

    @Test("PF3, WL1: a primary whose StatefulSet is deleted is replaced by a standby and comes back as one")
    func primaryDeleted() throws {
        var bench = Bench(manifest())
        bench.settle()
        bench.remove(.statefulSets, "my-kubegres-1")
        bench.settle()
        #expect(bench.roles == [1, 2])
        #expect(bench.pods(role: "primary") == ["my-kubegres-2-0"])
        #expect(bench.statefulSets.map(\.name) == ["my-kubegres-1", "my-kubegres-2", "my-kubegres-3"])
        #expect(bench.events("FailOver").count == 1)
        #expect(bench.statefulSets.map { $0.labels["replicationRole"] } == ["replica", "primary", "replica"])
    }

    @Test("RF1: replicas whose StatefulSets are deleted come back to their volumes")
    func replicasDeleted() throws {
        var bench = Bench(manifest())
        bench.settle()
        let volumes = bench.all(.claims).map(\.uid)
        bench.remove(.statefulSets, "my-kubegres-2")
        bench.settle()
        bench.remove(.statefulSets, "my-kubegres-3")
        bench.settle()
        #expect(bench.roles == [1, 2])
        #expect(bench.all(.claims).map(\.uid) == volumes)
        #expect(bench.cluster.status["lastCreatedInstanceIndex"]?.integer == 3)
    }

    @Test("FD1: scaling goes on while failover is disabled")
    func disabledScales() throws {
        var bench = Bench(manifest(["failover": ["isDisabled": true]]))
        bench.settle()
        #expect(bench.roles == [1, 2])
        bench.change("replicas", to: 4)
        bench.settle()
        #expect(bench.roles == [1, 3])
        bench.change("replicas", to: 2)
        bench.settle()
        #expect(bench.roles == [1, 1])
        #expect(bench.lastPlan?.cluster?.failoverDisabled == true)
    }

    @Test("FD2: with failover disabled a deleted primary is not replaced; enabled again, all is made good")
    func disabledPrimary() throws {
        var bench = Bench(manifest())
        bench.settle()
        bench.change("failover", "isDisabled", to: true)
        bench.settle()
        #expect(bench.roles == [1, 2])
        bench.remove(.statefulSets, "my-kubegres-1")
        bench.settle()
        #expect(bench.roles == [0, 2])
        #expect(bench.events("AutomaticFailoverIsDisabled").count == 1)
        bench.change("failover", "isDisabled", to: false)
        bench.settle()
        #expect(bench.roles == [1, 2])
    }

    @Test("FD3: with failover disabled a deleted replica is not replaced")
    func disabledReplica() throws {
        var bench = Bench(manifest())
        bench.settle()
        bench.change("failover", "isDisabled", to: true)
        bench.settle()
        bench.remove(.statefulSets, "my-kubegres-3")
        bench.settle()
        #expect(bench.roles == [1, 1])
        #expect(bench.statefulSets.map(\.name) == ["my-kubegres-1", "my-kubegres-2"])
    }

    @Test(
        "PP1, PP2: promotePod names the new primary, also while failover is disabled, and is cleared",
        arguments: [false, true]
    )
    func promotion(isDisabled: Bool) throws {
        var bench = Bench(manifest(replicas: 2))
        bench.settle()
        bench.change("failover", to: ["isDisabled": .bool(isDisabled), "promotePod": "my-kubegres-2-0"])
        bench.settle()
        #expect(bench.roles == [1, 1])
        #expect(bench.pods(role: "primary") == ["my-kubegres-2-0"])
        #expect(bench.cluster.spec["failover"]?["promotePod"] == "")
        #expect(bench.events("ManualFailover").count == 1)
    }

    @Test("PP3: an unknown pod is refused, told once, and cleared")
    func promotionOfNobody() throws {
        var bench = Bench(manifest(replicas: 2))
        bench.settle()
        let pods = bench.pods.map(\.uid)
        bench.change("failover", "promotePod", to: "Pod_does_not_exist")
        bench.settle()
        #expect(bench.roles == [1, 1])
        #expect(bench.cluster.spec["failover"]?["promotePod"] == "")
        #expect(bench.events("ManualFailoverCannotHappenAsConfigErr").count == 1)
        #expect(bench.told.contains { $0.reason == "ManualFailoverCannotHappenAsConfigErr" && $0.isWarning })
        #expect(bench.pods.map(\.uid) == pods)
    }

    @Test("PP4: promoting the primary does nothing but clear the field")
    func promotionOfPrimary() throws {
        var bench = Bench(manifest(replicas: 2))
        bench.settle()
        let pods = bench.pods.map(\.uid)
        bench.change("failover", "promotePod", to: "my-kubegres-1-0")
        bench.settle()
        #expect(bench.cluster.spec["failover"]?["promotePod"] == "")
        #expect(bench.pods.map(\.uid) == pods)
        #expect(bench.pods(role: "primary") == ["my-kubegres-1-0"])
        #expect(bench.events("ManualFailover").isEmpty)
    }
}
