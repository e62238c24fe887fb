//! ClusterNetworkPolicies: what they say that another rule takes back, or that depends on luck in a
//! cluster.
//!
//! Rules and policies are compared pair by pair. How much is compared is bounded by a budget; what
//! is left over then is not warned about.

use std::collections::BTreeMap;

use crate::document::codes::Code;
use crate::document::context::Context;
use crate::document::kubernetes::{PolicyDocument, TierSpans};
use crate::document::limits;
use crate::document::source::Span;
use crate::model::{
    Action, Direction, Inventory, NamespaceScope, Peer, Peers, Policy, PortMatch, Ports, Rule,
    Selector, Tier, Workload,
};

const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];

/// Warns about what the ClusterNetworkPolicies of `documents` cannot mean.
pub(in crate::document) fn check(
    context: &mut Context,
    inventory: &Inventory,
    documents: &[PolicyDocument],
) {
    let mut checker = Checker { inventory, budget: limits::COMPARISONS };
    let mut tiers: BTreeMap<(Tier, u32), Vec<(&Policy, &TierSpans)>> = BTreeMap::new();
    for document in documents {
        let Some(spans) = &document.tier else { continue };
        let policy = &document.policy;
        for direction in DIRECTIONS {
            let rules = policy.rules(direction);
            baseline_pass(context, policy.tier, rules, spans.actions(direction));
            checker.shadowed(context, rules, spans.actions(direction));
        }
        tiers.entry((policy.tier, policy.priority)).or_default().push((policy, spans));
    }
    for policies in tiers.values().filter(|policies| policies.len() > 1) {
        let subjects: Vec<Vec<usize>> =
            policies.iter().map(|(policy, _)| checker.subjects(policy)).collect();
        for (index, (policy, spans)) in policies.iter().enumerate() {
            let disagrees = |earlier: &usize| {
                checker.share(&subjects[index], &subjects[*earlier])
                    && checker.disagree(policy, policies[*earlier].0)
            };
            if let Some(earlier) = (0..index).find(disagrees) {
                let (other, first) = policies[earlier];
                tie(context, policy, spans.priority, other, first.priority);
            }
        }
    }
}

fn baseline_pass(context: &mut Context, tier: Tier, rules: &[Rule], actions: &[Span]) {
    for (rule, action) in rules.iter().zip(actions) {
        if tier == Tier::Baseline && rule.action == Action::Pass {
            context
                .warning(Code::BaselinePass, *action, "no tier follows the Baseline tier")
                .label("what is passed here is allowed")
                .help("write `Accept`, which says so");
        }
    }
}

fn tie(context: &mut Context, policy: &Policy, span: Span, other: &Policy, first: Span) {
    let first = context.place(first);
    context
        .warning(
            Code::PriorityTie,
            span,
            format!(
                "`{}` and `{}` have one priority and disagree",
                policy.name.name, other.name.name
            ),
        )
        .label("here `Deny` wins over `Accept`, and both over `Pass`; in a cluster any may win")
        .related(first, "the other one")
        .help("give one of them another priority");
}

struct Checker<'i> {
    inventory: &'i Inventory,
    /// Comparisons left.
    budget: u64,
}

