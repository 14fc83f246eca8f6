import CPlatform
import Glibc

/// One reading of `/proc`: who is whose child.
///
/// Direct children of the reader are complete: they stay in `/proc`, dead or alive, until the reader reaps them. So a
/// reading without a child of one's own proves, for a subreaper, that no descendant was alive when it began.
struct ProcessTable {
    private var children: [Int32: [Int32]] = [:]

    init() {
        for name in System.names(in: "/proc") {
            guard let processID = Int32(name), let parent = ProcessTable.parent(of: processID) else { continue }
            children[parent, default: []].append(processID)
        }
    }

    func children(of processID: Int32) -> [Int32] {
        children[processID] ?? []
    }

    /// Everything below a process, without the subtrees of the spared ones.
    func descendants(of root: Int32, sparing spared: (Int32) -> Bool = { _ in false }) -> [Int32] {
        var found: [Int32] = []
        var waiting = children(of: root).filter { !spared($0) }
        while let next = waiting.popLast() {
            found.append(next)
            waiting += children(of: next)
        }
        return found
    }

    static func parent(of processID: Int32) -> Int32? {
        let fields = status(of: processID)
        return fields.count > 1 ? Int32(fields[1]) : nil
    }

    static func isZombie(_ processID: Int32) -> Bool {
        status(of: processID).first == "Z"
    }

    /// State and parent, from "pid (name) state parent …"; the name may itself hold spaces and parentheses.
    private static func status(of processID: Int32) -> [String] {
        guard let bytes = System.readFile("/proc/\(processID)/stat", limit: 512),
            let close = bytes.lastIndex(of: UInt8(ascii: ")"))
        else { return [] }
        return bytes[(close + 1)...].split(separator: UInt8(ascii: " "), maxSplits: 2).prefix(2).map {
            String(decoding: $0, as: UTF8.self)
        }
    }

    /// The command line, as PostgreSQL sets it to say what the process does.
    static func title(of processID: Int32) -> String {
        let bytes = System.readFile("/proc/\(processID)/cmdline", limit: 1024) ?? []
        let end = bytes.lastIndex { $0 != 0 && $0 != UInt8(ascii: " ") }.map { $0 + 1 } ?? 0
        return String(decoding: bytes[..<end].map { $0 == 0 ? UInt8(ascii: " ") : $0 }, as: UTF8.self)
    }
}
