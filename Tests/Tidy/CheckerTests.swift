import Testing

/// The checks themselves, held against forged files: a check that finds nothing because it is broken fails here.
@Suite("Tidy: each check finds what it is for")
struct CheckerTests {
    private func file(_ text: String, at path: String = "Sources/Agent/Decision/Forged.swift") -> SourceFile {
        SourceFile(path: path, text: text)
    }

    @Test("comments and literals are told from code, interpolations are code")
    func layers() {
        let text = """
            let a = 1 // one /* not a block
            /* outer /* inner */ still */ let b = "import X \\(call("y") + c) \\" z"
            let d = #"raw " \\(no) \\#(yes)"# + \"\"\"
            import Hidden
            \"\"\"
            let e = 2
            """
        let layers = SourceLayers(text)
        #expect(layers.code[0].contains("let a = 1") && !layers.code[0].contains("one"))
        #expect(layers.comments[0].contains("// one /* not a block"))
        #expect(layers.code[1].contains("let b =") && layers.code[1].contains("call("))
        #expect(layers.code[1].contains("+ c") && !layers.code[1].contains("import"))
        #expect(layers.code[2].contains("yes") && !layers.code[2].contains("no"))
        #expect(!layers.code[3].contains("Hidden"))
        #expect(layers.code[5] == "let e = 2")
        #expect(layers.code.map(\.count) == layers.comments.map(\.count))
    }

    @Test(
        "imports are recognised in every spelling",
        arguments: [
            ("import Glibc", "Glibc"), ("public import Glibc", "Glibc"), ("@testable import Glibc", "Glibc"),
            ("@preconcurrency internal import Glibc", "Glibc"), ("import struct Foundation.Date", "Foundation"),
            ("import Foundation.NSObject", "Foundation"), ("let a = 1; import Glibc", "Glibc"),
            ("@_exported import COpenSSL // why", "COpenSSL"), ("    import CLibPQ", "CLibPQ"),
        ]
    )
    func importSpellings(line: String, module: String) {
        #expect(ImportCheck.imports(of: file(line)).map(\.module) == [module])
    }