impl Checker<'_> {
    /// Takes `cost` comparisons; false when there are not so many left.
    fn afford(&mut self, cost: usize) -> bool {
        let left = self.budget.checked_sub(cost as u64);
        self.budget = left.unwrap_or(0);
        left.is_some()
    }

    /// Warns about rules for which an earlier rule leaves nothing.
    fn shadowed(&mut self, context: &mut Context, rules: &[Rule], actions: &[Span]) {
        for (index, (rule, action)) in rules.iter().zip(actions).enumerate() {
            let mut earlier = rules[..index].iter().zip(actions);
            let Some((_, first)) = earlier.find(|(earlier, _)| self.covers(earlier, rule)) else {
                continue;
            };
            let first = context.place(*first);
            context
                .warning(Code::ShadowedRule, *action, "the rule never counts")
                .label("an earlier rule matches all that it matches")
                .related(first, "the first rule that matches counts")
                .help("put the narrower rule first, or remove it");
        }
    }

    /// Whether `earlier` matches whatever `later` matches, as far as one peer and one port that
    /// holds another tells.
    fn covers(&mut self, earlier: &Rule, later: &Rule) -> bool {
        let ports = match (&earlier.ports, &later.ports) {
            (Ports::Everything, _) => true,
            (_, Ports::Everything) => false,
            (Ports::Any(wide), Ports::Any(narrow)) => {
                self.afford(wide.len() * narrow.len())
                    && narrow.iter().all(|port| wide.iter().any(|wide| port_covers(wide, port)))
            }
        };
        ports
            && match (&earlier.peers, &later.peers) {
                (Peers::Everyone, _) => true,
                (_, Peers::Everyone) => false,
                (Peers::Any(wide), Peers::Any(narrow)) => {
                    self.afford(wide.len() * narrow.len())
                        && narrow.iter().all(|peer| wide.iter().any(|wide| covers(wide, peer)))
                }
            }
    }

    /// The workloads that a policy selects, by their position in the inventory.
    fn subjects(&mut self, policy: &Policy) -> Vec<usize> {
        let inventory = self.inventory;
        let subject = Peer::Workloads {
            namespaces: policy.subject_namespaces.clone(),
            workloads: policy.subjects.clone(),
        };
        if !self.afford(inventory.workloads().count()) {
            return Vec::new();
        }
        let workloads = inventory.workloads().enumerate();
        let selected = workloads.filter(|(_, workload)| is_peer(workload, &subject, inventory));
        selected.map(|(position, _)| position).collect()
    }

    /// Whether two policies may have a subject in common; both lists are in order.
    fn share(&mut self, subjects: &[usize], others: &[usize]) -> bool {
        if self.inventory.workloads().next().is_none() {
            return true;
        }
        let (few, many) =
            if subjects.len() < others.len() { (subjects, others) } else { (others, subjects) };
        self.afford(few.len()) && few.iter().any(|one| many.binary_search(one).is_ok())
    }

    /// Whether two policies may say different things about a flow of a subject of both.
    fn disagree(&mut self, policy: &Policy, other: &Policy) -> bool {
        let pairs = DIRECTIONS.into_iter().flat_map(|direction| {
            policy.rules(direction).iter().flat_map(move |rule| {
                let others = other.rules(direction).iter();
                others.map(move |other| (rule, other))
            })
        });
        let mut opposite = pairs.filter(|(rule, other)| rule.action != other.action);
        opposite.any(|(rule, other)| {
            self.ports_meet(&rule.ports, &other.ports) && self.peers_meet(&rule.peers, &other.peers)
        })
    }

    fn ports_meet(&mut self, ports: &Ports, others: &Ports) -> bool {
        match (ports, others) {
            (Ports::Everything, _) | (_, Ports::Everything) => true,
            (Ports::Any(ports), Ports::Any(others)) => {
                self.afford(ports.len() * others.len())
                    && ports.iter().any(|port| others.iter().any(|other| ports_meet(port, other)))
            }
        }
    }

    fn peers_meet(&mut self, peers: &Peers, others: &Peers) -> bool {
        match (peers, others) {
            (Peers::Everyone, _) | (_, Peers::Everyone) => true,
            (Peers::Any(peers), Peers::Any(others)) => {
                peers.iter().any(|peer| others.iter().any(|other| self.meet(peer, other)))
            }
        }
    }

    /// Whether an address, or a workload if there are any, is both peers.
    fn meet(&mut self, peer: &Peer, other: &Peer) -> bool {
        let inventory = self.inventory;
        if !self.afford(1) {
            return false;
        }
        if let (Peer::Block(a), Peer::Block(b)) = (peer, other) {
            return a.block().contains(&b.block()) || b.block().contains(&a.block());
        }
        let mut workloads = inventory.workloads().peekable();
        if workloads.peek().is_none() || peer == other {
            return true;
        }
        workloads.any(|workload| {
            self.afford(1)
                && is_peer(workload, peer, inventory)
                && is_peer(workload, other, inventory)
        })
    }
}

fn is_peer(workload: &Workload, peer: &Peer, inventory: &Inventory) -> bool {
    match peer {
        Peer::Block(block) => workload.addresses.iter().any(|address| block.contains(*address)),
        Peer::Workloads { namespaces, workloads } => {
            let namespace = inventory.namespace(&workload.name.namespace);
            workloads.matches(&workload.labels)
                && namespace.is_some_and(|n| namespaces.contains(n.name(), n.labels()))
        }
    }
}

fn covers(wide: &Peer, narrow: &Peer) -> bool {
    match (wide, narrow) {
        (Peer::Block(wide), Peer::Block(narrow)) => wide.block().contains(&narrow.block()),
        (
            Peer::Workloads { namespaces: wide_namespaces, workloads: wide },
            Peer::Workloads { namespaces, workloads },
        ) => {
            let namespaces = match (wide_namespaces, namespaces) {
                (NamespaceScope::Selected(wide), NamespaceScope::Selected(narrow)) => {
                    asks_no_more(wide, narrow)
                }
                (wide, narrow) => wide == narrow,
            };
            namespaces && asks_no_more(wide, workloads)
        }
        (Peer::Block(_), Peer::Workloads { .. }) | (Peer::Workloads { .. }, Peer::Block(_)) => {
            false
        }
    }
}

/// Whether everything that `wide` requires, `narrow` requires too.
fn asks_no_more(wide: &Selector, narrow: &Selector) -> bool {
    wide.requirements().all(|wide| narrow.requirements().any(|narrow| wide == narrow))
}

fn port_covers(wide: &PortMatch, narrow: &PortMatch) -> bool {
    match (wide, narrow) {
        (PortMatch::Every(wide), PortMatch::Every(protocol) | PortMatch::Range(protocol, _)) => {
            wide == protocol
        }
        (PortMatch::Range(wide, all), PortMatch::Range(protocol, range)) => {
            wide == protocol && all.contains(range.first()) && all.contains(range.last())
        }
        (wide, narrow) => wide == narrow,
    }
}

/// Whether one port may be both; which number a name stands for is not looked into.
fn ports_meet(port: &PortMatch, other: &PortMatch) -> bool {
    let protocol = |port: &PortMatch| match port {
        PortMatch::Every(protocol)
        | PortMatch::Range(protocol, _)
        | PortMatch::Named(protocol, _) => *protocol,
    };
    protocol(port) == protocol(other)
        && match (port, other) {
            (PortMatch::Range(_, a), PortMatch::Range(_, b)) => {
                a.first() <= b.last() && b.first() <= a.last()
            }
            _ => true,
        }
}
