import Foundation

/// Checks on the Markdown documents.
enum DocumentCheck {
    static let safetyPath = "docs/internals/safety.md"
    static let tracesPath = "docs/internals/traces.md"

    /// Checks that each relative link names an existing file, and each anchor a heading there; counts the links.
    ///
    /// A link may be broken over two lines within its words, but not within its target.
    static func links(_ documents: [SourceFile]) throws -> Outcome {
        var outcome = Outcome()
        let link = try NSRegularExpression(pattern: "\\]\\(([^)#\\s]*)(?:#([^)\\s]*))?\\)")
        for document in documents {
            let folder = Repository.root.appending(path: document.path).deletingLastPathComponent()
            for (index, line) in document.lines.enumerated() {
                for match in link.matches(in: line, range: NSRange(line.startIndex..., in: line)) {
                    guard let range = Range(match.range(at: 1), in: line), !line[range].contains("://") else {
                        continue
                    }
                    outcome.read += 1
                    let target = folder.appending(path: String(line[range])).standardizedFileURL
                    if !line[range].isEmpty && !FileManager.default.fileExists(atPath: target.path()) {
                        outcome.report(document, index, "links to \(line[range]), which does not exist")
                        continue
                    }
                    guard let anchorRange = Range(match.range(at: 2), in: line) else { continue }
                    let anchor = String(line[anchorRange])
                    let text = line[range].isEmpty ? document.lines : try Self.lines(of: target)
                    if !Self.anchors(of: text).contains(anchor) {
                        outcome.report(document, index, "links to #\(anchor), a heading that does not exist")
                    }
                }
            }
        }
        return outcome
    }

    private static func lines(of file: URL) throws -> [String] {
        try String(contentsOf: file, encoding: .utf8).components(separatedBy: "\n")
    }

    /// What the headings of a document are called in links: small letters, digits and hyphens for blanks.
    static func anchors(of lines: [String]) -> [String] {
        lines.filter { $0.hasPrefix("#") }.map { line in
            line.drop { $0 == "#" }.dropFirst().lowercased().compactMap { character -> String? in
                if character == " " { return "-" }
                return character.isLetter || character.isNumber || "-_".contains(character) ? String(character) : nil
            }.joined()
        }
    }

    /// Checks that each rule cited as `R` and a number has its paragraph in the safety document; counts the citations.
    static func citations(_ files: [SourceFile], safety: SourceFile) throws -> Outcome {
        var outcome = Outcome()
        let defined = Set(safety.lines.compactMap(definedRule))
        let citation = try NSRegularExpression(pattern: "(?<![A-Za-z0-9_])R([0-9]{1,2})(?![A-Za-z0-9_])")
        for file in files {
            for (index, line) in file.lines.enumerated() {
                for match in citation.matches(in: line, range: NSRange(line.startIndex..., in: line)) {
                    guard let range = Range(match.range(at: 1), in: line), let number = Int(line[range]) else {
                        continue
                    }
                    outcome.read += 1
                    if !defined.contains(number) {
                        outcome.report(file, index, "cites R\(number), which \(safety.path) does not define")
                    }
                }
            }
        }
        return outcome
    }

    /// Checks that each rule has a row in the table of what is built; counts the rules.
    static func states(of safety: SourceFile) -> Outcome {
        var outcome = Outcome()
        for (index, line) in safety.lines.enumerated() {
            guard let number = definedRule(line) else { continue }
            outcome.read += 1
            if !safety.lines.contains(where: { $0.hasPrefix("| R\(number) | ") && $0.split(separator: "|").count == 4 })
            {
                outcome.report(safety, index, "R\(number) has no row `| R\(number) | state | where | how tested |`")
            }
        }
        return outcome
    }

    /// Checks that each test named “so” in the document of traces exists; counts the names.
    static func traces(_ document: SourceFile, tests: [SourceFile]) throws -> Outcome {
        var outcome = Outcome()
        let text = tests.flatMap(\.lines).joined(separator: "\n")
        for (index, line) in document.lines.enumerated() {
            for part in line.split(separator: "“").dropFirst() {
                guard let name = part.split(separator: "”").first else { continue }
                outcome.read += 1
                if !text.contains("\"" + name) {
                    outcome.report(document, index, "names the test “\(name)”, which does not exist")
                }
            }
        }
        return outcome
    }

    /// Reads the rule number from a heading such as `### R7 Quorum intersection`.
    private static func definedRule(_ line: String) -> Int? {
        guard line.hasPrefix("### R") else { return nil }
        return Int(line.dropFirst(5).prefix { $0.isNumber })
    }
}
