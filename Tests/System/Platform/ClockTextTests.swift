import Foundation
import Platform
import Testing

@Suite("Platform: moments as text")
struct ClockTextTests {
    @Test(
        "a moment reads as Foundation writes it",
        arguments: [
            0, 951_782_399_999, 951_782_400_000, 951_868_799_001, 1_709_164_800_000, 1_795_348_731_549,
            4_107_542_399_999, 4_107_542_400_000,
        ] as [Int64]
    )
    func sameAsFoundation(milliseconds: Int64) {
        // A little more, since Foundation's moments are floating-point numbers and are cut, not rounded.
        let date = Date(timeIntervalSince1970: Double(milliseconds) / 1000 + 0.0002)
        let expected = date.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        #expect(WallClock.text(milliseconds) == expected)
    }
}
