import JSON
import KubernetesObjects
import KubernetesWorld
import ResourcePlan
import Testing

/// Rows of the list of acceptance about volumes and what cannot change.
@Suite("Resource plan: volumes")
struct VolumeRows {
    @Test("DS1: without a size nothing is made")
    func noSize() throws {
        let bench = Bench.settled(["database": ["size": ""]])
        #expect(bench.refusals("'spec.database.size' is undefined") == 1)
        #expect(bench.statefulSets.isEmpty)
    }

    @Test("DS2, DS3: every volume has the size; a larger one is refused where the class does not let volumes grow")
    func size() throws {
        var bench = Bench.settled(["database": ["size": "300Mi"]])
        #expect(Set(bench.all(.claims).map { $0.spec[path: ["resources", "requests", "storage"]] }) == ["300Mi"])
        bench.change("database", "size", to: "400Mi")
        bench.settle()
        #expect(bench.refusals("'spec.database.size' cannot be changed from '300Mi' to '400Mi'") == 1)
        #expect(Set(bench.all(.claims).map { $0.spec[path: ["resources", "requests", "storage"]] }) == ["300Mi"])
        #expect(bench.cluster.status[path: ["specInForce", "database", "size"]] == "300Mi")
        #expect(bench.roles == [1, 2])
    }

