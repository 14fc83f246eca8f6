import Foundation
import Platform
import Testing

/// A folder of its own for one test, removed afterwards.
private func withFolder<Result>(_ body: (String) async throws -> Result) async throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: "understudy-test-\(UUID().uuidString)").path
    try DurableFile.makeDirectory(folder)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    return try await body(folder)
}

@Suite("Durable files")
struct DurableFileTests {
    @Test("what was written is read back, and replaced as a whole")
    func writtenIsRead() async throws {
        try await withFolder { folder in
            let path = folder + "/state"
            #expect(try DurableFile.read(path, limit: 100) == nil)
            try DurableFile.write([1, 2, 3], to: path)
            try DurableFile.write([4], to: path, mode: 0o640)
            #expect(try DurableFile.read(path, limit: 1) == [4])
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            #expect(attributes[.posixPermissions] as? Int == 0o640)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["state"])
            try DurableFile.remove(path)
            try DurableFile.remove(path)
            #expect(try DurableFile.read(path, limit: 100) == nil)
        }
    }

    @Test("a file larger than its limit is refused with its size")
    func tooLargeIsRefused() async throws {
        try await withFolder { folder in
            try DurableFile.write([UInt8](repeating: 7, count: 101), to: folder + "/big")
            let error = #expect(throws: PlatformError.self) { try DurableFile.read(folder + "/big", limit: 100) }
            #expect(error?.description.contains("101 bytes, more than the limit of 100") == true)
        }
    }

    @Test("a directory or a device is no file")
    func directoryIsRefused() async throws {
        try await withFolder { folder in
            #expect(throws: PlatformError.self) { try DurableFile.read(folder, limit: 100) }
            #expect(throws: PlatformError.self) { try DurableFile.read("/dev/zero", limit: 100) }
        }
    }

    @Test("a planted symbolic link is not written through")
    func symbolicLinkIsReplaced() async throws {
        try await withFolder { folder in
            try DurableFile.write([1], to: folder + "/victim")
            try FileManager.default.createSymbolicLink(
                atPath: folder + "/state.new",
                withDestinationPath: folder + "/victim"
            )
            try DurableFile.write([2], to: folder + "/state")
            #expect(try DurableFile.read(folder + "/victim", limit: 10) == [1])
            #expect(try DurableFile.read(folder + "/state", limit: 10) == [2])
        }
    }

    @Test("a missing directory is named in the error, with what mends it")
    func missingDirectoryIsNamed() async throws {
        try await withFolder { folder in
            let error = #expect(throws: PlatformError.self) { try DurableFile.write([1], to: folder + "/none/state") }
            #expect(error?.description.contains("could not write file \(folder)/none/state: No such file") == true)
        }
    }
}

@Suite("Locks on files")
struct FileLockTests {
    @Test("a lock has one holder, and is free when that one lets go")
    func oneHolder() async throws {
        try await withFolder { folder in
            let path = folder + "/lock"
            do {
                let first = try FileLock.acquire(path)
                let error = #expect(throws: PlatformError.self) { _ = try FileLock.acquire(path) }
                let holder = "held by process \(ProcessInfo.processInfo.processIdentifier)"
                #expect(error?.description.contains(holder) == true)
                withExtendedLifetime(first) {}
            }
            // A process that is being started this moment still shares our descriptors.
            try await eventually { (try? FileLock.acquire(path)) != nil }
        }
    }

    @Test("a lock is free when the process that holds it is killed")
    func killedHolderFrees() async throws {
        try await withFolder { folder in
            let path = folder + "/lock"
            let holder = try ChildProcess.start(
                ProcessRequest("/usr/bin/flock", ["-n", path, "sleep", "60"])
            )
            try await eventually {
                (try? FileLock.acquire(path)) == nil && FileManager.default.fileExists(atPath: path)
            }
            holder.signal(Signals.kill, wholeGroup: true)
            _ = await holder.waitForExit()
            try await eventually { (try? FileLock.acquire(path)) != nil }
        }
    }
}

@Suite("Child processes")
struct ChildProcessTests {
    @Test("output, errors and exit code are kept apart")
    func outputIsKept() async throws {
        let request = ProcessRequest("/bin/sh", ["-c", "echo out; echo err >&2; exit 3"])
        let outcome = try await ChildProcess.run(request, deadline: .seconds(10))
        #expect(outcome.exit == .code(3))
        #expect(outcome.outputText == "out\n")
        #expect(outcome.errorText == "err\n")
        #expect(!outcome.timedOut && !outcome.wasTruncated)
    }

    @Test("output beyond the limit is thrown away, and the program still ends")
    func outputIsLimited() async throws {
        let request = ProcessRequest("/bin/sh", ["-c", "head -c 1000000 /dev/zero"])
        let outcome = try await ChildProcess.run(request, deadline: .seconds(10), outputLimit: 1000)
        #expect(outcome.exit == .code(0))
        #expect(outcome.output.count == 1000)
        #expect(outcome.wasTruncated)
    }

