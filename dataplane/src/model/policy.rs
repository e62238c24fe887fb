//! Policies and their rules.

use std::fmt;

use super::{Inventory, NamespaceScope, Peers, Ports, Selector};

/// Direction of a flow, seen from the subject.
pub use ringfence_common::abi::policy::Direction;

/// What a rule does with the flows it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Let them through.
    Allow,
    /// Refuse them.
    Deny,
    /// Leave them to the next tier.
    Pass,
    /// Report them and go on; never isolates and never decides (semantics 6).
    Log,
}

/// Where a policy stands among the others. Lower tiers are asked first; within a tier the lower
/// priority first. A policy says what its first matching rule says; where policies of one tier
/// and priority say different things, deny wins over allow and allow over pass (semantics 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// What stays open on the host so that nobody locks himself out ([`super::Failsafe`]).
    Failsafe,
    /// Set by who runs the cluster or host; cannot be overridden.
    Admin,
    /// NetworkPolicy: additive, isolates whom it selects.
    Developer,
    /// What holds where nobody said anything.
    Baseline,
}

impl Tier {
    /// All tiers, in the order in which they are asked.
    pub const ALL: [Self; 4] = [Self::Failsafe, Self::Admin, Self::Developer, Self::Baseline];
}

/// A policy: whom it protects, and its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What it is called; unique in a [`PolicySet`].
    pub name: PolicyName,
    /// Its tier.
    pub tier: Tier,
    /// Its place within the tier; lower is asked first. NetworkPolicies all have 0.
    pub priority: u32,
    /// Namespaces of the subjects.
    pub subject_namespaces: NamespaceScope,
    /// The subjects there.
    pub subjects: Selector,
    /// Whether the subjects are isolated for ingress: what no rule allows is refused.
    pub isolates_ingress: bool,
    /// Whether the subjects are isolated for egress.
    pub isolates_egress: bool,
    /// Ingress rules in document order, in which they are asked.
    pub ingress: Vec<Rule>,
    /// Egress rules in document order, in which they are asked.
    pub egress: Vec<Rule>,
}

impl Policy {
    /// The rules of one direction.
    #[must_use]
    pub fn rules(&self, direction: Direction) -> &[Rule] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    /// Whether the subjects are isolated in `direction`.
    #[must_use]
    pub fn isolates(&self, direction: Direction) -> bool {
        match direction {
            Direction::Ingress => self.isolates_ingress,
            Direction::Egress => self.isolates_egress,
        }
    }

    /// The name of rule `index` of `direction`.
    #[must_use]
    pub fn rule_name(&self, direction: Direction, index: usize) -> RuleName {
        RuleName { policy: self.name.clone(), direction, index }
    }
}

/// One rule: it matches a flow whose peer *and* service match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What happens to the flows it matches.
    pub action: Action,
    /// The other ends.
    pub peers: Peers,
    /// The services (of the destination, in both directions).
    pub ports: Ports,
    /// How people find the rule in its document: `file:line`, and after it in quotes the name
    /// that the document gives it, if any.
    pub origin: Option<String>,
}

/// A policy's name, as kubectl writes it: `networkpolicy/shop/web`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyName {
    /// The document's kind, lower case: `networkpolicy`.
    pub kind: String,
    /// The namespace; empty for kinds without one.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}/{}", self.kind, self.name)
        } else {
            write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// A rule's name: `networkpolicy/shop/web ingress[0]`. Rule numbers are made from it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleName {
    /// The policy.
    pub policy: PolicyName,
    /// The direction.
    pub direction: Direction,
    /// Position in the policy's list for that direction.
    pub index: usize,
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        };
        write!(f, "{} {direction}[{}]", self.policy, self.index)
    }
}

/// All policies and whom they are about: the input of [`crate::compile`] and [`crate::oracle`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicySet {
    /// Sorted by name, names unique.
    pub policies: Vec<Policy>,
    /// Namespaces and workloads.
    pub inventory: Inventory,
}
