import ClusterModel
public import KubernetesClient
import KubernetesObjects
public import Logging
import Platform
public import ResourcePlan

/// Keeps the objects of all Kubegres resources as they should be: watches, has plans made, carries them out.
///
/// Each cluster is planned by itself, one plan at a time, whenever something that concerns it has changed; a plan that
/// could not be carried out whole is followed by another one later and later.
public actor ClusterOperator {
    /// Who events are reported by.
    static let reportingController = "understudy.dev/controller"
    /// How many plans are carried out at once.
    public static let plansAtOnce = 8

    private struct Supervised {
        var planner: ResourcePlanner
        var isBusy = false
        var isChanged = true
        var backoff = Backoff(first: .milliseconds(100), longest: .seconds(5))
        var timer: Task<Void, Never>?
    }

    private let client: KubernetesClient
    private let namespace: String?
    private let installation: Installation
    private let host: any ClusterHost
    private let executor: PlanExecutor
    private let logger: Logger
    private var cache = ObjectCache()
    private var supervised: [ClusterKey: Supervised] = [:]
    private var waiting: [ClusterKey] = []
    private var busy = 0
    private var isEnding = false

    /// Creates an operator; nothing is asked yet.
    ///
    /// - Parameters:
    ///   - client: Speaks to the API server.
    ///   - namespace: Where resources are looked for; nil means everywhere.
    ///   - installation: How the operator was installed.
    ///   - host: Where the cores run.
    ///   - issuer: Makes certificates.
    ///   - identity: Which of several this one is, such as its pod's name.
    ///   - logger: Is told of each change.
    public init(
        _ client: KubernetesClient,
        namespace: String?,
        installation: Installation,
        host: any ClusterHost,
        issuer: @escaping CertificateIssuer,
        identity: String,
        logger: Logger
    ) {
        self.client = client
        self.namespace = namespace
        self.installation = installation
        self.host = host
        self.logger = logger
        let recorder = EventRecorder(client, controller: Self.reportingController, instance: identity)
        executor = PlanExecutor(client: client, recorder: recorder, host: host, issuer: issuer, logger: logger)
    }

    /// Works until the task is cancelled.
    public func run() async {
        await withTaskGroup(of: Void.self) { group in
            for (resource, selector) in ObjectCache.watched {
                let place = resource.isNamespaced ? namespace : nil
                let collection = ObjectCollection(resource, namespace: place, labelSelector: selector)
                group.addTask { await self.follow(collection) }
            }
            await group.waitForAll()
        }
        isEnding = true
        for key in Array(supervised.keys) { supervised[key]?.timer?.cancel() }
    }

    private nonisolated func follow(_ collection: ObjectCollection) async {
        var feed = client.follow(collection) { UInt64.random(in: .min ... .max) }
        while !Task.isCancelled {
            do throws(KubernetesError) {
                await take(try await feed.next(), of: collection.resource)
            } catch {
                return
            }
        }
    }

    /// Plans a cluster anew: its servers stand differently.
    public func look(at cluster: ClusterKey) {
        if supervised[cluster] != nil { note(cluster) }
    }

    private func take(_ change: CollectionChange, of resource: APIResource) {
        if case .interrupted(let error, let wait) = change {
            let place: Logger.Metadata = ["address": "\(resource.plural)", "reason": "\(error)"]
            logger.warning("nothing is heard; the next attempt is in \(wait.text)", metadata: place)
            return
        }
        let wasWhole = cache.isWhole
        let changed = cache.take(change, of: resource)
        guard cache.isWhole else { return }
        let concerned =
            wasWhole
            ? Set(changed.flatMap { cache.clusters(concernedBy: $0, of: resource) }) : Set(cache.clusters)
        for key in concerned { note(key) }
    }

    /// Has a cluster planned as soon as there is room.
    private func note(_ key: ClusterKey) {
        supervised[key, default: Supervised(planner: ResourcePlanner(installation))].isChanged = true
        guard supervised[key]?.isBusy == false, !waiting.contains(key) else { return }
        waiting.append(key)
        startWaiting()
    }

    private func startWaiting() {
        while busy < Self.plansAtOnce, !waiting.isEmpty, !isEnding, cache.isWhole {
            let key = waiting.removeFirst()
            guard supervised[key] != nil else { continue }
            supervised[key]?.isBusy = true
            busy += 1
            Task { await self.work(on: key) }
        }
    }

    /// Plans once and carries it out.
    private func work(on key: ClusterKey) async {
        // Before anything is looked at: what changes from here on is looked at once more.
        supervised[key]?.isChanged = false
        let standing = await host.standing(of: key)
        supervised[key]?.timer?.cancel()
        // To the second, as objects carry it.
        let moment = KubernetesClient.moment(milliseconds: WallClock.milliseconds()).prefix { $0 != "." } + "Z"
        let now = MonotonicInstant(nanoseconds: UInt64(max(0, MonotonicClock.now().wholeNanoseconds)))
        if let seen = cache.observation(of: key, standing: standing, moment: String(moment)),
            var planner = supervised[key]?.planner
        {
            let plan = planner.plan(seen, at: now)
            let known = cache.versions(of: plan, for: key)
            let outcome = await executor.carryOut(plan, for: key, on: seen.resource)
            supervised[key]?.planner = planner
            learn(outcome.written, over: known, key)
            settle(key, plan, outcome, at: now)
        } else {
            supervised[key] = nil
            await host.forget(key)
        }
        busy -= 1
        supervised[key]?.isBusy = false
        if supervised[key]?.isChanged == true { note(key) }
        startWaiting()
    }

    /// Knows what was written before the watch tells it, unless the watch has told something of the object meanwhile:
    /// that may be newer, or that it is gone.
    private func learn(_ written: [PlanExecutor.Written], over known: ObjectCache.Versions, _ key: ClusterKey) {
        var known = known
        for one in written {
            let place = ObjectCache.Place(resource: one.resource, name: one.object.name)
            guard cache.version(of: place, in: key.namespace) == known[place] else { continue }
            if !cache.take(.updated(one.object), of: one.resource).isEmpty { supervised[key]?.isChanged = true }
            known[place] = cache.version(of: place, in: key.namespace)
        }
    }

    private func settle(_ key: ClusterKey, _ plan: Plan, _ outcome: PlanExecutor.Outcome, at now: MonotonicInstant) {
        // Whoever gets on, if not to the end, need not wait long.
        if !outcome.written.isEmpty { supervised[key]?.backoff.reset() }
        if let failure = outcome.failure {
            let wait = supervised[key]?.backoff.next(random: UInt64.random(in: .min ... .max)) ?? .seconds(1)
            logger.warning(
                "a plan was not carried out whole; another is made in \(wait.text)",
                metadata: ["cluster.name": "\(key)", "reason": "\(failure)"]
            )
            again(key, after: wait)
        } else {
            supervised[key]?.backoff.reset()
            if let due = plan.lookAgainAt { again(key, after: due - now) }
        }
    }

    private func again(_ key: ClusterKey, after wait: Duration) {
        supervised[key]?.timer?.cancel()
        supervised[key]?.timer = Task { [weak self] in
            guard (try? await Task.sleep(for: max(wait, .milliseconds(1)))) != nil else { return }
            await self?.look(at: key)
        }
    }
}
