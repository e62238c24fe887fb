//! The model and a flow to a decision, by definition and not by table.
//!
//! The oracle is what everything else is checked against. It reads the model literally, one flow at
//! a time, without any index or cache, and shares nothing with [`crate::compile`] or the decision
//! code. Where it is slow it is meant to be: each function should read like the sentence of the
//! semantics that it stands for.
//!
//! For each end of a flow that is a workload:
//!
//! 1. A workload may always talk to itself (semantics 8).
//! 2. The host may always talk to its own workloads; neither its egress nor their ingress is asked.
//!    One host enforces, and an inventory has one host: without a placement ([`Oracle::placed`])
//!    every workload is that host's own.
//! 3. Tiers are asked in their order, Failsafe, Admin, Developer, Baseline; within a tier
//!    priorities, the lower first. At one priority each policy that selects the workload says what the first of
//!    its rules that matches says. Then,
//!    a. if a policy denies, the flow is refused (semantics 2);
//!    b. else if a policy allows, it is allowed;
//!    c. else if a policy passes, the rest of the tier is skipped, its isolation too.
//! 4. At the end of a tier, the flow is refused if a policy of that tier selects the workload and
//!    isolates it in this direction.
//! 5. After all tiers, it is allowed.
//!
//! Rules that log neither decide nor isolate (semantics 6); any that matches has the flow reported.
//! An end that is no workload decides nothing.

mod address;
mod connection;
mod connections;
mod essential;
mod fragment;
mod frame;
pub mod limits;
mod matching;
mod settings;
mod trace;

use std::collections::BTreeSet;
use std::net::IpAddr;

pub use ringfence_common::verdict::{Reason, Verdict};

pub use self::connections::{Connections, Seen};
pub use self::settings::{Essential, Established, Mode, Placement, Settings};
pub use self::trace::{PolicyTrace, RuleTrace, SideTrace, Trace};

use self::matching::{rule_matches, selects};
use crate::model::{
    Action, Direction, Policy, PolicySet, Rule, RuleName, Tier, Workload, WorkloadName,
};

/// The first packet of a connection, as far as policy looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// Who opens it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// IP protocol number (IANA).
    pub protocol: u8,
    /// The destination port; `None` for protocols without ports.
    pub port: Option<u16>,
}

/// What both ends decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The source's egress.
    pub egress: Side,
    /// The destination's ingress.
    pub ingress: Side,
}

impl Answer {
    /// Whether the flow passes: both ends allow it.
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.egress.allowed && self.ingress.allowed
    }
}

/// What one end decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Whether it allows the flow.
    pub allowed: bool,
    /// Why.
    pub reason: Reason,
    /// Whether some policy isolates the workload in this direction.
    pub isolated: bool,
    /// Whether a rule that logs matches.
    pub logged: bool,
    /// The rules that decided, all alike; empty for a default. Sorted.
    pub rules: Vec<RuleName>,
}

/// Answers from a model.
#[derive(Clone, Copy, Debug)]
pub struct Oracle<'a> {
    set: &'a PolicySet,
    /// The host's own workloads; all, if nobody says which.
    local: Option<&'a BTreeSet<WorkloadName>>,
}

impl<'a> Oracle<'a> {
    /// An oracle for `set`, in which every workload is the host's own.
    #[must_use]
    pub fn new(set: &'a PolicySet) -> Self {
        Self { set, local: None }
    }

    /// An oracle for `set`, in which the workloads of `local` are the host's own and the others
    /// are elsewhere.
    #[must_use]
    pub fn placed(set: &'a PolicySet, local: &'a BTreeSet<WorkloadName>) -> Self {
        Self { set, local: Some(local) }
    }

    /// What both ends decide about `flow`.
    #[must_use]
    pub fn decide(&self, flow: &Flow) -> Answer {
        let source = self.set.inventory.owner(flow.source);
        let destination = self.set.inventory.owner(flow.destination);
        Answer {
            egress: self.side(source, destination, Direction::Egress, flow),
            ingress: self.side(destination, source, Direction::Ingress, flow),
        }
    }

