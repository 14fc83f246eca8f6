import JSON
import KubernetesObjects
import KubernetesWorld
import ResourcePlan
import Testing

extension Bench {
    /// Settles a new cluster of the upstream tests' manifest with changes.
    static func settled(_ changes: JSONValue = [:], replicas: JSONValue? = 3) -> Bench {
        var bench = Bench(manifest(changes, replicas: replicas))
        bench.settle()
        return bench
    }

    /// Changes the specification and settles: every pod is then from the newest template.
    mutating func changed(_ path: String..., to value: JSONValue?) {
        var resource = cluster
        resource.content[path: ["spec"] + path] = value
        cluster = resource
        settle()
        #expect(areUpToDate, "every pod is from the template of its StatefulSet")
        #expect(roles == [1, statefulSets.count - 1])
    }

    var areUpToDate: Bool {
        let mark = "understudy.dev/template"
        return statefulSets.allSatisfy { set in
            let wanted = set.spec[path: ["template", "metadata", "annotations", mark]]
            return wanted != nil && get(.pods, set.name + "-0")?["metadata", "annotations", mark] == wanted
        }
    }

    /// A value of the pod's specification that all instances share; nil if they differ.
    func shared(_ path: String...) -> JSONValue? {
        let values = templates.map { $0[path: ["spec"] + path] ?? .null }
        return Set(values).count == 1 ? values.first : nil
    }

    /// The same of the database's container.
    func sharedOfContainer(_ field: String) -> JSONValue? {
        let values = containers.map { $0[field] ?? .null }
        return Set(values).count == 1 ? values.first : nil
    }

    /// The user's volumes: without those that the operator brings.
    var customVolumes: [Set<String>] {
        templates.map { template in
            let names = (template["spec"]?["volumes"]?.array ?? []).compactMap { $0["name"]?.string }
            return Set(names.filter { !$0.hasPrefix("understudy-") && $0 != "base-config" && $0 != "custom-config" })
        }
    }

    func mounts(_ name: String) -> [[String]] {
        containers.map { container in
            (container["volumeMounts"]?.array ?? []).filter { $0["name"]?.string == name }
                .compactMap { $0["mountPath"]?.string }
        }
    }

    func refusals(_ field: String) -> Int { events("SpecCheckErr").filter { $0.contains(field) }.count }
}

/// Rows of the list of acceptance that pass a field on to pods.
@Suite("Resource plan: fields of the specification")
struct FieldRows {
    @Test("AN1: annotations reach StatefulSets and pods, but not what kubectl keeps for itself")
    func annotations() throws {
        var bench = Bench(manifest())
        var resource = bench.cluster
        resource.annotations = [
            "linkerd.io/inject": "enabled", "toto.io/test": "disabled",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
        ]
        bench.cluster = resource
        bench.settle()
        #expect(bench.roles == [1, 2])
        for object in bench.statefulSets + bench.pods {
            #expect(object.annotations["linkerd.io/inject"] == "enabled")
            #expect(object.annotations["toto.io/test"] == "disabled")
            #expect(object.annotations["kubectl.kubernetes.io/last-applied-configuration"] == nil)
        }
    }

    @Test("AF1: without an affinity instances rather have machines of their own, and the resource shows it")
    func defaultAffinity() throws {
        let bench = Bench.settled()
        let path = ["podAntiAffinity", "preferredDuringSchedulingIgnoredDuringExecution"]
        let term = try #require(bench.shared("affinity")?[path: path]?.array?.first)
        #expect(term["weight"] == 100)
        let selected: JSONValue = [["key": "app", "operator": "In", "values": ["my-kubegres"]]]
        #expect(term[path: ["podAffinityTerm", "labelSelector", "matchExpressions"]] == selected)
        #expect(term[path: ["podAffinityTerm", "topologyKey"]] == "kubernetes.io/hostname")
        #expect(bench.cluster.spec[path: ["scheduler", "affinity"]] == bench.shared("affinity"))
        #expect(bench.events("DefaultSpecValue").contains { $0.contains("'spec.Affinity'") })
    }

