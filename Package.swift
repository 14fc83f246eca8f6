// swift-tools-version:6.2
// One file shows the whole dependency graph. Targets are listed bottom-up: a target may only name
// targets above it. TidyTests hold what the compiler cannot see: pure targets stay pure, and each C
// library has one room.

import PackageDescription

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
]

func room(_ name: String, _ dependencies: [Target.Dependency] = [], at path: String) -> Target {
    .target(name: name, dependencies: dependencies, path: path, swiftSettings: strict)
}

func main(_ name: String, _ dependencies: [Target.Dependency], at path: String) -> Target {
    .executableTarget(name: name, dependencies: dependencies, path: path, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency] = [], at path: String) -> Target {
    .testTarget(name: name, dependencies: dependencies, path: path, swiftSettings: strict)
}

let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
]
let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let yaml = Target.Dependency.product(name: "Yams", package: "Yams")

let package = Package(
    name: "understudy",
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // Pure: Swift standard library only.
        room("ClusterModel", at: "Sources/Protocol/Model"),
        room("InstanceDecision", ["ClusterModel"], at: "Sources/Agent/Decision"),
        room("ClusterDecision", ["ClusterModel"], at: "Sources/Controller/Decision"),
        room("Simulation", ["ClusterModel", "InstanceDecision", "ClusterDecision"], at: "Sources/Simulator/World"),
        .target(
            name: "ClusterProtocol",
            dependencies: ["ClusterModel", protobuf],
            path: "Sources/Protocol/Wire",
            exclude: ["Proto"],
            swiftSettings: strict
        ),

        room("JSON", at: "Sources/Protocol/JSON"),
        room("KubernetesObjects", ["JSON"], at: "Sources/Controller/Objects"),
        room("ResourcePlan", ["ClusterModel", "JSON", "KubernetesObjects"], at: "Sources/Controller/Plan"),

        // C libraries: a module map and a shim, no Swift.
        .systemLibrary(
            name: "CLibPQ",
            path: "Sources/System/CLibPQ",
            pkgConfig: "libpq",
            providers: [.apt(["libpq-dev"])]
        ),
        .systemLibrary(
            name: "CCurl",
            path: "Sources/System/CCurl",
            pkgConfig: "libcurl",
            providers: [.apt(["libcurl4-openssl-dev"])]
        ),
        .systemLibrary(
            name: "COpenSSL",
            path: "Sources/System/COpenSSL",
            pkgConfig: "openssl",
            providers: [.apt(["libssl-dev"])]
        ),
        .target(name: "CPlatform", path: "Sources/System/CPlatform"),

        // Rooms: the only importers of their C library.
        room("Platform", ["CPlatform"], at: "Sources/System/Platform"),
        room("Telemetry", ["ClusterModel", "Platform", logging], at: "Sources/System/Telemetry"),
        room("Configuration", ["ClusterModel", "Platform", logging, yaml], at: "Sources/System/Configuration"),
        room("PostgresDriver", ["CLibPQ", "Platform"], at: "Sources/System/PostgresDriver"),
        room("TLSTransport", ["COpenSSL", "Platform"] + nio, at: "Sources/System/TLSTransport"),
        room(
            "HTTPService",
            nio + [.product(name: "NIOHTTP1", package: "swift-nio")],
            at: "Sources/System/HTTPService"
        ),
        room("HTTPTransport", ["CCurl", "Platform"], at: "Sources/System/HTTPTransport"),

        // The launcher: static, without Foundation, NIO or a package.
        room("LauncherProtocol", at: "Sources/Launcher/Protocol"),
        room("LauncherCore", ["LauncherProtocol", "CPlatform"], at: "Sources/Launcher/Core"),
        room("LauncherClient", ["LauncherProtocol", "CPlatform"], at: "Sources/Agent/LauncherClient"),

        // Adapters: speak one outside system in our own vocabulary.
        room(
            "ControlChannel",
            ["ClusterProtocol", "ClusterModel", "TLSTransport", "Platform", logging] + nio,
            at: "Sources/Protocol/Channel"
        ),
        room(
            "KubernetesClient",
            ["HTTPTransport", "JSON", "KubernetesObjects", "Platform", yaml],
            at: "Sources/Controller/Kubernetes"
        ),
        room(
            "PostgresInstance",
            ["PostgresDriver", "LauncherClient", "LauncherProtocol", "InstanceDecision", "ClusterModel", "Platform"],
            at: "Sources/Agent/Postgres"
        ),

        // Shells: interpret actions, feed events. No decisions.
        room(
            "AgentRuntime",
            [
                "InstanceDecision", "PostgresInstance", "LauncherClient", "LauncherProtocol", "ControlChannel",
                "ClusterProtocol", "TLSTransport", "ClusterModel", "Configuration", "HTTPService", "JSON", "Platform",
                "Telemetry", logging,
            ],
            at: "Sources/Agent/Runtime"
        ),
        room(
            "ControllerRuntime",
            [
                "ClusterDecision", "ControlChannel", "ClusterProtocol", "TLSTransport", "ClusterModel",
                "Configuration", "Platform", "Telemetry", logging,
            ],
            at: "Sources/Controller/Runtime"
        ),

        room(
            "OperatorRuntime",
            [
                "ResourcePlan", "KubernetesClient", "KubernetesObjects", "JSON", "ControllerRuntime", "ClusterDecision",
                "ControlChannel", "ClusterProtocol", "TLSTransport", "ClusterModel", "Configuration", "Platform",
                "Telemetry", logging,
            ],
            at: "Sources/Controller/Operator"
        ),

        // Mains: parse arguments, call one shell.
        // Static, so that it runs inside any image; nothing may depend on this target, or it were linked so, too.
        .executableTarget(
            name: "understudy-launcher",
            dependencies: ["LauncherCore"],
            path: "Sources/Launcher/Main",
            swiftSettings: strict,
            linkerSettings: [.unsafeFlags(["-static-executable"])]
        ),
        main(
            "understudy-agent",
            ["AgentRuntime", "ClusterModel", "Configuration", "Platform", "Telemetry", arguments, logging],
            at: "Sources/Agent/Main"
        ),
        main(
            "understudy-controller",
            [
                "ControllerRuntime", "OperatorRuntime", "KubernetesClient", "ClusterModel", "Configuration", "Platform",
                "Telemetry", arguments, logging,
            ],
            at: "Sources/Controller/Main"
        ),
        main("understudy-simulate", ["Simulation", "ClusterModel", arguments], at: "Sources/Simulator/Main"),
        room(
            "LocalCluster",
            [
                "ClusterModel", "ClusterProtocol", "ControlChannel", "HTTPService", "TLSTransport", "Platform",
                "PostgresDriver",
            ],
            at: "Sources/CLI/Local"
        ),
        room("Demo", ["ClusterModel", "LocalCluster", "Platform", "PostgresDriver"], at: "Sources/CLI/Demo"),
        main("understudy", ["ClusterModel", "Demo", "LocalCluster", "Platform", arguments], at: "Sources/CLI/Main"),

        // Chaos on real servers: hosts are network namespaces, the network between them a switch in user space.
        .target(name: "CNetwork", path: "Sources/Chaos/CNetwork"),
        room("ChaosChecker", at: "Sources/Chaos/Checker"),
        room("ChaosHosts", ["CNetwork", "ClusterModel", "LocalCluster", "Platform"], at: "Sources/Chaos/Hosts"),
        main(
            "understudy-chaos",
            ["ChaosChecker", "ChaosHosts", "ClusterModel", "LocalCluster", "Platform", "PostgresDriver", arguments],
            at: "Sources/Chaos/Main"
        ),

        // Tests mirror Sources.
        tests("TidyTests", at: "Tests/Tidy"),
        tests(
            "LauncherTests",
            ["LauncherProtocol", "LauncherClient", "LauncherCore", "CPlatform"],
            at: "Tests/Launcher"
        ),
        tests("ConfigurationTests", ["ClusterModel", "Configuration"], at: "Tests/System/Configuration"),
        tests(
            "ControllerRuntimeTests",
            ["ClusterModel", "Configuration", "ControllerRuntime", "Platform", "TLSTransport"],
            at: "Tests/Controller/Runtime"
        ),
        tests("PostgresDriverTests", ["PostgresDriver", "Platform"], at: "Tests/System/PostgresDriver"),
        tests(
            "PostgresInstanceTests",
            [
                "PostgresInstance", "PostgresDriver", "LauncherClient", "LauncherProtocol", "InstanceDecision",
                "ClusterModel", "Platform",
            ],
            at: "Tests/Agent/Postgres"
        ),
        tests("ClusterModelTests", ["ClusterModel"], at: "Tests/Protocol/Model"),
        tests("InstanceDecisionTests", ["InstanceDecision", "ClusterModel"], at: "Tests/Agent/Decision"),
        tests("ClusterDecisionTests", ["ClusterDecision", "ClusterModel"], at: "Tests/Controller/Decision"),
        tests("SimulatorTests", ["ClusterModel", "InstanceDecision", "Simulation"], at: "Tests/Simulator"),
        tests("PlatformTests", ["Platform"], at: "Tests/System/Platform"),
        // The stand-in of an API server, for the tests of what speaks to one.
        room(
            "KubernetesStandIn",
            ["JSON", "TLSTransport", "Platform"] + nio,
            at: "Tests/Kubernetes/StandIn"
        ),
        tests("HTTPServiceTests", ["HTTPService"] + nio, at: "Tests/System/HTTPService"),
        // Servers and manifests as plans need them.
        room("KubernetesWorld", ["ClusterModel", "JSON", "ResourcePlan"], at: "Tests/Kubernetes/World"),
        tests(
            "HTTPTransportTests",
            ["HTTPTransport", "KubernetesStandIn", "TLSTransport", "Platform"],
            at: "Tests/System/HTTPTransport"
        ),
        tests(
            "KubernetesClientTests",
            [
                "HTTPTransport", "JSON", "KubernetesClient", "KubernetesObjects", "KubernetesStandIn", "TLSTransport",
                "Platform",
            ],
            at: "Tests/Controller/Kubernetes"
        ),
        tests("JSONTests", ["JSON"], at: "Tests/Protocol/JSON"),
        tests(
            "ResourcePlanTests",
            ["ClusterModel", "JSON", "KubernetesObjects", "KubernetesWorld", "ResourcePlan"],
            at: "Tests/Controller/Plan"
        ),
        tests(
            "OperatorRuntimeTests",
            [
                "ClusterDecision", "ClusterModel", "ClusterProtocol", "Configuration", "ControlChannel",
                "ControllerRuntime", "HTTPTransport", "JSON", "KubernetesClient", "KubernetesObjects",
                "KubernetesStandIn", "KubernetesWorld", "OperatorRuntime", "Platform", "ResourcePlan", "TLSTransport",
                logging,
            ],
            at: "Tests/Controller/Operator"
        ),
        tests("TLSTransportTests", ["TLSTransport", "Platform"], at: "Tests/System/TLSTransport"),
        tests("ClusterProtocolTests", ["ClusterModel", "ClusterProtocol"], at: "Tests/Protocol/Wire"),
        tests(
            "ControlChannelTests",
            ["ClusterModel", "ClusterProtocol", "ControlChannel", "TLSTransport", "Platform", logging] + nio,
            at: "Tests/Protocol/Channel"
        ),
        tests("ChaosTests", ["ChaosChecker", "ChaosHosts"], at: "Tests/Chaos"),
        tests("LocalClusterTests", ["ClusterModel", "LocalCluster", "Platform"], at: "Tests/CLI"),
        tests(
            "ClusterTests",
            ["ClusterModel", "LocalCluster", "Demo", "HTTPService", "Platform", "PostgresDriver"],
            at: "Tests/Cluster"
        ),
    ],
    swiftLanguageModes: [.v6]
)
