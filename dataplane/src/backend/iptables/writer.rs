//! Writes the chains of one family.

use std::collections::BTreeSet;

use jiff::Timestamp;
use ringfence_common::abi::config::essential;
use ringfence_common::abi::identity::endpoint;
use ringfence_common::abi::policy::Direction;
use ringfence_common::verdict::Reason;

use super::condition::{Condition, End};
use super::{Chain, Family, Jump, RenderError, Rule, Ruleset, Table};
use crate::backend::Mode;
use crate::backend::chains::{
    About, Decided, Entry, Guard, HostGuard, LOG_GROUP, Plan, Side, log_prefix,
};
use crate::backend::ipset::Sets;

/// How peers and ports are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) enum Style {
    /// Prefixes in chains of their own for each endpoint.
    Structured,
    /// Everything of one direction in one chain.
    Flat,
    /// In sets.
    Sets,
}

/// Chains under way.
#[derive(Debug)]
pub(in crate::backend) struct Writer<'p> {
    pub plan: &'p Plan,
    pub family: Family,
    pub style: Style,
    /// The match that holds while older connections are picked up.
    pub pick_up: Option<String>,
    chains: Vec<Chain>,
    made: BTreeSet<(Table, String)>,
    /// Chains of ours that rules so far lead to.
    led_to: BTreeSet<(Table, String)>,
    /// What rules refer to; none unless the style is [`Style::Sets`].
    pub sets: Sets,
}

/// A part of what policy says.
#[derive(Clone, Debug)]
pub(in crate::backend) struct Answer {
    pub when: Condition,
    pub allows: bool,
    pub logs: bool,
    /// What reports say.
    pub report: String,
    pub about: About,
}

/// Someone whose packets are filtered.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend) struct Who<'p> {
    pub endpoint: u32,
    pub name: &'p str,
    pub subject: u32,
    pub isolated: bool,
    /// Its own addresses where it may talk to itself past the loopback.
    pub addresses: &'p [std::net::IpAddr],
}

impl<'p> From<&'p Guard> for Who<'p> {
    fn from(guard: &'p Guard) -> Self {
        let Guard { endpoint, name, addresses, subject, isolated, .. } = guard;
        Self { endpoint: *endpoint, name, subject: *subject, isolated: *isolated, addresses }
    }
}

impl<'p> From<&'p HostGuard> for Who<'p> {
    fn from(host: &'p HostGuard) -> Self {
        let HostGuard { name, subject, isolated, .. } = host;
        let (endpoint, addresses) = (endpoint::HOST, [].as_slice());
        Self { endpoint, name, subject: *subject, isolated: *isolated, addresses }
    }
}

impl<'p> Writer<'p> {
    pub fn new(plan: &'p Plan, family: Family, style: Style) -> Result<Self, RenderError> {
        super::check::check(plan, style)?;
        let pick_up = plan.settings.pick_up_until.map(pick_up).transpose()?;
        let (chains, sets) = (Vec::new(), Sets::new());
        let (made, led_to) = (BTreeSet::new(), BTreeSet::new());
        Ok(Self { plan, family, style, pick_up, chains, made, led_to, sets })
    }

    /// All chains, and the sets that they refer to.
    pub fn write(mut self) -> (Ruleset, Sets) {
        self.sources();
        self.hooks();
        self.endpoints();
        self.shared();
        let jumps = self.jumps();
        (Ruleset { family: self.family, chains: self.chains, jumps }, self.sets)
    }

    fn jumps(&self) -> Vec<Jump> {
        let hooks = [
            (Table::Raw, "PREROUTING", "RINGFENCE-SOURCE"),
            (Table::Filter, "FORWARD", "RINGFENCE-FORWARD"),
            (Table::Filter, "INPUT", "RINGFENCE-INPUT"),
            (Table::Filter, "OUTPUT", "RINGFENCE-OUTPUT"),
        ];
        let ours = hooks.into_iter().filter(|(table, _, to)| self.has(*table, to));
        let jump = |(table, from, to): (Table, &str, &str)| Jump {
            table,
            from: from.to_owned(),
            to: to.to_owned(),
        };
        ours.map(jump).collect()
    }

    /// Adds a chain, if it is not there yet.
    pub fn add(&mut self, table: Table, name: &str, title: &str, rules: Vec<Rule>) {
        if self.made.insert((table, name.to_owned())) {
            let ours =
                rules.iter().map(|rule| &rule.target[3..]).filter(|to| to.starts_with("RF-"));
            self.led_to.extend(ours.map(|to| (table, to.to_owned())));
            let (name, title) = (name.to_owned(), title.to_owned());
            self.chains.push(Chain { table, name, title, rules });
        }
    }

    pub fn has(&self, table: Table, name: &str) -> bool {
        self.made.contains(&(table, name.to_owned()))
    }

