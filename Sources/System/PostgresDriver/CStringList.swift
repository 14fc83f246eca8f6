import Glibc

/// Texts as C wants them: an array of pointers that ends with a null pointer.
@safe
final class CStringList {
    private var pointers: [UnsafePointer<CChar>?]

    init(_ texts: [String?]) {
        unsafe pointers = []
        for text in texts {
            unsafe pointers.append(text.flatMap { unsafe strdup($0) }.map { unsafe UnsafePointer($0) })
        }
        unsafe pointers.append(nil)
    }

    deinit {
        // Safe: each pointer came from strdup and is freed once.
        for index in unsafe pointers.indices { unsafe free(UnsafeMutablePointer(mutating: pointers[index])) }
    }

    /// Lends the array for the time of one call.
    func withPointers<Result>(_ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Result) -> Result {
        unsafe pointers.withUnsafeBufferPointer { unsafe body($0.baseAddress) }
    }
}
