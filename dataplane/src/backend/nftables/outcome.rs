//! What happens to packets, in nft's words, and how it is reported.

use std::collections::BTreeMap;

use ringfence_common::verdict::Reason;

use super::{Chain, Rule};
use crate::backend::Mode;
use crate::backend::chains::{About, Decided, LOG_GROUP, log_prefix};
use crate::compile::RuleDescription;

/// Verdicts of one mode, and the chains that report on the way to them.
#[derive(Debug)]
pub(super) struct Outcomes<'a> {
    mode: Mode,
    rules: &'a BTreeMap<u32, RuleDescription>,
    reports: BTreeMap<String, Chain>,
}

impl<'a> Outcomes<'a> {
    pub(super) fn new(mode: Mode, rules: &'a BTreeMap<u32, RuleDescription>) -> Self {
        Self { mode, rules, reports: BTreeMap::new() }
    }

    /// A rule by which what matches passes.
    pub(super) fn passes(&self, matches: &str, reason: Reason) -> Rule {
        let about = About::Reason(reason);
        Rule { text: spaced(&[matches, "counter return"]), about }
    }

    /// A rule by which what matches is refused, or in audit mode reported.
    pub(super) fn refuses(&self, matches: &str, reason: Reason) -> Rule {
        let text = match self.mode {
            Mode::Enforce => spaced(&[matches, "counter drop"]),
            Mode::Audit => spaced(&[matches, &log(reason, 0), "counter return"]),
        };
        Rule { text, about: About::Reason(reason) }
    }

    /// The rule at the end of a chain: policy has decided so.
    pub(super) fn decides(&self, decided: Decided) -> Rule {
        let about = self.about(decided);
        let log = self.is_reported(decided).then(|| log(reason(decided), decided.rule));
        let text = spaced(&[&log.unwrap_or_default(), "counter", self.end(decided)]);
        Rule { text, about }
    }

    /// What an element leads to: an end, or a chain that reports and then ends.
    pub(super) fn verdict(&mut self, decided: Decided) -> String {
        if !self.is_reported(decided) {
            return self.end(decided).to_owned();
        }
        let end = if decided.allows { "allow" } else { "deny" };
        let name = format!("report_{end}_{:08x}", decided.rule);
        let about = self.about(decided);
        let text = spaced(&[&log(reason(decided), decided.rule), self.end(decided)]);
        let chain = || {
            let mut chain = Chain::named(&name, format!("Reports what {about} decides"));
            chain.rules.push(Rule { text, about: about.clone() });
            chain
        };
        self.reports.entry(name.clone()).or_insert_with(chain);
        format!("goto {name}")
    }

    pub(super) fn about(&self, decided: Decided) -> About {
        match decided.rule {
            0 => About::Reason(reason(decided)),
            number => {
                let name = self.rules.get(&number).map(|rule| rule.name.clone());
                About::Rule { number, name: name.unwrap_or_default() }
            }
        }
    }

    /// The chains that verdicts lead to.
    pub(super) fn into_reports(self) -> impl Iterator<Item = Chain> {
        self.reports.into_values()
    }

    fn is_reported(&self, decided: Decided) -> bool {
        decided.logs || (self.mode == Mode::Audit && !decided.allows)
    }

    fn end(&self, decided: Decided) -> &'static str {
        if decided.allows || self.mode == Mode::Audit { "return" } else { "drop" }
    }
}

/// Why it is decided so (`answer` in [`ringfence_common::decide`]).
fn reason(decided: Decided) -> Reason {
    match (decided.allows, decided.rule) {
        (true, 0) => Reason::NotIsolated,
        (true, _) => Reason::Rule,
        (false, 0) => Reason::NoRule,
        (false, _) => Reason::DenyRule,
    }
}

fn log(reason: Reason, rule: u32) -> String {
    format!("log prefix \"{}\" group {LOG_GROUP}", log_prefix(reason, rule))
}

/// The parts that are not empty, with a space between them.
pub(super) fn spaced(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_come_before_the_end() {
        let rules = BTreeMap::from([(7, RuleDescription { name: "a b".into(), origin: None })]);
        let deny = Decided { allows: false, logs: false, rule: 7 };
        let logged = Decided { allows: true, logs: true, rule: 7 };
        let mut enforce = Outcomes::new(Mode::Enforce, &rules);
        assert_eq!(enforce.verdict(deny), "drop");
        assert_eq!(enforce.verdict(logged), "goto report_allow_00000007");
        let mut audit = Outcomes::new(Mode::Audit, &rules);
        assert_eq!(audit.verdict(deny), "goto report_deny_00000007");
        assert_eq!(audit.verdict(Decided { logs: false, ..logged }), "return");
        let text = |outcomes: Outcomes<'_>| -> Vec<String> {
            outcomes.into_reports().flat_map(|chain| chain.rules).map(|rule| rule.text).collect()
        };
        assert_eq!(text(enforce), ["log prefix \"Rule 00000007\" group 5 return"]);
        assert_eq!(text(audit), ["log prefix \"DenyRule 00000007\" group 5 return"]);
    }

    #[test]
    fn defaults_and_refusals_follow_the_mode() {
        let rules = BTreeMap::new();
        let none = Decided { allows: false, logs: false, rule: 0 };
        let enforce = Outcomes::new(Mode::Enforce, &rules);
        let audit = Outcomes::new(Mode::Audit, &rules);
        assert_eq!(enforce.decides(none).text, "counter drop");
        assert_eq!(audit.decides(none).text, "log prefix \"NoRule\" group 5 counter return");
        assert_eq!(enforce.decides(none).about, About::Reason(Reason::NoRule));
        assert_eq!(
            enforce.refuses("udp dport 1", Reason::Spoofed).text,
            "udp dport 1 counter drop"
        );
        assert_eq!(
            audit.refuses("udp dport 1", Reason::Spoofed).text,
            "udp dport 1 log prefix \"Spoofed\" group 5 counter return"
        );
        let open = Decided { allows: true, ..none };
        assert_eq!(audit.decides(open).text, "counter return");
    }
}
