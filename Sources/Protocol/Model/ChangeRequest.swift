/// A change of primary that somebody asked for; in the record until a candidate is, so that another leader goes on
/// with it or gives it up (R16, R18, R19).
public struct ChangeRequest: Hashable, Sendable, Codable {
    /// How far it has come.
    public enum Step: String, Sendable, Hashable, Codable {
        /// The primary checkpoints, so that stopping it is short; clients write on.
        case checkpoint
        /// The primary was, or may have been, told to stop.
        case stop
        /// The primary is gone: the candidate is to take its place by hand.
        case takeOver
    }

    /// Who is to be primary.
    public var candidate: InstanceName
    /// How far it has come.
    public var step: Step
    /// Whoever asked was told what may be lost, and accepts it (R19).
    public var acceptsDataLoss: Bool
    /// One sentence: who asked for what.
    public var why: String

    /// Creates a request from its parts.
    public init(candidate: InstanceName, step: Step, acceptsDataLoss: Bool = false, why: String) {
        self.candidate = candidate
        self.step = step
        self.acceptsDataLoss = acceptsDataLoss
        self.why = why
    }
}

/// What a person, or a program in a person's place, may ask of a cluster.
public enum ClusterCommand: Hashable, Sendable {
    /// Hand over to that instance, or to the best one (R16).
    case switchover(to: InstanceName?, by: String, isDryRun: Bool)
    /// Give up a change of primary that has no candidate yet (R16).
    case abandon
    /// Make that instance primary although the present one is gone and nothing happens by itself (R18, R19).
    ///
    /// `oldPrimaryIsOff`: whoever asks vouches for it where nobody can see it.
    case promote(InstanceName, acceptsDataLoss: Bool, oldPrimaryIsOff: Bool = false, isDryRun: Bool)
    /// No automatic change of primary from now on (R18).
    case pause(reason: String)
    /// Automation goes on.
    case resume
    /// Make that instance's data directory anew, as a copy of the primary (R15).
    ///
    /// `commitsMayWait`: also if too few voters are left meanwhile.
    case rebuild(InstanceName, commitsMayWait: Bool, isDryRun: Bool)
}

/// What came of a command.
public struct CommandAnswer: Hashable, Sendable {
    /// How it ended; the raw value is the exit code of the command line.
    public enum Ending: Int32, Sendable, Hashable {
        case done = 0
        case failed = 1
        case usage = 2
        /// Going on could harm something.
        case refused = 3
    }

    /// How it ended.
    public var ending: Ending
    /// For the person who asked.
    public var text: String

    /// Creates an answer from its parts.
    public init(_ ending: Ending, _ text: String) {
        self.ending = ending
        self.text = text
    }
}
