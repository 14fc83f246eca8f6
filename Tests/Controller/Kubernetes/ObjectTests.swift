import Foundation
import JSON
import KubernetesClient
import KubernetesObjects
import KubernetesStandIn
import Testing

@Suite("Kubernetes objects", .serialized)
struct ObjectTests {
    @Test("an object is made, read, replaced and deleted, and fields that nobody knows are kept")
    func life() async throws {
        try await Fixture.run { test in
            var widget = test.widget("a")
            widget["spec", "unknown", "deep"] = ["x", 12, .null]
            widget.labels = ["app": "orders"]
            let made = try await test.client.create(widget, of: Fixture.widgets, fieldManager: "test")
            #expect(!made.uid.isEmpty && !made.resourceVersion.isEmpty && made.generation == 1)
            var read = try await test.get("a")
            #expect(read == made && read.labels == ["app": "orders"])
            #expect(read["spec", "unknown", "deep"] == widget["spec", "unknown", "deep"])
            read["spec", "size"] = 2
            let replaced = try await test.client.replace(read, of: Fixture.widgets, fieldManager: "test")
            #expect(replaced.generation == 2 && replaced.resourceVersion != made.resourceVersion)
            let unchanged = try await test.client.replace(replaced, of: Fixture.widgets, fieldManager: "test")
            #expect(unchanged == replaced)
            try await test.client.delete(Fixture.widgets, namespace: "default", name: "a", uid: made.uid)
            #expect(await failure { _ = try await test.get("a") }?.isNotFound == true)
        }
    }

    @Test("what is there already, has changed, or is another is a typed conflict")
    func conflicts() async throws {
        try await Fixture.run { test in
            let first = try await test.create("a")
            let again = await failure { try await test.create("a") }
            #expect(again?.isAlreadyExists == true && again?.isConflict == false)
            var changed = first
            changed["spec", "size"] = 5
            _ = try await test.client.replace(changed, of: Fixture.widgets, fieldManager: "test")
            let stale = await failure {
                _ = try await test.client.replace(changed, of: Fixture.widgets, fieldManager: "test")
            }
            #expect(stale?.isConflict == true && stale?.status?.reason == "Conflict")
            let other = await failure {
                try await test.client.delete(Fixture.widgets, namespace: "default", name: "a", uid: "another")
            }
            #expect(other?.isConflict == true)
            let unconditional = await failure {
                _ = try await test.client.replace(test.widget("a"), of: Fixture.widgets, fieldManager: "test")
            }
            #expect(unconditional?.kind == .malformed)
            #expect(try await test.get("a")["spec", "size"] == 5)
        }
    }

    @Test("the status is written apart from the rest")
    func status() async throws {
        try await Fixture.run { test in
            var widget = try await test.create("a")
            widget.status = ["phase": "Ready"]
            widget["spec", "size"] = 7
            let written = try await test.client.replace(
                widget,
                of: Fixture.widgets,
                part: .status,
                fieldManager: "test"
            )
            #expect(written.status["phase"] == "Ready" && written.spec["size"] == 1 && written.generation == 1)
            let patched = try await test.client.mergePatch(
                ["spec": ["size": 9, "color": "red"], "status": ["phase": "Lost"]],
                Fixture.widgets,
                namespace: "default",
                name: "a",
                fieldManager: "test"
            )
            #expect(patched.status["phase"] == "Ready" && patched.spec["size"] == 9 && patched.generation == 2)
            let version: JSONValue = ["metadata": ["resourceVersion": .string(written.resourceVersion)]]
            let stale = await failure {
                _ = try await test.client.mergePatch(
                    version,
                    Fixture.widgets,
                    namespace: "default",
                    name: "a",
                    part: .status,
                    fieldManager: "test"
                )
            }
            #expect(stale?.isConflict == true)
        }
    }

