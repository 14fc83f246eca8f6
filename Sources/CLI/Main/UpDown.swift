public import ArgumentParser
public import ClusterModel
import LocalCluster

/// Which PostgreSQL is run.
struct ServerOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Folder of the server's programs, 13 to 18. Default: the newest that is found",
            valueName: "folder"
        )
    )
    var postgresBin: String?
}

/// Starts a cluster.
struct Up: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Start a cluster, or what does not run of it, and wait until it is complete.",
        discussion: """
            Makes certificates, a controller, and for each instance a launcher, an agent and a server; returns when the \
            primary admits clients and every standby streams. In a directory that holds a cluster already, starts what \
            does not run and keeps all data.

            Examples:
              understudy local up
              understudy local up --instances 5 --directory /tmp/five
              understudy local up --durability async --port 6000
            """
    )

    @OptionGroup var options: ClusterOptions

    @Option(help: "How many instances, 1 to 9. Default: 3")
    var instances: Int?

    @Option(
        help: """
            What a commit waits for: 'required' (a standby has flushed it), 'preferred' (the same while one is there) or \
            'async' (nobody). Default: preferred
            """
    )
    var durability: Durability?

    @Option(help: ArgumentHelp("How many standbys a commit waits for. Default: 1", valueName: "count"))
    var synchronousStandbys: Int?

    @OptionGroup var server: ServerOptions

    @Option(help: ArgumentHelp("First port; the others follow it. Default: free ones from 15432", valueName: "port"))
    var port: Int?

    @Option(help: "How many controllers, 1 to 5: one leads, the others stand by. Default: 1")
    var controllers: Int?

    @Option(help: "Name of the cluster. Default: local")
    var name: String?

    func run() async throws {
        var wanted = LocalCluster.Options(directory: options.directory)
        wanted.instances = instances
        wanted.durability = durability
        wanted.synchronousStandbys = synchronousStandbys
        wanted.postgresBin = server.postgresBin
        wanted.port = port
        wanted.name = name
        wanted.controllers = controllers
        var cluster = try await LocalCluster.bringUp(wanted, report: say)
        try await cluster.waitUntilReady(report: say)
        let place = options.directory == nil ? "" : " --directory \(cluster.folder.path)"
        say("")
        say("Connect:  psql \"\(cluster.file.connectionString)\"")
        say("Next:     understudy local status --watch\(place)")
        say("          understudy local kill primary\(place)")
        say("          understudy local down\(place)")
    }
}

/// Stops a cluster.
struct Down: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Stop everything of a cluster.",
        discussion: """
            Servers are stopped cleanly, or killed if they do not stop in time. The data stays for the next \
            `understudy local up`, unless --remove is given. In a directory that was taken away under a running \
            cluster, ends the processes that are left of it.
            """
    )

    @OptionGroup var options: ClusterOptions

    @Flag(help: "Remove the directory with all data, too.")
    var remove = false

    func run() async throws {
        let folder = try ClusterFolder(named: options.directory)
        // A directory that was taken away leaves processes behind; whatever lies there now is not ours to remove.
        if try ClusterFile.read(in: folder) == nil, let strays = Teardown(ofStraysIn: folder) {
            return try await strays.stop(report: say)
        }
        let teardown = Teardown(of: try ClusterFile.require(in: folder), in: folder)
        try await teardown.stop(keepsData: !remove, report: say)
        if remove { try teardown.remove(report: say) }
    }
}

extension Durability: ExpressibleByArgument {}
