//! Why: which policies were asked, what each rule said, and what was nearest to matching.

use super::matching::{destination, peers_match, ports_match, selects};
use super::{Answer, Flow, Oracle};
use crate::model::{Action, Direction, NamespaceScope, Policy, PolicyName, RuleName, Tier};

/// How an answer came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The answer.
    pub answer: Answer,
    /// The source's end.
    pub egress: SideTrace,
    /// The destination's end.
    pub ingress: SideTrace,
}

/// How one end came to its decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideTrace {
    /// The workload, `namespace/name`; `None` for an address that no workload has.
    pub subject: Option<String>,
    /// The policies that select it and isolate it or have rules for the direction, in the order in
    /// which they are asked.
    pub policies: Vec<PolicyTrace>,
}

/// A policy that selects the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyTrace {
    /// Its name.
    pub policy: PolicyName,
    /// Its tier.
    pub tier: Tier,
    /// Its priority.
    pub priority: u32,
    /// The selector by which it selects, as kubectl writes selectors; after it that of the
    /// namespaces, where it selects some of them.
    pub selector: String,
    /// Whether it isolates the subject in this direction.
    pub isolates: bool,
    /// Its rules for this direction, in document order.
    pub rules: Vec<RuleTrace>,
}

/// What a rule has to do with the flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTrace {
    /// Its name.
    pub rule: RuleName,
    /// Where it stands in its document, and its own name there; see
    /// [`Rule::origin`](crate::model::Rule::origin).
    pub origin: Option<String>,
    /// What it does with the flows it matches.
    pub action: Action,
    /// Whether the other end is one of its peers.
    pub peers_match: bool,
    /// Whether the service is one of its ports.
    pub ports_match: bool,
}

impl RuleTrace {
    /// Whether the rule matches the flow.
    #[must_use]
    pub fn matches(&self) -> bool {
        self.peers_match && self.ports_match
    }
}

impl SideTrace {
    /// The allow rules that one half of the flow kept from matching, in the order in which they are
    /// asked; those that match its peer come first.
    #[must_use]
    pub fn nearest_misses(&self) -> Vec<&RuleTrace> {
        let misses = |rule: &&RuleTrace| {
            rule.action == Action::Allow && rule.peers_match != rule.ports_match
        };
        let rules = self.policies.iter().flat_map(|policy| &policy.rules);
        let mut rules: Vec<&RuleTrace> = rules.filter(misses).collect();
        rules.sort_by_key(|rule| !rule.peers_match);
        rules
    }
}

impl Oracle<'_> {
    /// What both ends decide about `flow`, and how they came to it.
    #[must_use]
    pub fn trace(&self, flow: &Flow) -> Trace {
        Trace {
            answer: self.decide(flow),
            egress: self.trace_side(Direction::Egress, flow),
            ingress: self.trace_side(Direction::Ingress, flow),
        }
    }

    fn trace_side(&self, direction: Direction, flow: &Flow) -> SideTrace {
        let inventory = &self.set.inventory;
        let address = match direction {
            Direction::Ingress => flow.destination,
            Direction::Egress => flow.source,
        };
        let Some(subject) = inventory.owner(address) else {
            return SideTrace { subject: None, policies: Vec::new() };
        };
        let mut policies: Vec<PolicyTrace> = self
            .set
            .policies
            .iter()
            .filter(|policy| selects(policy, subject, inventory))
            .filter(|policy| policy.isolates(direction) || !policy.rules(direction).is_empty())
            .map(|policy| {
                let to = destination(subject, direction, flow, inventory);
                let rules =
                    policy.rules(direction).iter().enumerate().map(|(index, rule)| RuleTrace {
                        rule: policy.rule_name(direction, index),
                        origin: rule.origin.clone(),
                        action: rule.action,
                        peers_match: peers_match(&rule.peers, direction, flow, inventory),
                        ports_match: ports_match(&rule.ports, to, flow),
                    });
                PolicyTrace {
                    policy: policy.name.clone(),
                    tier: policy.tier,
                    priority: policy.priority,
                    selector: selector(policy),
                    isolates: policy.isolates(direction),
                    rules: rules.collect(),
                }
            })
            .collect();
        policies
            .sort_by(|a, b| (a.tier, a.priority, &a.policy).cmp(&(b.tier, b.priority, &b.policy)));
        SideTrace { subject: Some(subject.name.to_string()), policies }
    }
}

fn selector(policy: &Policy) -> String {
    match &policy.subject_namespaces {
        NamespaceScope::Selected(namespaces) if !namespaces.is_everything() => {
            format!("{} in namespaces {namespaces}", policy.subjects)
        }
        NamespaceScope::Selected(_) | NamespaceScope::Named(_) => policy.subjects.to_string(),
    }
}
