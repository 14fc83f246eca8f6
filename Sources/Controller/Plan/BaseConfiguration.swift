import JSON
import KubernetesObjects

/// From which ConfigMap each file comes: the user's where it has the key, else the shared one.
struct ConfigurationSource: Hashable, Sendable {
    private let custom: String?
    private let customKeys: Set<String>
    /// Nil as long as the shared one is not there: it will have all.
    private let baseKeys: Set<String>?

    static let settings = "postgres.conf"
    static let access = "pg_hba.conf"
    static let initialization = "primary_init_script.sh"
    static let replicationRole = "primary_create_replication_role.sh"
    static let backup = "backup_database.sh"

    /// Reads which keys there are; of a ConfigMap that went while in use, those that pods were made with stay.
    init(_ spec: KubegresSpec, configMaps: [KubernetesObject], usedBy objects: [KubernetesObject]) {
        custom = spec.hasCustomConfig ? spec.customConfig : nil
        func keys(_ name: String) -> Set<String>? {
            configMaps.first { $0.name == name }.map { object in
                let data = object.content["data"]?.object ?? [:]
                return Set(data.filter { !($0.value.string ?? "").isEmpty }.keys)
            }
        }
        customKeys = spec.hasCustomConfig ? keys(spec.customConfig) ?? Self.used(spec.customConfig, by: objects) : []
        baseKeys = keys(ClusterNames.baseConfiguration)
    }

    private static func used(_ map: String, by objects: [KubernetesObject]) -> Set<String> {
        let template = ["template", "spec"]
        var used: Set<String> = []
        for object in objects {
            let pod = object.spec[path: template] ?? object.spec[path: ["jobTemplate", "spec"] + template] ?? .null
            let volumes = (pod["volumes"]?.array ?? []).filter { $0[path: ["configMap", "name"]]?.string == map }
            let mounts = (pod["containers"]?.array ?? []).flatMap { $0["volumeMounts"]?.array ?? [] }
            for mount in mounts where volumes.contains(where: { $0["name"] == mount["name"] }) {
                if let key = mount["subPath"]?.string { used.insert(key) }
            }
        }
        return used
    }

    private func isCustom(_ key: String) -> Bool { key != Self.replicationRole && customKeys.contains(key) }

    /// The ConfigMap with the script for dumps.
    var backupMap: String {
        isCustom(Self.backup) ? custom ?? ClusterNames.baseConfiguration : ClusterNames.baseConfiguration
    }

    /// Of the pod.
    var volumes: [JSONValue] {
        var volumes = [volume("base-config", ClusterNames.baseConfiguration)]
        if let custom { volumes.append(volume("custom-config", custom)) }
        return volumes
    }

    private func volume(_ name: String, _ map: String) -> JSONValue {
        ["name": .string(name), "configMap": ["name": .string(map), "defaultMode": 0o777]]
    }

    /// Nil where an old shared ConfigMap has no such file: mounting nothing would make a folder of that name.
    private func mount(_ key: String, _ path: String) -> JSONValue? {
        if !isCustom(key), let baseKeys, !baseKeys.contains(key) { return nil }
        let name = isCustom(key) ? "custom-config" : "base-config"
        return ["name": .string(name), "mountPath": .string(path), "subPath": .string(key)]
    }

    /// Of the database's container: any instance may be the first, so that all have the scripts.
    var mounts: [JSONValue] {
        let scripts = [Self.replicationRole, Self.initialization]
        return scripts.compactMap { mount($0, "/docker-entrypoint-initdb.d/" + $0) } + agentMounts
    }

    /// Of the agent's container, too: it composes what the server reads.
    var agentMounts: [JSONValue] {
        [mount(Self.settings, "/etc/postgres.conf"), mount(Self.access, "/etc/pg_hba.conf")].compactMap(\.self)
    }
}

/// The ConfigMap that all clusters of a namespace share; made once, then the user's.
enum BaseConfiguration {
    static func object(namespace: String) -> KubernetesObject {
        var object = KubernetesObject(
            .configMaps,
            namespace: namespace,
            name: ClusterNames.baseConfiguration
        )
        object.content["data"] = [
            ConfigurationSource.settings: .string(settings), ConfigurationSource.access: .string(access),
            ConfigurationSource.initialization: .string(initialization),
            ConfigurationSource.replicationRole: .string(replicationRole), ConfigurationSource.backup: .string(backup),
        ]
        return object
    }

    private static let settings = """
        # Settings of PostgreSQL; what replication rests on is set beside this file and wins.
        max_connections = 100
        shared_buffers = 128MB

        """

    private static let access = """
        # Who may connect. Lines for replication and for the agent are put before these.
        # With md5, PostgreSQL also takes passwords that are kept as SCRAM.
        local   all   all                  md5
        host    all   all   0.0.0.0/0      md5
        host    all   all   ::/0           md5

        """

    private static let initialization = """
        #!/bin/bash
        # Runs once, in the first instance, when the cluster is made. For instance:
        # psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \\
        #     -c "CREATE DATABASE orders"

        """

    private static let replicationRole = #"""
        #!/bin/bash
        # Makes the role `replication`, which tools of the user's may receive WAL as.
        set -e
        psql -v ON_ERROR_STOP=1 -v password="$POSTGRES_REPLICATION_PASSWORD" \
            --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<-'STATEMENTS'
        CREATE ROLE replication WITH REPLICATION LOGIN PASSWORD :'password';
        STATEMENTS

        """#

    /// The dump bears another name until it is complete and was read through once.
    private static let backup = #"""
        #!/bin/bash
        # Writes a dump of all databases; keeps as many as BACKUP_RETENTION says, all if it says nothing.
        set -euo pipefail
        folder="$BACKUP_DESTINATION_FOLDER"
        name="$KUBEGRES_RESOURCE_NAME-backup-$(date +%d_%m_%Y_%H_%M_%S).gz"
        partial="$folder/.$name.partial"
        trap 'rm -f "$partial"' EXIT
        echo "dumping all databases of $BACKUP_SOURCE_DB_HOST_NAME into $folder/$name"
        pg_dumpall -h "$BACKUP_SOURCE_DB_HOST_NAME" -U "${POSTGRES_USER:-postgres}" -c | gzip > "$partial"
        gzip -t "$partial"
        # A dump that was cut lacks its last line.
        gzip -dc "$partial" | tail -n 10 | grep -q 'PostgreSQL database cluster dump complete'
        sync "$partial"
        mv "$partial" "$folder/$name"
        echo "complete: $(wc -c < "$folder/$name") bytes"
        if [ -n "${BACKUP_RETENTION:-}" ]; then
            ls -1t "$folder" | grep "^$KUBEGRES_RESOURCE_NAME-backup-.*\.gz$" | tail -n +"$((BACKUP_RETENTION + 1))" |
                while read -r old; do rm -- "$folder/$old"; done
        fi

        """#
}