    @Test("what we apply is ours: others' fields are conflicts, fields left out go, the same twice changes nothing")
    func apply() async throws {
        try await Fixture.run { test in
            func apply(_ spec: JSONValue, by manager: String, force: Bool = false) async throws -> KubernetesObject {
                let object = KubernetesObject(Fixture.widgets, namespace: "default", name: "a", ["spec": spec])
                return try await test.client.apply(object, of: Fixture.widgets, fieldManager: manager, force: force)
            }
            let made = try await apply(["size": 1, "color": "red"], by: "us")
            #expect(made.generation == 1)
            #expect(try await apply(["size": 1, "color": "red"], by: "us") == made)
            let beside = try await apply(["owner": "them", "size": 1], by: "them")
            #expect(beside.spec == ["size": 1, "color": "red", "owner": "them"])
            let conflict = await failure { _ = try await apply(["size": 2, "color": "red"], by: "us") }
            #expect(conflict?.isConflict == true && conflict?.cause.contains("them") == true)
            let forced = try await apply(["size": 2], by: "us", force: true)
            #expect(forced.spec == ["size": 2, "owner": "them"], "the color that we left out is gone")
            let list = [["name": "x", "value": "1"], ["name": "y", "value": "2"]] as JSONValue
            _ = try await apply(["size": 2, "list": list], by: "us")
            let merged = try await apply(["list": [["name": "z", "value": "3"]]], by: "them")
            #expect(merged.spec["list"]?.array?.compactMap { $0["name"]?.string } == ["x", "y", "z"])
            let fewer = try await apply(["size": 2, "list": [["name": "y", "value": "2"]]], by: "us")
            #expect(fewer.spec["list"]?.array?.compactMap { $0["name"]?.string } == ["y", "z"])
        }
    }