    @Test(
        "what only looks like an import is none",
        arguments: ["// import Glibc", "let text = \"import Glibc\"", "func important() {}", "/* import Glibc */"]
    )
    func notImports(line: String) { #expect(ImportCheck.imports(of: file(line)).isEmpty) }

    @Test("a pure folder that imports a shell's module is reported")
    func closedFolder() {
        let bad = file("import ClusterModel\nimport Glibc\n")
        let outcome = ImportCheck.closedFolder("Sources/Agent/Decision", allowing: ["ClusterModel"], in: [bad])
        #expect(outcome.read == 1)
        #expect(outcome.findings.count == 1)
        #expect(outcome.findings.first?.hasPrefix("Sources/Agent/Decision/Forged.swift:2: imports Glibc") == true)
    }

    @Test("a closed folder without files reads nothing")
    func closedFolderEmpty() {
        let elsewhere = file("import Glibc", at: "Sources/Agent/DecisionAid/Forged.swift")
        #expect(ImportCheck.closedFolder("Sources/Agent/Decision", allowing: [], in: [elsewhere]) == Outcome())
    }

    @Test("a module outside its room is reported, inside it is not")
    func room() {
        let guest = file("import CLibPQ", at: "Sources/Agent/Runtime/Forged.swift")
        let host = file("import CLibPQ", at: "Sources/System/PostgresDriver/Forged.swift")
        let outcome = ImportCheck.room(of: "CLibPQ", folders: ["Sources/System/PostgresDriver"], in: [guest, host])
        #expect(outcome.read == 2)
        #expect(outcome.findings.count == 1)
        #expect(outcome.findings.first?.hasPrefix("Sources/Agent/Runtime/Forged.swift:1:") == true)
    }

    @Test("Foundation is forbidden by hand and forgiven in generated code, FoundationEssentials is another module")
    func foundation() {
        let hand = file("import Foundation", at: "Sources/Agent/Runtime/A.swift")
        let generated = file("import Foundation", at: "Sources/Protocol/Wire/Generated/a.pb.swift")
        let essentials = file("import FoundationEssentials", at: "Sources/Agent/Runtime/B.swift")
        let files = [hand, generated, essentials]
        #expect(ImportCheck.room(of: "Foundation", folders: ["Sources/CLI"], in: files).findings.count == 1)
    }

    @Test("a file in a folder unknown to the layering is reported")
    func unknownFolder() {
        #expect(ImportCheck.known([file("", at: "Sources/Utilities/A.swift")]).findings.count == 1)
        #expect(ImportCheck.known([file("", at: "Sources/Agent/Decision/A.swift")]).findings.isEmpty)
    }

    private func function(named name: String = "long", lines: Int, above: String = "") -> String {
        above + "func \(name)(_ body: () -> Void = { }) {\n"
            + String(repeating: "    call()\n", count: lines - 2) + "}\n"
    }

    @Test("a function of 70 lines passes, one of 71 is reported")
    func functionLength() {
        #expect(LengthCheck.functions([file(function(lines: 70))]) == Outcome(read: 1, findings: []))
        let outcome = LengthCheck.functions([file("\n" + function(lines: 71))])
        #expect(outcome.findings == ["Sources/Agent/Decision/Forged.swift:2: long has 71 lines; the limit is 70"])
    }

    @Test("a marked table may be long, a marker without a reason does not count")
    func tables() {
        let marker = "// " + LengthCheck.tableMarker
        let marked = function(lines: 90, above: marker + ", rows of the transition table\n@inlinable\n")
        #expect(LengthCheck.functions([file(marked)]).findings.isEmpty)
        #expect(LengthCheck.functions([file(function(lines: 90, above: marker + "\n"))]).findings.count == 1)
        #expect(LengthCheck.functions([file(function(lines: 90, above: marker + ", why\n\n"))]).findings.count == 1)
    }

    @Test("initialisers, subscripts and nested functions are measured; requirements and calls are not")
    func kindsOfFunctions() {
        let text = """
            protocol Machine { func step(); init(); subscript(at: Int) -> Int { get } }
            struct Real {
                init?(a: Int) { self.init() }
                subscript(at: Int) -> Int { at }
                func outer<T>(_ t: T) where T: Sendable {
                    func inner() { let text = "}" }
                    Real.init(a: 1)
                }
            }
            """
        let names = LengthCheck.functions(of: file(text)).map(\.name)
        #expect(names == ["subscript", "init", "subscript", "outer", "inner"])
        #expect(LengthCheck.functions(of: file(text)).first { $0.name == "outer" }?.length == 4)
    }

    @Test("a file of 500 lines passes, one of 501 is reported, a generated one is not read")
    func fileLength() {
        #expect(LengthCheck.files([file(String(repeating: "a\n", count: 500))]) == Outcome(read: 1, findings: []))
        #expect(LengthCheck.files([file(String(repeating: "a\n", count: 501))]).findings.count == 1)
        let generated = file(String(repeating: "a\n", count: 501), at: "Sources/Protocol/Wire/a.pb.swift")
        #expect(LengthCheck.files([generated]).read == 0)
    }

    @Test(
        "marks of unfinished work are found in code, comments and literals",
        arguments: [
            "// TO" + "DO: later", "let a = \"FIX" + "ME\"", "fatalError(\"not imple" + "mented\")",
            "// good for n" + "ow",
        ]
    )
    func unfinished(line: String) throws {
        #expect(try WordCheck.check([file(line)], against: WordCheck.unfinished).findings.count == 1)
    }

    @Test(
        "words that only contain a mark are left alone",
        arguments: ["let shack = tbdStyle", "// informs nowhere", "XXL()"]
    )
    func finished(line: String) throws {
        let outcome = try WordCheck.check([file(line)], against: WordCheck.unfinished)
        #expect(outcome == Outcome(read: 1, findings: []))
    }

    @Test(
        "words of the glossary's other column are found",
        arguments: [
            "let oldMas" + "ter = 1", "// the sla" + "ve", "let epoch = 3", "let currentEpoch = 3",
            "struct EpochCounter {}",
            "func handover() {}", "let white" + "list = 1",
        ]
    )
    func vocabulary(line: String) throws {
        #expect(try WordCheck.check([file(line)], against: WordCheck.vocabulary).findings.count == 1)
    }

    @Test(
        "PostgreSQL's own words pass",
        arguments: ["let postmaster = 1", "// Postmaster", "query(\"extract(epoch from now())\")"]
    )
    func ownWords(line: String) throws {
        #expect(try WordCheck.check([file(line)], against: WordCheck.vocabulary).findings.isEmpty)
    }

    @Test("a test that sleeps or reads the wall clock is reported")
    func testWords() throws {
        for line in [
            "let a = Date" + "()", "Thread" + ".sleep(forTimeInterval: 1)", "usleep" + "(10)", "sleep" + "(1)",
        ] {
            let outcome = try WordCheck.check([file(line, at: "Tests/A.swift")], against: WordCheck.testWords)
            #expect(outcome.findings.count == 1, "\(line)")
        }
        for line in ["try await Task.sleep(for: .milliseconds(5))", "query(\"select pg_sleep(1)\")", "pg_sleep(1)"] {
            let outcome = try WordCheck.check([file(line, at: "Tests/A.swift")], against: WordCheck.testWords)
            #expect(outcome.findings.isEmpty, "\(line)")
        }
    }

    @Test(
        "clocks, unseeded randomness, concurrency and output are found in pure folders",
        arguments: [
            "let a = ContinuousClock.now", "let a = Int.random(in: 0..<3)", "list.shuffled()", "await call()",
            "Task { call() }", "public actor Shell {}", "print(a)", "let a = key.hashValue", "clock_gettime(1, &a)",
        ]
    )
    func impure(line: String) throws {
        #expect(try WordCheck.check([file(line)], against: WordCheck.pureWords).findings.count == 1)
    }

    @Test(
        "seeded randomness and plain names pass",
        arguments: ["Int.random(in: 0..<3, using: &generator)", "let task = taskName", "footprint(a)"]
    )
    func pure(line: String) throws {
        #expect(try WordCheck.check([file(line)], against: WordCheck.pureWords).findings.isEmpty)
    }

    @Test("a core that throws or uses floating point is reported")
    func core() throws {
        let bad = file("func a() throws {}\nlet b: Double = 1\n// a core never throws\n")
        #expect(try WordCheck.check([bad], against: WordCheck.coreWords).findings.count == 2)
    }

    @Test(
        "an order taken from a set or dictionary is reported",
        arguments: [
            "let names: Set<String> = []\nfor name in names { use(name) }",
            "let a: [Int: String] = [:]\nfor (key, value) in a {",
            "for key in table.keys {", "let b = table.values.map { $0 }", "var a = Set(list)\nlet c = a.first",
            "struct S { var members: [Name: Member] }\nlet d = state.members.compactMap { $0 }",
        ]
    )
    func unordered(text: String) throws {
        #expect(try OrderCheck.check([file(text)]).findings.count == 1)
    }

    @Test(
        "sorted orders, arrays and marked lines pass",
        arguments: [
            "let a: Set<Int> = []\nfor b in a.sorted() {", "let a: [Int] = []\nfor b in a {",
            "for b in table.keys.sorted() {",
            "let a: Set<Int> = []\nlet b = a.map { $0 }\n    .sorted()", "let n = table.values.reduce(0, +)",
            "// tidy: order free, only a sum\nfor b in table.values {",
        ]
    )
    func ordered(text: String) throws {
        #expect(try OrderCheck.check([file(text)]).findings.isEmpty)
    }

    @Test("a dead link or anchor, an unknown rule and a test that does not exist are reported")
    func documents() throws {
        let text = "[a](docs/nowhere.md) [b](https://example.org/x) [c](Tests)\nsee R2 and R" + "99\n"
        let document = SourceFile(path: "FORGED.md", text: text)
        let links = try DocumentCheck.links([document])
        #expect(links.read == 2 && links.findings.count == 1)
        let anchors =
            "## 6. Odds, and *ends*\n[a](#6-odds-and-ends) [b](#6-odds) [c](README.md#license) [d](README.md#licence)\n"
        let anchored = try DocumentCheck.links([SourceFile(path: "FORGED.md", text: anchors)])
        #expect(anchored.read == 4 && anchored.findings.count == 2)
        let safety = SourceFile(path: DocumentCheck.safetyPath, text: "### R2 Lease\n")
        let citations = try DocumentCheck.citations([document], safety: safety)
        #expect(citations.read == 2 && citations.findings.count == 1)
        let table = SourceFile(path: DocumentCheck.tracesPath, text: "| C1 | “it holds”, “it fails” |")
        let tests = [SourceFile(path: "Tests/A.swift", text: "@Test(\"it holds (R7)\")")]
        let traces = try DocumentCheck.traces(table, tests: tests)
        #expect(traces.read == 2 && traces.findings.count == 1)
    }

    @Test("a rule without a row in the table of what is built is reported")
    func ruleStates() {
        let text = "### R2 Lease\n### R3 Expiry\n| Rule | State |\n| R3 | built | there | so |\n| R2 | built |\n"
        let outcome = DocumentCheck.states(of: SourceFile(path: DocumentCheck.safetyPath, text: text))
        #expect(outcome.read == 2)
        #expect(outcome.findings.map { $0.hasPrefix("docs/internals/safety.md:1: R2") } == [true])
    }
}
