import ClusterModel
import JSON
import KubernetesObjects

/// Where things lie in the containers.
enum PodFolders {
    static let root = "/understudy"
    static let programs = "/understudy/bin"
    static let sockets = "/understudy/run"
    static let secrets = "/understudy/secrets"
    static let certificates = "/understudy/certificates"
    static let launcher = "/understudy/bin/understudy-launcher"
    static let launcherSocket = "/understudy/run/launcher.sock"
    static let replicationPassword = "/understudy/secrets/replication-password"
    /// In the agent's image.
    static let shippedLauncher = "/usr/local/bin/understudy-launcher"
}

/// Where the agent is asked.
enum PodPorts {
    static let agent: Int64 = 7431
    static let http: Int64 = 8008
}

/// Makes the pod of one instance: the user's image under our launcher, and the agent beside it.
struct PodTemplate {
    let spec: KubegresSpec
    let names: ClusterNames
    let cluster: String
    let installation: Installation
    let configuration: ConfigurationSource
    /// Of the resource, without what others keep there for themselves.
    let annotations: [String: String]
    let index: Int

    /// Seconds that a pod is given to end; the server has most of them for a fast shutdown.
    private static let terminationSeconds: Int64 = 60
    private static let stopSeconds = 45

    /// Metadata and specification as a StatefulSet carries them.
    func content() -> JSONValue {
        let pod = podSpec()
        var texts = annotations.mapValues { JSONValue.string($0) }
        var marked = pod
        marked["restartedAt"] = texts[Marks.restartedAt]
        texts[Marks.template] = .string(mark(of: marked))
        return ["metadata": ["labels": .object(labels), "annotations": .object(texts)], "spec": pod]
    }

    /// A new pod is nobody's primary: only a server that admits clients as such is given that role (R20).
    private var labels: [String: JSONValue] {
        [
            Marks.app: .string(names.cluster), Marks.index: .string("\(index)"),
            Marks.role: .string(Marks.replica),
        ]
    }

    private func podSpec() -> JSONValue {
        var pod: JSONValue = [
            "terminationGracePeriodSeconds": .number(JSONNumber(Self.terminationSeconds)),
            "initContainers": [installContainer(), agentContainer()],
            "containers": [databaseContainer()],
            "volumes": .array(volumes()),
        ]
        pod["affinity"] = spec.affinity
        pod["securityContext"] = spec.securityContext
        if !spec.tolerations.isEmpty { pod["tolerations"] = .array(spec.tolerations) }
        if !spec.imagePullSecrets.isEmpty { pod["imagePullSecrets"] = .array(spec.imagePullSecrets) }
        if !spec.serviceAccountName.isEmpty { pod["serviceAccountName"] = .string(spec.serviceAccountName) }
        return pod
    }

    // MARK: Volumes

    private func volumes() -> [JSONValue] {
        configuration.volumes + spec.volume.volumes + [
            ["name": "understudy-programs", "emptyDir": [:]],
            ["name": "understudy-sockets", "emptyDir": [:]],
            ["name": "understudy-secrets", "emptyDir": ["medium": "Memory"]],
            [
                "name": "understudy-certificates",
                "secret": [
                    "secretName": .string(names.certificate(index)), "defaultMode": 0o444,
                    "items": .array(Self.certificateFiles),
                ],
            ],
        ]
    }

    /// What a Secret of the type `kubernetes.io/tls` holds, by the names that agents know.
    private static let certificateFiles: [JSONValue] = [
        ["key": "ca.crt", "path": "ca.pem"], ["key": "tls.crt", "path": "certificate.pem"],
        ["key": "tls.key", "path": "key.pem"],
    ]

    private func mount(_ name: String, _ path: String, isReadOnly: Bool = false) -> JSONValue {
        var mount: JSONValue = ["name": .string(name), "mountPath": .string(path)]
        if isReadOnly { mount["readOnly"] = true }
        return mount
    }

    // MARK: The database