    @Test("a size in another spelling is no change, and a volume never shrinks")
    func sameSize() throws {
        var bench = Bench.settled(["database": ["size": "1024Mi"]])
        #expect(
            bench.get(.claims, "postgres-db-my-kubegres-1-0")?.spec[path: ["resources", "requests", "storage"]] == "1Gi"
        )
        bench.change("database", "size", to: "1Gi")
        bench.settle()
        #expect(bench.events("SpecCheckErr").isEmpty)
        bench.change("database", "size", to: "0.5Gi")
        bench.settle()
        #expect(bench.refusals("a volume cannot shrink") == 1)
    }

    @Test("volumes grow where their class lets them, without a restart, and later instances begin with that size")
    func growth() throws {
        var bench = Bench(manifest())
        var storage = try #require(bench.get(.storageClasses, "standard"))
        storage.content["allowVolumeExpansion"] = true
        bench.put(.storageClasses, storage)
        bench.settle()
        let pods = bench.pods.map(\.uid)
        bench.change("database", "size", to: "1Gi")
        bench.settle()
        bench.change("replicas", to: 4)
        bench.settle()
        #expect(bench.all(.claims).count == 4)
        #expect(Set(bench.all(.claims).map { $0.spec[path: ["resources", "requests", "storage"]] }) == ["1Gi"])
        #expect(bench.pods.prefix(3).map(\.uid) == pods)
        #expect(bench.events("VolumeGrowth").count == 3)
    }

    @Test("SC1: the default class is found, told and shown")
    func defaultClass() throws {
        let bench = Bench.settled(["database": ["storageClassName": .null]])
        #expect(bench.events("DefaultSpecValue").contains { $0.contains("'spec.Database.StorageClassName'") })
        #expect(bench.cluster.spec[path: ["database", "storageClassName"]] == "standard")
        for set in bench.statefulSets {
            #expect(set.spec["volumeClaimTemplates"]?.array?.first?[path: ["spec", "storageClassName"]] == "standard")
        }
    }

    @Test("without any default class nothing is made until there is one")
    func noDefaultClass() throws {
        var bench = Bench(manifest(["database": ["storageClassName": .null]]))
        bench.remove(.storageClasses, "standard")
        bench.settle()
        #expect(bench.events("DefaultStorageClassNameErr").count == 1)
        #expect(bench.statefulSets.isEmpty)
        var storage = KubernetesObject(.storageClasses, name: "fast")
        storage.annotations = ["storageclass.kubernetes.io/is-default-class": "true"]
        bench.put(.storageClasses, storage)
        bench.settle()
        #expect(bench.roles == [1, 2])
    }

    @Test("SC2, SC3: the class is used and cannot change")
    func storageClass() throws {
        var bench = Bench.settled()
        bench.change("database", "storageClassName", to: "anything")
        bench.settle()
        #expect(bench.refusals("'spec.database.storageClassName' cannot be changed from 'standard'") == 1)
        for set in bench.statefulSets {
            #expect(set.spec["volumeClaimTemplates"]?.array?.first?[path: ["spec", "storageClassName"]] == "standard")
        }
        #expect(bench.cluster.status[path: ["specInForce", "database", "storageClassName"]] == "standard")
        #expect(bench.roles == [1, 2])
    }

    @Test("VM1: no mount path means the image's own, told and shown")
    func defaultMount() throws {
        let bench = Bench.settled(["database": ["volumeMount": ""]])
        #expect(bench.events("DefaultSpecValue").contains { $0.contains("'spec.database.volumeMount'") })
        #expect(bench.cluster.spec[path: ["database", "volumeMount"]] == "/var/lib/postgresql/data")
        let first = bench.containers.map { $0["volumeMounts"]?.array?.first?["mountPath"] }
        #expect(first == ["/var/lib/postgresql/data", "/var/lib/postgresql/data", "/var/lib/postgresql/data"])
    }

    @Test("VM2, VM3: the mount path is used and cannot change")
    func mount() throws {
        var bench = Bench.settled(["database": ["volumeMount": "/tmp/folder1"]])
        let pods = bench.pods.map(\.uid)
        bench.change("database", "volumeMount", to: "/tmp/folder2")
        bench.settle()
        #expect(bench.refusals("'spec.database.volumeMount' cannot be changed from '/tmp/folder1'") == 1)
        #expect(bench.mounts("postgres-db") == [["/tmp/folder1"], ["/tmp/folder1"], ["/tmp/folder1"]])
        #expect(bench.pods.map(\.uid) == pods)
    }

    @Test("VV1, VC1: reserved names are refused, each place in an event of its own")
    func reservedNames() throws {
        let mount: JSONValue = [["name": "postgres-db", "mountPath": "/cache"]]
        let volumes = Bench.settled([
            "volume": ["volumes": [["name": "postgres-db", "emptyDir": [:]]], "volumeMounts": mount]
        ])
        #expect(volumes.refusals("'spec.Volume.Volumes'") == 1)
        #expect(volumes.refusals("'spec.Volume.VolumeMounts'") == 1)
        #expect(volumes.statefulSets.isEmpty)
        let claims = Bench.settled([
            "volume": ["volumeClaimTemplates": [["name": "postgres-db", "spec": [:]]], "volumeMounts": mount]
        ])
        #expect(claims.refusals("'spec.Volume.VolumeClaimTemplates'") == 1)
        #expect(claims.refusals("'spec.Volume.VolumeMounts'") == 1)
    }

    @Test("VV2: the data's own path is reserved", arguments: ["/var/lib/postgres/data", "/understudy/run"])
    func reservedPath(path: String) throws {
        let bench = Bench.settled([
            "volume": [
                "volumes": [["name": "cache-volume", "emptyDir": [:]]],
                "volumeMounts": [["name": "cache-volume", "mountPath": .string(path)]],
            ]
        ])
        #expect(bench.refusals("'spec.Volume.VolumeMounts' uses the mountPath '\(path)'") == 1)
    }

    @Test("VV3-VV6: the user's volumes and mounts are exactly those given, whatever comes and goes")
    func customVolumes() throws {
        func memory(_ size: String) -> JSONValue {
            ["name": "dshm", "emptyDir": ["medium": "Memory", "sizeLimit": .string(size)]]
        }
        let cache: JSONValue = ["name": "cache-volume", "emptyDir": [:]]
        func mount(_ name: String, _ path: String) -> JSONValue { ["name": .string(name), "mountPath": .string(path)] }
        var bench = Bench.settled([
            "volume": ["volumes": [memory("200Mi")], "volumeMounts": [mount("dshm", "/dev/shm")]]
        ])
        #expect(bench.customVolumes == [["dshm"], ["dshm"], ["dshm"]])
        #expect(bench.mounts("dshm") == [["/dev/shm"], ["/dev/shm"], ["/dev/shm"]])
        bench.changed(
            "volume",
            to: [
                "volumes": [memory("300Mi"), cache],
                "volumeMounts": [mount("dshm", "/dev/shm"), mount("cache-volume", "/cache")],
            ]
        )
        #expect(Set(bench.customVolumes) == [["dshm", "cache-volume"]])
        let sizes = bench.templates.map { template in
            template[path: ["spec", "volumes"]]?.array?.first { $0["name"] == "dshm" }?[path: ["emptyDir", "sizeLimit"]]
        }
        #expect(Set(sizes) == ["300Mi"])
        bench.changed("volume", to: ["volumes": [cache], "volumeMounts": [mount("cache-volume", "/cache")]])
        #expect(Set(bench.customVolumes) == [["cache-volume"]])
        #expect(Set(bench.mounts("dshm")) == [[]])
        bench.changed("volume", to: nil)
        #expect(Set(bench.customVolumes) == [[]])
        #expect(Set(bench.mounts("cache-volume")) == [[]])
    }

    @Test("VC2-VC5: further volumes are made; their mounts may change, they themselves may not")
    func claimTemplates() throws {
        func template(_ size: String) -> JSONValue {
            [
                "name": "cache",
                "spec": [
                    "accessModes": ["ReadWriteOnce"], "storageClassName": "standard",
                    "resources": ["requests": ["storage": .string(size)]],
                ],
            ]
        }
        func mount(_ path: String) -> JSONValue { [["name": "cache", "mountPath": .string(path)]] }
        var bench = Bench.settled([
            "volume": ["volumeClaimTemplates": [template("10Mi")], "volumeMounts": mount("/cache")]
        ])
        #expect(bench.all(.claims).filter { $0.name.hasPrefix("cache-") }.count == 3)
        bench.changed("volume", "volumeMounts", to: mount("/cachetwo"))
        #expect(Set(bench.mounts("cache")) == [["/cachetwo"]])
        let pods = bench.pods.map(\.uid)
        bench.told = []
        bench.change("volume", "volumeClaimTemplates", to: [template("15Mi")])
        bench.settle()
        #expect(bench.refusals("'spec.Volume.VolumeClaimTemplates' has changed") == 1)
        bench.change("volume", "volumeClaimTemplates", to: [template("10Mi")])
        bench.settle()
        bench.told = []
        bench.change("volume", to: nil)
        bench.settle()
        #expect(bench.refusals("'spec.Volume.VolumeClaimTemplates' has changed") == 1)
        #expect(bench.pods.map(\.uid) == pods)
        #expect(Set(bench.mounts("cache")) == [["/cachetwo"]])
    }

    @Test("volumes of instances that are not needed any more are marked and listed, or deleted if so asked")
    func retention() throws {
        var bench = Bench.settled()
        bench.change("replicas", to: 2)
        bench.settle()
        #expect(bench.get(.claims, "postgres-db-my-kubegres-3-0")?.labels["understudy.dev/retired"] == "true")
        #expect(bench.cluster.status["keptVolumes"] == ["postgres-db-my-kubegres-3-0"])
        #expect(bench.get(.claims, "postgres-db-my-kubegres-2-0")?.labels["understudy.dev/retired"] == nil)
        bench.change("volumeRetention", to: "delete")
        bench.settle()
        #expect(bench.all(.claims).map(\.name) == ["postgres-db-my-kubegres-1-0", "postgres-db-my-kubegres-2-0"])
        #expect(bench.cluster.status["keptVolumes"] == [])
    }
}
