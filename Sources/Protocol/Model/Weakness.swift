/// A point of a rule that a decision core leaves out, so that the simulator can prove that it is needed.
///
/// No program but the simulator can set one: it is neither configured nor read from anywhere.
package enum Weakness: String, Hashable, Sendable, CaseIterable {
    /// n − k answers are taken for enough (R7).
    case oneAnswerLess
    /// The recorded primary's name answers for it, whatever its incarnation (R7).
    case answerByName
    /// Positions compare by LSN alone (R7).
    case positionWithoutTimeline
    /// Answers on timelines that the record never gave count (R7, D8).
    case unknownTimelines
    /// Whoever is the best of those that may be promoted is, whatever the others hold (R8).
    case behindIneligible
    /// A change ends without the primary's confirmation (R12).
    case changeUnconfirmed
    /// A change ends before voters have flushed past the barrier (R12).
    case changeWithoutBarrier
    /// One standby without the primary is evidence enough; those that still receive are not asked (R9).
    case evidenceOfOne
    /// A controller that comes anew takes no lease for alive (R11, `async`).
    case forgottenLease
    /// A standby gives up its incarnation before its new copy is complete (R14, D9).
    case earlyDiscard
    /// A standby follows without having been cut and judged (R14).
    case unjudgedFollower
    /// A primary opens although its newest rule demands nobody (R24).
    case openingAtBirth
    /// A voter that granted a lease prepares at once (R10).
    case unboundGrant
    /// An agent that comes anew does not mind what the one before it granted (R10).
    case forgottenGrant
    /// One grant less than half of the voters is enough (R10).
    case oneGrantLess
    /// Orders are compared by their term only (R1).
    case termOnly
    /// A directory that is not this cluster's counts as none (R5).
    case foreignTaken
    /// Data that were copied or restored keep their member's word and vote (R5, D102).
    case copiesTaken
    /// The recorded primary's own answer is one like any other (R7).
    case noOwnAnswer
    /// A promotion drops all recorded rules but the newest (R7, D20).
    case changeDropped
    /// Without any word of the old primary its lag limit counts as kept (R8, D12).
    case unknownLag
    /// A controller that slept judges by what it knew before (R9, D50).
    case judgesOnWaking
    /// Nothing but a leader extends a lease (R10).
    case noFailsafe
    /// Whom a standby receives from is not looked at (R14, D52).
    case strayUnseen
    /// A pause does not hold up a failover (R18).
    case pauseIgnored
    /// What lies past the fork of a later timeline never counts, though nobody holds a record of that timeline (R7).
    case strictAncestry
    /// A member counts for nobody from the moment that it is to be rewound (R14, D105).
    case earlyRewinding
}
