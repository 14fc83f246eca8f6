public import ClusterModel
public import InstanceDecision
import LauncherClient
import LauncherProtocol
import PostgresDriver

/// Starting a server.
extension PostgresAdapter {
    /// Starts the server as the launch says; ends when it answers.
    ///
    /// A server that replays after a crash is waited for as long as its process lives, up to 10 minutes.
    public func start(_ launch: ServerLaunch, peers: [MemberID]) async -> Outcome {
        await outcome(of: "start the server") { () throws(WorkError) in
            steps += 1
            let step = steps
            forgetServer()
            self.peers = peers
            try await judgePrograms(runDirectory: true)
            try await prepareFiles(launch)
            let arguments = OwnSettings.arguments(configuration, major: directoryMajor)
            let isPrimary = launch == .firstPrimary
            let leaseRequired = isPrimary && configuration.requiresLease
            guard steps == step, !Task.isCancelled else { throw WorkError("another order came in between") }
            serverProcessID = try await self.launch { (l) throws(LauncherError) in
                try await l.start(arguments: arguments, leaseRequired: leaseRequired)
            }
            try await awaitAnswer()
            try await awaitSettings(try await session())
            if isPrimary { try await createRole() }
            try await createSlots(for: peers)
            if !isPrimary {
                await admitIfPossible()
                keepUpstreamSlot()
            }
            readCapacity()
            return .started
        }
    }

    private func prepareFiles(_ launch: ServerLaunch) async throws(WorkError) {
        let signal = InstanceLayout.inside(InstanceLayout.standbySignal)
        // First of all: a stray start is read-only from here on (R5).
        if launch != .firstPrimary {
            try await place(signal, "")
            try await removeComments()
        }
        _ = try await self.launch { (l) throws(LauncherError) in try await l.clearPromote() }
        try await removeOverrides()
        var new = try await storedSteering()
        new.gate = .fresh(open: false)
        new.names = standbySynchronousNames
        new.liftsDelay = false
        switch launch {
        case .firstPrimary:
            new.connection = ""
            new.names = ""
        case .standby(.nobody): new.connection = ""
        case .standby(.upstream(let upstream)): new.connection = try receiving(from: upstream.server)
        }
        let settings = new
        try await concurrently([
            { () throws(WorkError) in try await self.writeFixedFiles() },
            { () throws(WorkError) in try await self.write(settings) },
        ])
        if launch == .firstPrimary { try await removeFile(signal) }
    }

    /// ALTER SYSTEM writes a file that beats ours: what belongs to Understudy is taken out of it.
    private func removeOverrides() async throws(WorkError) {
        let path = InstanceLayout.inside("postgresql.auto.conf")
        guard let text = try await readText(path) else { return }
        let lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }
        let kept = lines.filter { line in
            let name = line.prefix { $0 != "=" }.filter { !$0.isWhitespace }.lowercased()
            return !OwnSettings.reserved.contains(name) && !name.hasPrefix("understudy.")
        }
        if kept.count < lines.count { try await place(path, kept.joined(separator: "\n")) }
    }

    /// What the settings file of this data directory says; after a copy it was the source's.
    func storedSteering() async throws(WorkError) -> Steering {
        let text = try await readText(InstanceLayout.inside(InstanceLayout.settingsFile))
        return text.flatMap { SettingsFile.parse($0) } ?? Steering()
    }

    /// Files that do not change while a server runs.
    func writeFixedFiles() async throws(WorkError) {
        let identities = AccessFile.identities(configuration)
        try await concurrently([
            { () throws(WorkError) in try await self.writePasswords() },
            { () throws(WorkError) in
                try await self.place(InstanceLayout.inside(InstanceLayout.identityFile), identities)
            },
        ])
    }

    func writePasswords() async throws(WorkError) {
        var password = ""
        for character in configuration.replicationPassword {
            if character == ":" || character == "\\" { password.append("\\") }
            password.append(character)
        }
        try await place(InstanceLayout.passwords, "*:*:*:\(PostgresConfiguration.replicationUser):\(password)\n")
    }

    func receiving(from server: Endpoint) throws(WorkError) -> String {
        UpstreamConnection.receiving(from: server, as: try member(), passwords: passwordFile)
    }

    private func awaitAnswer() async throws(WorkError) {
        let end = Limit(.seconds(600))
        var wait = Duration.milliseconds(5)
        while true {
            do throws(PostgresError) {
                working = try await PostgresSession.connect(localTarget(), deadline: .seconds(2))
                activity = ""
                return
            } catch {
                if error.state == .cannotConnectNow { activity = "starting: \(error.message)" }
                let status = try await launch { (l) throws(LauncherError) in try await l.status() }
                guard case .running = status.server else {
                    activity = ""
                    throw WorkError("the server ended while starting; its log says why")
                }
                if end.isOver {
                    activity = ""
                    throw WorkError("no answer within 10 minutes: \(error)")
                }
            }
            try await pause(wait)
            wait = min(wait * 2, .milliseconds(50))
        }
    }

    /// The role by which standbys receive and copies are made; its password never reaches a log.
    private func createRole() async throws(WorkError) {
        let user = PostgresConfiguration.replicationUser
        let session = try await session()
        let verifier: String
        do throws(PostgresError) {
            verifier = try await session.encrypt(
                password: configuration.replicationPassword,
                of: user,
                deadline: .seconds(5)
            )
        } catch {
            throw WorkError(error)
        }
        let isThere = try await sql("SELECT 1 FROM pg_roles WHERE rolname = $1", [user]).first() != nil
        try await sql("\(isThere ? "ALTER" : "CREATE") ROLE \(user) LOGIN REPLICATION PASSWORD '\(verifier)'")
        // What pg_rewind needs of its source.
        let functions = [
            "pg_ls_dir(text, boolean, boolean)", "pg_stat_file(text, boolean)", "pg_read_binary_file(text)",
            "pg_read_binary_file(text, bigint, bigint, boolean)",
        ]
        for function in functions { try await sql("GRANT EXECUTE ON FUNCTION pg_catalog.\(function) TO \(user)") }
    }

    /// Lets clients read from a standby; a refused access rule keeps them out, not the standby down.
    private func admitIfPossible() async {
        do throws(WorkError) {
            try await open()
            fault = ""
        } catch {
            fault = "could not admit clients: \(error)"
        }
    }
}
