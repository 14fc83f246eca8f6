import ClusterModel
import InstanceDecision
import Testing

@Suite("Order admission")
struct AdmissionTests {
    /// Every order that exists, one of each kind.
    private func orders() throws -> [Order] {
        let name = try #require(InstanceName("b"))
        let plan = FollowPlan(
            primary: name,
            server: Endpoint(host: "b", port: 1),
            systemIdentifier: SystemIdentifier(rawValue: 1),
            history: [],
            peers: []
        )
        let kinds: [Order.Kind] = [
            .initialize(Initialization(rules: [], members: [])), .prepare(recover: false),
            .promote(Promotion(timeline: .first, rules: [], peers: [], history: [])), .follow(plan),
            .govern(Governance(rules: [], peers: [])), .handOver(HandOver(stops: true, deadline: .seconds(5))),
            .catchUp(plan),
        ]
        for kind in kinds {
            // A new kind does not compile until it is here, and fails until it has rows.
            switch kind {
            case .initialize, .prepare, .promote, .follow, .govern, .handOver, .catchUp: break
            }
        }
        return kinds.map { Order(stamp: .none, kind: $0) }
    }

    @Test("every order has exactly one row for every situation")
    func tableIsCompleteAndUnique() throws {
        for order in try orders() {
            for situation in Situation.allCases {
                let rows = admissionTable.filter { $0.order == order.name && $0.situation == situation }
                #expect(rows.count == 1, "\(order.name) in \(situation.rawValue)")
            }
        }
    }

    @Test("the table has no row for an order that does not exist")
    func noStrayRow() throws {
        let names = try orders().map(\.name)
        #expect(admissionTable.allSatisfy { names.contains($0.order) })
        #expect(admissionTable.count == names.count * Situation.allCases.count)
    }

    @Test("what is not this cluster's data is never touched")
    func foreignDataIsNeverTouched() {
        #expect(admissionTable.filter { $0.situation == .foreign }.allSatisfy { $0.refusal != nil })
    }

    @Test("a refusal says why")
    func refusalsSayWhy() {
        #expect(admissionTable.allSatisfy { $0.refusal != "" })
    }
}
