extension APIResource {
    /// Clusters of ours.
    public static let kubegres = APIResource(
        group: "kubegres.reactive-tech.io",
        version: "v1",
        plural: "kubegres",
        kind: "Kubegres"
    )
    /// Sets of pods with volumes of their own.
    public static let statefulSets = APIResource(
        group: "apps",
        version: "v1",
        plural: "statefulsets",
        kind: "StatefulSet"
    )
    /// Pods.
    public static let pods = APIResource(version: "v1", plural: "pods", kind: "Pod")
    /// Addresses that lead to pods.
    public static let services = APIResource(version: "v1", plural: "services", kind: "Service")
    /// Files and values.
    public static let configMaps = APIResource(version: "v1", plural: "configmaps", kind: "ConfigMap")
    /// Files and values that few may read.
    public static let secrets = APIResource(version: "v1", plural: "secrets", kind: "Secret")
    /// Claims on volumes.
    public static let claims = APIResource(
        version: "v1",
        plural: "persistentvolumeclaims",
        kind: "PersistentVolumeClaim"
    )
    /// Jobs by the clock.
    public static let cronJobs = APIResource(group: "batch", version: "v1", plural: "cronjobs", kind: "CronJob")
    /// How many pods may be evicted at once.
    public static let budgets = APIResource(
        group: "policy",
        version: "v1",
        plural: "poddisruptionbudgets",
        kind: "PodDisruptionBudget"
    )
    /// Kinds of volumes.
    public static let storageClasses = APIResource(
        group: "storage.k8s.io",
        version: "v1",
        plural: "storageclasses",
        kind: "StorageClass",
        isNamespaced: false
    )
    /// Machines.
    public static let nodes = APIResource(version: "v1", plural: "nodes", kind: "Node", isNamespaced: false)
}
