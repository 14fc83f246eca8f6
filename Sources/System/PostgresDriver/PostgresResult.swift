/// The rows that a statement returned, as text.
public struct PostgresResult: Hashable, Sendable {
    /// Names of the columns.
    public let columns: [String]
    /// Rows of as many values as there are columns; nil for SQL's NULL.
    public let rows: [[String?]]

    /// Creates a result.
    public init(columns: [String], rows: [[String?]]) {
        self.columns = columns
        self.rows = rows
    }

    /// The first row's value of that column; nil if there is none or it is NULL.
    public func first(_ column: Int = 0) -> String? {
        guard let row = rows.first, row.indices.contains(column) else { return nil }
        return row[column]
    }

    /// The first row's values by the columns' names, without those that are NULL.
    public var firstByName: [String: String] {
        guard let row = rows.first else { return [:] }
        var values: [String: String] = [:]
        for (name, value) in zip(columns, row) { values[name] = value }
        return values
    }
}
