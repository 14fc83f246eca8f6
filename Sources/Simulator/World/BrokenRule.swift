public import ClusterModel

/// A point of the protocol that is left out on purpose, to prove that the invariants would notice.
///
/// Some are left out by the world's shells, which do for the cores what the production shells do; the others by the
/// cores themselves (`Weakness`).
public enum BrokenRule: String, Sendable, Hashable, CaseIterable {
    /// Late orders get the stamp that would be accepted.
    case staleOrders = "R1"
    /// Orders are compared by their term only, not by the record's version.
    case termOnly = "R1-version"
    /// A promise is given before it is on disk.
    case volatilePromise = "R1-durable"
    /// A step is ordered although its record was not stored.
    case unrecordedStep = "R1-record"
    /// A lease counts from the arrival of the answer.
    case lateLease = "R2"
    /// The launcher's lease timer does nothing (R21).
    case leaseTimer = "R3"
    /// The controller takes a lease for over before it is.
    case shortHorizon = "R3-horizon"
    /// A server is called down while its backends still commit.
    case release = "R4"
    /// A stopped primary is started again without `standby.signal`.
    case gate = "R5"
    /// Promises and votes belong to a name: a new directory keeps the old one's.
    case nameOnly = "R5-incarnation"
    /// A directory that is not this cluster's counts as none.
    case foreignTaken = "R5-foreign"
    /// Data that were copied or restored keep their member's word and vote (D102).
    case copiesTaken = "R5-volume"
    /// `prepare` is answered without cutting the receiver.
    case revocation = "R6"
    /// The position is on the timeline that the receiver connected to.
    case connectedTimeline = "R6-timeline"
    /// After a restart the position is read before replay has ended.
    case unreplayedPosition = "R6-replay"
    /// A write of an earlier `follow` takes effect after the cut (D13).
    case lateFollow = "R6-mark"
    /// The old primary does not take its successor's place among the voters.
    case voterSwap = "R7"
    /// N - k answers are taken for enough.
    case oneAnswerLess = "R7-quorum"
    /// The recorded primary's own answer is one like any other.
    case noOwnAnswer = "R7-primary"
    /// A promotion drops all recorded rules but the newest (D20).
    case changeDropped = "R7-change"
    /// The recorded primary answers in any incarnation.
    case answerByName = "R7-own"
    /// Positions compare by LSN alone.
    case positionWithoutTimeline = "R7-position"
    /// Answers on timelines that the record never gave count (D8).
    case unknownTimelines = "R7-unknown"
    /// PostgreSQL picks the new timeline itself.
    case ownTimeline = "R7-assigned"
    /// The limit of `async` is not applied.
    case noLimit = "R8"
    /// Whoever is the best of those that may be promoted is, whatever the others hold.
    case behindIneligible = "R8-catchUp"
    /// Without any word of the old primary its limit counts as kept (D12).
    case unknownLag = "R8-unknown"
    /// Standbys that still receive are not asked.
    case evidenceOfOne = "R9"
    /// A voter that granted a lease prepares at once.
    case unboundGrant = "R10-bound"
    /// An agent that comes anew does not mind what the one before it granted.
    case forgottenGrant = "R10-restart"
    /// One grant less than half of the voters is enough.
    case oneGrantLess = "R10-count"
    /// A controller that slept judges by what it knew before (D50).
    case judgesOnWaking = "R9-slept"
    /// Nothing but a leader extends a lease.
    case noFailsafe = "R10"
    /// The record is written over whatever stands there.
    case blindWrite = "R11-swap"
    /// A new controller takes no lease for alive.
    case forgottenLease = "R11"
    /// A change records the new rule without the old one beside it.
    case oldRule = "R12"
    /// A change ends without the primary's confirmation.
    case changeUnconfirmed = "R12-confirmed"
    /// A change ends before voters have flushed past the barrier.
    case changeWithoutBarrier = "R12-barrier"
    /// K = 0 is left without the checkpoint that shows it (D24).
    case zeroWithoutCheckpoint = "R12-checkpoint"
    /// A new primary's names are empty, so that it waits for nobody.
    case names = "R13"
    /// Comment-only history files stay (D6).
    case commentFiles = "R13-history"
    /// A standby follows without having been cut and judged (D5, D14).
    case unjudgedFollower = "R14-judged"
    /// A standby gives up its vote before its new copy is complete (D9).
    case earlyDiscard = "R14-discard"
    /// A directory is deleted before its new copy is complete.
    case deletedFirst = "R14-copy"
    /// Whom a standby receives from is not looked at (D52).
    case strayUnseen = "R14-stray"
    /// The postmaster recovers from a crash by itself.
    case selfRestart = "R17"
    /// A pause does not hold up a failover.
    case pauseIgnored = "R18"
    /// A new primary admits clients at once.
    case opening = "R23"
    /// Senders that have not proven their history count.
    case unprovenSender = "R23-state"
    /// A first primary opens before it has a voter.
    case openingAtBirth = "R24"

