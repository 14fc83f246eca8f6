import CPlatform

/// What this process holds of the machine's memory.
public enum ProcessMemory {
    /// Gives back what only earlier work needed: free heap, and pages of code, which are read again when needed.
    ///
    /// Worth its while after start-up and after long work; takes about a millisecond.
    public static func giveBack() { CPlatform_give_back_memory() }

    /// Has the C library keep few heaps, at the cost of some waiting between threads; call it before the first one.
    public static func limitHeaps() { CPlatform_limit_heaps() }
}
