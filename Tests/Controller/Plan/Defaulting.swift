import JSON
import KubernetesObjects

/// What an API server does to objects that are written: defaults, and quantities in its own words.
enum Defaulting {
    static func applied(to object: KubernetesObject) -> KubernetesObject {
        var defaulted = object
        switch object["kind"] {
        case "StatefulSet":
            defaulted["spec", "podManagementPolicy"] = "OrderedReady"
            defaulted["spec", "revisionHistoryLimit"] = 10
            fillPod(&defaulted.content, ["spec", "template", "spec"])
            let claims = object.spec["volumeClaimTemplates"]?.array ?? []
            defaulted["spec", "volumeClaimTemplates"] = .array(
                claims.map { claim in
                    var claim = canonical(claim)
                    claim[path: ["spec", "volumeMode"]] = "Filesystem"
                    claim[path: ["status", "phase"]] = "Pending"
                    return claim
                }
            )
        case "CronJob":
            defaulted["spec", "suspend"] = object["spec", "suspend"] ?? false
            defaulted["spec", "successfulJobsHistoryLimit"] = 3
            fillPod(&defaulted.content, ["spec", "jobTemplate", "spec", "template", "spec"])
        case "Service":
            defaulted["spec", "clusterIP"] = object["spec", "clusterIP"] ?? "10.1.1.1"
            defaulted["spec", "sessionAffinity"] = "None"
        default: break
        }
        return defaulted
    }

    private static func fillPod(_ content: inout JSONValue, _ path: [String]) {
        guard var pod = content[path: path] else { return }
        for (name, value) in [("dnsPolicy", "ClusterFirst"), ("schedulerName", "default-scheduler")] {
            pod[name] = .string(value)
        }
        if pod["securityContext"] == nil { pod["securityContext"] = [:] }
        for list in ["initContainers", "containers"] {
            if let containers = pod[list]?.array { pod[list] = .array(containers.map(filledContainer)) }
        }
        if let volumes = pod["volumes"]?.array {
            pod["volumes"] = .array(
                volumes.map { volume in
                    var volume = canonical(volume)
                    for kind in ["configMap", "secret"] where volume[kind] != nil && volume[kind]?["defaultMode"] == nil
                    {
                        volume[path: [kind, "defaultMode"]] = 420
                    }
                    return volume
                }
            )
        }
        content[path: path] = pod
    }

    private static func filledContainer(_ given: JSONValue) -> JSONValue {
        var container = given
        container["terminationMessagePath"] = "/dev/termination-log"
        for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
            guard var probe = container[name], probe.object != nil else { continue }
            let defaults = [
                ("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3),
            ]
            for (field, value) in defaults where probe[field] == nil {
                probe[field] = .number(JSONNumber(Int64(value)))
            }
            container[name] = probe
        }
        if let variables = container["env"]?.array {
            container["env"] = .array(
                variables.map { variable in
                    var variable = variable
                    if variable[path: ["valueFrom", "fieldRef"]] != nil {
                        variable[path: ["valueFrom", "fieldRef", "apiVersion"]] = "v1"
                    }
                    if variable["value"] == "" { variable["value"] = nil }
                    return variable
                }
            )
        }
        container["resources"] = canonical(container["resources"] ?? [:])
        return container
    }

    /// A few quantities as the API server would write them.
    private static func canonical(_ value: JSONValue) -> JSONValue {
        switch value {
        case .object(let values): .object(values.mapValues(canonical))
        case .array(let values): .array(values.map(canonical))
        case "1024Mi": "1Gi"
        case "2000m": "2"
        case "1000m": "1"
        default: value
        }
    }
}
