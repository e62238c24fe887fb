//! What was seen of a packet, beside what a case expects of it.

use std::net::IpAddr;

use ringfence_common::abi::event::Event;
use ringfence_common::verdict::{Reason, Verdict};
use ringfence_dataplane::compile::Tables;
use ringfence_dataplane::model::Direction;
use ringfence_dataplane::observe;

use crate::case::Probe;
use crate::prober::{Ask, Service};
use crate::suite::{Side, verdict_name};
use crate::workload::Outcome;

/// What a call that sends says of a packet that tc egress has dropped (`net_xmit_errno` in Linux
/// `include/linux/netdevice.h`).
const NOT_SENT: i32 = libc::ENOBUFS;

/// The same of a packet that a rule of the output hook has dropped (`NF_DROP_GETERR` in Linux
/// `include/uapi/linux/netfilter.h`). Nothing else that a prober does is not permitted.
const DROPPED: i32 = libc::EPERM;

/// Everything that was seen of one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// What became of the question.
    pub outcome: Outcome,
    /// Whether it reached the end it was sent to.
    pub arrived: bool,
    /// What the backend says of it; `None` from one that reports nothing.
    pub decisions: Option<Vec<Decision>>,
}

/// What the backend says of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub verdict: Verdict,
    pub reason: Option<Reason>,
    pub direction: Direction,
    pub rule: Option<String>,
}

/// In what way something is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// Whose decision differs.
    pub side: Side,
    /// What was expected there.
    pub expected: Verdict,
    /// What happened, in words.
    pub actual: String,
    /// The decision that it came from, if the backend tells.
    pub decision: Option<Decision>,
}

impl Decision {
    /// The decision that `event` tells of, if it is about a packet of `ask`.
    pub fn about(ask: &Ask, event: &Event, tables: &Tables) -> Option<Self> {
        let (from, to): (IpAddr, IpAddr) = observe::addresses(event);
        let port = match ask.service {
            Service::Tcp(port) | Service::Udp(port) | Service::Sctp(port) => port,
            Service::Icmp { kind, code } => u16::from(kind) << 8 | u16::from(code),
            Service::Other(_) => event.destination_port,
        };
        let is_about = (from, to, event.protocol) == (ask.from, ask.to, ask.protocol())
            && event.destination_port == port;
        is_about.then(|| Self {
            verdict: verdict(event),
            reason: Reason::from_number(event.reason),
            direction: match event.direction {
                direction if direction == Direction::Egress as u8 => Direction::Egress,
                _ => Direction::Ingress,
            },
            rule: tables.rules.get(&event.rule).map(|rule| rule.name.clone()),
        })
    }
}

fn verdict(event: &Event) -> Verdict {
    match event.verdict {
        verdict if verdict == Verdict::Allow as u8 => Verdict::Allow,
        verdict if verdict == Verdict::Audit as u8 => Verdict::Audit,
        _ => Verdict::Deny,
    }
}

impl Seen {
    /// What happened, if it is one verdict.
    fn verdict(&self) -> Option<Verdict> {
        match self.outcome {
            Outcome::Answered if self.first(Verdict::Audit).is_some() => Some(Verdict::Audit),
            Outcome::Answered => Some(Verdict::Allow),
            Outcome::Silent if !self.arrived => Some(Verdict::Deny),
            // What the host itself sends may be denied within the call that sends it.
            Outcome::Failed(NOT_SENT) if !self.arrived && self.first(Verdict::Deny).is_some() => {
                Some(Verdict::Deny)
            }
            Outcome::Failed(DROPPED) if !self.arrived && self.decisions.is_none() => {
                Some(Verdict::Deny)
            }
            _ => None,
        }
    }

    /// What happened, in words.
    fn in_words(&self) -> String {
        match (self.verdict(), self.arrived) {
            (Some(verdict), _) => verdict_name(verdict).to_owned(),
            (None, true) => format!("arrived, but {}", self.outcome),
            (None, false) => self.outcome.to_string(),
        }
    }

    /// Whether nothing says that the packet was denied, though it is nowhere: it may be lost, or
    /// was never sent.
    pub fn may_be_lost(&self) -> bool {
        match self.verdict() {
            None => !self.arrived,
            Some(Verdict::Deny) => self.decisions.is_some() && self.first(Verdict::Deny).is_none(),
            Some(_) => false,
        }
    }

    /// How this differs from what `probe` expects.
    pub fn difference(&self, probe: &Probe) -> Option<Difference> {
        let decision = || {
            let first = self.first(Verdict::Deny).or_else(|| self.first(Verdict::Audit));
            // Of two ends that allow it, the one that needed a rule.
            let mut allowing = self.decisions.iter().flatten();
            let ruled = allowing.find(|one| one.rule.is_some());
            first.or(ruled).or_else(|| self.first(Verdict::Allow)).cloned()
        };
        let (side, expected) = (Side::Both, probe.expect);
        let wrong =
            |actual: String| Some(Difference { side, expected, actual, decision: decision() });
        let verdict = self.verdict();
        // A backend that reports nothing cannot tell would-be denials.
        let passes_for = |verdict| match (verdict, &self.decisions) {
            (Verdict::Audit, None) => Verdict::Allow,
            (verdict, _) => verdict,
        };
        if verdict != Some(passes_for(probe.expect)) {
            return wrong(self.in_words());
        }
        if self.may_be_lost() {
            return wrong("no answer, and no event that says why".to_owned());
        }
        for (side, direction, expected) in [
            (Side::Egress, Direction::Egress, probe.expect_egress),
            (Side::Ingress, Direction::Ingress, probe.expect_ingress),
        ] {
            let (Some(expected), Some(actual)) = (expected, self.side(direction)) else { continue };
            if actual != expected {
                let actual = verdict_name(actual).to_owned();
                return Some(Difference { side, expected, actual, decision: decision() });
            }
        }
        match self.other_reason(probe) {
            Some(reason) => wrong(format!("{} for {}", self.in_words(), reason.name())),
            None => None,
        }
    }

