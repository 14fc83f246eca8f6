/// The runs of events that make a missing point show, each with what it lacks in the middle.
extension SteeredRun {
    /// `c` connects to the new primary and receives nothing; then the new primary dies, and `a` holds more than `c`.
    static let connectedAndStarved: [Steer] = [
        .sever(.a, .c), .wait(300...1500), .killHost(.a, 9000...9999), .until(.candidate), .starve(.c, from: .b),
        .sever(.a, .b), .until(.promoted), .until(.receives(.c, from: .b)), .wait(50...600),
        .killHost(.b, 9000...9999), .wait(50...1000), .powerOn(.a), .wait(3000...5000),
    ]

    /// `a` writes on alone, further than its successor ever gets; that one dies while `a` comes back.
    static let longTail: [Steer] = [
        .cutOff(.a), .sever(.a, .b), .sever(.a, .c), .until(.opened), .wait(300...1000), .cutOff(.c),
        .killHost(.b, 9000...9999), .wait(50...200), .rejoin(.a), .wait(2200...3500), .rejoin(.c), .wait(2000...4000),
    ]

    /// `b`, in office, loses its disk and is copied from `a`, which does not know that its time is over.
    static let copiedFromThePast: [Steer] = [
        .cutOff(.a), .sever(.a, .b), .sever(.a, .c), .until(.opened), .until(.canLose(.b)), .wait(300...1500),
        .cutOff(.c), .cutOff(.b), .loseVolume(.b), .join(.a, .b), .until(.isOff(.b)), .wait(800...1200),
        .repeatOrder(.follow, .b), .until(.isUp(.b)), .rejoin(.b), .wait(1000...3000), .rejoin(.c),
        .wait(2000...3000),
    ]

    /// `a`, with WAL that nobody else has, is a voter still when it comes back as a standby.
    static let divergedVoter: [Steer] = [
        .sever(.a, .b), .sever(.a, .c), .wait(1500...3000), .cutOff(.b), .cutOff(.c), .killPostmaster(.a),
        .until(.isStandby(.a)), .cutOff(.a), .rejoin(.b), .rejoin(.c), .until(.opened), .join(.a, .b), .sever(.b, .c),
        .killHost(.a, 20...200), .rejoin(.a), .wait(400...1500), .killHost(.b, 9000...9999), .wait(3000...5000),
    ]

    /// `a`, with WAL that nobody else has, is pointed at its successor before anybody has judged it.
    static let unprovenVoter: [Steer] = [
        .sever(.a, .b), .wait(1000...3000), .cutOff(.b), .killPostmaster(.a), .until(.isStandby(.a)), .cutOff(.a),
        .rejoin(.b), .until(.promoted), .join(.a, .b), .killHost(.a, 20...200), .until(.isUp(.a)), .wait(0...300),
        .pointAt(.a, .b), .wait(1000...2000), .rejoin(.a), .wait(2000...4000),
    ]

    /// `a` stood alone once; the order that told it so comes again when it does not.
    static let lateOrder: [Steer] = [
        .killHost(.b, 20_000...29_999), .until(.ruled(by: 0)), .powerOn(.b), .until(.ruled(by: 1)), .wait(500...1500),
        .sever(.a, .b), .cutOff(.a), .repeatOrder(.singleServer, .a), .wait(500...1200), .killHost(.a, 9000...9999),
        .wait(4000...5000),
    ]

    /// `a` stood alone and waits for `b` again; `b` takes over before another commit could reach it.
    static let leavingZero: [Steer] = [
        .killHost(.b, 20_000...29_999), .until(.ruled(by: 0)), .powerOn(.b), .until(.ruled(by: 1)), .sever(.a, .b),
        .wait(300...1200), .killHost(.a, 9000...9999), .wait(4000...5000),
    ]

    /// `a` has stopped, and the disk of `c` is gone for ever: nobody but `a` can say that nothing is missing.
    static let lostForGood: [Steer] = [
        .until(.canLose(.c)), .killPostmaster(.a), .loseVolume(.c), .wait(5000...8000),
    ]

    /// `b` falls far behind; then the controller that knew is gone, and `a`.
    static let unheardOf: [Steer] = [
        .sever(.a, .b), .wait(12_000...16_000), .killController(300...900), .killHost(.a, 9000...9999),
        .wait(7000...8000),
    ]

    /// The controller stands still for about as long as a report keeps, and wakes.
    static let sleepingController: [Steer] = [.freezeController(900...1700), .wait(3000...6000)]

    /// Somebody has paused automation when `a` dies.
    static let pausedFailover: [Steer] = [
        .pause, .wait(300...2000), .killHost(.a, 4000...5000), .wait(4000...6000), .resume, .wait(1000...2000),
    ]
}
