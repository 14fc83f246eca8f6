/// Which folder may import what: the part of the layering that the package manifest cannot hold.
enum ImportCheck {
    /// Folders whose targets import only what is named here, and the standard library.
    static let closedFolders: [(folder: String, modules: [String])] = [
        ("Sources/Protocol/Model", []),
        ("Sources/Agent/Decision", ["ClusterModel"]),
        ("Sources/Controller/Decision", ["ClusterModel"]),
        ("Sources/Simulator/World", ["ClusterModel", "InstanceDecision", "ClusterDecision"]),
        ("Sources/Launcher/Protocol", []),
        ("Sources/Chaos/Checker", []),
        ("Sources/Protocol/Wire", ["ClusterModel", "SwiftProtobuf"]),
        ("Sources/Protocol/JSON", []),
        ("Sources/Controller/Objects", ["JSON"]),
        ("Sources/Controller/Plan", ["ClusterModel", "JSON", "KubernetesObjects"]),
        (
            "Sources/Controller/Kubernetes",
            ["HTTPTransport", "JSON", "KubernetesObjects", "Platform", "Synchronization", "Yams"]
        ),
        (
            "Sources/Controller/Operator",
            [
                "ClusterDecision", "ClusterModel", "ClusterProtocol", "Configuration", "ControlChannel",
                "ControllerRuntime", "FoundationEssentials", "JSON", "KubernetesClient", "KubernetesObjects", "Logging",
                "Platform", "ResourcePlan", "Synchronization", "TLSTransport", "Telemetry",
            ]
        ),
    ]

    /// Folders that know no clock, no randomness and no outside world.
    static let pureFolders = [
        "Sources/Protocol/Model", "Sources/Agent/Decision", "Sources/Controller/Decision", "Sources/Simulator/World",
        "Sources/Launcher/Protocol", "Sources/Chaos/Checker", "Sources/Protocol/JSON", "Sources/Controller/Objects",
        "Sources/Controller/Plan",
    ]

    private static let glibcFolders = [
        "Sources/System/Platform", "Sources/Launcher", "Sources/Agent/LauncherClient", "Sources/System/PostgresDriver",
    ]

    private static let nioFolders = [
        "Sources/System/TLSTransport", "Sources/System/HTTPService", "Sources/Protocol/Channel",
    ]

    /// Each module that has a room, and the folders that are the room.
    static let rooms: [(module: String, folders: [String])] = [
        ("COpenSSL", ["Sources/System/TLSTransport"]),
        ("CLibPQ", ["Sources/System/PostgresDriver"]),
        ("CCurl", ["Sources/System/HTTPTransport"]),
        ("HTTPTransport", ["Sources/Controller/Kubernetes"]),
        ("CPlatform", ["Sources/System/Platform", "Sources/Launcher", "Sources/Agent/LauncherClient"]),
        ("Glibc", glibcFolders),
        ("SwiftProtobuf", ["Sources/Protocol/Wire"]),
        ("NIOHTTP1", ["Sources/System/HTTPService"]),
        ("NIOCore", nioFolders),
        ("NIOPosix", nioFolders),
        (
            "ArgumentParser",
            [
                "Sources/Agent/Main", "Sources/Controller/Main", "Sources/Simulator/Main", "Sources/CLI",
                "Sources/Chaos/Main",
            ]
        ),
        ("Foundation", ["Sources/CLI", "Sources/Chaos/Hosts", "Sources/Chaos/Main"]),
        ("CNetwork", ["Sources/Chaos/Hosts"]),
        ("Simulation", ["Sources/Simulator/Main"]),
        ("AgentRuntime", ["Sources/Agent/Main"]),
        ("ControllerRuntime", ["Sources/Controller/Main", "Sources/Controller/Operator"]),
        ("OperatorRuntime", ["Sources/Controller/Main"]),
    ]

