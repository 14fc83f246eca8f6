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