    fn side(
        &self,
        subject: Option<&Workload>,
        other: Option<&Workload>,
        direction: Direction,
        flow: &Flow,
    ) -> Side {
        let Some(subject) = subject else {
            return Side {
                allowed: true,
                reason: Reason::NotIsolated,
                isolated: false,
                logged: false,
                rules: Vec::new(),
            };
        };
        let isolated = self.selecting(subject).any(|policy| policy.isolates(direction));
        let essential =
            |reason| Side { allowed: true, reason, isolated, logged: false, rules: Vec::new() };
        if other.is_some_and(|other| other.name == subject.name) {
            return essential(Reason::SelfTraffic);
        }
        let (from, to) = match direction {
            Direction::Egress => (Some(subject), other),
            Direction::Ingress => (other, Some(subject)),
        };
        if from.is_some_and(|from| from.host) && to.is_some_and(|to| self.is_own(to)) {
            return essential(Reason::HostToWorkload);
        }
        let (reason, rules) = self.ask_tiers(subject, direction, flow);
        Side {
            allowed: !reason.denies(),
            reason,
            isolated,
            logged: self.matching(subject, direction, flow).any(|rule| rule.action == Action::Log),
            rules,
        }
    }

    /// Whether a workload is the host's own.
    fn is_own(&self, workload: &Workload) -> bool {
        !workload.host && self.local.is_none_or(|local| local.contains(&workload.name))
    }

    /// Steps 3 to 5.
    fn ask_tiers(
        &self,
        subject: &Workload,
        direction: Direction,
        flow: &Flow,
    ) -> (Reason, Vec<RuleName>) {
        'tiers: for tier in [Tier::Failsafe, Tier::Admin, Tier::Developer, Tier::Baseline] {
            let mut priorities: Vec<u32> =
                self.selecting(subject).filter(|p| p.tier == tier).map(|p| p.priority).collect();
            priorities.sort_unstable();
            priorities.dedup();
            for priority in priorities {
                let said: Vec<(Action, Vec<RuleName>)> = self
                    .selecting(subject)
                    .filter(|policy| policy.tier == tier && policy.priority == priority)
                    .filter_map(|policy| self.says(policy, subject, direction, flow))
                    .collect();
                let saying = |action| {
                    let rules = said.iter().filter(|(said, _)| *said == action);
                    let mut rules: Vec<RuleName> =
                        rules.flat_map(|(_, rules)| rules).cloned().collect();
                    rules.sort();
                    rules
                };
                let deny = saying(Action::Deny);
                if !deny.is_empty() {
                    return (Reason::DenyRule, deny);
                }
                let allow = saying(Action::Allow);
                if !allow.is_empty() {
                    return (Reason::Rule, allow);
                }
                if !saying(Action::Pass).is_empty() {
                    continue 'tiers;
                }
            }
            let isolates = |policy: &Policy| policy.tier == tier && policy.isolates(direction);
            if self.selecting(subject).any(isolates) {
                return (Reason::NoRule, Vec::new());
            }
        }
        (Reason::NotIsolated, Vec::new())
    }

    /// What a policy says about a flow: the action of its first rule that matches and does not
    /// only log, and the rules that say it, which are those before the first one that says
    /// otherwise. Nothing if no such rule matches.
    fn says(
        &self,
        policy: &Policy,
        subject: &Workload,
        direction: Direction,
        flow: &Flow,
    ) -> Option<(Action, Vec<RuleName>)> {
        let rules = policy.rules(direction).iter().enumerate();
        let deciding: Vec<(usize, Action)> = rules
            .filter(|(_, rule)| rule.action != Action::Log)
            .filter(|(_, rule)| rule_matches(rule, subject, direction, flow, &self.set.inventory))
            .map(|(index, rule)| (index, rule.action))
            .collect();
        let (_, first) = *deciding.first()?;
        let alike = deciding.iter().take_while(|(_, action)| *action == first);
        Some((first, alike.map(|(index, _)| policy.rule_name(direction, *index)).collect()))
    }

    /// The policies that select a workload.
    fn selecting(&self, subject: &Workload) -> impl Iterator<Item = &'a Policy> {
        let inventory = &self.set.inventory;
        self.set.policies.iter().filter(move |policy| selects(policy, subject, inventory))
    }

    /// The rules that match a flow, of the policies that select a workload.
    fn matching(
        &self,
        subject: &Workload,
        direction: Direction,
        flow: &Flow,
    ) -> impl Iterator<Item = &'a Rule> {
        let inventory = &self.set.inventory;
        let rules = self.selecting(subject).flat_map(move |policy| policy.rules(direction));
        rules.filter(move |rule| rule_matches(rule, subject, direction, flow, inventory))
    }
}