    /// What is left out, in a sentence.
    public var meaning: String {
        switch self {
        case .staleOrders: "late orders get the stamp that would be accepted"
        case .termOnly: "orders are compared by their term only, not by the record's version"
        case .foreignTaken: "a directory that is not this cluster's counts as none"
        case .copiesTaken: "data that were copied or restored keep their member's word and vote (D102)"
        case .noOwnAnswer: "the recorded primary's own answer is one like any other"
        case .changeDropped: "a promotion drops all recorded rules but the newest (D20)"
        case .unknownLag: "without any word of the old primary its limit counts as kept (D12)"
        case .judgesOnWaking: "a controller that slept judges by what it knew before (D50)"
        case .noFailsafe: "nothing but a leader extends a lease"
        case .blindWrite: "the record is written over whatever stands there"
        case .zeroWithoutCheckpoint: "k = 0 is left without the checkpoint that shows it (D24)"
        case .strayUnseen: "whom a standby receives from is not looked at (D52)"
        case .pauseIgnored: "a pause does not hold up a failover"
        case .volatilePromise: "a promise is given before it is on disk"
        case .unrecordedStep: "a step is ordered although its record was not stored"
        case .lateLease: "a lease counts from the arrival of the answer"
        case .leaseTimer: "the launcher's lease timer does nothing (R21)"
        case .shortHorizon: "the controller takes a lease for over before it is"
        case .release: "a server is called down while its backends still commit"
        case .gate: "a stopped primary is started again without 'standby.signal'"
        case .nameOnly: "promises and votes belong to a name: a new directory keeps the old one's"
        case .revocation: "'prepare' is answered without cutting the receiver"
        case .connectedTimeline: "the position is on the timeline that the receiver connected to"
        case .unreplayedPosition: "after a restart the position is read before replay has ended"
        case .lateFollow: "a write of an earlier 'follow' takes effect after the cut (D13)"
        case .voterSwap: "the old primary does not take its successor's place among the voters"
        case .oneAnswerLess: "n - k answers are taken for enough"
        case .answerByName: "the recorded primary answers in any incarnation"
        case .positionWithoutTimeline: "positions compare by LSN alone"
        case .unknownTimelines: "answers on timelines that the record never gave count (D8)"
        case .ownTimeline: "PostgreSQL picks the new timeline itself"
        case .noLimit: "the limit of 'async' is not applied"
        case .behindIneligible: "the best of those that may be promoted is, whatever the others hold"
        case .evidenceOfOne: "standbys that still receive are not asked"
        case .unboundGrant: "a voter that granted a lease prepares at once"
        case .forgottenGrant: "an agent that comes anew does not mind what the one before it granted"
        case .oneGrantLess: "one grant less than half of the voters is enough"
        case .forgottenLease: "a new controller takes no lease for alive"
        case .oldRule: "a change records the new rule without the old one beside it"
        case .changeUnconfirmed: "a change ends without the primary's confirmation"
        case .changeWithoutBarrier: "a change ends before voters have flushed past the barrier"
        case .names: "a new primary's names are empty, so that it waits for nobody"
        case .commentFiles: "comment-only history files stay (D6)"
        case .unjudgedFollower: "a standby follows without having been cut and judged (D5, D14)"
        case .earlyDiscard: "a standby gives up its vote before its new copy is complete (D9)"
        case .deletedFirst: "a directory is deleted before its new copy is complete"
        case .selfRestart: "the postmaster recovers from a crash by itself"
        case .opening: "a new primary admits clients at once"
        case .unprovenSender: "senders that have not proven their history count"
        case .openingAtBirth: "a first primary opens before it has a voter"
        }
    }

    /// The mode in which its lack is looked for.
    public var durability: Durability { focus.durability }

