import ClusterModel

/// Who reaches whom, and what becomes of messages.
struct SimulatedNetwork {
    /// Between servers; both ways at once.
    private var severed: [[Bool]]
    /// Between an agent and the controller.
    var isCutOff: [Bool]
    /// Messages are lost, doubled, late and out of order.
    var isChaotic = false

    init(count: Int) {
        severed = Array(repeating: Array(repeating: false, count: count), count: count)
        isCutOff = Array(repeating: false, count: count)
    }

    func reaches(_ one: Int, _ other: Int) -> Bool { one == other || !severed[one][other] }

    mutating func sever(_ one: Int, _ other: Int) {
        severed[one][other] = true
        severed[other][one] = true
    }

    mutating func join(_ one: Int, _ other: Int) {
        severed[one][other] = false
        severed[other][one] = false
    }

    mutating func heal() {
        for one in severed.indices {
            for other in severed.indices { severed[one][other] = false }
            isCutOff[one] = false
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
