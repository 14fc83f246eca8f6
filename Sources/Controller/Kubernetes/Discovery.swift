import JSON
public import KubernetesObjects

/// Which release a server is.
public struct ServerVersion: Hashable, Sendable {
    /// The number before the point; 0 if the server says nothing sensible.
    public let major: Int
    /// The number after the point.
    public let minor: Int
    /// The whole name, such as `v1.36.0`.
    public let name: String
}

extension KubernetesClient {
    /// Asks which release the server is.
    ///
    /// - Throws: `KubernetesError`.
    public func serverVersion() async throws(KubernetesError) -> ServerVersion {
        let answer = try await ask(Call(path: "/version"))
        // Some providers write `29+`.
        func number(_ field: String) -> Int { Int((answer[field]?.string ?? "").prefix { $0.isNumber }) ?? 0 }
        return ServerVersion(major: number("major"), minor: number("minor"), name: answer["gitVersion"]?.string ?? "")
    }

    /// Asks which versions of which groups the server has.
    ///
    /// - Returns: Group and version as objects carry them, such as `v1` and `apps/v1`; sorted.
    /// - Throws: `KubernetesError`.
    public func groupVersions() async throws(KubernetesError) -> [String] {
        let core = try await ask(Call(path: "/api"))
        let groups = try await ask(Call(path: "/apis"))
        let ofCore = (core["versions"]?.array ?? []).compactMap(\.string)
        let ofGroups = (groups["groups"]?.array ?? []).flatMap { group in
            (group["versions"]?.array ?? []).compactMap { $0["groupVersion"]?.string }
        }
        return (ofCore + ofGroups).sorted()
    }

    /// Asks which kinds of objects a version of a group has.
    ///
    /// - Parameters:
    ///   - group: The group; empty for the core group.
    ///   - version: The version.
    /// - Returns: The kinds in the server's order, without their parts; empty if there is no such version.
    /// - Throws: `KubernetesError`.
    public func resources(group: String, version: String) async throws(KubernetesError) -> [APIResource] {
        let steps = group.isEmpty ? ["api", version] : ["apis", group, version]
        let answer: JSONValue
        do throws(KubernetesError) {
            answer = try await ask(Call(path: "/" + steps.map(percentEncoded).joined(separator: "/")))
        } catch {
            if error.isNotFound { return [] }
            throw error
        }
        return (answer["resources"]?.array ?? []).compactMap { entry in
            guard let plural = entry["name"]?.string, !plural.contains("/"), let kind = entry["kind"]?.string else {
                return nil
            }
            return APIResource(
                group: group,
                version: version,
                plural: plural,
                kind: kind,
                isNamespaced: entry["namespaced"]?.bool ?? false
            )
        }
    }
}