    /// The point of a decision core that it leaves out; nil where the world does.
    var weakness: Weakness? {
        switch self {
        case .oneAnswerLess: .oneAnswerLess
        case .answerByName: .answerByName
        case .positionWithoutTimeline: .positionWithoutTimeline
        case .unknownTimelines: .unknownTimelines
        case .behindIneligible: .behindIneligible
        case .evidenceOfOne: .evidenceOfOne
        case .unboundGrant: .unboundGrant
        case .forgottenGrant: .forgottenGrant
        case .oneGrantLess: .oneGrantLess
        case .forgottenLease: .forgottenLease
        case .changeUnconfirmed: .changeUnconfirmed
        case .changeWithoutBarrier: .changeWithoutBarrier
        case .unjudgedFollower: .unjudgedFollower
        case .earlyDiscard: .earlyDiscard
        case .openingAtBirth: .openingAtBirth
        case .termOnly: .termOnly
        case .foreignTaken: .foreignTaken
        case .copiesTaken: .copiesTaken
        case .noOwnAnswer: .noOwnAnswer
        case .changeDropped: .changeDropped
        case .unknownLag: .unknownLag
        case .judgesOnWaking: .judgesOnWaking
        case .noFailsafe: .noFailsafe
        case .strayUnseen: .strayUnseen
        case .pauseIgnored: .pauseIgnored
        default: nil
        }
    }
}

/// Under which faults a missing point shows best.
struct Focus {
    var faults: [Fault]
    var durability = Durability.required
    var instances = 3
    var synchronousStandbys = 1
    var spacing: ClosedRange<UInt64> = Time.milliseconds(500)...Time.milliseconds(2500)
    var span: ClosedRange<UInt64>?
    var seconds = 40
    var fromBirth = false
    var losesStoreAnswers = false
    var leaseSeconds: Int?
    var isImpatient = false
    /// The second instance never takes another's place.
    var barsSecond = false
    /// Instead of chance, where that would take too long.
    var steps: [Steer] = []
    /// All controllers go, and one standby stays.
    var isAbsence = false
}

extension SimulationOptions {
    /// Of the rule that is broken; of one seed in 32 with none, a run that would show the lack of one.
    var focus: Focus? {
        if let brokenRule { return brokenRule.focus }
        guard seed % 32 == 8 else { return nil }
        let steered = BrokenRule.allCases.map(\.focus).filter { !$0.steps.isEmpty && $0.durability == durability }
        return steered.isEmpty ? nil : steered[Int(seed / 32 % UInt64(steered.count))]
    }
}

