public import JSON

/// The resource of the upstream tests, with changes.
public func manifest(_ changes: JSONValue = [:], replicas: JSONValue? = 3) -> JSONValue {
    let secret = "my-kubegres-secret"
    func variable(_ name: String, _ key: String) -> JSONValue {
        ["name": .string(name), "valueFrom": ["secretKeyRef": ["name": .string(secret), "key": .string(key)]]]
    }
    var spec: JSONValue = [
        "image": "postgres:17.2",
        "port": 5432,
        "database": [
            "size": "200Mi", "storageClassName": "standard", "volumeMount": "/var/lib/postgres/data",
        ],
        "customConfig": "base-kubegres-config",
        "env": [
            variable("POSTGRES_PASSWORD", "superUserPassword"),
            variable("POSTGRES_REPLICATION_PASSWORD", "replicationUserPassword"),
            variable("POSTGRES_MYAPP_PASSWORD", "myAppUserPassword"),
        ],
    ]
    spec["replicas"] = replicas
    return spec.merged(with: changes)
}

/// One variable from the Secret of the upstream tests.
public func variable(_ name: String, from key: String) -> JSONValue {
    ["name": .string(name), "valueFrom": ["secretKeyRef": ["name": "my-kubegres-secret", "key": .string(key)]]]
}
