import ClusterModel
import PostgresDriver

/// Settings by which PostgreSQL confirms a commit before the rule's voters have it (R12).
extension PostgresAdapter {
    /// Whose commits are confirmed too early, with the mend, a line each.
    ///
    /// What a session sets for itself alone cannot be seen from outside.
    ///
    /// - Returns: nil if the server could not be asked.
    public func weakenedCommits() async -> [String]? {
        do throws(WorkError) {
            let session = try await connect()
            defer { session.close() }
            let result = try await ask(
                session,
                """
                SELECT quote_ident(r.rolname), quote_ident(d.datname), split_part(c, '=', 2) \
                FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole \
                LEFT JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) c \
                WHERE lower(c) ~ '^synchronous_commit=' \
                AND lower(split_part(c, '=', 2)) !~ '^(on|true|yes|1|remote_apply)$' \
                ORDER BY 1, 2 LIMIT \(InstanceReport.weakenedLimit)
                """
            )
            return result.rows.map { Self.weakLine(role: $0[0], database: $0[1], value: $0[2] ?? "") }
        } catch {
            return nil
        }
    }

    private static func weakLine(role: String?, database: String?, value: String) -> String {
        let (whose, mend): (String, String) =
            switch (role, database) {
            case (let role?, let database?):
                ("role \(role) in database \(database)", "ALTER ROLE \(role) IN DATABASE \(database)")
            case (let role?, nil): ("role \(role)", "ALTER ROLE \(role)")
            case (nil, let database?): ("database \(database)", "ALTER DATABASE \(database)")
            case (nil, nil): ("every role", "ALTER ROLE ALL")
            }
        return
            "\(whose) commits with synchronous_commit = \(value.prefix(20)): its commits wait for no standby's disk; "
            + "mend it with \(mend) RESET synchronous_commit"
    }
}
