/// Figures that go up and down, in the text format that Prometheus reads.
///
/// - SeeAlso: Prometheus documentation, "Exposition formats".
public struct MetricsText: Sendable {
    /// One value of a figure.
    public struct Sample: Sendable {
        /// What tells it from the figure's others.
        public var labels: [(String, String)]
        /// The value.
        public var value: Double

        /// Makes a sample.
        public init(_ labels: [(String, String)], _ value: Double) {
            self.labels = labels
            self.value = value
        }
    }

    /// What has been written so far.
    public private(set) var text = ""
    private let labels: [(String, String)]

    /// The content type of the text.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// Begins; every sample carries these labels.
    public init(labels: [(String, String)]) { self.labels = labels }

    /// Adds one figure with its samples; without a sample it is left out.
    public mutating func add(_ name: String, _ help: String, _ samples: [Sample]) {
        if samples.isEmpty { return }
        text += "# HELP \(name) \(Self.escaped(help, quoted: false))\n# TYPE \(name) gauge\n"
        for sample in samples {
            let pairs = (labels + sample.labels).map { "\($0.0)=\"\(Self.escaped($0.1, quoted: true))\"" }
            text += pairs.isEmpty ? name : "\(name){\(pairs.joined(separator: ","))}"
            let isWhole = sample.value == sample.value.rounded() && sample.value.magnitude < 1e15
            text += " " + (isWhole ? "\(Int64(sample.value))" : "\(sample.value)") + "\n"
        }
    }

    /// Adds one figure with one sample; nil leaves it out.
    public mutating func add(_ name: String, _ help: String, _ value: Double?) {
        add(name, help, value.map { [Sample([], $0)] } ?? [])
    }

    private static func escaped(_ text: String, quoted: Bool) -> String {
        var result = ""
        for character in text {
            switch character {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quoted: result += "\\\""
            default: result.append(character)
            }
        }
        return result
    }
}
