import Foundation
import Testing

/// The repository itself, held against the rules.
@Suite("Tidy: the repository keeps its rules")
struct TidyTests {
    /// Runs a check and names each violation on its own.
    private func expectClean(_ outcome: Outcome, _ location: SourceLocation = #_sourceLocation) {
        #expect(outcome.read > 0, "the check read nothing", sourceLocation: location)
        for finding in outcome.findings {
            Issue.record(Comment(rawValue: finding), sourceLocation: location)
        }
    }

    // Read once: the checks look at the same files many times.
    private static let readSources = Result { try Repository.files(under: "Sources") }
    private static let readTests = Result { try Repository.files(under: "Tests") }

    private func sources() throws -> [SourceFile] { try Self.readSources.get() }

    private func testSources() throws -> [SourceFile] { try Self.readTests.get() }

    private func everything() throws -> [SourceFile] { try sources() + testSources() }

    private func pureSources() throws -> [SourceFile] {
        try sources().filter { file in ImportCheck.pureFolders.contains { file.isIn($0) } }
    }

    @Test("a closed folder imports only what it is allowed", arguments: ImportCheck.closedFolders.map(\.folder))
    func closedFolders(folder: String) throws {
        let row = try #require(ImportCheck.closedFolders.first { $0.folder == folder })
        expectClean(ImportCheck.closedFolder(folder, allowing: row.modules, in: try sources()))
    }

    @Test("a module that has a room is imported there only", arguments: ImportCheck.rooms.map(\.module))
    func rooms(module: String) throws {
        let row = try #require(ImportCheck.rooms.first { $0.module == module })
        expectClean(ImportCheck.room(of: module, folders: row.folders, in: try sources()))
    }

    @Test("the import check sees the modules that must be there", arguments: ImportCheck.expectedModules)
    func sees(module: String) throws {
        let files = try sources().filter { file in ImportCheck.imports(of: file).contains { $0.module == module } }
        #expect(!files.isEmpty, "no file imports \(module)")
    }

    @Test("every source file lies in a folder that the layering names")
    func knownFolders() throws { expectClean(ImportCheck.known(try sources())) }

    @Test("no file is longer than 500 lines")
    func fileLength() throws {
        let shims = try Repository.files(under: "Sources", endings: [".c", ".h", ".proto"])
        expectClean(LengthCheck.files(try everything() + shims))
    }

    @Test("no function is longer than 70 lines, tables apart")
    func functionLength() throws { expectClean(LengthCheck.functions(try everything())) }

    @Test("no mark of unfinished work stands in sources or tests")
    func unfinishedWork() throws {
        expectClean(try WordCheck.check(try everything(), against: WordCheck.unfinished))
    }

    @Test("the sources use the words of the glossary")
    func vocabulary() throws { expectClean(try WordCheck.check(try sources(), against: WordCheck.vocabulary)) }

    @Test("no test reads the wall clock or sleeps a guess")
    func testWords() throws {
        expectClean(try WordCheck.check(try testSources(), against: WordCheck.testWords))
    }

    @Test("pure folders know no clock, no unseeded randomness, no concurrency, no output")
    func pureWords() throws { expectClean(try WordCheck.check(try pureSources(), against: WordCheck.pureWords)) }

    @Test("the decision cores neither throw nor calculate with floating point")
    func coreWords() throws {
        let cores = try pureSources().filter { $0.path.contains("/Decision/") || $0.path.contains("/Plan/") }
        expectClean(try WordCheck.check(cores, against: WordCheck.coreWords))
    }

    @Test("pure folders take no order from sets and dictionaries")
    func order() throws { expectClean(try OrderCheck.check(try pureSources())) }

    @Test("links between documents lead somewhere")
    func links() throws { expectClean(try DocumentCheck.links(try documents())) }

    @Test("every safety rule that code or documents cite is written in the safety document")
    func citations() throws {
        let safety = try #require(try documents().first { $0.path == DocumentCheck.safetyPath })
        expectClean(try DocumentCheck.citations(try everything() + documents(), safety: safety))
    }

    @Test("the safety document says of each rule R1 to R24 what is built")
    func ruleStates() throws {
        let safety = try #require(try documents().first { $0.path == DocumentCheck.safetyPath })
        let outcome = DocumentCheck.states(of: safety)
        expectClean(outcome)
        #expect(outcome.read == 24)
    }

    @Test("the tests that play the traces exist")
    func traces() throws {
        let traces = try #require(try documents().first { $0.path == DocumentCheck.tracesPath })
        expectClean(try DocumentCheck.traces(traces, tests: try testSources()))
    }

    private func documents() throws -> [SourceFile] {
        try Repository.files(under: "docs", endings: [".md"])
            + ["README.md", "ARCHITECTURE.md", "STYLE.md", "CHANGELOG.md", "CONTRIBUTING.md"].map { name in
                let text = try String(contentsOf: Repository.root.appending(path: name), encoding: .utf8)
                return SourceFile(path: name, text: text)
            }
    }
}