    /// Whether some rule so far leads to that chain.
    pub fn leads_to(&self, table: Table, name: &str) -> bool {
        self.led_to.contains(&(table, name.to_owned()))
    }

    pub fn is_essential(&self, bit: u32) -> bool {
        self.plan.settings.essential & bit != 0
    }

    /// Whether the host may always talk to its own workloads.
    pub fn host_reaches_workloads(&self) -> bool {
        self.is_essential(essential::HOST_TO_WORKLOAD)
    }

    /// What policy says about a direction; nothing where it is open.
    pub fn side(&self, subject: u32, direction: Direction) -> Option<&'p Side> {
        self.plan.sides.get(&(subject, direction))
    }

    /// How packets from the workload are known, a condition for each way.
    pub fn sends(&self, guard: &Guard) -> Vec<Condition> {
        let any = Condition::default();
        match &guard.entry {
            Entry::Interface(interface) => vec![any.arrives_on(interface)],
            Entry::Shared(interface) => self.own(guard, &any.arrives_on(interface), End::Source),
            Entry::Addresses => self.own(guard, &any, End::Source),
        }
    }

    /// How packets for the workload are known, a condition for each way.
    pub fn gets(&self, guard: &Guard) -> Vec<Condition> {
        let any = Condition::default();
        match &guard.entry {
            Entry::Interface(interface) => vec![any.leaves_by(interface)],
            Entry::Shared(interface) => {
                self.own(guard, &any.leaves_by(interface), End::Destination)
            }
            Entry::Addresses => self.own(guard, &any, End::Destination),
        }
    }

    fn own(&self, guard: &Guard, when: &Condition, end: End) -> Vec<Condition> {
        let own = guard.addresses.iter().filter(|address| self.family.has(address));
        own.map(|address| when.clone().address(end, address)).collect()
    }

    /// What matches passes.
    pub fn passes(when: &Condition, reason: Reason) -> Rule {
        rule(when, "-j RETURN", About::Reason(reason))
    }

    /// What matches is refused, or in audit mode reported.
    pub fn refuses(&self, when: &Condition, reason: Reason) -> Vec<Rule> {
        let about = About::Reason(reason);
        match self.plan.mode {
            Mode::Enforce => vec![rule(when, "-j DROP", about)],
            Mode::Audit => {
                vec![rule(when, &log(reason.name()), about.clone()), rule(when, "-j RETURN", about)]
            }
        }
    }

    /// What matches goes on in another chain: `target` is `-j …` or `-g …`.
    pub fn leads(when: &Condition, way: &str, target: &str) -> Rule {
        rule(when, target, About::way(way))
    }

    /// Policy has answered so.
    pub fn decides(&self, answer: &Answer) -> Vec<Rule> {
        let Answer { when, allows, logs, report, about } = answer;
        let passes = *allows || self.plan.mode == Mode::Audit;
        let target = if passes { "-j RETURN" } else { "-j DROP" };
        let end = rule(when, target, about.clone());
        if *logs || passes != *allows {
            vec![Rule { target: log(report), ..end.clone() }, end]
        } else {
            vec![end]
        }
    }

    /// What policy has decided about what matches.
    pub fn answer(&self, when: Condition, decided: Decided) -> Answer {
        let report = log_prefix(reason(decided), decided.rule);
        let Decided { allows, logs, .. } = decided;
        Answer { when, allows, logs, report, about: self.about(decided) }
    }

    pub fn about(&self, decided: Decided) -> About {
        match decided.rule {
            0 => About::Reason(reason(decided)),
            number => {
                let name = self.plan.rules.get(&number).map(|rule| rule.name.clone());
                About::Rule { number, name: name.unwrap_or_default() }
            }
        }
    }
}

/// Why it is decided so (`answer` in [`ringfence_common::decide`]).
pub(in crate::backend) fn reason(decided: Decided) -> Reason {
    match (decided.allows, decided.rule) {
        (true, 0) => Reason::NotIsolated,
        (true, _) => Reason::Rule,
        (false, 0) => Reason::NoRule,
        (false, _) => Reason::DenyRule,
    }
}

fn rule(when: &Condition, target: &str, about: About) -> Rule {
    Rule { matches: when.to_string(), target: target.to_owned(), about }
}

fn log(report: &str) -> String {
    format!("-j NFLOG --nflog-group {LOG_GROUP} --nflog-prefix \"{report}\"")
}

/// The match that holds until so many seconds after the epoch. The kernel's match takes dates until
/// 2038.
fn pick_up(until: u64) -> Result<String, RenderError> {
    let date =
        i32::try_from(until).ok().and_then(|until| Timestamp::from_second(until.into()).ok());
    let date = date.ok_or(RenderError::Date { until })?;
    Ok(format!("-m time --datestop {}", date.strftime("%Y-%m-%dT%H:%M:%S")))
}
