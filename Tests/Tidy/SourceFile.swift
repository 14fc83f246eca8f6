import Foundation

/// One text file of the repository, with what the checks need to know about it.
struct SourceFile: Sendable {
    /// The path from the repository's root, such as `Sources/Protocol/Model/LSN.swift`.
    let path: String
    /// The file as written, line by line.
    let lines: [String]
    /// The same lines with comments and the text of string literals blanked out.
    let code: [String]
    /// The same lines with everything but comments blanked out.
    let comments: [String]

    init(path: String, text: String) {
        self.path = path
        lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let layers = SourceLayers(text)
        code = layers.code
        comments = layers.comments
    }

    /// Says whether a code generator wrote the file.
    var isGenerated: Bool { path.hasSuffix(".pb.swift") }

    /// Says whether the file lies in a folder, given from the root without a final slash.
    func isIn(_ folder: String) -> Bool { path.hasPrefix(folder + "/") }

    /// Says whether a comment on this line, or in the comment block right above it, carries a marker with a reason.
    func isMarked(_ marker: String, at index: Int) -> Bool {
        if carries(marker, at: index) { return true }
        var above = index - 1
        while above >= 0, isCommentOrAttribute(above) {
            if carries(marker, at: above) { return true }
            above -= 1
        }
        return false
    }

    private func carries(_ marker: String, at index: Int) -> Bool {
        guard let range = comments[index].range(of: marker + ", ") else { return false }
        return comments[index][range.upperBound...].contains { $0.isLetter }
    }

    private func isCommentOrAttribute(_ index: Int) -> Bool {
        let trimmed = lines[index].trimmingCharacters(in: .whitespaces)
        return trimmed.hasPrefix("//") || trimmed.hasPrefix("@")
    }
}

/// What one check found, and how much it looked at.
struct Outcome: Equatable {
    /// How many things (files, functions, imports, words) the check looked at; nothing read proves nothing.
    var read = 0
    /// One sentence for each violation, beginning with `path:line:`.
    var findings: [String] = []

    mutating func report(_ file: SourceFile, _ index: Int, _ sentence: String) {
        findings.append("\(file.path):\(index + 1): \(sentence)")
    }
}

/// The repository that this test was built from.
enum Repository {
    /// The folder that holds `Sources` and `Tests`.
    static let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..").standardizedFileURL

    /// Reads every file below a folder whose name ends with one of the given endings, ordered by path.
    static func files(under folder: String, endings: [String] = [".swift"]) throws -> [SourceFile] {
        let start = root.appending(path: folder)
        guard let names = FileManager.default.enumerator(atPath: start.path()) else { return [] }
        return
            try names.compactMap { $0 as? String }
            .filter { name in endings.contains { name.hasSuffix($0) } && !name.hasPrefix(".build") }
            .sorted()
            .map { name in
                let text = try String(contentsOf: start.appending(path: name), encoding: .utf8)
                return SourceFile(path: folder.isEmpty ? name : folder + "/" + name, text: text)
            }
    }
}
