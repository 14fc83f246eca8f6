import ClusterModel

/// Who reaches whom, and what becomes of messages.
struct SimulatedNetwork {
    /// From one server to another.
    private var severed: [[Bool]]
    /// Between an agent and the controllers.
    var isCutOff: [Bool]
    /// What the agent sends is lost; what it is sent arrives.
    var isMute: [Bool]
    /// Messages are lost, doubled, late and out of order.
    var isChaotic = false
    /// Connections stand, and no WAL comes: to the first from the second.
    private var starved: Set<[Int]> = []

    init(count: Int) {
        severed = Array(repeating: Array(repeating: false, count: count), count: count)
        isCutOff = Array(repeating: false, count: count)
        isMute = Array(repeating: false, count: count)
    }

    /// Whether anything gets from the first to the second.
    func carries(_ one: Int, _ other: Int) -> Bool { one == other || !severed[one][other] }

    /// Whether they can talk to each other.
    func reaches(_ one: Int, _ other: Int) -> Bool { carries(one, other) && carries(other, one) }

    /// Loses all that goes from the first to the second.
    mutating func block(_ one: Int, _ other: Int) { severed[one][other] = true }

    mutating func sever(_ one: Int, _ other: Int) {
        severed[one][other] = true
        severed[other][one] = true
    }

    mutating func join(_ one: Int, _ other: Int) {
        severed[one][other] = false
        severed[other][one] = false
    }

    /// Whether WAL gets to the first from the second.
    func feeds(_ one: Int, from other: Int) -> Bool { !starved.contains([one, other]) }

    /// Lets the first connect to the second and receive nothing.
    mutating func starve(_ one: Int, of other: Int) { starved.insert([one, other]) }

    mutating func feed(_ one: Int, from other: Int) { starved.remove([one, other]) }

    mutating func heal() {
        starved = []
        for one in severed.indices {
            for other in severed.indices { severed[one][other] = false }
            isCutOff[one] = false
            isMute[one] = false
        }
        isChaotic = false
    }
}

/// One agent's connection to the controller; a message belongs to the connection it was sent on.
struct ControlConnection {
    var number = 0
    /// Both ends believe in it.
    var isUp = false
    /// Ordered delivery: nothing arrives before what was sent earlier.
    var lastArrivalUp: UInt64 = 0
    var lastArrivalDown: UInt64 = 0
}
