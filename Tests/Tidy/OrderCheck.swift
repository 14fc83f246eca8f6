import Foundation

/// Finds places where a pure core would take an order from a `Set` or a `Dictionary`.
///
/// Such an order differs from run to run, so that a seed would not replay. The check knows the names that a file itself
/// declares as sets or dictionaries; a comment `tidy: order free, <why>` frees a line.
enum OrderCheck {
    static let freeMarker = "tidy: " + "order free"

    private static let unorderedType = "(?:Set<|Set\\(|Dictionary[<(]|\\[[A-Za-z_.<>? ]+:[^\\]]*\\])"

    /// Names that the file declares with an unordered type.
    static func unorderedNames(of file: SourceFile) throws -> Set<String> {
        let declared = try NSRegularExpression(pattern: "\\b([a-z]\\w*)\\s*(?::|=)\\s*(?:inout )?\(unorderedType)")
        var names: Set<String> = []
        for line in file.code {
            for match in declared.matches(in: line, range: NSRange(line.startIndex..., in: line)) {
                if let range = Range(match.range(at: 1), in: line) { names.insert(String(line[range])) }
            }
        }
        return names
    }

    /// Checks the files; counts the loops and order-taking calls looked at.
    static func check(_ files: [SourceFile]) throws -> Outcome {
        var outcome = Outcome()
        let loop = try NSRegularExpression(
            pattern: "\\bfor\\s+(?:case\\s+)?.+?\\sin\\s+([\\w.]+|Set\\(.*)\\s*(?:where\\b.*)?\\{?"
        )
        let call = try NSRegularExpression(
            pattern: "\\b([\\w.]+)\\.(?:map|compactMap|flatMap|first|forEach|prefix|enumerated|joined|reversed)\\b"
        )
        for file in files where !file.isGenerated {
            let names = try unorderedNames(of: file)
            for (index, line) in file.code.enumerated() {
                for expression in [loop, call] {
                    for match in expression.matches(in: line, range: NSRange(line.startIndex..., in: line)) {
                        outcome.read += 1
                        guard let range = Range(match.range(at: 1), in: line) else { continue }
                        guard isUnordered(String(line[range]), names), !isSorted(file, index) else { continue }
                        guard !file.isMarked(freeMarker, at: index) else { continue }
                        outcome.report(file, index, "takes an order from `\(line[range])`: sort it first")
                    }
                }
            }
        }
        return outcome
    }

    private static func isUnordered(_ subject: String, _ names: Set<String>) -> Bool {
        if subject.hasPrefix("Set(") { return true }
        var parts = subject.split(separator: ".").map(String.init)
        guard let last = parts.last else { return false }
        if ["keys", "values"].contains(last) {
            parts.removeLast()
            // A bare `values` or `keys` is an ordinary name; after something it is a dictionary's view.
            if !parts.isEmpty { return true }
        }
        return names.contains(last)
    }

    /// Says whether the statement sorts, on this line or on the chained lines right below.
    private static func isSorted(_ file: SourceFile, _ index: Int) -> Bool {
        var at = index
        repeat {
            if file.code[at].contains(".sorted") { return true }
            at += 1
        } while at < file.code.count && file.code[at].trimmingCharacters(in: .whitespaces).hasPrefix(".")
        return false
    }
}
