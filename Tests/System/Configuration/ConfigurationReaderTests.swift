import ClusterModel
import Configuration
import Testing

@Suite("Configuration: where a value comes from, and what is refused")
struct ConfigurationReaderTests {
    private func reader(
        _ yaml: String?,
        flags: [String: String] = [:],
        environment: [String: String] = [:]
    ) -> ConfigurationReader {
        ConfigurationReader(yaml: yaml, source: "agent.yaml", flags: flags, environment: environment)
    }

    @Test("a flag wins over the environment, the environment over the file")
    func precedence() {
        let yaml = "cluster: file\ninstance: file\nlogLevel: debug\n"
        let environment = ["UNDERSTUDY_CLUSTER": "environment", "UNDERSTUDY_INSTANCE": "environment"]
        var reader = reader(yaml, flags: ["cluster": "flag"], environment: environment)
        #expect(reader.text("cluster") == "flag")
        #expect(reader.text("instance") == "environment")
        #expect(reader.text("logLevel") == "debug")
        #expect(reader.faults.isEmpty)
    }

    @Test("a nested key is found under its dotted name, and as one variable")
    func nested() {
        var inFile = reader("timings: {leaseDuration: 4s}\n")
        #expect(inFile.duration("timings.leaseDuration") == .seconds(4))
        var inEnvironment = reader(nil, environment: ["UNDERSTUDY_TIMINGS_LEASE_DURATION": "5s"])
        #expect(inEnvironment.duration("timings.leaseDuration") == .seconds(5))
    }

    @Test(
        "durations carry their unit",
        arguments: [
            ("500ms", Duration.milliseconds(500)), ("3s", .seconds(3)), ("2m", .seconds(120)), ("1h", .seconds(3600)),
            ("500", nil), ("-1s", nil), ("s", nil), ("1.5s", nil), ("25h", nil), ("9999999999999h", nil),
        ] as [(String, Duration?)]
    )
    func durations(text: String, expected: Duration?) {
        #expect(ConfigurationReader.parseDuration(text) == expected)
    }

    @Test(
        "an address is host:port, an IPv6 host in brackets",
        arguments: [
            ("10.0.0.1:5432", Endpoint(host: "10.0.0.1", port: 5432)),
            ("[::1]:5432", Endpoint(host: "::1", port: 5432)),
            ("db.example:1", Endpoint(host: "db.example", port: 1)), ("db.example", nil), (":5432", nil),
            ("::1:5432", nil), ("a:0", nil), ("a:65536", nil), ("a b:1", nil),
        ] as [(String, Endpoint?)]
    )
    func endpoints(text: String, expected: Endpoint?) {
        #expect(ConfigurationReader.parseEndpoint(text) == expected)
    }

    @Test("a key that nobody knows is named, with the file")
    func unknownKey() {
        var reader = reader("cluster: a\ntimings: {leaseDuraton: 3s}\n")
        _ = reader.clusterName()
        _ = reader.timings()
        reader.refuseUnknownKeys()
        #expect(
            reader.faults == [
                "agent.yaml: 'timings.leaseDuraton' is not a known key; remove it or correct its spelling"
            ]
        )
    }

    @Test("all faults are told at once, each with its place")
    func allFaults() throws {
        var reader = reader("cluster: UPPER\ntimings: {leaseDuration: soon}\n", flags: ["listen": "nowhere"])
        #expect(reader.clusterName() == nil)
        _ = reader.timings()
        #expect(reader.endpoint("listen") == nil)
        _ = reader.requiredText("recordFile")
        let error = #expect(throws: ConfigurationError.self) { try reader.check() }
        #expect(error?.faults.count == 4)
        #expect(error?.description.contains("--listen is 'nowhere', not host:port") == true)
        #expect(error?.description.contains("as --record-file or as UNDERSTUDY_RECORD_FILE") == true)
    }

    @Test("text that is not YAML is one clear fault", arguments: ["a: [", "\t- x: 1", "- 1\n- 2\n"])
    func notYAML(text: String) {
        let reader = reader(text)
        #expect(reader.faults.count == 1)
        #expect(reader.faults.first?.contains("could not read agent.yaml") == true)
    }

    @Test("a file that is not there is named")
    func missingFile() {
        let error = #expect(throws: ConfigurationError.self) {
            _ = try ConfigurationReader.open(file: "/nonexistent/agent.yaml", flags: [:], environment: [:])
        }
        #expect(error?.description.contains("/nonexistent/agent.yaml") == true)
    }
}
