import ClusterModel
import Foundation
import Testing

@Suite("Values of the model")
struct ValueTests {
    @Test(
        "an LSN prints as PostgreSQL prints it and reads back",
        arguments: ["0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"]
    )
    func lsnRoundTrip(text: String) {
        #expect(LSN(text)?.description == text)
    }

    @Test(
        "what is no LSN is not read",
        arguments: ["", "/", "1", "1/", "/1", "1/2/3", "123456789/0", "0/G", "-1/0", "0/+1", "0x1/0", " 0/0"]
    )
    func noLSN(text: String) {
        #expect(LSN(text) == nil)
    }

    @Test("an LSN is read from its number and from its text, and written as text only for people")
    func lsnJSON() throws {
        let lsn = try #require(LSN("16/B374D848"))
        #expect(try JSONDecoder().decode([LSN].self, from: Data("[97500059720, \"16/B374D848\"]".utf8)) == [lsn, lsn])
        #expect(throws: DecodingError.self) { try JSONDecoder().decode([LSN].self, from: Data("[\"16\"]".utf8)) }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        #expect(String(decoding: try encoder.encode([lsn]), as: UTF8.self) == "[97500059720]")
        encoder.userInfo[try #require(LSN.textKey)] = true
        #expect(String(decoding: try encoder.encode([lsn]), as: UTF8.self) == "[\"16/B374D848\"]")
    }

    @Test(
        "a duration is spelled as configurations spell it, in the largest unit that is exact",
        arguments: [(0, "0s"), (500, "500ms"), (3000, "3s"), (90_000, "90s"), (60_000, "1m"), (86_400_000, "24h")]
    )
    func durations(milliseconds: Int, text: String) {
        #expect(Duration.milliseconds(milliseconds).text == text)
    }

    @Test("a duration out of its bounds is named with them")
    func bounds() {
        var timings = Timings()
        #expect(timings.faults.isEmpty)
        timings.hangTimeout = .seconds(4)
        timings.repeatedFailoverDelay = .seconds(-1)
        timings.voterPatience = .seconds(3601)
        #expect(
            timings.faults == [
                "hangTimeout must be between 5s and 24h", "voterPatience must be between 1s and 1h",
                "repeatedFailoverDelay must be between 0s and 24h",
            ]
        )
    }

    @Test("bytes between two LSNs are never negative")
    func lsnDistance() {
        #expect(LSN(rawValue: 10).bytes(since: LSN(rawValue: 4)) == 6)
        #expect(LSN(rawValue: 4).bytes(since: LSN(rawValue: 10)) == 0)
    }

    @Test("positions compare by timeline first (R7)")
    func positions() {
        let low = WALPosition(timeline: Timeline(rawValue: 1), lsn: LSN(rawValue: 900))
        let high = WALPosition(timeline: Timeline(rawValue: 2), lsn: LSN(rawValue: 100))
        #expect(low < high)
    }

    @Test("a stamp is current only if neither part is below what was accepted (R1)")
    func stamps() {
        func stamp(_ term: UInt64, _ version: UInt64) -> Stamp {
            Stamp(term: Term(rawValue: term), version: RecordVersion(rawValue: version))
        }
        let floor = stamp(3, 7)
        #expect(stamp(3, 7).isCurrent(comparedTo: floor))
        #expect(stamp(4, 8).isCurrent(comparedTo: floor))
        #expect(!stamp(2, 9).isCurrent(comparedTo: floor))
        #expect(!stamp(3, 6).isCurrent(comparedTo: floor))
        #expect(!stamp(4, 6).isCurrent(comparedTo: floor))
    }

    @Test("names keep to their alphabet", arguments: ["", "-a", "a-", "A", "a_b", "a.b", "ä", "a b"])
    func badNames(text: String) {
        #expect(InstanceName(text) == nil)
        #expect(ClusterName(text) == nil)
    }

    @Test("names have a longest length, and application names fit PostgreSQL")
    func nameLengths() throws {
        #expect(InstanceName(String(repeating: "a", count: 41)) == nil)
        #expect(ClusterName(String(repeating: "a", count: 51)) == nil)
        let name = try #require(InstanceName(String(repeating: "a", count: 38) + "-b"))
        let member = MemberID(name: name, incarnation: Incarnation(number: 255))
        #expect(member.applicationName.hasSuffix("_b_000000ff"))
        #expect(member.applicationName.utf8.count <= 63)
    }