    private func databaseContainer() -> JSONValue {
        let data = spec.database.volumeMount
        var container: JSONValue = [
            "name": .string(names.statefulSet(index)),
            "image": .string(spec.image),
            "imagePullPolicy": "IfNotPresent",
            // The launcher is process 1: if it goes, the kernel ends everything under it.
            "command": ["/bin/sh", "-c", .string(Self.startScript), "understudy", .string(data)],
            "ports": [["containerPort": .number(JSONNumber(Int64(spec.port))), "protocol": "TCP"]],
            "env": .array(databaseEnvironment()),
            "volumeMounts": .array(
                [mount(ClusterNames.dataVolume, data)] + configuration.mounts + spec.volume.mounts + [
                    mount("understudy-programs", PodFolders.programs, isReadOnly: true),
                    mount("understudy-sockets", PodFolders.sockets),
                ]
            ),
            // Until the server has answered once nobody judges it: a copy or a wait for its turn may take hours.
            "startupProbe": probe("/startupz", period: 1, failures: Int64(Int32.max)),
            "readinessProbe": spec.readinessProbe ?? probe("/readyz", period: 2, failures: 3),
        ]
        container["livenessProbe"] = spec.livenessProbe
        container["resources"] = spec.resources
        container["securityContext"] = spec.containerSecurityContext
        return container
    }

    /// A fresh volume may belong to root, as whom PostgreSQL does not run: the image's own entrypoint gives it away, too.
    private static let startScript = """
        if [ "$(id -u)" = 0 ] && [ "$(stat -c %u "$1")" = 0 ]; then chown postgres: "$1" || exit 1; fi
        exec \(PodFolders.launcher) --data-folder "$1" --socket \(PodFolders.launcherSocket) \
        --stop-timeout \(stopSeconds) -- docker-entrypoint.sh postgres
        """

    private func databaseEnvironment() -> [JSONValue] {
        [address, variable("PGDATA", spec.database.volumeMount + "/pgdata")] + spec.environment
    }

    private var address: JSONValue {
        ["name": "POD_IP", "valueFrom": ["fieldRef": ["fieldPath": "status.podIP"]]]
    }

    private func variable(_ name: String, _ value: String) -> JSONValue {
        ["name": .string(name), "value": .string(value)]
    }

    private func probe(_ path: String, period: Int64, failures: Int64) -> JSONValue {
        [
            "httpGet": ["path": .string(path), "port": .number(JSONNumber(PodPorts.http)), "scheme": "HTTP"],
            "periodSeconds": .number(JSONNumber(period)),
            "timeoutSeconds": 1,
            "successThreshold": 1,
            "failureThreshold": .number(JSONNumber(failures)),
        ]
    }

    // MARK: Launcher and agent

    /// Puts the launcher where the database's container finds it, and the password where the agent does.
    private func installContainer() -> JSONValue {
        let script = """
            cp \(PodFolders.shippedLauncher) \(PodFolders.launcher) && \
            printf %s "$REPLICATION_PASSWORD" > \(PodFolders.replicationPassword) && \
            chmod 444 \(PodFolders.replicationPassword)
            """
        var container: JSONValue = [
            "name": "understudy-install",
            "image": .string(installation.agentImage),
            "imagePullPolicy": "IfNotPresent",
            "command": ["/bin/sh", "-c", .string(script)],
            "volumeMounts": [
                mount("understudy-programs", PodFolders.programs), mount("understudy-secrets", PodFolders.secrets),
            ],
        ]
        if let password = copied("POSTGRES_REPLICATION_PASSWORD", as: "REPLICATION_PASSWORD") {
            container["env"] = [password]
        }
        container["securityContext"] = spec.containerSecurityContext
        return container
    }

    /// A variable of the user's under another name, wherever its value comes from.
    private func copied(_ name: String, as other: String) -> JSONValue? {
        guard var variable = spec.variable(name) else { return nil }
        variable["name"] = .string(other)
        return variable
    }