extension BrokenRule {
    // tidy: table, one line for each point that can be left out
    var focus: Focus {
        switch self {
        case .staleOrders: Focus(faults: [.hostPaused, .hostPaused, .networkChaos, .controllerCutOff, .serverFrozen])
        case .termOnly:
            Focus(faults: [], durability: .preferred, instances: 2, seconds: 80, steps: SteeredRun.lateOrder)
        case .foreignTaken: Focus(faults: [.foreignDirectory, .hostKilled])
        case .copiesTaken:
            Focus(
                faults: [.hostKilled, .serversSevered, .hostKilled, .postmasterKilled],
                instances: 2,
                spacing: Time.milliseconds(300)...Time.milliseconds(1500)
            )
        case .noOwnAnswer: Focus(faults: [], steps: SteeredRun.lostForGood)
        case .changeDropped: Focus(faults: [], steps: SteeredRun.connectedAndStarved)
        case .unknownLag:
            Focus(faults: [], durability: .async, instances: 2, seconds: 80, steps: SteeredRun.unheardOf)
        case .judgesOnWaking: Focus(faults: [], steps: SteeredRun.sleepingController)
        case .noFailsafe: Focus(faults: [], isAbsence: true)
        case .blindWrite:
            Focus(
                faults: [.twoControllers, .controllerFrozen, .postmasterKilled, .hostKilled, .serversSevered],
                spacing: Time.milliseconds(300)...Time.milliseconds(1500)
            )
        case .zeroWithoutCheckpoint:
            Focus(faults: [], durability: .preferred, instances: 2, seconds: 80, steps: SteeredRun.leavingZero)
        case .strayUnseen: Focus(faults: [.upstreamEditedByHand])
        case .pauseIgnored: Focus(faults: [], steps: SteeredRun.pausedFailover)
        case .volatilePromise: Focus(faults: [.agentKilled, .hostKilled, .postmasterKilled])
        case .unrecordedStep: Focus(faults: [.postmasterKilled, .hostKilled], losesStoreAnswers: true)
        case .lateLease: Focus(faults: [.agentFrozen, .hostIsolated, .networkChaos, .hostPaused], durability: .async)
        case .leaseTimer: Focus(faults: [.agentFrozen, .hostIsolated], durability: .async)
        case .shortHorizon: Focus(faults: [.hostIsolated, .controllerCutOff, .hostIsolated], durability: .async)
        case .release: Focus(faults: [.postmasterKilled, .hostKilled, .serversSevered])
        case .gate: Focus(faults: [.postmasterKilled, .hostKilled, .serversSevered])
        case .nameOnly:
            Focus(
                faults: [.volumeLost, .volumeLost, .hostPaused, .reportsLost, .networkChaos],
                spacing: Time.milliseconds(300)...Time.milliseconds(1200),
                fromBirth: true,
                leaseSeconds: 30
            )
        case .revocation: Focus(faults: [.hostPaused, .hostPaused, .networkChaos, .controllerCutOff, .serverFrozen])
        case .connectedTimeline: Focus(faults: [], steps: SteeredRun.connectedAndStarved)
        case .unreplayedPosition: Focus(faults: [.hostKilled, .allHostsKilled, .postmasterKilled])
        case .lateFollow: Focus(faults: [.postmasterKilled, .hostPaused, .serversSevered, .hostKilled])
        case .voterSwap: Focus(faults: [.hostKilled, .hostPaused, .serversSevered, .postmasterKilled, .hostKilled])
        case .oneAnswerLess: Focus(faults: [.serversSevered, .hostKilled, .hostKilled, .hostPaused])
        case .answerByName: Focus(faults: [], seconds: 60, steps: SteeredRun.copiedFromThePast)
        case .positionWithoutTimeline: Focus(faults: [], seconds: 60, steps: SteeredRun.longTail)
        case .unknownTimelines:
            Focus(
                faults: [.promotedByHand, .agentKilled, .hostKilled, .postmasterKilled, .promotedByHand],
                spacing: Time.milliseconds(100)...Time.milliseconds(800)
            )
        case .ownTimeline: Focus(faults: [.hostKilled, .hostIsolated, .serversSevered, .postmasterKilled])
        case .noLimit: Focus(faults: [.serversSevered, .hostKilled, .oneWayPartition, .diskHangs], durability: .async)
        case .behindIneligible:
            Focus(faults: [.postmasterKilled, .hostKilled, .serversSevered, .hostPaused], barsSecond: true)
        case .evidenceOfOne:
            Focus(faults: [.serversSevered, .controllerCutOff, .controllerCutOff, .oneWayPartition])
        case .unboundGrant, .oneGrantLess:
            Focus(
                faults: [.controllerCutOff, .serversSevered, .controllerCutOff, .oneWayPartition, .hostKilled],
                durability: .async,
                span: Time.seconds(3)...Time.seconds(12)
            )
        case .forgottenGrant:
            Focus(
                faults: [.controllerCutOff, .serversSevered, .agentKilled, .controllerCutOff, .agentKilled],
                durability: .async,
                spacing: Time.milliseconds(200)...Time.milliseconds(1200),
                span: Time.seconds(3)...Time.seconds(12)
            )
        case .forgottenLease: Focus(faults: [.controllerKilled, .hostIsolated, .controllerCutOff], durability: .async)
        case .oldRule, .changeUnconfirmed, .changeWithoutBarrier:
            Focus(
                faults: [
                    .membersLost, .controllerCutOff, .serversSevered, .hostPaused, .postmasterKilled, .oneWayPartition,
                ],
                durability: .preferred,
                spacing: Time.milliseconds(300)...Time.milliseconds(1500)
            )
        case .names: Focus(faults: [.postmasterKilled, .hostKilled, .serversSevered])
        case .commentFiles:
            Focus(
                faults: [
                    .hostKilled, .postmasterKilled, .postmasterKilled, .launcherKilled, .agentKilledBetweenActions,
                ],
                spacing: Time.milliseconds(100)...Time.milliseconds(900)
            )
        case .unjudgedFollower: Focus(faults: [], seconds: 60, steps: SteeredRun.divergedVoter)
        case .earlyDiscard:
            Focus(
                faults: [.serversSevered, .volumeLost],
                instances: 2,
                span: Time.seconds(10)...Time.seconds(20),
                seconds: 60,
                isImpatient: true
            )
        case .deletedFirst:
            Focus(
                faults: [.serversSevered, .volumeLost],
                instances: 2,
                span: Time.seconds(10)...Time.seconds(20),
                seconds: 60,
                isImpatient: true
            )
        case .selfRestart: Focus(faults: [.postmasterKilled, .serversSevered, .hostPaused])
        case .opening: Focus(faults: [.postmasterKilled, .hostKilled, .serversSevered])
        case .unprovenSender: Focus(faults: [], instances: 2, seconds: 60, steps: SteeredRun.unprovenVoter)
        case .openingAtBirth: Focus(faults: [.postmasterKilled, .hostKilled, .serversSevered], fromBirth: true)
        }
    }
}
