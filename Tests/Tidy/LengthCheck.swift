/// Limits on the length of files and functions.
enum LengthCheck {
    static let fileLimit = 500
    static let functionLimit = 70

    /// A comment `tidy: table, <why>` above a function frees a table of data from the limit.
    static let tableMarker = "tidy: " + "table"

    /// Checks that no handwritten file is longer than the limit.
    static func files(_ files: [SourceFile]) -> Outcome {
        var outcome = Outcome()
        for file in files where !file.isGenerated {
            outcome.read += 1
            let count = file.lines.last == "" ? file.lines.count - 1 : file.lines.count
            if count > fileLimit {
                outcome.report(file, 0, "has \(count) lines; the limit is \(fileLimit)")
            }
        }
        return outcome
    }

    /// Checks that no handwritten function, initialiser or subscript is longer than the limit.
    static func functions(_ files: [SourceFile]) -> Outcome {
        var outcome = Outcome()
        for file in files where !file.isGenerated {
            for function in functions(of: file) {
                outcome.read += 1
                guard function.length > functionLimit, !file.isMarked(tableMarker, at: function.index) else { continue }
                let sentence = "\(function.name) has \(function.length) lines; the limit is \(functionLimit)"
                outcome.report(file, function.index, sentence)
            }
        }
        return outcome
    }

    /// One function with a body: where it begins (from 0), its name, and its lines from keyword to closing brace.
    struct Function: Equatable {
        let index: Int
        let name: String
        let length: Int
    }

    /// Finds the functions of a file, nested ones included; a requirement without a body is none.
    static func functions(of file: SourceFile) -> [Function] {
        let words = tokens(of: file)
        return words.indices.compactMap { at in
            guard declares(words, at) else { return nil }
            let name = words[at].text == "func" && at + 1 < words.count ? words[at + 1].text : words[at].text
            guard let end = closingLine(words, from: at + 1) else { return nil }
            return Function(index: words[at].line, name: name, length: end - words[at].line + 1)
        }
    }

    private struct Token {
        let text: String
        let line: Int
    }

    /// Cuts code into words and single marks.
    private static func tokens(of file: SourceFile) -> [Token] {
        var result: [Token] = []
        for (line, text) in file.code.enumerated() {
            var word = ""
            for character in text + " " {
                if character.isLetter || character.isNumber || character == "_" {
                    word.append(character)
                    continue
                }
                if !word.isEmpty { result.append(Token(text: word, line: line)) }
                word = ""
                if !character.isWhitespace { result.append(Token(text: String(character), line: line)) }
            }
        }
        return result
    }

    private static func declares(_ words: [Token], _ at: Int) -> Bool {
        let before = at > 0 ? words[at - 1].text : ""
        let after = at + 1 < words.count ? words[at + 1].text : ""
        switch words[at].text {
        case "func": return before != "."
        case "init", "subscript": return before != "." && before != "`" && ["(", "<", "?"].contains(after)
        case "deinit": return after == "{"
        default: return false
        }
    }

    /// Finds the line of the brace that closes the body, or nothing where there is no body.
    private static func closingLine(_ words: [Token], from start: Int) -> Int? {
        let declarations: Set<String> = ["func", "var", "let", "init", "subscript", "associatedtype", "static"]
        var parentheses = 0
        var braces = 0
        for token in words[start...] {
            switch token.text {
            case "(", "[": parentheses += 1
            case ")", "]": parentheses -= 1
            case "{" where parentheses == 0: braces += 1
            case "}" where parentheses == 0 && braces == 0: return nil
            case "}" where parentheses == 0:
                braces -= 1
                if braces == 0 { return token.line }
            case _ where parentheses == 0 && braces == 0 && declarations.contains(token.text): return nil
            default: break
            }
        }
        return nil
    }
}
