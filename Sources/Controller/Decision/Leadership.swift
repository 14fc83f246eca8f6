public import ClusterModel

/// Who leads among the controllers of a cluster, as stored; changed only by compare-and-swap on `version` (R11).
public struct LeadershipClaim: Hashable, Sendable, Codable {
    /// Unique for each life of a controller.
    public var holder: String
    /// Where agents and command lines find it.
    public var address: Endpoint
    /// One higher with each change of leader.
    public var turn: UInt64
    /// One higher with each write.
    public var version: UInt64
    /// Given up by its holder.
    public var isReleased: Bool

    /// Creates a claim from its parts.
    public init(holder: String, address: Endpoint, turn: UInt64, version: UInt64) {
        self.holder = holder
        self.address = address
        self.turn = turn
        self.version = version
        isReleased = false
    }
}

/// What happens to a controller's leadership.
public enum LeadershipEvent: Hashable, Sendable {
    /// The claim as stored; nil if there is none. `holderIsDead` is certain knowledge, never a guess.
    case read(LeadershipClaim?, holderIsDead: Bool)
    /// The pending write took effect.
    case stored
    /// Somebody else changed the claim; this is it now.
    case conflict(LeadershipClaim?)
    /// Reading failed, or a write whose effect is unknown.
    case failed(reason: String)
    /// Time passed.
    case tick
}

/// What a controller does for its leadership.
public enum LeadershipAction: Hashable, Sendable {
    /// Answered by `read` or `failed`.
    case read
    /// Compare-and-swap; nil replaces nothing. Answered by `stored`, `conflict` or `failed`.
    case store(LeadershipClaim, replacing: UInt64?)
    /// It leads from now on: everything is to be read anew.
    case began
    /// Another leads, or may: nothing is decided any more.
    case ended
    case explain(Explanation)
}

/// Decides whether this controller leads, and until when that is certain on its own clock (R11).
///
/// A claim is good for `duration` from the moment *before* it was written. Another controller takes it over when its
/// version has not changed for `duration` × 1.05 + 100 ms of its own clock, when it was released, or when its holder
/// is known to be dead. Clocks of two machines are never compared.
public struct LeadershipMachine: Hashable, Sendable {
    private let holder: String
    private let address: Endpoint
    private let duration: Duration

    /// As last read or written; whoever leads is known from it.
    public private(set) var claim: LeadershipClaim?
    /// Whether this controller leads, as far as it knows; whether that is certain says ``certainUntil``.
    public private(set) var leads = false
    /// Until when nobody else can have taken over.
    public private(set) var certainUntil: MonotonicInstant?
    /// When the claim's version was first seen here.
    private var changedAt: MonotonicInstant?
    private var pending: Pending?
    private var isReading = false
    /// What is stored is not known: a write was lost.
    private var isLost = true
    private var dueAt: MonotonicInstant?
    private var complaint = ""

    private struct Pending: Hashable, Sendable {
        var claim: LeadershipClaim
        var begunAt: MonotonicInstant
    }

    /// Creates one that knows nothing yet; its first tick reads.
    public init(holder: String, address: Endpoint, duration: Duration) {
        self.holder = holder
        self.address = address
        self.duration = duration
    }

    /// Whether nobody else can have taken over by `now`.
    public func isCertain(at now: MonotonicInstant) -> Bool {
        guard leads, let certainUntil else { return false }
        return now < certainUntil
    }

    /// The moment by which it wants a tick.
    public func wakeAt(after now: MonotonicInstant) -> MonotonicInstant {
        // While an answer is awaited a tick changes nothing.
        if pending != nil || isReading { return now + pause }
        return max(dueAt ?? now, now)
    }