    @Test("AF2, AF3: the user's affinity is used, also when it changes")
    func affinity() throws {
        func affinity(_ weight: Int64) -> JSONValue {
            [
                "podAntiAffinity": [
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        ["weight": .number(JSONNumber(weight)), "podAffinityTerm": ["topologyKey": "zone"]]
                    ]
                ]
            ]
        }
        var bench = Bench.settled(["scheduler": ["affinity": affinity(90)]])
        #expect(bench.shared("affinity") == affinity(90))
        bench.changed("scheduler", "affinity", to: affinity(80))
        #expect(bench.shared("affinity") == affinity(80))
        #expect(bench.cluster.spec[path: ["scheduler", "affinity"]] == affinity(80))
    }

    @Test("TO1-TO3: tolerations are as given")
    func tolerations() throws {
        func tolerations(_ value: String) -> JSONValue {
            [["key": "group", "operator": "Equal", "value": .string(value)]]
        }
        var bench = Bench.settled()
        #expect(bench.shared("tolerations") == .null)
        bench.changed("scheduler", "tolerations", to: tolerations("critical"))
        #expect(bench.shared("tolerations") == tolerations("critical"))
        bench.changed("scheduler", "tolerations", to: tolerations("nonCritical"))
        #expect(bench.shared("tolerations") == tolerations("nonCritical"))
        bench.changed("scheduler", "tolerations", to: nil)
        #expect(bench.shared("tolerations") == .null)
    }

    @Test("RS1-RS3: resources are as given, however the API server writes them")
    func resources() throws {
        var bench = Bench.settled()
        #expect(bench.sharedOfContainer("resources") == [:])
        let first: JSONValue = ["limits": ["cpu": "2", "memory": "2Gi"], "requests": ["cpu": "1", "memory": "1Gi"]]
        bench.changed("resources", to: first)
        #expect(bench.sharedOfContainer("resources") == first)
        bench.changed("resources", to: ["limits": ["cpu": "2000m"], "requests": ["cpu": "500m", "memory": "1024Mi"]])
        #expect(bench.sharedOfContainer("resources")?["limits"] == ["cpu": "2"])
        #expect(bench.sharedOfContainer("resources")?["requests"] == ["cpu": "500m", "memory": "1Gi"])
    }

    @Test("SX1-SX3: the pod's security context is as given")
    func securityContext() throws {
        var bench = Bench.settled(["securityContext": [:]])
        #expect(bench.shared("securityContext") == [:])
        let first: JSONValue = ["runAsUser": 1000, "runAsGroup": 3000, "runAsNonRoot": true, "fsGroup": 2000]
        bench.changed("securityContext", to: first)
        #expect(bench.shared("securityContext") == first)
        bench.changed("securityContext", to: ["runAsUser": 1000, "runAsNonRoot": true])
        #expect(bench.shared("securityContext") == ["runAsUser": 1000, "runAsNonRoot": true])
    }

    @Test("CS1-CS3: the container's security context is that of the first init container, too")
    func containerSecurityContext() throws {
        func first(_ list: String, _ bench: Bench) -> Set<JSONValue?> {
            Set(bench.templates.map { $0[path: ["spec", list]]?.array?.first?["securityContext"] })
        }
        var bench = Bench.settled(["containerSecurityContext": [:], "securityContext": ["runAsUser": 1000]])
        #expect(first("containers", bench) == [[:]])
        #expect(first("initContainers", bench) == [[:]])
        let strict: JSONValue = [
            "runAsNonRoot": true, "allowPrivilegeEscalation": false, "capabilities": ["drop": ["ALL"]],
            "seccompProfile": ["type": "RuntimeDefault"], "readOnlyRootFilesystem": false, "privileged": false,
        ]
        bench.changed("containerSecurityContext", to: strict)
        #expect(first("containers", bench) == [strict])
        #expect(first("initContainers", bench) == [strict])
        let lax: JSONValue = [
            "runAsNonRoot": true, "allowPrivilegeEscalation": true, "capabilities": ["add": ["ALL"]],
            "privileged": true,
        ]
        bench.changed("containerSecurityContext", to: lax)
        #expect(first("containers", bench) == [lax])
        #expect(first("initContainers", bench) == [lax])
    }

    @Test("the agent runs as the server's user, or as root with one right where the image begins as root")
    func agentUser() throws {
        func agent(_ changes: JSONValue) -> JSONValue? {
            Bench.settled(changes).templates.first?[path: ["spec", "initContainers"]]?.array?.last?["securityContext"]
        }
        let given = try #require(agent(["securityContext": ["runAsUser": 1000, "runAsNonRoot": true]]))
        #expect(given["runAsUser"] == 1000 && given["runAsNonRoot"] == true)
        #expect(given["capabilities"] == ["drop": ["ALL"]])
        let nearest = try #require(
            agent(["securityContext": ["runAsUser": 1000], "containerSecurityContext": ["runAsUser": 999]])
        )
        #expect(nearest["runAsUser"] == 999)
        let root = try #require(agent([:]))
        #expect(root["runAsUser"] == 0 && root["capabilities"] == ["drop": ["ALL"], "add": ["DAC_OVERRIDE"]])
        let unknown = try #require(agent(["containerSecurityContext": ["runAsNonRoot": true]]))
        #expect(unknown["runAsUser"] == nil && unknown["runAsNonRoot"] == true)
    }

    @Test("SA1-SA3: the service account is as given")
    func serviceAccount() throws {
        var bench = Bench.settled()
        #expect(bench.shared("serviceAccountName") == .null)
        bench.changed("serviceAccountName", to: "my-kubegres")
        #expect(bench.shared("serviceAccountName") == "my-kubegres")
        bench.changed("serviceAccountName", to: "changed-kubegres")
        #expect(bench.shared("serviceAccountName") == "changed-kubegres")
    }

    @Test(
        "LV1, LV2, RD1, RD2: the user's probes are used; a partial one comes to rest, too",
        arguments: [
            "livenessProbe", "readinessProbe",
        ]
    )
    func probes(name: String) throws {
        let first: JSONValue = [
            "exec": ["command": ["sh", "-c", "exec pg_isready -U postgres -h $POD_IP"]], "initialDelaySeconds": 70,
            "timeoutSeconds": 5, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 6,
        ]
        var bench = Bench.settled(["probe": [name: first]])
        #expect(bench.sharedOfContainer(name) == first)
        let partial: JSONValue = ["exec": ["command": ["true"]], "periodSeconds": 20]
        bench.changed("probe", name, to: partial)
        #expect(bench.sharedOfContainer(name)?["periodSeconds"] == 20)
        #expect(bench.sharedOfContainer(name)?["initialDelaySeconds"] == nil)
    }

    @Test("without probes of the user's the agent is asked, and nothing restarts a server that waits for its turn")
    func ownProbes() throws {
        let bench = Bench.settled()
        #expect(bench.sharedOfContainer("readinessProbe")?[path: ["httpGet", "path"]] == "/readyz")
        #expect(bench.sharedOfContainer("startupProbe")?[path: ["httpGet", "path"]] == "/startupz")
        #expect(bench.sharedOfContainer("startupProbe")?["failureThreshold"]?.integer == 2_147_483_647)
        #expect(bench.sharedOfContainer("livenessProbe") == .null)
        let agent = try #require(bench.templates.first?[path: ["spec", "initContainers"]]?.array?.last)
        #expect(agent["restartPolicy"] == "Always")
        #expect(agent[path: ["livenessProbe", "httpGet", "path"]] == "/livez")
        let port = agent[path: ["livenessProbe", "httpGet", "port"]]?.integer ?? 0
        let address: JSONValue = ["name": "UNDERSTUDY_HTTP", "value": .string("[$(POD_IP)]:\(port)")]
        #expect(agent["env"]?.array?.contains(address) == true)
    }

    @Test("PO1: no port means 5432, told and shown")
    func defaultPort() throws {
        for port: JSONValue in [.null, 0] {
            let bench = Bench.settled(["port": port])
            #expect(bench.events("DefaultSpecValue").contains { $0.contains("'spec.port'") })
            #expect(bench.cluster.spec["port"] == 5432)
            expectPort(5432, bench)
        }
    }

    @Test("PO2, PO3: the server, the pods and both Services have the port, also when it changes")
    func port() throws {
        var bench = Bench.settled(["port": 5433])
        expectPort(5433, bench)
        let services = bench.all(.services).map(\.uid)
        bench.changed("port", to: 5434)
        expectPort(5434, bench)
        #expect(bench.all(.services).map(\.uid) == services, "a Service keeps its address")
    }

    private func expectPort(_ port: Int64, _ bench: Bench) {
        let number = JSONValue.number(JSONNumber(port))
        #expect(bench.sharedOfContainer("ports")?.array?.first?["containerPort"] == number)
        #expect(bench.all(.services).map(\.name) == ["my-kubegres", "my-kubegres-replica"])
        for service in bench.all(.services) {
            let found = service.spec["ports"]?.array?.first
            #expect(found?["port"] == number)
            #expect(found?["targetPort"] == number)
        }
        for template in bench.templates {
            let variables = template[path: ["spec", "initContainers"]]?.array?.last?["env"]?.array ?? []
            let server = variables.first { $0["name"] == "UNDERSTUDY_POSTGRES_SERVER" }?["value"]?.string
            #expect(server == "[$(POD_IP)]:\(port)")
        }
        #expect(bench.lastPlan?.cluster?.port == Int(port))
    }

    @Test("the Services lead to what is labelled, in addresses of their own")
    func services() throws {
        let bench = Bench.settled()
        #expect(
            bench.get(.services, "my-kubegres")?.spec["selector"] == [
                "app": "my-kubegres", "replicationRole": "primary",
            ]
        )
        #expect(
            bench.get(.services, "my-kubegres-replica")?.spec["selector"]
                == ["app": "my-kubegres", "replicationRole": "replica"]
        )
        #expect(bench.get(.services, "my-kubegres")?.spec["type"] == "ClusterIP")
    }

    @Test("IM1: without an image nothing is made")
    func noImage() throws {
        let bench = Bench.settled(["image": ""])
        #expect(bench.refusals("'spec.image' is undefined") == 1)
        #expect(bench.statefulSets.isEmpty)
    }

    @Test("IM2, IM3: a new image reaches replicas first, then the primary as a replica")
    func image() throws {
        var bench = Bench.settled(["image": "postgres:17.0"])
        #expect(bench.sharedOfContainer("image") == "postgres:17.0")
        let old = Dictionary(uniqueKeysWithValues: bench.pods.map { ($0.name, $0.uid) })
        bench.deeds = []
        bench.changed("image", to: "postgres:17.2")
        #expect(bench.sharedOfContainer("image") == "postgres:17.2")
        #expect(bench.pods.allSatisfy { old[$0.name] != $0.uid })
        let order = bench.deeds.compactMap { deed -> String? in
            switch deed {
            case .delete(.pods, let name, _): name
            case .switchover: "switchover"
            default: nil
            }
        }
        #expect(order == ["my-kubegres-3-0", "my-kubegres-2-0", "switchover", "my-kubegres-1-0"])
    }

    @Test(
        "EN1, EN2: without either password nothing is made",
        arguments: [
            "POSTGRES_PASSWORD", "POSTGRES_REPLICATION_PASSWORD",
        ]
    )
    func noPassword(missing: String) throws {
        let all = ["POSTGRES_PASSWORD", "POSTGRES_REPLICATION_PASSWORD"]
        let left = all.filter { $0 != missing }.map { variable($0, from: "superUserPassword") }
        let bench = Bench.settled(["env": .array(left)])
        #expect(bench.refusals("'spec.env.\(missing)' is undefined") == 1)
        #expect(bench.statefulSets.isEmpty)
    }

    @Test("EN3, EN4: the user's variables reach the server as they are, after its address and folder")
    func environment() throws {
        let passwords = [
            variable("POSTGRES_PASSWORD", from: "superUserPassword"),
            variable("POSTGRES_REPLICATION_PASSWORD", from: "replicationUserPassword"),
        ]
        var bench = Bench.settled(["env": .array(passwords)])
        func names() -> [String] {
            (bench.sharedOfContainer("env")?.array ?? []).compactMap { $0["name"]?.string }
        }
        #expect(names() == ["POD_IP", "PGDATA", "POSTGRES_PASSWORD", "POSTGRES_REPLICATION_PASSWORD"])
        let custom = variable("POSTGRES_CUSTOM_ENV_VAR", from: "myAppUserPassword")
        bench.changed("env", to: .array(passwords + [custom]))
        #expect(bench.sharedOfContainer("env")?.array?.last == custom)
        #expect(
            bench.sharedOfContainer("env")?.array?[1] == ["name": "PGDATA", "value": "/var/lib/postgres/data/pgdata"]
        )
    }

    @Test("a password may be written literally, too: the agent gets it as a file all the same")
    func literalPassword() throws {
        let bench = Bench.settled([
            "env": [
                ["name": "POSTGRES_PASSWORD", "value": "one"],
                ["name": "POSTGRES_REPLICATION_PASSWORD", "value": "two"],
            ]
        ])
        let install = try #require(bench.templates.first?[path: ["spec", "initContainers"]]?.array?.first)
        #expect(install["env"]?.array == [["name": "REPLICATION_PASSWORD", "value": "two"]])
        #expect(bench.roles == [1, 2])
    }
}
