import JSON

/// An answer that is an error: an object of the kind `Status`.
struct Refusal: Error {
    let code: Int
    let reason: String
    let message: String
    var retryAfterSeconds: Int64?

    init(_ code: Int, _ reason: String, _ message: String) {
        self.code = code
        self.reason = reason
        self.message = message
    }

    static func notFound(_ what: String) -> Refusal { Refusal(404, "NotFound", "\(what) not found") }
    static func badRequest(_ message: String) -> Refusal { Refusal(400, "BadRequest", message) }
    static func conflict(_ message: String) -> Refusal { Refusal(409, "Conflict", message) }
    static func invalid(_ message: String) -> Refusal { Refusal(422, "Invalid", message) }
    static let gone = Refusal(410, "Expired", "too old resource version")

    var status: JSONValue {
        var status: JSONValue = ["kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Failure"]
        status["message"] = .string(message)
        status["reason"] = .string(reason)
        status["code"] = .number(JSONNumber(Int64(code)))
        if let retryAfterSeconds {
            status[path: ["details", "retryAfterSeconds"]] = .number(JSONNumber(retryAfterSeconds))
        }
        return status
    }
}
