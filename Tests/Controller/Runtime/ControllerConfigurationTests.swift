import ClusterModel
import Configuration
import ControllerRuntime
import TLSTransport
import Testing

@Suite("Controller: its configuration")
struct ControllerConfigurationTests {
    static let good = """
        cluster: orders
        durability: required
        listen: 127.0.0.1:7432
        certificates: /certificates
        recordFile: /record.json
        historyFile: /history.jsonl
        instances:
          - {name: one, server: "10.0.0.1:5432"}
          - {name: two, server: "10.0.0.2:5432", failoverPriority: 5, zone: south}
        """

    private func configuration(_ yaml: String) throws -> ControllerConfiguration {
        try ControllerConfiguration(ConfigurationReader(yaml: yaml, source: "c.yaml", flags: [:], environment: [:]))
    }

    @Test("a whole file becomes a specification with defaults")
    func whole() throws {
        let configuration = try configuration(Self.good)
        #expect(configuration.spec.instances.map(\.name.text) == ["one", "two"])
        #expect(configuration.spec.instances.last?.failoverPriority == 5)
        #expect(configuration.spec.instances.map(\.zone) == [nil, "south"])
        #expect(configuration.spec.timings == Timings())
        #expect(configuration.certificates.key == "/certificates/key.pem")
    }

    @Test("where nobody chose, two instances are preferred durability with one standby to wait for")
    func defaults() throws {
        let text = Self.good.split(separator: "\n").filter { !$0.hasPrefix("durability") }.joined(separator: "\n")
        let spec = try configuration(text + "\n").spec
        #expect(spec.durability == .preferred && spec.synchronousStandbys == 1)
        #expect(ClusterSpec.defaultDurability(instances: 1) == .async)
    }

    @Test(
        "what cannot be is refused with the reason",
        arguments: [
            ("durability: required", "durability: maybe", "known are preferred, required and async"),
            ("durability: required", "synchronousStandbys: 2", "of 2 instances at most 1 can be waited for"),
            ("name: two", "name: one", "names 'one' twice"),
            ("name: two", "name: operator", "certificates use for another role"),
            ("\"10.0.0.2:5432\"", "here", "is 'here', not host:port"),
            ("listen: 127.0.0.1:7432", "timings: {leaseDuration: 1s}", "leaseDuration must be at least 4 times"),
            ("failoverPriority", "failoverPriorty", "is not a known key"),
        ]
    )
    func refused(old: String, new: String, expected: String) throws {
        let parts = Self.good.split(separator: old, maxSplits: 1, omittingEmptySubsequences: false)
        let text = parts.joined(separator: new)
        let error = #expect(throws: ConfigurationError.self) { try configuration(text) }
        #expect(error?.description.contains(expected) == true, "\(error?.description ?? "")")
    }
}