    /// Takes an event and says what to do, in order.
    public mutating func handle(_ event: LeadershipEvent, at now: MonotonicInstant) -> [LeadershipAction] {
        var actions: [LeadershipAction] = []
        switch event {
        case .read(let found, let isDead): read(found, isDead, now, &actions)
        case .stored: stored(now, &actions)
        case .conflict(let found):
            pending = nil
            dueAt = now + pause
            learn(found, now, &actions)
        case .failed(let reason):
            pending = nil
            isReading = false
            isLost = true
            dueAt = now + pause
            if reason != complaint {
                actions.append(.explain(Explanation(.record, rule: "R11", "the leadership is in doubt: \(reason)")))
            }
            complaint = reason
        case .tick: break
        }
        step(now, &actions)
        return actions
    }

    /// The claim that gives leadership up; nil if there is none to give up.
    public func released() -> LeadershipClaim? {
        guard leads, var given = claim else { return nil }
        given.version += 1
        given.isReleased = true
        return given
    }

    /// Between two looks at another's claim, and before a failure is tried again.
    private var pause: Duration { min(duration / 10, .milliseconds(200)) }

    private mutating func step(_ now: MonotonicInstant, _ actions: inout [LeadershipAction]) {
        guard pending == nil, !isReading, now >= dueAt ?? now else { return }
        if leads, !isLost, let claim {
            var renewed = claim
            renewed.version += 1
            return store(renewed, replacing: claim.version, now, &actions)
        }
        isReading = true
        actions.append(.read)
    }

    private mutating func store(
        _ wanted: LeadershipClaim,
        replacing version: UInt64?,
        _ now: MonotonicInstant,
        _ actions: inout [LeadershipAction]
    ) {
        pending = Pending(claim: wanted, begunAt: now)
        actions.append(.store(wanted, replacing: version))
    }

    private mutating func read(
        _ found: LeadershipClaim?,
        _ holderIsDead: Bool,
        _ now: MonotonicInstant,
        _ actions: inout [LeadershipAction]
    ) {
        isReading = false
        isLost = false
        complaint = ""
        dueAt = now + pause
        learn(found, now, &actions)
        // A write whose answer was lost may have made it the leader all the same.
        if let found, found.holder == holder, !found.isReleased {
            dueAt = now
            return adopt(found, now, &actions)
        }
        let patience = duration * 105 / 100 + .milliseconds(100)
        let isOver = changedAt.map { now - $0 >= patience } ?? true
        guard found == nil || found?.isReleased == true || holderIsDead || isOver else { return }
        let next = LeadershipClaim(
            holder: holder,
            address: address,
            turn: (found?.turn ?? 0) + 1,
            version: (found?.version ?? 0) + 1
        )
        store(next, replacing: found?.version, now, &actions)
    }

    /// Its own claim, found stored: good for nothing until it has been renewed, since nobody knows its age.
    private mutating func adopt(_ found: LeadershipClaim, _ now: MonotonicInstant, _ actions: inout [LeadershipAction])
    {
        claim = found
        guard !leads else { return }
        var renewed = found
        renewed.version += 1
        store(renewed, replacing: found.version, now, &actions)
    }

    private mutating func learn(
        _ found: LeadershipClaim?,
        _ now: MonotonicInstant,
        _ actions: inout [LeadershipAction]
    ) {
        if found != claim || changedAt == nil { changedAt = now }
        claim = found
        guard leads, found?.holder != holder || found?.isReleased == true else { return }
        leads = false
        certainUntil = nil
        let whom = found.map { "the controller at \($0.address) leads now" } ?? "the claim is gone"
        actions.append(.explain(Explanation(.record, rule: "R11", "this controller leads no more: \(whom)")))
        actions.append(.ended)
    }

    private mutating func stored(_ now: MonotonicInstant, _ actions: inout [LeadershipAction]) {
        guard let written = pending?.claim, let begunAt = pending?.begunAt else { return }
        pending = nil
        isLost = false
        complaint = ""
        claim = written
        changedAt = now
        certainUntil = begunAt + duration
        dueAt = begunAt + duration / 3
        guard !leads else { return }
        leads = true
        let text = "this controller leads from here on, turn \(written.turn)"
        actions.append(.explain(Explanation(.record, rule: "R11", text)))
        actions.append(.began)
    }
}