    @Test(
        "an incarnation is 8 lower-case hexadecimal digits",
        arguments: ["", "1234567", "123456789", "ABCDEF00", "0000000g"]
    )
    func badIncarnations(text: String) {
        #expect(Incarnation(text) == nil)
    }

    @Test("the granter's horizon covers a holder whose clock is 5 % slow (R3)")
    func leaseHorizon() {
        let timings = Timings()
        #expect(timings.leaseHorizon == .milliseconds(3250))
        #expect(timings.leaseHorizon > timings.leaseDuration * 104 / 100)
        #expect(timings.faults.isEmpty)
    }

    @Test("durations that contradict each other are found")
    func badTimings() {
        var timings = Timings()
        timings.reportInterval = .seconds(1)
        timings.fenceBudget = .seconds(2)
        #expect(timings.faults.count == 2)
    }

    @Test("an instant is never before the clock's start and differences keep their sign")
    func instants() {
        let one = MonotonicInstant(nanoseconds: 1_000)
        #expect((one - .seconds(1)).nanoseconds == 0)
        #expect(one - MonotonicInstant(nanoseconds: 3_000) == .nanoseconds(-2_000))
        #expect((one + .seconds(Int64.max)).nanoseconds == UInt64(Int64.max))
    }

    @Test("an impossible record is found")
    func impossibleRecord() throws {
        let name = try #require(ClusterName("c"))
        var record = ClusterRecord(forming: name, mode: .required)
        #expect(record.faults.isEmpty)
        record.phase = .steady
        record.rules = []
        #expect(record.faults.count == 4)
    }

    @Test("a copy of the record gives way to a newer one, and to one about other data, never to an older one (R1)")
    func recordLabels() throws {
        func label(_ term: UInt64, _ version: UInt64, _ number: UInt64?) throws -> RecordLabel {
            var record = ClusterRecord(forming: try #require(ClusterName("c")), mode: .required)
            record.term = Term(rawValue: term)
            record.version = RecordVersion(rawValue: version)
            record.systemIdentifier = number.map { SystemIdentifier(rawValue: $0) }
            return RecordLabel(record)
        }
        let kept = try label(5, 50, 7)
        #expect(kept.mayBeReplaced(by: kept))
        #expect(kept.mayBeReplaced(by: try label(5, 51, 7)))
        #expect(!kept.mayBeReplaced(by: try label(5, 49, 7)))
        #expect(!kept.mayBeReplaced(by: try label(4, 51, 7)))
        // A record that was lost begins anew without data: no reason to give up what is known.
        #expect(!kept.mayBeReplaced(by: try label(1, 2, nil)))
        #expect(kept.mayBeReplaced(by: try label(1, 2, 8)))
        #expect(try label(1, 1, nil).mayBeReplaced(by: kept))
    }

    @Test("a full history forgets what came to nothing first, and never the timelines that the data went through")
    func longHistory() throws {
        var record = ClusterRecord(forming: try #require(ClusterName("c")), mode: .required)
        func add(_ number: Int, parent: Int, isConfirmed: Bool) {
            record.history.append(
                Primacy(
                    term: Term(rawValue: UInt64(number)),
                    primary: nil,
                    timeline: Timeline(rawValue: UInt32(number)),
                    parent: Timeline(rawValue: UInt32(parent)),
                    forkLSN: .zero,
                    why: "",
                    isConfirmed: isConfirmed
                )
            )
            record.forgetOldPrimacies()
        }
        add(1, parent: 0, isConfirmed: false)
        add(2, parent: 1, isConfirmed: true)
        // Promotions that fail, such as on a full disk.
        for number in 3...500 { add(number, parent: 2, isConfirmed: false) }
        #expect(record.history.count == ClusterRecord.historyLimit)
        #expect(record.history.prefix(2).map(\.timeline.rawValue) == [1, 2])
        #expect(record.history.last?.timeline.rawValue == 500)
        // Promotions that succeed, each from the one before: the oldest goes.
        for number in 501...800 { add(number, parent: number - 1, isConfirmed: true) }
        #expect(record.history.map(\.timeline.rawValue) == Array(601...800))
    }
}
