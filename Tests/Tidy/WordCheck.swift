import Foundation

/// Words that may not stand in the sources or tests, each with what to write instead.
enum WordCheck {
    /// Where a rule looks.
    enum Layer {
        /// The whole line: code, comments and literals.
        case everything
        /// Names and statements, without comments and the text of literals.
        case code
    }

    /// One banned expression.
    struct Rule {
        let pattern: String
        let layer: Layer
        let mend: String
    }

    /// Marks of unfinished work, put together from pieces so that this file does not hold them.
    static let unfinished: [Rule] = [
        Rule(
            pattern: "\\b(TO" + "DO|FIX" + "ME|XX" + "X|HA" + "CK|TB" + "D|WI" + "P)\\b",
            layer: .everything,
            mend: "finish it"
        ),
        Rule(pattern: "(?i)\\bnot (yet )?imple" + "mented\\b", layer: .everything, mend: "write it or leave it out"),
        Rule(pattern: "(?i)\\bfor n" + "ow\\b", layer: .everything, mend: "say what holds, or mend it"),
    ]

    /// Words that the glossary replaces, found also as one hump of a longer name.
    static let vocabulary: [Rule] = [
        Rule(pattern: hump("mas" + "ter"), layer: .everything, mend: "say primary"),
        Rule(pattern: hump("sla" + "ve"), layer: .everything, mend: "say standby"),
        Rule(pattern: hump("epoch"), layer: .code, mend: "say term"),
        Rule(pattern: hump("handover"), layer: .code, mend: "say switchover"),
        Rule(pattern: hump("migration"), layer: .code, mend: "say switchover or failover"),
        Rule(pattern: "(?i)(black|white)" + "list", layer: .everything, mend: "say what is allowed or refused"),
    ]

    /// What may not stand in a test: guesses at time make it slow or flaky.
    static let testWords: [Rule] = [
        Rule(pattern: "\\bDate\\(\\)", layer: .code, mend: "use ContinuousClock"),
        Rule(pattern: "\\bThread\\.sleep\\b", layer: .code, mend: "poll with a deadline"),
        Rule(pattern: "(?<![.\\w])(u|nano)?sleep\\(", layer: .code, mend: "poll with a deadline"),
    ]

    /// What may not stand in a pure folder: clocks, randomness without a seed, concurrency, output.
    static let pureWords: [Rule] = [
        Rule(
            pattern: "\\b(Date|ContinuousClock|SuspendingClock|DispatchTime|clock_gettime)\\b",
            layer: .code,
            mend: "take the instant as an argument"
        ),
        Rule(
            pattern: "\\bSystemRandomNumberGenerator\\b|\\bhashValue\\b",
            layer: .code,
            mend: "take a seeded generator"
        ),
        Rule(
            pattern: "\\.(random|shuffled?|randomElement)\\((?!.*using:)",
            layer: .code,
            mend: "pass `using:` a seeded generator"
        ),
        Rule(
            pattern: "\\bawait\\b|\\bTask(\\.|\\s*\\{)|^\\s*(public )?actor\\b",
            layer: .code,
            mend: "leave it to the shell"
        ),
        Rule(pattern: "(?<![.\\w])print\\(", layer: .code, mend: "return an explanation"),
    ]

    /// What may not stand in a decision core besides: failures of the world are events.
    static let coreWords: [Rule] = [
        Rule(pattern: "\\bthrows\\b", layer: .code, mend: "take the failure as an event"),
        Rule(pattern: "\\b(Double|Float)\\b", layer: .code, mend: "use integers or Duration"),
    ]

    /// Finds a word or its plural, whole or as one hump of a name.
    private static func hump(_ word: String) -> String {
        let capital = word.capitalized
        return "(?<![A-Za-z])(\(word)|\(capital)|\(word.uppercased()))s?(?![a-z])|(?<=[a-z0-9])\(capital)s?(?![a-z])"
    }

    /// Looks for the rules' words in handwritten files; counts every line looked at.
    static func check(_ files: [SourceFile], against rules: [Rule]) throws -> Outcome {
        var outcome = Outcome()
        let compiled = try rules.map { rule in (rule, try NSRegularExpression(pattern: rule.pattern)) }
        for file in files where !file.isGenerated {
            for index in file.lines.indices {
                outcome.read += 1
                for (rule, expression) in compiled {
                    let line = rule.layer == .code ? file.code[index] : file.lines[index]
                    let whole = NSRange(line.startIndex..., in: line)
                    guard let match = expression.firstMatch(in: line, range: whole) else { continue }
                    let word = Range(match.range, in: line).map { String(line[$0]) } ?? rule.pattern
                    outcome.report(file, index, "holds `\(word)`: \(rule.mend)")
                }
            }
        }
        return outcome
    }
}
