public import ResourcePlan

/// The servers of a cluster, as far as a plan is concerned: who is primary, who follows, who votes.
public struct DatabaseModel: Sendable {
    /// As the core would tell it.
    public private(set) var standing: ClusterStanding?
    private var wanted: Int?

    /// One that nobody has heard of.
    public init() {}

    /// One that has been going on for a while.
    public init(primary: Int, members: [Int]) {
        standing = ClusterStanding(
            primary: primary,
            isOpen: true,
            isChanging: false,
            instances: members.map { index in
                ClusterStanding.Instance(index: index, isConnected: true, isStreaming: index != primary, votes: true)
            }
        )
    }

    /// Asks for another primary; nil takes the first that follows.
    public mutating func switchOver(to index: Int?) {
        let followers = standing?.instances.filter { $0.isStreaming && $0.index != standing?.primary } ?? []
        wanted = index ?? followers.first?.index
        standing?.isChanging = wanted != nil
    }

    /// Lets servers find their roles: which are members, and which of all run.
    public mutating func follow(members: [Int], running: [Int], isDisabled: Bool) {
        var primary = standing?.primary
        var isChanging = false
        if let next = wanted {
            // One pass under way, then done, if the candidate can be had.
            if running.contains(next), members.contains(next) { primary = next }
            wanted = nil
        }
        if primary == nil { primary = running.first { members.contains($0) } }
        if let lost = primary, !running.contains(lost), !isDisabled,
            let next = running.first(where: { members.contains($0) && standing?[$0]?.isStreaming == true })
        {
            primary = next
            isChanging = false
        }
        guard let primary else { return }
        let isOpen = running.contains(primary)
        let before = standing
        standing = ClusterStanding(
            primary: primary,
            isOpen: isOpen,
            isChanging: isChanging,
            instances: Set(members + running).sorted().map { index in
                ClusterStanding.Instance(
                    index: index,
                    isConnected: running.contains(index),
                    isStreaming: isOpen && running.contains(index) && index != primary,
                    votes: members.contains(index) && (before?[index]?.isStreaming ?? false)
                )
            }
        )
    }
}