    private func agentContainer() -> JSONValue {
        var container: JSONValue = [
            "name": "understudy-agent",
            "image": .string(installation.agentImage),
            "imagePullPolicy": "IfNotPresent",
            "restartPolicy": "Always",
            "command": ["/usr/local/bin/understudy-agent"],
            "env": .array(agentEnvironment()),
            "ports": [
                ["name": "agent", "containerPort": .number(JSONNumber(PodPorts.agent)), "protocol": "TCP"],
                ["name": "http", "containerPort": .number(JSONNumber(PodPorts.http)), "protocol": "TCP"],
            ],
            "volumeMounts": .array(
                configuration.agentMounts + [
                    mount("understudy-sockets", PodFolders.sockets),
                    mount("understudy-secrets", PodFolders.secrets, isReadOnly: true),
                    mount("understudy-certificates", PodFolders.certificates, isReadOnly: true),
                ]
            ),
            "startupProbe": probe("/livez", period: 1, failures: 60),
            "livenessProbe": probe("/livez", period: 5, failures: 3),
            "resources": [
                "requests": ["cpu": "50m", "memory": "64Mi"], "limits": ["memory": "256Mi"],
            ],
        ]
        container["securityContext"] = agentSecurity()
        return container
    }

    private func agentEnvironment() -> [JSONValue] {
        let controllers = installation.controllers.map(\.description).joined(separator: ",")
        var variables = [
            address, variable("UNDERSTUDY_CLUSTER", cluster),
            variable("UNDERSTUDY_INSTANCE", names.instance(index)?.text ?? names.statefulSet(index)),
            variable("UNDERSTUDY_CONTROLLERS", controllers),
            variable("UNDERSTUDY_LISTEN", "[$(POD_IP)]:\(PodPorts.agent)"),
            variable("UNDERSTUDY_HTTP", "[$(POD_IP)]:\(PodPorts.http)"),
            variable("UNDERSTUDY_CERTIFICATES", PodFolders.certificates),
            variable("UNDERSTUDY_LAUNCHER_SOCKET", PodFolders.launcherSocket),
            variable("UNDERSTUDY_DATA_FOLDER", spec.database.volumeMount),
            variable("UNDERSTUDY_POSTGRES_SERVER", "[$(POD_IP)]:\(spec.port)"),
            variable("UNDERSTUDY_POSTGRES_LISTEN_ADDRESSES", "*"),
            variable("UNDERSTUDY_POSTGRES_SOCKET_FOLDER", PodFolders.sockets),
            variable("UNDERSTUDY_POSTGRES_REPLICATION_PASSWORD_FILE", PodFolders.replicationPassword),
        ]
        if let superuser = copied("POSTGRES_USER", as: "UNDERSTUDY_POSTGRES_SUPERUSER") { variables.append(superuser) }
        if let lease = spec.failover.leaseDuration {
            variables.append(variable("UNDERSTUDY_TIMINGS_LEASE_DURATION", lease.text))
        }
        return variables
    }

    /// The agent opens a socket of the server's user: it is the same user, or root without all but that right.
    private func agentSecurity() -> JSONValue {
        let contexts = [spec.containerSecurityContext, spec.securityContext]
        func first(_ name: String) -> JSONValue? { contexts.lazy.compactMap { $0?[name] }.first }
        var security: JSONValue = [
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": ["drop": ["ALL"]], "seccompProfile": ["type": "RuntimeDefault"],
        ]
        if let user = first("runAsUser"), user.integer != 0 {
            security["runAsUser"] = user
            security["runAsGroup"] = first("runAsGroup")
            security["runAsNonRoot"] = true
        } else if first("runAsNonRoot")?.bool == true {
            security["runAsNonRoot"] = true
        } else {
            security["runAsUser"] = 0
            security["runAsNonRoot"] = false
            security["capabilities"] = ["drop": ["ALL"], "add": ["DAC_OVERRIDE"]]
        }
        return security
    }
}
