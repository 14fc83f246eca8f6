import JSON
public import KubernetesObjects
import Platform
import Synchronization

/// Something worth telling about an object.
public struct EventNote: Hashable, Sendable {
    /// What the event is about.
    public var regarding: KubernetesObject
    /// Whether somebody should look.
    public var isWarning: Bool
    /// One word for programs, such as `FailoverFinished`; at most 128 characters.
    public var reason: String
    /// What was done or tried, one word; at most 128 characters.
    public var action: String
    /// One sentence for people; cut at 1024 bytes.
    public var note: String

    /// Describes an event.
    public init(regarding: KubernetesObject, isWarning: Bool, reason: String, action: String, note: String) {
        self.regarding = regarding
        self.isWarning = isWarning
        self.reason = reason
        self.action = action
        self.note = note
    }
}

/// Writes events; the same event again raises the count of the one that is there.
///
/// - SeeAlso: Kubernetes API reference, `Event` (events.k8s.io/v1).
public final class EventRecorder: Sendable {
    private struct Written {
        let name: String
        let namespace: String
        var count: Int64
        var lastAt: Duration
    }

    /// The kind.
    public static let resource = APIResource(group: "events.k8s.io", version: "v1", plural: "events", kind: "Event")
    /// How many events are remembered to be counted; beyond that the longest unheard are forgotten.
    public static let memoryLimit = 1000
    /// How long after it was last written an event is counted further; later the same is a new one.
    public static let seriesLifetime = Duration.seconds(360)

    private let client: KubernetesClient
    private let controller: String
    private let instance: String
    private let written = Mutex<[EventNote: Written]>([:])

    /// Creates a recorder.
    ///
    /// - Parameters:
    ///   - client: Writes them.
    ///   - controller: Who reports, such as `understudy.dev/controller`.
    ///   - instance: Which of several, such as the pod's name.
    public init(_ client: KubernetesClient, controller: String, instance: String) {
        self.client = client
        self.controller = controller
        self.instance = instance
    }

    /// Writes an event, or counts it.
    ///
    /// - Throws: `KubernetesError`; an event is lost then, and nothing else.
    public func record(_ note: EventNote) async throws(KubernetesError) {
        let key = key(of: note)
        let now = MonotonicClock.now()
        let known = written.withLock { written -> Written? in
            guard var known = written[key], now - known.lastAt < Self.seriesLifetime else { return nil }
            known.count += 1
            known.lastAt = now
            written[key] = known
            return known
        }
        if let known {
            do throws(KubernetesError) {
                _ = try await client.mergePatch(
                    ["series": ["count": .number(JSONNumber(known.count)), "lastObservedTime": .string(moment())]],
                    Self.resource,
                    namespace: known.namespace,
                    name: known.name,
                    fieldManager: instance
                )
                return
            } catch {
                // Servers forget events after an hour.
                guard error.isNotFound else { throw error }
            }
        }
        try await create(note, key: key, at: now)
    }

    private func create(_ note: EventNote, key: EventNote, at now: Duration) async throws(KubernetesError) {
        // Events about what lies in no namespace lie in this one.
        let namespace = note.regarding.namespace.isEmpty ? "default" : note.regarding.namespace
        let suffix = String(UInt64.random(in: .min ... .max), radix: 16)
        let name = "\(note.regarding.name.prefix(200)).\(suffix)"
        var event = KubernetesObject(Self.resource, namespace: namespace, name: name)
        event.content["eventTime"] = .string(moment())
        event.content["reportingController"] = .string(controller)
        event.content["reportingInstance"] = .string(String(instance.prefix(128)))
        event.content["type"] = .string(note.isWarning ? "Warning" : "Normal")
        event.content["reason"] = .string(String(note.reason.prefix(128)))
        event.content["action"] = .string(String(note.action.prefix(128)))
        event.content["note"] = .string(prefix(of: note.note, bytes: 1024))
        event.content["regarding"] = reference(to: note.regarding)
        _ = try await client.create(event, of: Self.resource, fieldManager: instance)
        written.withLock { written in
            written[key] = Written(name: name, namespace: namespace, count: 1, lastAt: now)
            while written.count > Self.memoryLimit {
                guard let oldest = written.min(by: { $0.value.lastAt < $1.value.lastAt }) else { break }
                written[oldest.key] = nil
            }
        }
    }

    /// What makes two events the same: everything but the state of the object that they are about.
    private func key(of note: EventNote) -> EventNote {
        var key = note
        key.regarding = KubernetesObject(reference(to: note.regarding))
        key.regarding["resourceVersion"] = nil
        return key
    }

    private func reference(to object: KubernetesObject) -> JSONValue {
        var reference: JSONValue = [:]
        let fields = [
            ("apiVersion", object.content["apiVersion"]?.string ?? ""), ("kind", object.content["kind"]?.string ?? ""),
            ("namespace", object.namespace), ("name", object.name), ("uid", object.uid),
            ("resourceVersion", object.resourceVersion),
        ]
        for (name, value) in fields where !value.isEmpty { reference[name] = .string(value) }
        return reference
    }

    private func moment() -> String { KubernetesClient.moment(milliseconds: WallClock.milliseconds()) }
}

extension KubernetesClient {
    /// A moment as `MicroTime` wants it, with exactly six digits after the point.
    ///
    /// - Parameter milliseconds: Since 1970 in universal time.
    /// - Returns: Such as `2026-11-22T12:58:51.549000Z`.
    public static func moment(milliseconds: Int64) -> String {
        WallClock.text(milliseconds).dropLast() + "000Z"
    }
}

/// The beginning of a text, whole characters, of at most so many bytes.
private func prefix(of text: String, bytes limit: Int) -> String {
    if text.utf8.count <= limit { return text }
    var kept = ""
    for character in text {
        if kept.utf8.count + character.utf8.count > limit { break }
        kept.append(character)
    }
    return kept
}