    @Test("a program that misses its deadline is killed with all it started")
    func deadlineKills() async throws {
        let begun = MonotonicClock.now()
        let request = ProcessRequest("/bin/sh", ["-c", "sleep 77 & echo $!; wait"])
        let outcome = try await ChildProcess.run(request, deadline: .milliseconds(300))
        #expect(outcome.timedOut)
        #expect(outcome.exit == .signal(9))
        #expect(MonotonicClock.now() - begun < .seconds(5))
        let grandchild = outcome.outputText.trimmingCharacters(in: .whitespacesAndNewlines)
        try await eventually {
            let status = (try? DurableFile.read("/proc/\(grandchild)/stat", limit: 4096)) ?? nil
            return status.map { String(decoding: $0, as: UTF8.self).contains(") Z ") } ?? true
        }
    }

    @Test("a program that never stops printing is killed at its deadline, too")
    func endlessOutputIsKilled() async throws {
        let outcome = try await ChildProcess.run(ProcessRequest("/usr/bin/yes"), deadline: .milliseconds(300))
        #expect(outcome.timedOut && outcome.exit == .signal(9))
    }

    @Test("a child inherits nothing but its three standard descriptors")
    func nothingIsInherited() async throws {
        let leaky = try #require(FileHandle(forReadingAtPath: "/proc/self/status"))
        _ = fcntl(leaky.fileDescriptor, F_SETFD, 0)
        let request = ProcessRequest("/bin/ls", ["/proc/self/fd"])
        let outcome = try await ChildProcess.run(request, deadline: .seconds(10))
        // The fourth is the folder that `ls` itself reads.
        #expect(outcome.outputText.split(separator: "\n") == ["0", "1", "2", "3"])
        try leaky.close()
    }

    @Test("a missing program is named in the error")
    func missingProgramIsNamed() async throws {
        await #expect(throws: PlatformError.self) {
            try await ChildProcess.run(ProcessRequest("/nowhere/postgres"), deadline: .seconds(1))
        }
    }

    @Test("a started program writes its log, takes signals, and is waited for by everybody who asks")
    func startedProgramIsWaitedFor() async throws {
        try await withFolder { folder in
            let script = "trap 'echo told; exit 5' TERM; echo up; while :; do sleep 0.05; done"
            let request = ProcessRequest(
                "/bin/sh",
                ["-c", script],
                environment: ["PATH=/usr/bin:/bin"],
                logFile: folder + "/log",
                hasOwnSession: true
            )
            let child = try ChildProcess.start(request)
            try await eventually { (try? DurableFile.read(folder + "/log", limit: 99)) == Array("up\n".utf8) }
            #expect(child.exit == nil)
            child.signal(Signals.terminate)
            async let first = child.waitForExit()
            async let second = child.waitForExit()
            #expect(await [first, second] == [.code(5), .code(5)])
            child.signal(Signals.kill)
            #expect(try DurableFile.read(folder + "/log", limit: 99) == Array("up\ntold\n".utf8))
        }
    }
}

@Suite("The machine")
struct MachineTests {
    @Test("the monotonic clock goes forward and agrees with the kernel's uptime")
    func clockGoesForward() async throws {
        let first = MonotonicClock.now()
        let text = try String(contentsOfFile: "/proc/uptime", encoding: .utf8)
        let second = MonotonicClock.now()
        let uptime = try #require(Double(text.split(separator: " ")[0]))
        #expect(first <= second)
        #expect(abs(uptime - Double(second.components.seconds)) < 5)
    }

    @Test("a free port is free, and is not while somebody listens")
    func freePortIsFree() throws {
        let port = try NetworkPort.findFree()
        #expect(port > 1023)
        #expect(NetworkPort.isFree(port))
        #expect(!NetworkPort.isFree(70000))
    }

    @Test("accounts are found by name and number")
    func accountsAreFound() throws {
        let root = try #require(UserAccount.named("root"))
        #expect(root.userID == 0 && root.home == "/root")
        #expect(UserAccount.withID(0) == root)
        #expect(UserAccount.named("no-such-user-here") == nil)
    }

    @Test("a signal arrives as a value, and the process lives on")
    func signalArrives() async throws {
        let number: Int32 = SIGUSR2
        let stream = try Signals.stream([number])
        kill(ProcessInfo.processInfo.processIdentifier, number)
        var iterator = stream.makeAsyncIterator()
        #expect(await iterator.next() == number)
    }
}

/// Waits until the condition holds, for ten seconds at most.
private func eventually(_ condition: () -> Bool) async throws {
    let deadline = MonotonicClock.now() + .seconds(10)
    while !condition() {
        try #require(MonotonicClock.now() < deadline, "the condition did not come true in time")
        try await Task.sleep(for: .milliseconds(5))
    }
}
