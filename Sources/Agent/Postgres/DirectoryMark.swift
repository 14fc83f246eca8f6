import ClusterModel
import InstanceDecision
import LauncherClient
import LauncherProtocol
import Platform

/// What `understudy.incarnation` says: whose data these are, and what they lay in when that was written (R5, D102).
///
/// One line each; only the first must be there. Whoever vouches for data that were copied removes the others.
struct DirectoryMark: Hashable, Sendable {
    /// Whose data these are.
    var incarnation: Incarnation
    /// What they lay in.
    var place: DataPlace
    /// The first line that says nothing known; empty if there is none.
    var garbled = ""

    private static let bornKey = "control-file-born"
    private static let volumeKey = "volume"

    init(incarnation: Incarnation, place: DataPlace) {
        self.incarnation = incarnation
        self.place = place
    }

    /// Reads a file; nil if it names no incarnation.
    init?(_ text: String) {
        var lines = text.split(whereSeparator: \.isNewline).filter { !$0.allSatisfy(\.isWhitespace) }[...]
        guard let first = lines.popFirst(), let incarnation = Incarnation(first.filter { !$0.isWhitespace }) else {
            return nil
        }
        self.init(incarnation: incarnation, place: DataPlace())
        for line in lines where !take(line.split(whereSeparator: \.isWhitespace).map(String.init)) {
            garbled = String(line.prefix(80))
            return
        }
    }

    private mutating func take(_ words: [String]) -> Bool {
        guard words.count == 2 else { return false }
        switch words[0] {
        case Self.bornKey:
            guard place.born == nil, let born = UInt64(words[1]), born > 0 else { return false }
            place.born = born
        case Self.volumeKey:
            guard place.volume == nil, DataPlace.isVolumeName(words[1]) else { return false }
            place.volume = words[1]
        default: return false
        }
        return true
    }

    /// The whole file.
    var text: String {
        var lines = [incarnation.text]
        if let born = place.born { lines.append("\(Self.bornKey) \(born)") }
        if let volume = place.volume { lines.append("\(Self.volumeKey) \(volume)") }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Why data with this mark are not where they were made; nil if nothing shows it.
    ///
    /// What was not marked is not compared; a volume without a name now is one whose platform gives it none any more.
    func difference(from found: DataPlace) -> String? {
        if !garbled.isEmpty { return "understudy.incarnation has a line that is not understood: '\(garbled)'" }
        if let born = place.born, born != found.born {
            let now = found.born.map(Self.text(ofBirth:)) ?? "a time not known"
            return "their control file was born at \(now), not at \(Self.text(ofBirth: born))"
        }
        if let volume = place.volume, let name = found.volume, volume != name {
            return "they lie on volume '\(name)', not on '\(volume)'"
        }
        return nil
    }

    private static func text(ofBirth nanoseconds: UInt64) -> String {
        WallClock.text(Int64(clamping: nanoseconds / 1_000_000))
    }

    /// The mark with what is known now and was not known when it was made.
    func completed(by found: DataPlace) -> DirectoryMark {
        var mark = self
        mark.place.born = place.born ?? found.born
        mark.place.volume = place.volume ?? found.volume
        return mark
    }
}

/// What tells a data directory from a copy of it.
struct DataPlace: Hashable, Sendable {
    /// When `global/pg_control` was made, in nanoseconds since 1970; nil where the file system does not say.
    ///
    /// PostgreSQL and its tools write that file in place, and nothing can give another file its time.
    var born: UInt64?
    /// What the platform calls the volume; nil where it gives no name.
    var volume: String?

    /// Visible characters of ASCII only, as the name is a word in a file and in messages.
    static func isVolumeName(_ text: String) -> Bool {
        (1...253).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }
}

extension PostgresAdapter {
    /// What a data directory, or one in the making, lies in.
    func dataPlace(of folder: String) async throws(WorkError) -> DataPlace {
        let path = InstanceLayout.inside(folder, "global/pg_control")
        let entry = try await launch { (l) throws(LauncherError) in try await l.inspect(path) }
        return DataPlace(born: entry?.kind == .file ? entry?.bornNanoseconds : nil, volume: configuration.volume)
    }

    /// Says in a data directory whose it is, and what it lies in.
    func mark(_ folder: String, _ incarnation: Incarnation) async throws(WorkError) {
        let mark = DirectoryMark(incarnation: incarnation, place: try await dataPlace(of: folder))
        try await place(InstanceLayout.inside(folder, InstanceLayout.incarnationFile), mark.text)
    }

    /// Whose data lie here, and why they are a copy of that member's (R5).
    ///
    /// Data that are taken for the member's own are marked with what was not known before.
    func readMark(
        for state: InstanceState?
    ) async throws(WorkError) -> (found: Incarnation?, matches: Bool, copied: String?) {
        let path = InstanceLayout.inside(InstanceLayout.incarnationFile)
        let text = try await readText(path)
        guard let mark = text.flatMap(DirectoryMark.init) else { return (nil, false, nil) }
        guard let state, mark.incarnation == state.incarnation ?? state.copyOf else {
            return (mark.incarnation, false, nil)
        }
        let found = try await dataPlace(of: InstanceLayout.data)
        if let difference = mark.difference(from: found) { return (mark.incarnation, true, difference) }
        let whole = mark.completed(by: found)
        if whole != mark { await complete(whole) }
        if whole.place == DataPlace() { tellOnce("copies of these data cannot be told from them: \(Self.noBirth)") }
        return (mark.incarnation, true, nil)
    }

    private static let noBirth = "the file system keeps no times of birth, and the volume was given no name"

    /// A full disk must not keep a member away; the next agent tries again.
    private func complete(_ mark: DirectoryMark) async {
        do throws(WorkError) {
            try await place(InstanceLayout.inside(InstanceLayout.incarnationFile), mark.text)
        } catch {
            tellOnce("could not mark the data directory, so that copies cannot be told from it: \(error)")
        }
    }

    private func tellOnce(_ text: String) {
        if toldOfMark == text { return }
        toldOfMark = text
        tell(.fault, rule: "R5", text)
    }
}
