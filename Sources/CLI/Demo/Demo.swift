package struct Demo { package init(report: @escaping @Sendable (String) -> Void) {}; package func run() async throws {} }
package struct QuickBench { package init(rounds: Int, report: @escaping @Sendable (String) -> Void) {}; package func run() async throws {} }