    @Test("a long list comes whole, page by page, as it was at its beginning, and starts anew where that is forgotten")
    func pages() async throws {
        var limits = Fixture.quick
        limits.pageSize = 7
        try await Fixture.run(limits: limits) { test in
            for number in 0..<30 { try await test.create("w-\(number)", size: Int64(number % 2)) }
            let list = try await test.client.list(test.collection)
            #expect(list.items.count == 30 && Set(list.items.map(\.name)).count == 30)
            #expect(
                list.items.allSatisfy { $0.content["kind"] == "Widget" && $0.content["apiVersion"] == "test.dev/v1" }
            )
            #expect(test.api.log.filter { $0.contains("limit=7") }.count == 5)
            test.api.inject(
                StandInFault(.refuse(status: 410, retryAfterSeconds: nil)) { $0.parameter("continue") != nil }
            )
            #expect(try await test.client.list(test.collection).items.count == 30)
        }
    }

    @Test("selectors narrow lists")
    func selectors() async throws {
        try await Fixture.run { test in
            for (name, labels) in [("a", ["x": "1"]), ("b", ["x": "2", "y": "1"]), ("c", [:])] {
                var widget = test.widget(name)
                widget.labels = labels
                _ = try await test.client.create(widget, of: Fixture.widgets, fieldManager: "test")
            }
            func names(_ labels: String, _ fields: String = "") async throws -> [String] {
                var collection = test.collection
                collection.labelSelector = labels
                collection.fieldSelector = fields
                return try await test.client.list(collection).items.map(\.name)
            }
            #expect(try await names("x=1") == ["a"])
            #expect(try await names("x in (1,2),!y") == ["a"])
            #expect(try await names("x!=1") == ["b", "c"])
            #expect(try await names("", "metadata.name=c") == ["c"])
            #expect(await failure { _ = try await names("", "spec.size=1") }?.status?.code == 400)
        }
    }

    @Test("what an object owned goes with it, finalizers are waited for, orphans stay")
    func deletion() async throws {
        try await Fixture.run { test in
            let owner = try await test.create("owner")
            func child(_ name: String, finalizers: [String] = []) async throws {
                var child = test.widget(name)
                child.ownerReferences = [
                    OwnerReference(
                        apiVersion: "test.dev/v1",
                        kind: "Widget",
                        name: owner.name,
                        uid: owner.uid,
                        isController: true
                    )
                ]
                child.finalizers = finalizers
                _ = try await test.client.create(child, of: Fixture.widgets, fieldManager: "test")
            }
            try await child("plain")
            try await child("held", finalizers: ["test.dev/wait"])
            try await test.client.delete(Fixture.widgets, namespace: "default", name: "owner", propagation: .foreground)
            #expect(await failure { _ = try await test.get("plain") }?.isNotFound == true)
            #expect(try await test.get("owner").deletionTimestamp != nil)
            var held = try await test.get("held")
            #expect(held.deletionTimestamp != nil)
            held.finalizers = []
            _ = try await test.client.replace(held, of: Fixture.widgets, fieldManager: "test")
            for name in ["held", "owner"] {
                #expect(await failure { _ = try await test.get(name) }?.isNotFound == true)
            }
            let second = try await test.create("owner")
            var orphan = test.widget("orphan")
            orphan.ownerReferences = [
                OwnerReference(
                    apiVersion: "test.dev/v1",
                    kind: "Widget",
                    name: "owner",
                    uid: second.uid,
                    isController: true
                )
            ]
            _ = try await test.client.create(orphan, of: Fixture.widgets, fieldManager: "test")
            try await test.client.delete(Fixture.widgets, namespace: "default", name: "owner", propagation: .orphan)
            #expect(try await test.get("orphan").ownerReferences.isEmpty)
        }
    }

    @Test("leases change hands by conditional writes only")
    func leases() async throws {
        try await Fixture.run { test in
            #expect(try await test.client.lease(namespace: "default", name: "leader") == nil)
            var mine = KubernetesLease(namespace: "default", name: "leader")
            mine.holder = "one"
            mine.durationSeconds = 10
            mine.renewTime = KubernetesClient.moment(milliseconds: 0)
            #expect(mine.renewTime == "1970-01-01T00:00:00.000000Z")
            mine = try await test.client.write(mine, fieldManager: "one")
            var theirs = KubernetesLease(namespace: "default", name: "leader")
            theirs.holder = "two"
            #expect(
                await failure { _ = try await test.client.write(theirs, fieldManager: "two") }?.isAlreadyExists == true
            )
            theirs = try #require(try await test.client.lease(namespace: "default", name: "leader"))
            theirs.holder = "two"
            theirs.transitions += 1
            _ = try await test.client.write(theirs, fieldManager: "two")
            #expect(await failure { _ = try await test.client.write(mine, fieldManager: "one") }?.isConflict == true)
        }
    }

    @Test("the same event again raises a count, another is another, and one that the server forgot is made anew")
    func events() async throws {
        try await Fixture.run { test in
            let widget = try await test.create("a")
            let recorder = EventRecorder(test.client, controller: "understudy.dev/controller", instance: "pod-1")
            var note = EventNote(
                regarding: widget,
                isWarning: true,
                reason: "FailoverBegun",
                action: "Promote",
                note: String(repeating: "é", count: 600)
            )
            for _ in 0..<3 { try await recorder.record(note) }
            let collection = ObjectCollection(EventRecorder.resource, namespace: "default")
            let event = try #require(try await test.client.list(collection).items.first)
            #expect(event["series", "count"] == 3 && event["type"] == "Warning")
            #expect(event["regarding", "uid"]?.string == widget.uid)
            #expect(event["note"]?.string?.utf8.count == 1024)
            try await test.client.delete(EventRecorder.resource, namespace: "default", name: event.name)
            try await recorder.record(note)
            note.note = "another"
            try await recorder.record(note)
            #expect(try await test.client.list(collection).items.count == 2)
        }
    }

    @Test("the server says what it is and what it has")
    func discovery() async throws {
        try await Fixture.run { test in
            let version = try await test.client.serverVersion()
            #expect(version.major == 1 && version.minor == 36)
            #expect(
                try await test.client.groupVersions()
                    == ["coordination.k8s.io/v1", "events.k8s.io/v1", "test.dev/v1", "v1"]
            )
            #expect(try await test.client.resources(group: "test.dev", version: "v1") == [Fixture.widgets])
            #expect(try await test.client.resources(group: "absent.dev", version: "v1").isEmpty)
        }
    }
}
