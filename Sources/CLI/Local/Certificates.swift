import ClusterModel
import ClusterProtocol
import Foundation
import Platform
import TLSTransport

/// Makes the certificates of a local cluster: an authority of its own, one certificate for each peer.
struct Certificates {
    let file: ClusterFile
    let folder: ClusterFolder
    let account: Account

    func make() throws {
        let authority = try CertificateAuthority(named: "understudy local cluster \(file.name)")
        try issue(.controller(of: file.name), by: authority)
        try issue(.operator(of: file.name), by: authority)
        for name in file.names {
            guard let identity = PeerIdentity(cluster: file.name, role: .agent(name)) else {
                throw CommandFailure(.usage, "could not name an instance '\(name)': the name stands for another part")
            }
            try issue(identity, by: authority)
        }
        // The authority's key ends here: nobody can sign for this cluster any more.
    }

    /// Puts certificates in the place of an agent's own that nobody else trusts; its own are kept beside.
    func exchange(of name: InstanceName) throws {
        let (own, kept) = (folder.certificateFolder(name.text), Self.kept(folder.certificateFolder(name.text)))
        guard !FileManager.default.fileExists(atPath: kept) else { return }
        guard let identity = PeerIdentity(cluster: file.name, role: .agent(name)) else { return }
        try FileManager.default.moveItem(atPath: own, toPath: kept)
        try issue(identity, by: CertificateAuthority(named: "somebody else"))
    }

    /// Puts an agent's own certificates back.
    ///
    /// - Returns: Whether they had been exchanged.
    func restore(of name: InstanceName) throws -> Bool {
        let (own, kept) = (folder.certificateFolder(name.text), Self.kept(folder.certificateFolder(name.text)))
        guard FileManager.default.fileExists(atPath: kept) else { return false }
        try FileManager.default.removeItem(atPath: own)
        try FileManager.default.moveItem(atPath: kept, toPath: own)
        return true
    }

    private static func kept(_ path: String) -> String { "\(path).own" }

    private func issue(_ identity: PeerIdentity, by authority: CertificateAuthority) throws {
        try account.makeFolder(folder.certificateFolder(identity.name))
        let owner = UserAccount.isSuperuser ? account.user : nil
        try authority.issue(
            uri: identity.uri,
            name: identity.description,
            to: folder.certificates(identity.name),
            owner: owner,
            validFor: .seconds(10 * 365 * 86400)
        )
    }
}
