import JSON
import KubernetesObjects
import KubernetesWorld
import ResourcePlan
import Testing

extension Bench {
    /// Puts a ConfigMap of the user's there.
    mutating func bring(_ name: String, _ keys: String...) {
        var map = KubernetesObject(.configMaps, namespace: namespace, name: name)
        if !keys.isEmpty { map.content["data"] = .object(Dictionary(uniqueKeysWithValues: keys.map { ($0, "x") })) }
        put(.configMaps, map)
    }

    mutating func bringClaim(_ name: String) {
        var claim = KubernetesObject(.claims, namespace: namespace, name: name)
        claim.spec = ["resources": ["requests": ["storage": "100Mi"]]]
        put(.claims, claim)
    }

    /// From which volume each of the three files comes, the same on all instances.
    var sources: [String] {
        let places = [
            "/etc/postgres.conf", "/etc/pg_hba.conf", "/docker-entrypoint-initdb.d/primary_init_script.sh",
        ]
        let found = containers.map { container in
            places.map { place in
                (container["volumeMounts"]?.array ?? []).first { $0["mountPath"]?.string == place }?["name"]?.string
                    ?? ""
            }
        }
        return Set(found).count == 1 ? found[0] : []
    }

    var hasCustomVolume: Bool {
        templates.contains { template in
            (template["spec"]?["volumes"]?.array ?? []).contains { $0["name"] == "custom-config" }
        }
    }

    var job: JSONValue? { self.get(.cronJobs, "backup-my-kubegres")?.content }

    func ofJob(_ list: String) -> [JSONValue] {
        job?[path: ["spec", "jobTemplate", "spec", "template", "spec", list]]?.array ?? []
    }

    var jobMap: String? { ofJob("volumes").dropFirst().first?[path: ["configMap", "name"]]?.string }
}

/// Rows of the list of acceptance about configuration files and dumps.
@Suite("Resource plan: configuration and dumps")
struct ConfigurationRows {
    @Test("CC1: without a ConfigMap of the user's all files come from the shared one, told and shown")
    func base() throws {
        let bench = Bench.settled(["customConfig": ""])
        #expect(!bench.hasCustomVolume)
        #expect(bench.sources == ["base-config", "base-config", "base-config"])
        #expect(bench.cluster.spec["customConfig"] == "base-kubegres-config")
        let base = try #require(bench.get(.configMaps, "base-kubegres-config"))
        #expect(base.ownerReferences.isEmpty, "it outlives the cluster: others share it")
        #expect(bench.events("BaseConfigMapDeployment").count == 1)
    }

    @Test("CC2: a ConfigMap that is not there is named, and nothing is made until it is")
    func missing() throws {
        var bench = Bench.settled(["customConfig": "doesNotExistConfigMap"])
        #expect(bench.refusals("'spec.customConfig' names ConfigMap 'doesNotExistConfigMap'") == 1)
        #expect(bench.statefulSets.isEmpty)
        bench.bring("doesNotExistConfigMap", "postgres.conf")
        bench.settle()
        #expect(bench.roles == [1, 2])
    }

    @Test(
        "CC3-CC6: each file comes from the user's ConfigMap where that has it",
        arguments: [
            ([], ["base-config", "base-config", "base-config"]),
            (["postgres.conf"], ["custom-config", "base-config", "base-config"]),
            (["primary_init_script.sh"], ["base-config", "base-config", "custom-config"]),
            (["pg_hba.conf"], ["base-config", "custom-config", "base-config"]),
        ]
    )
    func custom(keys: [String], sources: [String]) throws {
        var bench = Bench(manifest(["customConfig": "my-config"]))
        var map = KubernetesObject(.configMaps, namespace: "default", name: "my-config")
        if !keys.isEmpty { map.content["data"] = .object(Dictionary(uniqueKeysWithValues: keys.map { ($0, "x") })) }
        bench.put(.configMaps, map)
        bench.settle()
        #expect(bench.roles == [1, 2])
        #expect(bench.hasCustomVolume)
        #expect(bench.sources == sources)
    }

    @Test("CC7: a ConfigMap of the user's may come later")
    func later() throws {
        var bench = Bench.settled()
        bench.bring("my-config", "postgres.conf")
        bench.changed("customConfig", to: "my-config")
        #expect(bench.hasCustomVolume)
        #expect(bench.sources == ["custom-config", "base-config", "base-config"])
    }

    @Test("CC8, CC9, BK8, BK9: the script for dumps comes from the user's ConfigMap where that has it")
    func backupScript() throws {
        var bench = Bench(
            manifest(["backup": ["schedule": "*/1 * * * *", "pvcName": "dumps", "volumeMount": "/tmp/x"]])
        )
        bench.bringClaim("dumps")
        bench.settle()
        #expect(bench.jobMap == "base-kubegres-config")
        bench.bring("only-access", "pg_hba.conf")
        bench.changed("customConfig", to: "only-access")
        #expect(bench.jobMap == "base-kubegres-config")
        bench.bring("with-script", "backup_database.sh")
        bench.changed("customConfig", to: "with-script")
        #expect(bench.jobMap == "with-script")
        #expect(bench.hasCustomVolume)
        #expect(bench.sources == ["base-config", "base-config", "base-config"])
    }

