import Glibc

/// An account of the operating system.
public struct UserAccount: Sendable, Hashable {
    /// The account's name.
    public let name: String
    /// The number of the user.
    public let userID: UInt32
    /// The number of the account's main group.
    public let groupID: UInt32
    /// The home directory.
    public let home: String

    /// Finds an account by name; `nil` if there is none.
    public static func named(_ name: String) -> UserAccount? {
        unsafe lookUp { entry, buffer, size, result in unsafe getpwnam_r(name, entry, buffer, size, result) }
    }

    /// Finds an account by the number of its user; `nil` if there is none.
    public static func withID(_ userID: UInt32) -> UserAccount? {
        unsafe lookUp { entry, buffer, size, result in unsafe getpwuid_r(userID, entry, buffer, size, result) }
    }

    /// The number of the user this process acts as.
    public static var currentUserID: UInt32 { geteuid() }

    /// Tells whether this process acts as the superuser.
    public static var isSuperuser: Bool { geteuid() == 0 }

    /// Becomes this account for good: groups, group and user; call it before any thread is started.
    ///
    /// - Throws: `PlatformError` if any step fails or the old rights could be taken back.
    public func assume() throws(PlatformError) {
        let attempt = "become user \(name)"
        if geteuid() == userID && getegid() == groupID { return }
        guard unsafe initgroups(name, groupID) == 0, setgid(groupID) == 0, setuid(userID) == 0 else {
            throw PlatformError(attempt, code: errno, mend: "start as root or as \(name) itself")
        }
        guard userID == 0 || setuid(0) != 0 else {
            throw PlatformError(attempt, cause: "the rights of root could be taken back")
        }
    }

    /// Gives a file or directory to this account.
    public func takeOwnership(of path: String) throws(PlatformError) {
        guard unsafe lchown(path, userID, groupID) == 0 else {
            throw PlatformError("give \(path) to user \(name)", code: errno)
        }
    }

    private typealias LookUp = (
        UnsafeMutablePointer<passwd>, UnsafeMutablePointer<CChar>, Int,
        UnsafeMutablePointer<UnsafeMutablePointer<passwd>?>
    ) -> Int32

    private static func lookUp(_ call: LookUp) -> UserAccount? {
        var entry = unsafe passwd()
        var result: UnsafeMutablePointer<passwd>? = nil
        var buffer = [CChar](repeating: 0, count: 16384)
        let size = buffer.count
        // Safe: entry, buffer and result outlive the call, and the strings are copied before the buffer goes.
        return unsafe buffer.withUnsafeMutableBufferPointer { pointer -> UserAccount? in
            guard let base = pointer.baseAddress, unsafe call(&entry, base, size, &result) == 0, unsafe result != nil
            else { return nil }
            return unsafe UserAccount(
                name: String(cString: entry.pw_name),
                userID: entry.pw_uid,
                groupID: entry.pw_gid,
                home: String(cString: entry.pw_dir)
            )
        }
    }
}