    /// Modules without which the product could not be built: seeing none of them means that the check is blind.
    static let expectedModules = ["COpenSSL", "CLibPQ", "CCurl", "Glibc", "SwiftProtobuf", "ClusterModel"]

    /// Every folder that may hold Swift sources, so that a moved file cannot leave the rules behind.
    static let knownFolders =
        closedFolders.map(\.folder) + [
            "Sources/Protocol/Channel", "Sources/System/COpenSSL", "Sources/System/CLibPQ", "Sources/System/CPlatform",
            "Sources/System/Platform", "Sources/System/PostgresDriver", "Sources/System/TLSTransport",
            "Sources/System/CCurl", "Sources/System/HTTPTransport",
            "Sources/System/HTTPService", "Sources/System/Telemetry", "Sources/System/Configuration",
            "Sources/Launcher/Core", "Sources/Launcher/Main",
            "Sources/Agent/LauncherClient", "Sources/Agent/Postgres", "Sources/Agent/Runtime", "Sources/Agent/Main",
            "Sources/Controller/Runtime", "Sources/Controller/Main", "Sources/Simulator/Main", "Sources/CLI/Demo",
            "Sources/CLI/Local", "Sources/CLI/Main", "Sources/Chaos/CNetwork", "Sources/Chaos/Hosts",
            "Sources/Chaos/Main",
        ]

    /// One import statement: the line it stands on (from 0) and the module it names.
    struct Import: Equatable {
        let index: Int
        let module: String
    }

    /// Finds the import statements of a file, whatever attributes and access levels they carry.
    static func imports(of file: SourceFile) -> [Import] {
        file.code.enumerated().flatMap { index, line in
            line.split(separator: ";").compactMap { statement in
                module(in: statement).map { Import(index: index, module: $0) }
            }
        }
    }

    private static func module(in statement: Substring) -> String? {
        var words = statement.split(whereSeparator: \.isWhitespace)[...]
        let levels: Set<Substring> = ["public", "package", "internal", "fileprivate", "private"]
        while let word = words.first, word.hasPrefix("@") || levels.contains(word) { words.removeFirst() }
        guard words.first == "import" else { return nil }
        words.removeFirst()
        let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
        if let word = words.first, kinds.contains(word) { words.removeFirst() }
        return words.first.map { name in String(name.prefix { $0 != "." }) }
    }

    /// Checks that the folders named above import nothing but what they are allowed.
    static func closedFolder(_ folder: String, allowing modules: [String], in files: [SourceFile]) -> Outcome {
        var outcome = Outcome()
        for file in files where file.isIn(folder) {
            outcome.read += 1
            for found in imports(of: file) where !modules.contains(found.module) {
                // What a code generator imports is its own affair, as long as it is no room of ours.
                if file.isGenerated, found.module.hasPrefix("Foundation") { continue }
                let allowed = modules.isEmpty ? "nothing" : modules.joined(separator: ", ")
                outcome.report(file, found.index, "imports \(found.module); \(folder) may import \(allowed)")
            }
        }
        return outcome
    }

    /// Checks that a module is imported in its room only; counts every import seen.
    static func room(of module: String, folders: [String], in files: [SourceFile]) -> Outcome {
        var outcome = Outcome()
        for file in files {
            for found in imports(of: file) {
                outcome.read += 1
                let isGuest = !folders.contains { file.isIn($0) }
                let isExempt = module == "Foundation" && file.isGenerated
                guard found.module == module, isGuest, !isExempt else { continue }
                let room = folders.joined(separator: ", ")
                outcome.report(file, found.index, "imports \(module), which only \(room) may do")
            }
        }
        return outcome
    }

    /// Checks that every source file lies in a folder that the rules above know.
    static func known(_ files: [SourceFile]) -> Outcome {
        var outcome = Outcome()
        for file in files {
            outcome.read += 1
            if !knownFolders.contains(where: { file.isIn($0) }) {
                outcome.report(file, 0, "lies in a folder that ImportCheck.knownFolders does not name")
            }
        }
        return outcome
    }
}
