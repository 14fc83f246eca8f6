import Foundation
import HTTPTransport
import JSON
import KubernetesClient
import KubernetesObjects
import KubernetesStandIn
import Testing

@Suite("Kubernetes watches", .serialized)
struct WatchTests {
    private func other(_ what: Comment) { Issue.record(what) }

    /// A feed that tries again quickly.
    private func feed(_ test: Fixture, idleLimit: Duration = .seconds(30)) -> CollectionFeed {
        let backoff = Backoff(first: .milliseconds(2), longest: .milliseconds(20))
        return test.client.follow(test.collection, backoff: backoff, idleLimit: idleLimit) { 7 }
    }

    /// The next change that is no interruption.
    private func next(_ feed: inout CollectionFeed) async throws -> CollectionChange {
        while true {
            let change = try await feed.next()
            if case .interrupted = change { continue }
            return change
        }
    }

    @Test("a watch tells in order what happened since a version, and ends when the server ends it")
    func order() async throws {
        try await Fixture.run { test in
            try await test.create("before")
            let list = try await test.client.list(test.collection)
            let watch = try await test.client.watch(test.collection, from: list.resourceVersion)
            var events = watch.makeAsyncIterator()
            var widget = try await test.create("a")
            widget["spec", "size"] = 2
            widget = try await test.client.replace(widget, of: Fixture.widgets, fieldManager: "test")
            try await test.client.delete(Fixture.widgets, namespace: "default", name: "a")
            guard case .added(let added)? = try await events.next(),
                case .modified(let modified)? = try await events.next(),
                case .deleted(let deleted)? = try await events.next()
            else {
                Issue.record("the events are others")
                return
            }
            #expect(added.name == "a" && added.spec["size"] == 1 && modified == widget && deleted.name == "a")
            #expect(Int64(deleted.resourceVersion) ?? 0 > Int64(modified.resourceVersion) ?? 0)
            test.api.sendBookmarks()
            #expect(try await events.next() == .bookmark(resourceVersion: deleted.resourceVersion))
            test.api.endWatches()
            #expect(try await events.next() == nil)
        }
    }

    @Test("a version that is too old is gone")
    func tooOld() async throws {
        try await Fixture.run { test in
            let list = try await test.client.list(test.collection)
            try await test.create("a")
            test.api.forgetHistory()
            let watch = try await test.client.watch(test.collection, from: list.resourceVersion)
            var events = watch.makeAsyncIterator()
            do throws(KubernetesError) {
                _ = try await events.next()
                Issue.record("the watch went on")
            } catch {
                #expect(error.isGone)
            }
        }
    }

    @Test("a connection cut at every byte of an event loses and repeats nothing")
    func cutEverywhere() async throws {
        try await Fixture.run { test in
            let made = try await test.create("a")
            let event: JSONValue = ["type": "MODIFIED", "object": made.content]
            // Header and chunk lengths stand before the event; a few bytes more than it end the loop for sure.
            let bytes = event.bytes.count + 160
            var feed = feed(test)
            guard case .listed(let items) = try await next(&feed), items == [made] else {
                Issue.record("the list is another")
                return
            }
            var last = made
            for count in 0..<bytes {
                test.api.inject(StandInFault(.cut(afterBytes: count), times: 1) { $0.parameter("watch") == "true" })
                test.api.endWatches()
                var changed = last
                changed["spec", "size"] = .number(JSONNumber(Int64(count + 10)))
                changed = try await test.client.replace(changed, of: Fixture.widgets, fieldManager: "test")
                #expect(try await next(&feed) == .updated(changed), "cut after \(count) bytes")
                last = changed
            }
            let lists = test.api.log.filter { $0.hasPrefix("GET") && !$0.contains("watch=true") }
            #expect(lists.count == 1, "it was resumed, not listed anew")
        }
    }

