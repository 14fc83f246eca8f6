import Foundation
import JSON
import Testing

@Suite("JSON")
struct JSONTests {
    private func parse(_ text: String) throws -> JSONValue { try JSONValue(parsing: Array(text.utf8)) }

    @Test("values of every kind come back as they were, numbers to the last digit")
    func roundTrip() throws {
        let text = #"{"a":[1,-0,0.10,1e+400,123456789012345678901234567890],"b":{"c":null,"d":true,"é":false},"e":""}"#
        let value = try parse("\n" + text + " ")
        #expect(value.text == text)
        #expect(value["a"]?.array?.count == 5 && value["a"]?.array?.first?.integer == 1)
        #expect(value["a"]?.array?.last?.integer == nil)
        #expect(value[path: ["b", "d"]]?.bool == true && value["b"]?["c"] == .null && value["b"]?["x"] == nil)
    }

    @Test("texts with every escape agree with another reader and writer")
    func escapes() throws {
        let text = #"["\u0041\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t\u0000", "\u007f"]"#
        let value = try parse(text)
        let other = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String])
        #expect(value.array?.compactMap(\.string) == other)
        let again = try #require(try JSONSerialization.jsonObject(with: Data(value.bytes)) as? [String])
        #expect(again == other)
        #expect(
            try parse(#"["\ud800x","\ud800\u0041","\udc00"]"#).array?.compactMap(\.string)
                == ["\u{fffd}x", "\u{fffd}A", "\u{fffd}"]
        )
    }

    @Test(
        "what is no JSON is refused with its place",
        arguments: [
            "", " ", "{", "[", "[1", "[1,", "[1,]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "tru", "nulll", "01",
            "-", "1.", ".1", "1e", "+1", "\"", "\"\\x\"", "\"\\u12g4\"", "\"\u{1}\"", "1 2", "[1]]", "NaN", "'a'",
        ]
    )
    func malformed(text: String) { #expect(throws: JSONError.self) { try parse(text) } }

    @Test("bytes that are not UTF-8, and levels without end, are refused")
    func hostile() {
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xff, 0x22]) }
        let deep = String(repeating: "[", count: 1_000_000)
        #expect(throws: JSONError.self) { try parse(deep) }
        let fine = String(repeating: "[", count: 100) + String(repeating: "]", count: 100)
        #expect(throws: Never.self) { try parse(fine) }
        #expect(throws: JSONError.self) { try parse("[" + fine + "]") }
    }

    @Test("a text cut short anywhere is refused")
    func cut() {
        let bytes = Array(#"{"a":[1,"b\n",true,null],"c":{"d":-1.5e3}}"#.utf8)
        for count in 0..<bytes.count {
            #expect(throws: JSONError.self) { try JSONValue(parsing: Array(bytes[..<count])) }
        }
    }

    @Test("a path sets and removes, and makes the steps that are missing")
    func paths() {
        var value: JSONValue = [:]
        value[path: ["a", "b", "c"]] = 1
        #expect(value.text == #"{"a":{"b":{"c":1}}}"#)
        value[path: ["a", "x", "y"]] = nil
        #expect(value.text == #"{"a":{"b":{"c":1}}}"#)
        value[path: ["a", "b", "c"]] = nil
        #expect(value.text == #"{"a":{"b":{}}}"#)
    }

    @Test("a merge patch does what its specification's examples say")
    func mergePatch() throws {
        let rows = [
            (#"{"a":"b"}"#, #"{"a":"c"}"#, #"{"a":"c"}"#), (#"{"a":"b"}"#, #"{"b":"c"}"#, #"{"a":"b","b":"c"}"#),
            (#"{"a":"b"}"#, #"{"a":null}"#, "{}"), (#"{"a":["b"]}"#, #"{"a":"c"}"#, #"{"a":"c"}"#),
            (#"{"a":{"b":"c"}}"#, #"{"a":{"b":"d","c":null}}"#, #"{"a":{"b":"d"}}"#),
            (#"["a","b"]"#, #"["c"]"#, #"["c"]"#), (#"{"e":null}"#, #"{"a":1}"#, #"{"a":1,"e":null}"#),
            (#"{}"#, #"{"a":{"bb":{"ccc":null}}}"#, #"{"a":{"bb":{}}}"#),
        ]
        for (original, patch, result) in rows {
            #expect(try parse(original).merged(with: parse(patch)).text == result)
        }
    }
}