    @Test("a ConfigMap that disappears while in use is told of, and everything else goes on")
    func disappears() throws {
        var bench = Bench(manifest(["customConfig": "my-config"]))
        bench.bring("my-config", "postgres.conf")
        bench.settle()
        let pods = bench.pods.map(\.uid)
        bench.remove(.configMaps, "my-config")
        bench.change("replicas", to: 4)
        bench.settle()
        #expect(bench.refusals("'my-config', which is not deployed") == 1)
        #expect(bench.roles == [1, 3])
        #expect(Array(bench.pods.map(\.uid).prefix(3)) == pods)
        bench.remove(.statefulSets, "my-kubegres-1")
        bench.settle()
        #expect(bench.roles == [1, 3], "failover and healing rest on nothing else")
    }

    @Test(
        "BK1, BK2: without a schedule there is no job for dumps",
        arguments: [
            JSONValue.null, ["pvcName": "dumps", "volumeMount": "/tmp/x"],
        ]
    )
    func noBackup(backup: JSONValue) throws {
        var bench = Bench(manifest(["backup": backup]))
        bench.bringClaim("dumps")
        bench.settle()
        #expect(bench.roles == [1, 2])
        #expect(bench.job == nil)
        #expect(bench.events("SpecCheckErr").isEmpty)
    }

    @Test(
        "BK3-BK5: what dumps lack is named; the cluster does without them",
        arguments: [
            ("volumeMount", "", "'spec.Backup.VolumeMount' is undefined"),
            ("pvcName", "", "'spec.Backup.PvcName' is undefined"),
            ("pvcName", "PvcDoesNotExists", "PersistentVolumeClaim 'PvcDoesNotExists', which is not deployed"),
        ]
    )
    func faultyBackup(field: String, value: String, words: String) throws {
        var bench = Bench(
            manifest(["backup": ["schedule": "*/1 * * * *", "pvcName": "dumps", "volumeMount": "/tmp/x"]])
        )
        bench.bringClaim("dumps")
        bench.change("backup", field, to: .string(value))
        bench.settle()
        #expect(bench.refusals(words) == 1)
        #expect(bench.job == nil)
        #expect(bench.roles == [1, 2])
    }

    @Test("BK6, BK7: the job has schedule, volume, script, variables and annotations, also when they change")
    func backup() throws {
        var bench = Bench(
            manifest([
                "backup": [
                    "schedule": "*/1 * * * *", "pvcName": "test-pvc-for-backup", "volumeMount": "/tmp/my-kubegres",
                ]
            ])
        )
        bench.bringClaim("test-pvc-for-backup")
        bench.bringClaim("test-pvc-for-backup-2")
        var resource = bench.cluster
        resource.annotations["linkerd.io/inject"] = "enabled"
        let custom: JSONValue = ["name": "MY_CUSTOM_ENV_VAR", "value": "postgreSqlPower"]
        resource.spec["env"] = .array((resource.spec["env"]?.array ?? []) + [custom])
        bench.cluster = resource
        bench.settle()
        expectJob(bench, "*/1 * * * *", "test-pvc-for-backup", "/tmp/my-kubegres")
        #expect(bench.jobMap == "base-kubegres-config")
        #expect(bench.ofJob("containers").first?["env"]?.array?.contains(custom) == true)
        let annotations = ["spec", "jobTemplate", "spec", "template", "metadata", "annotations", "linkerd.io/inject"]
        #expect(bench.job?[path: annotations] == "enabled")
        let job = bench.get(.cronJobs, "backup-my-kubegres")?.uid
        bench.change(
            "backup",
            to: [
                "schedule": "*/2 * * * *", "pvcName": "test-pvc-for-backup-2", "volumeMount": "/tmp/my-kubegres-2",
                "retention": 7,
            ]
        )
        bench.settle()
        expectJob(bench, "*/2 * * * *", "test-pvc-for-backup-2", "/tmp/my-kubegres-2")
        let variables = bench.ofJob("containers").first?["env"]?.array ?? []
        #expect(variables.contains(["name": "BACKUP_RETENTION", "value": "7"]))
        #expect(variables.contains(["name": "BACKUP_SOURCE_DB_HOST_NAME", "value": "my-kubegres-replica"]))
        #expect(bench.get(.cronJobs, "backup-my-kubegres")?.uid == job)
        #expect(bench.pods.count == 3)
    }

    private func expectJob(_ bench: Bench, _ schedule: String, _ claim: String, _ mount: String) {
        #expect(bench.job?[path: ["spec", "schedule"]]?.string == schedule)
        let volume = bench.ofJob("volumes").first
        #expect(volume?[path: ["persistentVolumeClaim", "claimName"]]?.string == claim)
        let container = bench.ofJob("containers").first
        #expect(container?["volumeMounts"]?.array?.first?["mountPath"]?.string == mount)
    }

    @Test("BK10: without backup fields the job goes")
    func backupEnds() throws {
        var bench = Bench(
            manifest(["backup": ["schedule": "*/1 * * * *", "pvcName": "dumps", "volumeMount": "/tmp/x"]])
        )
        bench.bringClaim("dumps")
        bench.settle()
        #expect(bench.job != nil)
        bench.changed("backup", to: ["schedule": "", "pvcName": "", "volumeMount": ""])
        #expect(bench.job == nil)
        #expect(bench.events("BackUpCronJobDeletion").count == 1)
    }
}