    /// What one end has decided, where that is known.
    fn side(&self, direction: Direction) -> Option<Verdict> {
        self.decisions.as_ref()?;
        let (denied, audited) = (self.first(Verdict::Deny), self.first(Verdict::Audit));
        match (denied, audited, direction) {
            (Some(denied), ..) if denied.direction == direction => Some(Verdict::Deny),
            // The source decides first.
            (Some(_), None, Direction::Egress) => Some(Verdict::Allow),
            (Some(_), ..) => None,
            (None, Some(_), _) => {
                let told = self.decisions.iter().flatten();
                let mut audited = told.filter(|one| one.verdict == Verdict::Audit);
                audited.any(|one| one.direction == direction).then_some(Verdict::Audit)
            }
            (None, None, _) => Some(Verdict::Allow),
        }
    }

    /// The reason that the backend gives in the place of the expected one. An allowed packet is
    /// reported with the reason of each end that policy decides; other reasons to allow are not
    /// reported.
    fn other_reason(&self, probe: &Probe) -> Option<Reason> {
        let expected = probe.reason?;
        let told = self.decisions.iter().flatten();
        let mut told = told.filter(|one| one.verdict == probe.expect);
        match probe.expect {
            Verdict::Deny => told.next()?.reason.filter(|reason| *reason != expected),
            _ if probe.expect == Verdict::Audit
                || matches!(expected, Reason::Rule | Reason::NotIsolated) =>
            {
                let reasons: Vec<Reason> = told.filter_map(|one| one.reason).collect();
                if reasons.contains(&expected) { None } else { reasons.first().copied() }
            }
            _ => None,
        }
    }

    fn first(&self, verdict: Verdict) -> Option<&Decision> {
        self.decisions.iter().flatten().find(|one| one.verdict == verdict)
    }
}

#[cfg(test)]
mod tests {
    use crate::case;

    use super::*;

    fn seen(outcome: Outcome, arrived: bool, told: Option<&[(Verdict, Reason)]>) -> Seen {
        let decision = |(verdict, reason): &(Verdict, Reason)| Decision {
            verdict: *verdict,
            reason: Some(*reason),
            direction: Direction::Ingress,
            rule: None,
        };
        Seen { outcome, arrived, decisions: told.map(|told| told.iter().map(decision).collect()) }
    }

    /// What is wrong for a probe that expects `expect`.
    fn actual(expect: &str, seen: &Seen) -> Option<String> {
        let text = format!(
            "pods: [{{namespace: a, name: b, ip: 10.0.0.1}}, {{namespace: a, name: c, ip: 10.0.0.2}}]\n\
             probes: [{{from: a/b, to: a/c, protocol: TCP, port: 1, {expect}}}]"
        );
        let cases = case::read_text("case.yaml", &text).unwrap();
        seen.difference(&cases[0].probes[0]).map(|Difference { side, actual, .. }| {
            side.name().into_iter().chain([actual.as_str()]).collect::<Vec<_>>().join(" ")
        })
    }

    #[test]
    fn a_verdict_is_what_became_of_the_packet() {
        use Outcome::{Answered, Failed, Refused, Silent};
        let (denied, audited) = ((Verdict::Deny, Reason::NoRule), (Verdict::Audit, Reason::NoRule));
        let allowed = (Verdict::Allow, Reason::Rule);
        let (allow, deny, audit) = ("expect: allow", "expect: deny", "expect: audit");
        let no_rule = "expect: deny, reason: NoRule";
        for (expect, seen, wrong) in [
            (allow, seen(Answered, true, None), None),
            (allow, seen(Answered, true, Some(&[allowed])), None),
            (allow, seen(Answered, true, Some(&[audited])), Some("audit")),
            (allow, seen(Silent, false, None), Some("deny")),
            (allow, seen(Silent, true, None), Some("arrived, but no answer")),
            (deny, seen(Answered, true, None), Some("allow")),
            (deny, seen(Silent, true, Some(&[denied])), Some("arrived, but no answer")),
            (deny, seen(Silent, false, None), None),
            (deny, seen(Silent, false, Some(&[denied])), None),
            (deny, seen(Silent, false, Some(&[])), Some("no answer, and no event that says why")),
            (deny, seen(Refused, false, Some(&[denied])), Some("refused")),
            (deny, seen(Failed(NOT_SENT), false, Some(&[denied])), None),
            (
                deny,
                seen(Failed(NOT_SENT), false, None),
                Some("not asked: No buffer space available"),
            ),
            (deny, seen(Failed(DROPPED), false, None), None),
            (
                deny,
                seen(Failed(DROPPED), false, Some(&[denied])),
                Some("not asked: Operation not permitted"),
            ),
            (
                deny,
                seen(Failed(DROPPED), true, None),
                Some("arrived, but not asked: Operation not permitted"),
            ),
            (audit, seen(Answered, true, Some(&[audited])), None),
            (audit, seen(Answered, true, Some(&[allowed])), Some("allow")),
            (audit, seen(Answered, true, None), None),
            (no_rule, seen(Silent, false, Some(&[denied])), None),
            (
                no_rule,
                seen(Silent, false, Some(&[(Verdict::Deny, Reason::Spoofed)])),
                Some("deny for Spoofed"),
            ),
            (
                "expect: deny, expect_egress: deny",
                seen(Silent, false, Some(&[denied])),
                Some("egress allow"),
            ),
        ] {
            assert_eq!(actual(expect, &seen).as_deref(), wrong, "{expect}: {seen:?}");
        }
    }
}
