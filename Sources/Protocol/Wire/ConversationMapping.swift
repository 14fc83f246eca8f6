import ClusterModel

// Introductions and the command line's requests, between wire and values.

extension WireHello {
    init(_ hello: Hello) {
        self.init()
        majorVersion = hello.version.major
        minorVersion = hello.version.minor
        softwareVersion = hello.software
        guard let identity = hello.identity else { return }
        cluster = identity.cluster.text
        switch identity.role {
        case .agent(let name):
            role = .agent
            instance = name.text
        case .operator: role = .operator
        case .controller: role = .unspecified
        }
    }

    var model: Hello {
        let version = ProtocolVersion(major: majorVersion, minor: minorVersion)
        return Hello(version: version, software: limited(softwareVersion), identity: identity)
    }

    private var identity: PeerIdentity? {
        guard let cluster = ClusterName(cluster) else { return nil }
        switch role {
        case .agent: return InstanceName(instance).flatMap { PeerIdentity(cluster: cluster, role: .agent($0)) }
        case .operator: return .operator(of: cluster)
        case .unspecified, .UNRECOGNIZED: return nil
        }
    }
}

extension WireWelcome {
    init(_ welcome: Welcome) {
        self.init()
        majorVersion = welcome.version.major
        minorVersion = welcome.version.minor
        softwareVersion = welcome.software
    }

    var model: Welcome {
        let version = ProtocolVersion(major: majorVersion, minor: minorVersion)
        return Welcome(version: version, software: limited(softwareVersion))
    }
}

extension WireRejection {
    init(_ reason: String) {
        self.init()
        self.reason = reason
    }
}

extension WireOperatorRequest {
    init(_ id: UInt64, _ request: OperatorRequest) {
        self.init()
        self.id = id
        switch request {
        case .status: status = WireStatusRequest()
        case .command(let verb, let arguments):
            var wire = WireCommandRequest()
            wire.verb = verb
            wire.arguments = arguments
            command = wire
        case .unknown: break
        }
    }

    var model: OperatorRequest {
        switch kind {
        case .status: .status
        case .command(let command): .command(verb: command.verb, arguments: command.arguments)
        case nil: .unknown(kind: unknownKind(unknownFields, of: "request"))
        }
    }
}

extension WireOperatorAnswer {
    init(_ id: UInt64, _ answer: OperatorAnswer) {
        self.init()
        self.id = id
        switch answer {
        case .status(let json):
            var wire = WireStatusAnswer()
            wire.json = json
            status = wire
        case .command(let exitCode, let text):
            var wire = WireCommandAnswer()
            wire.exitCode = exitCode
            wire.text = text
            command = wire
        case .rejected(let reason): rejection = WireRejection(reason)
        }
    }

    var model: OperatorAnswer {
        switch kind {
        case .status(let status): .status(json: status.json)
        case .command(let command): .command(exitCode: command.exitCode, text: command.text)
        case .rejection(let rejection): .rejected(reason: rejection.reason)
        case nil: .rejected(reason: "the controller answered with \(unknownKind(unknownFields, of: "answer"))")
        }
    }
}

/// A peer's own words, short enough for a log line.
private func limited(_ text: String) -> String { String(text.prefix(80)) }