    @Test("a feed whose version is forgotten lists anew, and deletions that it missed show")
    func relist() async throws {
        try await Fixture.run { test in
            try await test.create("a")
            try await test.create("b")
            var feed = feed(test)
            guard case .listed(let before) = try await next(&feed) else { return other("no list") }
            #expect(before.map(\.name) == ["a", "b"])
            // Nobody reads between here and the end of the watch, so that the deletion is not told.
            try await test.client.delete(Fixture.widgets, namespace: "default", name: "a")
            test.api.forgetHistory()
            guard case .listed(let after) = try await next(&feed) else { return other("no list") }
            #expect(after.map(\.name) == ["b"])
            let made = try await test.create("c")
            #expect(try await next(&feed) == .updated(made))
            try await test.client.delete(Fixture.widgets, namespace: "default", name: "c")
            guard case .removed(let gone) = try await next(&feed) else { return other("no removal") }
            #expect(gone.name == "c")
        }
    }

    @Test("bookmarks move the point from which a watch is resumed")
    func bookmarks() async throws {
        try await Fixture.run { test in
            var feed = feed(test)
            _ = try await next(&feed)
            let reader = Task { [feed] in
                var feed = feed
                return try await next(&feed)
            }
            try await eventually("the watch is open") { test.api.openWatches == 1 }
            // Changes of another kind move the version, and only a bookmark tells of it.
            let other = KubernetesObject(Fixture.maps, namespace: "default", name: "m", ["data": ["a": "b"]])
            let map = try await test.client.create(other, of: Fixture.maps, fieldManager: "test")
            test.api.sendBookmarks()
            test.api.forgetHistory()
            test.api.endWatches()
            let made = try await test.create("a")
            #expect(try await reader.value == .updated(made))
            #expect(
                test.api.log.contains {
                    $0.contains("watch=true") && $0.contains("resourceVersion=\(map.resourceVersion)")
                }
            )
        }
    }

    @Test("a feed says that it hears nothing, waits longer each time within bounds, and goes on")
    func interruptions() async throws {
        try await Fixture.run { test in
            test.api.inject(StandInFault(.refuse(status: 500, retryAfterSeconds: nil), times: 6))
            var feed = feed(test)
            var waits: [Duration] = []
            while true {
                let change = try await feed.next()
                if case .listed = change { break }
                guard case .interrupted(let error, let wait) = change else { return other("another change") }
                #expect(error.status?.code == 500)
                waits.append(wait)
            }
            #expect(waits.count == 6 && waits == waits.sorted() && (waits.last ?? .zero) <= .milliseconds(20))
        }
    }

    @Test("a watch that is silent for too long is taken for dead and resumed")
    func idle() async throws {
        try await Fixture.run { test in
            var feed = feed(test, idleLimit: .milliseconds(200))
            _ = try await next(&feed)
            guard case .interrupted(let error, _) = try await feed.next() else {
                return other("no interruption")
            }
            #expect(error.kind == .transport(.idle))
            let made = try await test.create("a")
            #expect(try await next(&feed) == .updated(made))
        }
    }

    @Test("an event larger than the limit is refused, and the list shows the object all the same")
    func tooLarge() async throws {
        var limits = Fixture.quick
        limits.objectBytes = 20_000
        try await Fixture.run(limits: limits) { test in
            var feed = feed(test)
            _ = try await next(&feed)
            let writer = try KubernetesClient(test.credentials)
            var large = test.widget("large")
            large["spec", "text"] = .string(String(repeating: "x", count: 30_000))
            _ = try await writer.create(large, of: Fixture.widgets, fieldManager: "test")
            guard case .interrupted(let error, _) = try await feed.next() else {
                return other("no interruption")
            }
            #expect(error.kind == .malformed)
            guard case .listed(let items) = try await next(&feed) else { return other("no list") }
            #expect(items.map(\.name) == ["large"])
            writer.close()
        }
    }

    @Test("cancelling the reader ends the feed at once")
    func cancellation() async throws {
        try await Fixture.run { test in
            var feed = feed(test)
            _ = try await next(&feed)
            let reader = Task { [feed] in
                var feed = feed
                return await failure { _ = try await feed.next() }
            }
            try await eventually("the watch is open") { test.api.openWatches == 1 }
            reader.cancel()
            #expect(await reader.value?.isCancelled == true)
            try await eventually("the watch is closed") { test.api.openWatches == 0 }
        }
    }
}
