import ClusterModel
import Testing

@Suite("Releases of PostgreSQL")
struct PostgresReleaseTests {
    @Test(
        "what the server's program prints is read",
        arguments: [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", 15, "15.18"),
            ("postgres (PostgreSQL) 18.6\n", 18, "18.6"), ("postgres (PostgreSQL) 19beta1", 19, "19beta1"),
            ("postgres (PostgreSQL) 9.6.24", 9, "9.6.24"),
        ]
    )
    func program(output: String, major: Int, text: String) throws {
        let release = try #require(PostgresRelease(programOutput: output))
        #expect(release.major == major && release.description == text)
    }

    @Test(
        "what is no version is not read",
        arguments: ["", "postgres", "postgres (PostgreSQL)", "postgres (PostgreSQL) devel", "mysqld 8.0 15.1"]
    )
    func noVersion(output: String) {
        #expect(PostgresRelease(programOutput: output) == nil)
        #expect(PostgresRelease(directoryFile: output) == nil)
    }

    @Test("a data directory and a server's number say their major version, nonsense says none")
    func otherSources() {
        #expect(PostgresRelease(directoryFile: "17\n")?.major == 17)
        #expect(PostgresRelease(directoryFile: "17 18") == nil)
        #expect(PostgresRelease(directoryFile: "99999999999999999999") == nil)
        #expect(PostgresRelease(number: 170_010)?.description == "17.10")
        for number in [0, -1, 99_999, .max, .min] { #expect(PostgresRelease(number: number) == nil) }
    }

    @Test("releases before 13 are refused, those after 18 warned of, those between neither")
    func judgement() throws {
        for major in 10...25 {
            let release = try #require(PostgresRelease(number: major * 10_000 + 1))
            #expect((release.refusal != nil) == (major < 13))
            #expect((release.warning != nil) == (major > 18))
            #expect((release.refusal ?? release.warning ?? "\(release)").contains("\(release)"))
        }
    }
}
