import ClusterModel

/// Data directories made anew while the cluster runs (R15).
extension ClusterMachine {
    /// How many members may be copied from the primary at once: each copy reads all of its data.
    static let copyLimit = 2

    mutating func answerRebuild(
        of name: InstanceName,
        mayWait: Bool,
        isDryRun: Bool,
        _ record: ClusterRecord,
        _ id: UInt64,
        _ now: MonotonicInstant
    ) {
        let would = isDryRun ? "would be refused: " : ""
        guard let one = observation(name) else { return reply(id, .usage, "\(would)there is no instance '\(name)'") }
        if let (rule, text) = objectionToRebuild(one, mayWait: mayWait, record, now) {
            return isDryRun ? reply(id, .refused, would + text) : refuse(id, rule, text)
        }
        guard let report = one.report, isFresh(one, now) else {
            let text = "the agent of '\(name)' does not report: start it first"
            return isDryRun ? reply(id, .refused, would + text) : refuse(id, "R15", text)
        }
        let primary = record.primary?.text ?? "the primary"
        guard let incarnation = report.state.incarnation else {
            return reply(id, .done, "'\(name)' has no data to give up: it is made anew already")
        }
        if isDryRun {
            return reply(id, .done, "'\(name)' would be made anew as a copy of '\(primary)'; its data stays until then")
        }
        update(name) { $0.discards = incarnation }
        explain(
            .rejoin,
            rule: "R15",
            "'\(name)' is made anew as a copy of '\(primary)': an operator asked for it",
            evidence: ["incarnation \(incarnation) is given up when the copy is complete"]
        )
        reply(id, .done, "'\(name)' is made anew as a copy of '\(primary)'; its data stays until the copy is complete.")
    }

    /// Why an instance must keep its data; nil if nothing speaks for that.
    private func objectionToRebuild(
        _ one: Seen,
        mayWait: Bool,
        _ record: ClusterRecord,
        _ now: MonotonicInstant
    ) -> (rule: String, text: String)? {
        let name = one.spec.name
        if record.primary == name {
            return ("R19", "'\(name)' is the primary: hand over to another instance first (`switchover`)")
        }
        guard record.phase == .steady, record.request == nil else {
            return ("R15", "a change of primary is under way; ask again when it is over")
        }
        guard let primary = record.primary.flatMap(observation), isFresh(primary, now),
            primary.report?.server == .primary, primary.report?.opened == true
        else {
            return (
                "R19",
                "the primary '\(record.primary?.text ?? "none")' does not serve: the data of '\(name)' may be the last copy"
            )
        }
        let copied = seen.filter { $0.spec.name != name && isBeingCopied($0, now) }.map(\.spec.name.text)
        if copied.count >= Self.copyLimit {
            return ("R15", "\(copied.joined(separator: " and ")) are being copied; ask again when one has ended")
        }
        guard !mayWait, let member = one.member else { return nil }
        // Who is to be made anew streams a little longer, and then no more.
        let leaving = seen.filter(isToDiscard).compactMap { $0.member?.applicationName }
        let streaming = (primary.report?.status?.senders ?? [])
            .filter { $0.usesOwnSlot && $0.state == "streaming" && !leaving.contains($0.applicationName) }
            .map(\.applicationName)
        guard streaming.contains(member.applicationName) else { return nil }
        for rule in record.rules where rule.required > 0 && rule.voters.contains(member) && rule.mode == .required {
            let others = rule.voters.filter { $0 != member && streaming.contains($0.applicationName) }
            if others.count < rule.required {
                return (
                    "R12",
                    "commits wait for \(rule.required) of \(rule.voters.map(\.name.text).joined(separator: ", ")): without "
                        + "'\(name)' they would wait until the copy is complete; accept that with --commits-may-wait"
                )
            }
        }
        return nil
    }

    /// Whether an operator told it to give up the data that it still has.
    mutating func isToldToDiscard(_ one: Seen, _ report: InstanceReport, _ record: ClusterRecord) -> Bool {
        guard let discards = one.discards else { return false }
        if discards == report.state.incarnation { return record.phase == .steady }
        update(one.spec.name) { $0.discards = nil }
        return false
    }

    /// Whether one without usable data has to wait until fewer others are copied.
    func mustWaitForCopies(_ one: Seen, _ report: InstanceReport, _ now: MonotonicInstant) -> Bool {
        guard needsCopy(report), report.activity.isEmpty, !wasToldToFollow(one, now) else { return false }
        return seen.filter { $0.spec.name != one.spec.name && isBeingCopied($0, now) }.count >= Self.copyLimit
    }

    private func needsCopy(_ report: InstanceReport) -> Bool {
        report.state.role == .none || report.state.role == .cloning && report.server == .down
    }

    /// An operator's word that it has not carried out yet.
    private func isToDiscard(_ one: Seen) -> Bool {
        one.discards != nil && one.discards == one.report?.state.incarnation
    }

    /// Also one that was just told to, and has not begun yet.
    private func isBeingCopied(_ one: Seen, _ now: MonotonicInstant) -> Bool {
        guard let report = one.report, isFresh(one, now) else { return false }
        if report.activity.hasPrefix("cloning") || isToDiscard(one) { return true }
        return needsCopy(report) && wasToldToFollow(one, now)
    }

    private func wasToldToFollow(_ one: Seen, _ now: MonotonicInstant) -> Bool {
        guard case .follow = one.lastOrder?.kind, let at = one.lastOrderAt else { return false }
        return now - at < spec.timings.reportInterval * 4
    }
}
