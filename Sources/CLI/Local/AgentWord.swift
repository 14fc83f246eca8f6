package import ClusterModel
import Foundation
import HTTPService

/// What an agent says of its instance when no controller can be asked.
package struct AgentWord: Hashable, Sendable, Encodable {
    /// The part of an agent's `/status` that is shown.
    private struct Page: Decodable {
        var server: String?
        var primary: Bool?
        var ready: Bool?
        var term: UInt64?
        var timeline: UInt32?
        var position: String?
        var fault: String?
        var activity: String?
    }

    package var name: InstanceName
    package var server: String
    /// It is the primary, and admits clients.
    package var isPrimary: Bool
    package var isReady: Bool
    package var term: String
    package var timeline: String
    package var position: String
    /// What it is about, or what is in its way, or why it could not be asked.
    package var note: String

    /// Asks every agent at once; whoever does not answer within a second and a half says nothing.
    static func all(of file: ClusterFile) async -> [AgentWord] {
        await withTaskGroup(of: AgentWord?.self) { group in
            for instance in file.instances { group.addTask { await ask(instance) } }
            var found: [AgentWord] = []
            for await word in group { if let word { found.append(word) } }
            return file.names.compactMap { name in found.first { $0.name == name } }
        }
    }

    private static func ask(_ instance: ClusterFile.Instance) async -> AgentWord? {
        guard let port = instance.probePort else { return nil }
        var word = AgentWord(
            name: instance.name,
            server: "?",
            isPrimary: false,
            isReady: false,
            term: "-",
            timeline: "-",
            position: "-",
            note: "its agent does not answer"
        )
        let answer = try? await HTTPAsk.get(
            host: instance.address,
            port: Int(port),
            target: "/status",
            within: .milliseconds(1500)
        )
        guard let answer, answer.status == 200,
            let page = try? JSONDecoder().decode(Page.self, from: Data(answer.body.utf8))
        else { return word }
        word.server = page.server ?? "?"
        word.isPrimary = page.primary ?? false
        word.isReady = page.ready ?? false
        word.term = page.term.map { "\($0)" } ?? "-"
        word.timeline = page.timeline.map { "\($0)" } ?? "-"
        word.position = page.position ?? "-"
        word.note = [page.activity, page.fault].compactMap(\.self).joined(separator: "; ")
        return word
    }
}
