/// Splits Swift text into two layers of the same shape: code, and comments.
///
/// The text inside string literals belongs to neither; an interpolation inside a literal is code again. Lines stay
/// where they were, so that a finding can name its place. Works on bytes, because every mark that matters is ASCII.
struct SourceLayers {
    /// The code of each line, blanks elsewhere.
    private(set) var code: [String] = []
    /// The comments of each line, blanks elsewhere.
    private(set) var comments: [String] = []

    private enum Mode {
        case code(parentheses: Int)
        case lineComment
        case blockComment(depth: Int)
        case string(pounds: Int, quotes: Int)
    }

    private enum Mark {
        static let newline = UInt8(ascii: "\n")
        static let slash = UInt8(ascii: "/")
        static let star = UInt8(ascii: "*")
        static let quote = UInt8(ascii: "\"")
        static let pound = UInt8(ascii: "#")
        static let backslash = UInt8(ascii: "\\")
        static let opening = UInt8(ascii: "(")
        static let closing = UInt8(ascii: ")")
        static let blank = UInt8(ascii: " ")
    }

    private let bytes: [UInt8]
    private var position = 0
    private var modes: [Mode] = [.code(parentheses: 0)]
    private var codeLine: [UInt8] = []
    private var commentLine: [UInt8] = []

    init(_ text: String) {
        bytes = Array(text.utf8)
        while position < bytes.count { step() }
        endLine()
    }

    private mutating func step() {
        if bytes[position] == Mark.newline {
            newline()
            return
        }
        switch modes[modes.count - 1] {
        case .code(let parentheses): stepInCode(parentheses)
        case .lineComment: take(1, isComment: true)
        case .blockComment(let depth): stepInBlockComment(depth)
        case .string(let pounds, let quotes): stepInString(pounds, quotes)
        }
    }

    private mutating func newline() {
        switch modes[modes.count - 1] {
        case .lineComment: modes.removeLast()
        // An unclosed literal cannot pass its line; recovering here keeps one odd line from hiding the rest.
        case .string(_, quotes: 1): modes.removeLast()
        default: break
        }
        endLine()
        position += 1
    }

    private mutating func stepInCode(_ parentheses: Int) {
        if sees(Mark.slash, Mark.slash) {
            modes.append(.lineComment)
            take(2, isComment: true)
        } else if sees(Mark.slash, Mark.star) {
            modes.append(.blockComment(depth: 1))
            take(2, isComment: true)
        } else if let opening = stringOpening() {
            modes.append(.string(pounds: opening.pounds, quotes: opening.quotes))
            blank(opening.pounds + opening.quotes)
        } else {
            stepOverByte(parentheses)
        }
    }

    private mutating func stepOverByte(_ parentheses: Int) {
        switch bytes[position] {
        case Mark.opening:
            modes[modes.count - 1] = .code(parentheses: parentheses + 1)
            take(1, isComment: false)
        case Mark.closing where parentheses == 0 && modes.count > 1:
            modes.removeLast()
            blank(1)
        case Mark.closing:
            modes[modes.count - 1] = .code(parentheses: max(0, parentheses - 1))
            take(1, isComment: false)
        default: take(1, isComment: false)
        }
    }

    private mutating func stepInBlockComment(_ depth: Int) {
        if sees(Mark.slash, Mark.star) {
            modes[modes.count - 1] = .blockComment(depth: depth + 1)
            take(2, isComment: true)
        } else if sees(Mark.star, Mark.slash) {
            modes.removeLast()
            if depth > 1 { modes.append(.blockComment(depth: depth - 1)) }
            take(2, isComment: true)
        } else {
            take(1, isComment: true)
        }
    }

    private mutating func stepInString(_ pounds: Int, _ quotes: Int) {
        if bytes[position] == Mark.backslash, run(of: Mark.pound, from: position + 1) >= pounds {
            stepOverEscape(pounds)
        } else if run(of: Mark.quote, from: position) >= quotes,
            run(of: Mark.pound, from: position + quotes) >= pounds
        {
            modes.removeLast()
            blank(quotes + pounds)
        } else {
            blank(1)
        }
    }

    private mutating func stepOverEscape(_ pounds: Int) {
        let escaped = position + 1 + pounds
        guard escaped < bytes.count else { return blank(1) }
        if bytes[escaped] == Mark.opening { modes.append(.code(parentheses: 0)) }
        blank(bytes[escaped] == Mark.newline ? 1 + pounds : 2 + pounds)
    }

    /// Recognises `"`, `"""` and both with `#` in front.
    private func stringOpening() -> (pounds: Int, quotes: Int)? {
        let pounds = run(of: Mark.pound, from: position)
        let quotes = run(of: Mark.quote, from: position + pounds)
        guard quotes > 0 else { return nil }
        return (pounds, quotes >= 3 ? 3 : 1)
    }

    private func run(of byte: UInt8, from start: Int) -> Int {
        var end = start
        while end < bytes.count, bytes[end] == byte { end += 1 }
        return end - start
    }

    private func sees(_ first: UInt8, _ second: UInt8) -> Bool {
        bytes[position] == first && position + 1 < bytes.count && bytes[position + 1] == second
    }

    private mutating func take(_ count: Int, isComment: Bool) {
        for byte in bytes[position..<min(position + count, bytes.count)] {
            codeLine.append(isComment ? Mark.blank : byte)
            commentLine.append(isComment ? byte : Mark.blank)
        }
        position += count
    }

    private mutating func blank(_ count: Int) {
        codeLine.append(contentsOf: repeatElement(Mark.blank, count: count))
        commentLine.append(contentsOf: repeatElement(Mark.blank, count: count))
        position += count
    }

    private mutating func endLine() {
        code.append(String(decoding: codeLine, as: UTF8.self))
        comments.append(String(decoding: commentLine, as: UTF8.self))
        codeLine.removeAll(keepingCapacity: true)
        commentLine.removeAll(keepingCapacity: true)
    }
}
