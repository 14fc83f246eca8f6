import CPlatform
import Glibc

/// Drops the rights of root in favour of the owner of the data folder.
enum Identity {
    struct Account {
        var name: String
        var group: UInt32
        var home: String
    }

    /// Returns variables of the environment that follow from the drop; empty when there was nothing to drop.
    static func dropToOwner(ofFolder path: String) throws(LauncherFailure) -> [String: String] {
        guard geteuid() == 0 else { return [:] }
        var information = stat()
        guard unsafe stat(path, &information) == 0 else {
            throw .failed("could not look at data folder \(path)", errno)
        }
        let user = information.st_uid
        guard user != 0 else {
            throw .refused(
                "could not drop the rights of root: data folder \(path) belongs to root, and PostgreSQL does not run "
                    + "as root; give it to the server's user, for instance: chown postgres: \(path)"
            )
        }
        let account = account(ofUser: user)
        let group = account?.group ?? information.st_gid
        let groups = account.map { supplementaryGroups(of: $0.name) } ?? []
        let allGroups = [group] + groups.filter { $0 != group }
        guard unsafe setgroups(allGroups.count, allGroups) == 0, setgid(group) == 0,
            setuid(user) == 0
        else {
            throw .failed("could not become user \(user), the owner of data folder \(path)", errno)
        }
        // Otherwise the kernel hides our own children's /proc entries from us.
        _ = CPlatform_set_dumpable(1)
        guard let account else { return [:] }
        return ["HOME": account.home, "USER": account.name, "LOGNAME": account.name]
    }

    // Read by hand: the C library's own lookup needs shared libraries, which a static program has not.
    private static func account(ofUser user: UInt32) -> Account? {
        for fields in lines(of: "/etc/passwd") where fields.count >= 6 && UInt32(fields[2]) == user {
            guard let group = UInt32(fields[3]) else { continue }
            return Account(name: fields[0], group: group, home: fields[5])
        }
        return nil
    }

    private static func supplementaryGroups(of name: String) -> [UInt32] {
        lines(of: "/etc/group").compactMap { fields in
            guard fields.count >= 4, fields[3].split(separator: ",").contains(Substring(name)) else { return nil }
            return UInt32(fields[2])
        }
    }

    private static func lines(of path: String) -> [[String]] {
        let text = String(decoding: System.readFile(path, limit: 1 << 20) ?? [], as: UTF8.self)
        return text.split(separator: "\n").map { line in
            line.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        }
    }
}
