import ClusterModel
import JSON
import KubernetesClient
public import KubernetesObjects
import Logging
import Platform
import ResourcePlan

/// Makes the certificate of an instance: fills a Secret that was begun.
///
/// - Throws: Any error; the rest of the plan is left for later then.
public typealias CertificateIssuer =
    @Sendable (_ instance: String, _ cluster: ClusterKey, _ begun: KubernetesObject) async throws -> KubernetesObject

/// Another operator may lead by now (R11).
struct LeadershipLost: Error, CustomStringConvertible {
    let description = "this operator does not lead for certain"
}

/// Carries out one plan: one switch over its deeds, no decisions.
struct PlanExecutor: Sendable {
    /// In whose name fields are held.
    static let fieldManager = "understudy"

    let client: KubernetesClient
    let recorder: EventRecorder
    let host: any ClusterHost
    let issuer: CertificateIssuer
    let logger: Logger

    /// An object as the server has it after a write.
    typealias Written = (resource: APIResource, object: KubernetesObject)

    /// What an executed plan left behind.
    struct Outcome: Sendable {
        /// Objects as the server has them now, to be known before the watch tells them.
        var written: [Written] = []
        /// Why the rest was left out; nil if all was done.
        var failure: (any Error)?
    }

    func carryOut(_ plan: Plan, for cluster: ClusterKey, on resource: KubernetesObject) async -> Outcome {
        var outcome = Outcome()
        var version = resource.resourceVersion
        if let described = plan.cluster { await host.keep(described, of: cluster) }
        for change in plan.changes {
            guard await host.mayChange() else {
                outcome.failure = LeadershipLost()
                break
            }
            do {
                guard let written = try await carryOut(change, cluster, resource, version) else { continue }
                outcome.written.append(written)
                // Our own write of the resource is the version on which the next one rests.
                if written.resource == .kubegres { version = written.object.resourceVersion }
            } catch {
                if case .event = change.deed {
                    logger.info("could not tell an event", metadata: ["reason": "\(error)"])
                    continue
                }
                outcome.failure = error
                break
            }
        }
        return outcome
    }

    private func carryOut(
        _ change: Change,
        _ cluster: ClusterKey,
        _ resource: KubernetesObject,
        _ version: String
    ) async throws -> Written? {
        logger.info("\(change.why)", metadata: ["cluster.name": "\(cluster)"])
        switch change.deed {
        case .create(let kind, let object):
            return (kind, try await client.create(object, of: kind, fieldManager: Self.fieldManager))
        case .replace(let kind, let object):
            return (kind, try await client.replace(object, of: kind, fieldManager: Self.fieldManager))
        case .patch(let kind, let name, var patch):
            if kind == .kubegres { patch[path: ["metadata", "resourceVersion"]] = .string(version) }
            return (kind, try await self.patch(kind, cluster.namespace, name, patch, part: nil))
        case .status(let patch):
            return (.kubegres, try await self.patch(.kubegres, cluster.namespace, cluster.name, patch, part: .status))
        case .delete(let kind, let name, let uid):
            do throws(KubernetesError) {
                try await client.delete(kind, namespace: cluster.namespace, name: name, uid: uid)
            } catch {
                // It is what was asked for.
                if !error.isNotFound { throw error }
            }
            return nil
        case .event(let isWarning, let reason, let note):
            try await recorder.record(
                EventNote(regarding: resource, isWarning: isWarning, reason: reason, action: reason, note: note)
            )
            return nil
        case .issueCertificate(let instance, let begun):
            let secret = try await issuer(instance.text, cluster, begun)
            return (.secrets, try await client.create(secret, of: .secrets, fieldManager: Self.fieldManager))
        case .switchover(let instance):
            await host.switchOver(to: instance, of: cluster)
            return nil
        case .startOver(let instance):
            await host.startOver(with: instance, of: cluster)
            return nil
        }
    }

    private func patch(
        _ kind: APIResource,
        _ namespace: String,
        _ name: String,
        _ patch: JSONValue,
        part: ObjectPart?
    ) async throws(KubernetesError) -> KubernetesObject {
        try await client.mergePatch(
            patch,
            kind,
            namespace: namespace,
            name: name,
            part: part,
            fieldManager: Self.fieldManager
        )
    }
}
