import HTTPTransport
public import KubernetesObjects

/// What a feed tells of a collection.
public enum CollectionChange: Hashable, Sendable {
    /// These are all objects now: the first word, and the word after anything may have been missed.
    case listed([KubernetesObject])
    /// An object is new or has changed.
    case updated(KubernetesObject)
    /// An object is gone, or does not meet the condition any more; as it was last.
    case removed(KubernetesObject)
    /// Nothing is heard for the moment; the next attempt is made after the wait.
    case interrupted(KubernetesError, retryAfter: Duration)
}

/// A collection followed without end: listed, watched, resumed where a watch ended, listed anew where that is too old.
///
/// Pulled by one reader; between two calls nothing happens, and what comes meanwhile waits within limits. A feed that
/// fails says so once per attempt and tries again, later and later.
public struct CollectionFeed: Sendable {
    private enum State: Sendable {
        case unknown
        /// Everything up to this version was told.
        case told(String)
        case watching(ObjectWatch.Iterator, String)
    }

    private let client: KubernetesClient
    private let collection: ObjectCollection
    private let random: @Sendable () -> UInt64
    private let idleLimit: Duration
    private var state = State.unknown
    private var backoff: Backoff
    private var wait = Duration.zero
    private var hasHeard = false

    init(
        _ client: KubernetesClient,
        _ collection: ObjectCollection,
        backoff: Backoff,
        idleLimit: Duration,
        random: @escaping @Sendable () -> UInt64
    ) {
        self.client = client
        self.collection = collection
        self.backoff = backoff
        self.idleLimit = idleLimit
        self.random = random
    }

    /// Awaits the next change.
    ///
    /// - Throws: `KubernetesError` only if the task was cancelled or the client closed.
    public mutating func next() async throws(KubernetesError) -> CollectionChange {
        while true {
            if wait > .zero {
                let pausing = wait
                wait = .zero
                try await pause(pausing, "watch \(collection.path)")
            }
            do throws(KubernetesError) {
                if let change = try await step() { return change }
            } catch {
                if error.isCancelled || error.kind == .transport(.closed) || Task.isCancelled { throw error }
                if let change = recovered(from: error) { return change }
            }
        }
    }

    private mutating func step() async throws(KubernetesError) -> CollectionChange? {
        switch state {
        case .unknown:
            let list = try await client.list(collection)
            state = .told(list.resourceVersion)
            return .listed(list.items)
        case .told(let version):
            let watch = try await client.watch(collection, from: version, idleLimit: idleLimit)
            state = .watching(watch.makeAsyncIterator(), version)
            hasHeard = false
            return nil
        case .watching(var iterator, let version):
            // The state keeps the version whatever comes, so that nothing is told twice but what must be.
            state = .told(version)
            guard let event = try await iterator.next() else {
                // A server that ends watches at once would be asked without a pause.
                if !hasHeard { try await pause(backoff.next(random: random()), "watch \(collection.path)") }
                return nil
            }
            hasHeard = true
            backoff.reset()
            state = .watching(iterator, event.resourceVersion)
            switch event {
            case .added(let object), .modified(let object): return .updated(object)
            case .deleted(let object): return .removed(object)
            case .bookmark: return nil
            }
        }
    }

    /// Decides how to go on after a failure; nil means at once and without a word.
    private mutating func recovered(from error: KubernetesError) -> CollectionChange? {
        let wasUnknown = if case .unknown = state { true } else { false }
        if error.isGone, !wasUnknown {
            state = .unknown
            // A list that is too old at once, again and again, would be asked for without a pause.
            if !hasHeard { wait = backoff.next(random: random()) }
            return nil
        }
        // A watch that broke off after it had told something goes on where it was, the first time without a pause.
        if hasHeard, error.isRetryable {
            hasHeard = false
            return nil
        }
        // What makes no sense once, such as an event too large, may be skipped by listing.
        if error.kind == .malformed { state = .unknown }
        wait = max(backoff.next(random: random()), error.status?.retryAfter ?? .zero)
        wait = min(wait, .seconds(60))
        return .interrupted(error, retryAfter: wait)
    }
}

extension KubernetesClient {
    /// Follows a collection without end.
    ///
    /// - Parameters:
    ///   - collection: What to follow.
    ///   - backoff: How long to wait after failures.
    ///   - idleLimit: How long a watch may be silent until it is taken for dead.
    ///   - random: Gives numbers that spread the attempts of many over time.
    /// - Returns: The feed; nothing is asked until it is read.
    public func follow(
        _ collection: ObjectCollection,
        backoff: Backoff = Backoff(),
        idleLimit: Duration = watchIdleLimit,
        random: @escaping @Sendable () -> UInt64
    ) -> CollectionFeed {
        CollectionFeed(self, collection, backoff: backoff, idleLimit: idleLimit, random: random)
    }
}
