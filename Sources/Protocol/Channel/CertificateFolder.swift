public import TLSTransport

extension TLSFiles {
    /// The files of a certificate folder: `ca.pem`, `certificate.pem`, `key.pem`.
    public init(inFolder folder: String) {
        self.init(
            authorities: folder + "/ca.pem",
            certificate: folder + "/certificate.pem",
            key: folder + "/key.pem"
        )
    }
}
