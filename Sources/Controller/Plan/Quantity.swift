/// An amount as Kubernetes writes it, such as `500m`, `1.5Gi` or `2e3`, so that `1024Mi` and `1Gi` are the same.
///
/// - SeeAlso: Kubernetes API reference, `Quantity`.
struct Quantity: Hashable, Comparable, Sendable {
    /// In billionths; what is finer is rounded up, as the API server does.
    private let billionths: UInt128

    private static let suffixes: [(suffix: String, factor: UInt128, divisor: UInt128)] = [
        ("n", 1, 1_000_000_000), ("u", 1, 1_000_000), ("m", 1, 1000), ("k", 1000, 1), ("M", 1_000_000, 1),
        ("G", 1_000_000_000, 1), ("T", 1_000_000_000_000, 1), ("P", 1_000_000_000_000_000, 1),
        ("E", 1_000_000_000_000_000_000, 1), ("Ki", 1 << 10, 1), ("Mi", 1 << 20, 1), ("Gi", 1 << 30, 1),
        ("Ti", 1 << 40, 1), ("Pi", 1 << 50, 1), ("Ei", 1 << 60, 1), ("", 1, 1),
    ]

    /// - Returns: nil if the text is no quantity, negative, or beyond reason.
    init?(_ text: String) {
        var rest = Substring(text)
        if rest.hasPrefix("+") { rest = rest.dropFirst() }
        let whole = rest.prefix { $0.isASCII && $0.isNumber }
        rest = rest.dropFirst(whole.count)
        var fraction = Substring()
        if rest.hasPrefix(".") {
            fraction = rest.dropFirst().prefix { $0.isASCII && $0.isNumber }
            rest = rest.dropFirst(fraction.count + 1)
        }
        guard !whole.isEmpty || !fraction.isEmpty, whole.count <= 19, fraction.count <= 9 else { return nil }
        guard let scale = Self.scale(of: rest), let digits = UInt128(whole + fraction) else { return nil }
        // Billionths of the digits read as one whole number.
        let unit = Self.power(9 - fraction.count)
        let (scaled, tooMuch) = (digits * unit).multipliedReportingOverflow(by: scale.factor)
        if tooMuch { return nil }
        billionths = scaled / scale.divisor + (scaled % scale.divisor == 0 ? 0 : 1)
    }

    private static func scale(of suffix: Substring) -> (factor: UInt128, divisor: UInt128)? {
        if let known = suffixes.first(where: { $0.suffix == suffix }) { return (known.factor, known.divisor) }
        guard let first = suffix.first, first == "e" || first == "E", let exponent = Int(suffix.dropFirst()) else {
            return nil
        }
        guard (-9...18).contains(exponent) else { return nil }
        return exponent < 0 ? (1, power(-exponent)) : (power(exponent), 1)
    }

    private static func power(_ exponent: Int) -> UInt128 { (0..<exponent).reduce(1) { power, _ in power * 10 } }

    /// By amount.
    static func < (left: Quantity, right: Quantity) -> Bool { left.billionths < right.billionths }

    /// Whether it is nothing.
    var isZero: Bool { billionths == 0 }
}
