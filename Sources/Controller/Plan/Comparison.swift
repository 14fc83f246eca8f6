import JSON

/// Whether what is there has everything that is desired; what an API server adds or writes differently counts not.
///
/// It fills fields with defaults, drops empty ones and writes quantities in its own way.
func covers(_ observed: JSONValue?, _ desired: JSONValue) -> Bool {
    guard let observed else { return isEmpty(desired) }
    switch (observed, desired) {
    case (.object(let observed), .object(let desired)):
        return desired.allSatisfy { name, value in covers(observed[name], value) }
    case (.array(let observed), .array(let desired)):
        return observed.count == desired.count && zip(observed, desired).allSatisfy { covers($0, $1) }
    default:
        if observed == desired { return true }
        guard let one = quantity(observed), let other = quantity(desired) else { return false }
        return one == other
    }
}

private func isEmpty(_ value: JSONValue) -> Bool {
    switch value {
    case .null, .bool(false), .string(""): true
    case .array(let values): values.isEmpty
    case .object(let values): values.values.allSatisfy(isEmpty)
    case .number(let number): number.integer == 0
    default: false
    }
}

private func quantity(_ value: JSONValue) -> Quantity? {
    switch value {
    case .string(let text): Quantity(text)
    case .number(let number): Quantity(number.text)
    default: nil
    }
}

/// A short mark of a value: the same for equal values, in each run and version.
///
/// Tells changes of our own intent apart, not accidents from attacks: FNV-1a, 64 bits.
func mark(of value: JSONValue) -> String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in value.bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits
}
